"""One committed row for each key, whatever is tried how often, when and at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from perdure.patterns import Saga, options, undone_key
from perdure.patterns.idempotency import KEPT_ARGUMENTS_BYTES, Store, idempotent

money = sa.Table("money", sa.MetaData(), sa.Column("who", sa.Text), sa.Column("cents", sa.Integer))


@dataclass
class Order:
    who: str
    cents: int


@dataclass
class Receipt:
    order: Order
    balance: int


@dataclass
class Bank:
    store: Store
    calls: int = 0

    def charge(self):
        @activity.defn
        @idempotent(self.store, expires=timedelta(days=1))
        def charge(tx: Session, order: Order) -> Receipt:
            self.calls += 1
            tx.execute(money.insert().values(who=order.who, cents=order.cents))
            if order.cents == 13:
                raise ApplicationError("unlucky", non_retryable=True)
            return Receipt(order, self.balance(tx))

        return charge

    def refund(self):
        @activity.defn
        @idempotent(self.store, expires=timedelta(days=1))
        def refund(tx: Session, order: Order) -> None:
            if self.store.refuse(tx, undone_key()):
                tx.execute(money.insert().values(who=order.who, cents=-order.cents))

        return refund

    def balance(self, tx=None):
        query = sa.select(sa.func.coalesce(sa.func.sum(money.c.cents), 0))
        if tx is not None:
            return tx.scalar(query)
        with Session(self.store.engine) as mine:
            return mine.scalar(query)


@pytest.fixture
def bank(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'bank.db'}")
    store = Store(engine)
    store.create()
    money.metadata.create_all(engine)
    yield Bank(store)
    engine.dispose()


def attempt(fn, order, key="wf/run/step#1", **info):
    env = ActivityEnvironment()
    env.info = replace(env.info, activity_id=key, schedule_to_close_timeout=timedelta(hours=1), **info)
    return env.run(fn, order)


ORDER = Order("ann", 900)


def test_the_first_result_is_given_again_and_typed(bank):
    first = attempt(bank.charge(), ORDER)
    assert attempt(bank.charge(), ORDER) == first == Receipt(ORDER, 900)
    assert bank.calls == 1 and bank.balance() == 900
    assert attempt(bank.charge(), ORDER, key="wf/run/step#2").balance == 1800


def test_other_arguments_conflict(bank):
    attempt(bank.charge(), ORDER)
    with pytest.raises(ApplicationError, match="other arguments") as raised:
        attempt(bank.charge(), Order("ann", 901))
    assert raised.value.type == "IdempotencyConflict" and raised.value.non_retryable
    assert bank.balance() == 900


@dataclass
class InCurrency:
    who: str
    cents: int
    currency: str = "EUR"


def of_type(bank, order_type):
    def pay(tx: Session, order) -> str:
        bank.calls += 1
        return order.who

    pay.__annotations__["order"] = order_type
    return activity.defn(idempotent(bank.store)(pay))


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        (Order("ann", 900), InCurrency("ann", 900), InCurrency("ann", 900, "CHF")),
        (InCurrency("ann", 900, "CHF"), Order("ann", 900), Order("ann", 901)),
    ],
)
def test_arguments_whose_type_has_got_or_lost_a_field_are_the_same(bank, first, same, other):
    attempt(of_type(bank, type(first)), first)
    assert attempt(of_type(bank, type(same)), same) == "ann" and bank.calls == 1
    with pytest.raises(ApplicationError, match="other arguments"):
        attempt(of_type(bank, type(other)), other)


def test_dictionaries_with_another_key_are_other_arguments(bank):
    attempt(of_type(bank, dict), Named({"who": "ann"}))
    with pytest.raises(ApplicationError, match="other arguments"):
        attempt(of_type(bank, dict), Named({"who": "ann", "cents": 1}))


class Named(dict):
    @property
    def who(self):
        return self["who"]


def test_a_table_of_an_earlier_version_gets_its_new_column(bank):
    with bank.store.engine.begin() as tx:
        tx.execute(sa.text("ALTER TABLE perdure_idempotency DROP COLUMN arguments"))
    for _ in range(2):
        bank.store.create()
    assert attempt(bank.charge(), ORDER) == attempt(bank.charge(), ORDER)


def test_large_arguments_are_known_by_their_fingerprint(bank):
    long = "a" * KEPT_ARGUMENTS_BYTES
    assert attempt(of_type(bank, Order), Order(long, 1)) == attempt(of_type(bank, Order), Order(long, 1)) == long
    with pytest.raises(ApplicationError, match="other arguments"):
        attempt(of_type(bank, InCurrency), InCurrency(long, 1))


def test_an_attempt_that_raises_leaves_nothing(bank):
    for _ in range(2):
        with pytest.raises(ApplicationError, match="unlucky"):
            attempt(bank.charge(), Order("ann", 13))
    assert bank.calls == 2 and bank.balance() == 0


def test_attempts_at_the_same_time_wait_for_each_other(bank):
    barrier = threading.Barrier(6)

    def one(_):
        barrier.wait()
        return attempt(bank.charge(), ORDER)

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(one, range(6))) == [Receipt(ORDER, 900)] * 6
    assert bank.calls == 1 and bank.balance() == 900


def test_keys_expire_and_are_purged(bank):
    attempt(bank.charge(), ORDER)
    assert bank.store.purge() == 0
    with Session(bank.store.engine) as tx, tx.begin():
        tx.execute(sa.update(bank.store.table).values(expires_s=1))
    assert attempt(bank.charge(), ORDER).balance == 1800
    with Session(bank.store.engine) as tx, tx.begin():
        tx.execute(sa.update(bank.store.table).values(expires_s=1))
    assert bank.store.purge() == 1


def test_what_is_forgotten_too_early_is_refused(bank):
    env = ActivityEnvironment()
    env.info = replace(env.info, schedule_to_close_timeout=timedelta(days=2))
    with pytest.raises(ApplicationError, match="forgotten after 1 day"):
        env.run(bank.charge(), ORDER)


@pytest.mark.parametrize("acted", [True, False])
def test_a_late_step_is_refused_after_its_undo_and_a_double_undo_does_nothing(bank, acted):
    if acted:
        attempt(bank.charge(), ORDER)
    for number in range(2):
        attempt(bank.refund(), ORDER, key="wf/run/step#1/undo")
        assert bank.balance() == 0, number
    with pytest.raises(ApplicationError, match="was undone") as raised:
        attempt(bank.charge(), ORDER)
    assert raised.value.type == "IdempotencyRefused" and bank.balance() == 0


@pytest.mark.parametrize("how", ["create_engine", "execution_options"])
def test_an_engine_that_commits_by_itself_is_refused_before_anything_is_done(bank, how):
    if how == "create_engine":
        engine = sa.create_engine(bank.store.engine.url, isolation_level="AUTOCOMMIT")
    else:
        engine = bank.store.engine.execution_options(isolation_level="AUTOCOMMIT")
    proper, bank.store = bank.store, Store(engine)
    for fn, key in ((bank.charge(), "wf/run/step#1"), (bank.refund(), "wf/run/step#1/undo")):
        with pytest.raises(ApplicationError, match="AUTOCOMMIT") as raised:
            attempt(fn, ORDER, key=key)
        assert raised.value.type == "IdempotencyTransaction" and raised.value.non_retryable
    engine.dispose()
    bank.store = proper
    assert bank.calls == 0 and attempt(bank.charge(), ORDER).balance == 900


def test_an_engine_that_begins_as_sqlalchemy_advises_is_taken(bank):
    engine = sa.create_engine(bank.store.engine.url)
    sa.event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    bank.store = Store(engine)
    assert attempt(bank.charge(), ORDER) == attempt(bank.charge(), ORDER)
    assert bank.balance() == 900
    engine.dispose()


@pytest.mark.parametrize("how", ["commit", "rollback", "close"])
def test_a_function_that_ends_its_transaction_is_refused_and_nothing_is_kept(bank, how):
    @activity.defn
    @idempotent(bank.store)
    def pay(tx: Session, order: Order) -> None:
        tx.execute(money.insert().values(who=order.who, cents=order.cents))
        getattr(tx, how)()

    for _ in range(2):
        with pytest.raises(ApplicationError, match="ends its transaction itself") as raised:
            attempt(pay, ORDER)
        assert raised.value.type == "IdempotencyTransaction" and raised.value.non_retryable
    assert bank.balance() == 0


def test_savepoints_are_fine(bank):
    @activity.defn
    @idempotent(bank.store)
    def pay(tx: Session, order: Order) -> int:
        with tx.begin_nested():
            tx.execute(money.insert().values(who=order.who, cents=order.cents))
        with tx.begin_nested() as part:
            tx.execute(money.insert().values(who=order.who, cents=order.cents))
            part.rollback()
        return bank.balance(tx)

    assert attempt(pay, ORDER) == attempt(pay, ORDER) == bank.balance() == 900


def test_a_key_that_was_committed_without_its_result_is_told(bank):
    attempt(bank.charge(), ORDER)
    with Session(bank.store.engine) as tx, tx.begin():
        tx.execute(sa.update(bank.store.table).values(result=None))
    with pytest.raises(ApplicationError, match="may have acted"):
        attempt(bank.charge(), ORDER)


def test_misuse_is_refused_in_words(bank):
    async def late(tx: Session, order: Order) -> None: ...

    with pytest.raises(TypeError, match="late is async"):
        idempotent(bank.store)(late)
    with pytest.raises(ValueError, match="positive"):
        idempotent(bank.store, expires=timedelta(0))


@activity.defn(name="charge")
def charge(order: Order) -> Receipt:
    raise NotImplementedError


@activity.defn(name="refund")
def refund(order: Order) -> None:
    raise NotImplementedError


@workflow.defn(sandboxed=False)
class Buy:
    @workflow.run
    async def run(self, order: Order, fails: bool) -> Receipt:
        async with Saga(options=options.quick) as saga:
            receipt = await saga.step(charge, order, undo=refund)
            if fails:
                raise ApplicationError("changed our mind")
        return receipt


async def test_in_a_saga_whose_attempts_are_all_duplicated(perdure, bank):
    perdure.faults(evict_every_task=True, duplicate_attempts=True)
    async with perdure.worker(Buy, activities=[bank.charge(), bank.refund()]):
        assert await perdure.execute(Buy.run, ORDER, False) == Receipt(ORDER, 900)
        with pytest.raises(WorkflowFailureError):
            await perdure.execute(Buy.run, ORDER, True)
    assert bank.balance() == 900 and bank.calls == 2
