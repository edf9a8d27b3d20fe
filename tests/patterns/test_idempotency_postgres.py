"""`idempotent` on PostgreSQL, whose transactions run side by side: attempts at the same time wait for each other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from temporalio import activity
from temporalio.exceptions import ApplicationError
from tests.patterns.postgres import cluster
from tests.patterns.test_idempotency import ORDER, Bank, Order, Receipt, attempt, money

from perdure.patterns.idempotency import Store, idempotent

pytest.importorskip("psycopg")
UNDO = "wf/run/step#1/undo"


@pytest.fixture(scope="module")
def address():
    with cluster() as found:
        yield found


@pytest.fixture
def bank(address):
    engine = sa.create_engine(address, pool_size=10)
    store = Store(engine)
    store.create()
    money.metadata.create_all(engine)
    with Session(engine) as tx, tx.begin():
        tx.execute(sa.delete(money))
        tx.execute(sa.delete(store.table))
    yield Bank(store)
    engine.dispose()


def test_one_row_whoever_tries_at_the_same_time(bank):
    barrier = threading.Barrier(8)

    def one(_):
        barrier.wait()
        return attempt(bank.charge(), ORDER)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(8))) == [Receipt(ORDER, 900)] * 8
    assert bank.calls == 1 and bank.balance() == 900


def test_the_second_waits_for_the_first_and_acts_if_that_is_rolled_back(bank):
    began, go_on = threading.Event(), threading.Event()
    calls = []

    @activity.defn
    @idempotent(bank.store, expires=timedelta(days=1))
    def charge(tx: Session, order: Order) -> int:
        calls.append(order)
        tx.execute(money.insert().values(who=order.who, cents=order.cents))
        if len(calls) == 1:
            began.set()
            go_on.wait()
            raise ApplicationError("the first fails in the end")
        return len(calls)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(attempt, charge, ORDER)
        began.wait()
        second = threads.submit(attempt, charge, ORDER)
        try:
            wait_until_one_is_locked_out(bank.store.engine)
            assert len(calls) == 1, "the second has to wait"
        finally:
            go_on.set()
        with pytest.raises(ApplicationError, match="fails in the end"):
            first.result()
        assert second.result() == 2
    assert bank.balance() == 900


def wait_until_one_is_locked_out(engine):
    locked = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
        for _ in range(10_000):
            if watching.scalar(locked):
                return
    raise AssertionError("nobody waits")


def test_other_arguments_conflict(bank):
    attempt(bank.charge(), ORDER)
    with pytest.raises(ApplicationError, match="other arguments") as raised:
        attempt(bank.charge(), Order("ann", 901))
    assert raised.value.type == "IdempotencyConflict" and bank.balance() == 900


def test_what_has_expired_acts_again_once(bank):
    attempt(bank.charge(), ORDER)
    with Session(bank.store.engine) as tx, tx.begin():
        tx.execute(sa.update(bank.store.table).values(expires_s=1))
    barrier = threading.Barrier(4)

    def one(_):
        barrier.wait()
        return attempt(bank.charge(), ORDER).balance

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(one, range(4))) == [1800] * 4
    assert bank.balance() == 1800
    assert bank.store.purge() == 0


@pytest.mark.parametrize("_", range(5))
def test_a_step_and_its_undo_at_the_same_time_come_to_nothing(bank, _):
    barrier = threading.Barrier(4)

    def one(which):
        barrier.wait()
        try:
            if which % 2:
                attempt(bank.refund(), ORDER, key=UNDO)
            else:
                attempt(bank.charge(), ORDER)
        except ApplicationError as error:
            return error.type
        return ""

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(one, range(4)))
    assert bank.balance() == 0 and set(told) <= {"", "IdempotencyRefused"}
    with pytest.raises(ApplicationError, match="was undone"):
        attempt(bank.charge(), ORDER)


def test_an_engine_that_commits_by_itself_is_refused_before_anything_is_done(bank, address):
    proper, engine = bank.store, sa.create_engine(address, isolation_level="AUTOCOMMIT")
    bank.store = Store(engine)
    with pytest.raises(ApplicationError, match="AUTOCOMMIT"):
        attempt(bank.charge(), ORDER)
    engine.dispose()
    bank.store = proper
    assert bank.calls == 0 and attempt(bank.charge(), ORDER).balance == 900
