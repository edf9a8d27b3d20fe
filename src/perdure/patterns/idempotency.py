"""Activities that act once for each key, in the user's own database: `pip install perdure[sqlalchemy]`.

store = Store(create_engine("postgresql+psycopg://..."))

@activity.defn
@idempotent(store, expires=timedelta(days=30))
def charge(tx: Session, order: Order) -> Receipt:
    tx.add(Charge(order.id, order.cents))
    return Receipt(order.id)

@activity.defn
@idempotent(store)
def refund(tx: Session, order: Order) -> None:
    if store.refuse(tx, undone_key()):
        tx.execute(delete(Charge).where(Charge.order_id == order.id))
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, get_type_hints

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from temporalio import activity
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError

from perdure.patterns.keys import idempotency_key

P = ParamSpec("P")
R = TypeVar("R")

REFUSED = "refused"
"""What stands in place of a fingerprint where a key may not act any more."""

NO_TRANSACTION = "IdempotencyTransaction"
"""The type of errors of who does without the transaction, in which the key and its effect belong together."""

KEPT_ARGUMENTS_BYTES = 64 * 1024
"""Larger arguments are known by their fingerprint alone, also after their types have evolved."""


class Store:
    """The table of keys that have acted, in the database in which they act: SQLite or PostgreSQL.

    A row is committed together with what the activity has changed. `table` is the table's name; `create` makes it, or
    use `Store.table` in migrations of your own. Arguments and results are kept by the worker's payload converter,
    without its codec.

    Example:
        store = Store(create_engine("postgresql+psycopg://localhost/shop"))
        store.create()
    """

    def __init__(self, engine: sa.Engine, table: str = "perdure_idempotency") -> None:
        if engine.dialect.name not in ("sqlite", "postgresql"):
            raise ValueError(f"{engine.dialect.name} is not supported: sqlite or postgresql")
        self.engine = engine
        self.metadata = sa.MetaData()
        self.table = sa.Table(
            table,
            self.metadata,
            sa.Column("key", sa.Text, primary_key=True),
            sa.Column("fingerprint", sa.Text, nullable=False),
            sa.Column("arguments", sa.LargeBinary),
            sa.Column("result", sa.LargeBinary),
            sa.Column("expires_s", sa.BigInteger, nullable=False, index=True),
        )

    def create(self) -> None:
        """Make the table, unless it is there. One that was made before there was the column `arguments` gets it."""
        self.metadata.create_all(self.engine)
        name = self.table.name
        if all(column["name"] != "arguments" for column in sa.inspect(self.engine).get_columns(name)):
            kind = self.table.c.arguments.type.compile(self.engine.dialect)
            quoted = self.engine.dialect.identifier_preparer.quote(name)
            with self.engine.begin() as tx:
                tx.execute(sa.text(f"ALTER TABLE {quoted} ADD COLUMN arguments {kind}"))

    def purge(self) -> int:
        """Delete what has expired; gives how many. Call it now and then, such as by a schedule."""
        with Session(self.engine) as tx, tx.begin():
            expired = self.table.c.expires_s < _now_s()
            return _rows(tx, sa.delete(self.table).where(expired))

    def refuse(self, tx: Session, key: str, expires: timedelta = timedelta(days=30)) -> bool:
        """In a compensation: the step of this key (`undone_key()`) may not act any more; a late attempt fails.

        True if it had acted, so that there is something to undo; False if not, or if this was said before.
        """
        if self._claim(tx, key, REFUSED, None, expires):
            return False
        table = self.table
        acted = sa.update(table).where(table.c.key == key, table.c.fingerprint != REFUSED)
        forgotten = {"fingerprint": REFUSED, "arguments": None, "result": None}
        return bool(_rows(tx, acted.values(**forgotten, expires_s=_now_s(expires))))

    def _claim(self, tx: Session, key: str, fingerprint: str, arguments: bytes | None, expires: timedelta) -> bool:
        """Take the key, whose row stays locked until the end of the transaction; False if it is taken."""
        tx.execute(sa.delete(self.table).where(self.table.c.key == key, self.table.c.expires_s < _now_s()))
        if _commits_by_itself(tx):
            text = "the engine commits each statement by itself (AUTOCOMMIT): give `Store` one that has transactions"
            raise _refusal(text, NO_TRANSACTION)
        insert = sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert
        row = {"key": key, "fingerprint": fingerprint, "arguments": arguments, "expires_s": _now_s(expires)}
        # Drivers do not count the rows of an insert reliably.
        taken = insert(self.table).values(row).on_conflict_do_nothing().returning(self.table.c.key)
        return tx.execute(taken).first() is not None


def idempotent(
    store: Store, *, expires: timedelta = timedelta(days=30)
) -> Callable[[Callable[Concatenate[Session, P], R]], Callable[P, R]]:
    """Make a sync function of a transaction and arguments one of the arguments alone; put `@activity.defn` on top.

    It runs in one transaction with the row of its key (`idempotency_key()`). Called again with that key it gives the
    first result without acting; with other arguments it fails with `IdempotencyConflict`, after `Store.refuse` with
    `IdempotencyRefused`; neither is tried again. Arguments whose types have got or lost fields since are the same, if
    the first ones, read as those types, are. Attempts at the same time wait for each other. When it raises, nothing is
    kept. Neither it nor the engine may commit by itself: `IdempotencyTransaction`, which is not tried again either.
    `expires` is how long a key is remembered: it has to be longer than the activity is tried.

    Example:
        @activity.defn
        @idempotent(store, expires=timedelta(days=30))
        def charge(tx: Session, order: Order) -> Receipt:
            tx.add(Charge(order.id, order.cents))
            return Receipt(order.id)
    """
    if expires <= timedelta(0):
        raise ValueError(f"expires is {expires}: it has to be positive")

    def decorate(fn: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(fn):
            raise TypeError(f"{fn.__name__} is async: the transaction is not, so neither can the activity be")
        signature = inspect.signature(fn)
        first, *others = signature.parameters.values()
        hints = get_type_hints(fn)
        types = [hints.get(each.name) for each in others]
        result_type = hints.get("return")

        @functools.wraps(fn)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return cast(R, _once(store, expires, fn, args, types, result_type))

        del run.__wrapped__
        run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        run.__annotations__ = {name: hint for name, hint in hints.items() if name != first.name}
        return run

    return decorate


def _once(
    store: Store,
    expires: timedelta,
    fn: Callable[..., Any],
    args: Sequence[Any],
    types: list[type | None],
    result_type: type | None,
) -> Any:
    key = idempotency_key()
    tried_for = activity.info().schedule_to_close_timeout
    if tried_for is not None and expires < tried_for:
        raise _refusal(f"{key} is forgotten after {expires}, but tried for {tried_for}", "IdempotencyExpiry")
    converter = activity.payload_converter()
    payloads = converter.to_payloads(args)
    fingerprint = _fingerprint(payloads)
    arguments = Payloads(payloads=payloads).SerializeToString()
    kept = arguments if len(arguments) <= KEPT_ARGUMENTS_BYTES else None
    with Session(store.engine, expire_on_commit=False) as tx, tx.begin():
        if store._claim(tx, key, fingerprint, kept, expires):
            with _held_open(tx, key):
                result = fn(tx, *args)
            [payload] = converter.to_payloads([result])
            done = sa.update(store.table).where(store.table.c.key == key)
            tx.execute(done.values(result=payload.SerializeToString()))
            return result
        columns = store.table.c
        row = sa.select(columns.fingerprint, columns.arguments, columns.result).where(columns.key == key)
        found = tx.execute(row).one()
    if found.fingerprint == REFUSED:
        raise _refusal(f"{key} was undone: it may not act any more", "IdempotencyRefused")
    if found.fingerprint != fingerprint and _evolved(converter, found.arguments, types) != fingerprint:
        raise _refusal(f"{key} has acted with other arguments", "IdempotencyConflict")
    if found.result is None:
        raise _refusal(f"{key} may have acted: it was committed before its function had ended", NO_TRANSACTION)
    [value] = converter.from_payloads([Payload.FromString(found.result)], [result_type] if result_type else None)
    return value


@contextlib.contextmanager
def _held_open(tx: Session, key: str) -> Iterator[None]:
    """Around a function that may not end the transaction: the key would be kept without a result, or be lost."""
    text = (
        f"{key} ends its transaction itself: leave commit, rollback and close to `idempotent`; begin_nested() is fine"
    )
    refused = _refusal(text, NO_TRANSACTION)
    outer = tx.get_transaction()

    def before_commit(_: Session) -> None:
        if not tx.in_nested_transaction():
            raise refused

    sa.event.listen(tx, "before_commit", before_commit)
    try:
        yield
    finally:
        sa.event.remove(tx, "before_commit", before_commit)
    if tx.get_transaction() is not outer:
        raise refused


def _commits_by_itself(tx: Session) -> bool:
    """Whether no transaction is open after a statement that writes, as far as the driver tells."""
    driver = tx.connection().connection.driver_connection
    in_transaction = getattr(driver, "in_transaction", None)  # sqlite3, where a mode alone does not tell
    if isinstance(in_transaction, bool):
        return not in_transaction
    return getattr(driver, "autocommit", False) is True  # psycopg, psycopg2, pg8000


def _refusal(text: str, error_type: str) -> ApplicationError:
    return ApplicationError(text, type=error_type, non_retryable=True)


def _evolved(converter: PayloadConverter, arguments: bytes | None, types: list[type | None]) -> str:
    """The fingerprint that the first arguments have by the types of today; empty if they can't be read so."""
    if arguments is None:
        return ""
    hints = [Any if each is None else each for each in types]
    try:
        values = converter.from_payloads(Payloads.FromString(arguments).payloads, hints)
        return _fingerprint(converter.to_payloads(values))
    except Exception:  # a converter of the user's may raise anything
        return ""


def _fingerprint(payloads: Sequence[Payload]) -> str:
    digest = hashlib.sha256()
    for payload in payloads:
        digest.update(len(payload.data).to_bytes(8, "big") + payload.data)
    return digest.hexdigest()


def _now_s(later: timedelta = timedelta(0)) -> int:
    return int((datetime.now(UTC) + later).timestamp())


def _rows(tx: Session, statement: sa.Executable) -> int:
    result = tx.execute(statement)
    assert isinstance(result, sa.CursorResult)
    return int(result.rowcount)
