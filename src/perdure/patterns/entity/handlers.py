"""What a class says of its messages: `@update`, `@signal`, `@query`, `@check` and `@upgrade`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, Literal, Self, overload

from perdure.patterns.entity.sends import A, Args, B, C, P, R, Sends, Sends0, Sends1, Sends2, Sends3, SendsAll

if TYPE_CHECKING:
    from perdure.patterns.entity.entity import Entity

Kind = Literal["update", "signal", "query"]
RESERVED = "perdure_"
"""Names of messages that start so are the library's."""
Steps = dict[str, Any]
"""A state as it is kept, before it is decoded: what JSON makes of it."""


@dataclass(eq=False)
class Definition:
    """One handler: what it takes and gives."""

    kind: Kind
    fn: Callable[..., Any]
    name: str = ""
    types: list[Any] = field(default_factory=list)
    required: int = 0
    defaults: list[Any] = field(default_factory=list)
    """Of the last parameters."""
    result: Any = None

    def read(self, owner: type) -> None:
        """Take the types from the annotations. Raises `TypeError` where they don't say enough."""
        where = f"{owner.__name__}.{self.name}"
        if self.name.startswith(RESERVED):
            raise TypeError(f"{where}: names that start with {RESERVED} are the library's")
        try:
            hints = typing.get_type_hints(self.fn)
        except NameError as error:
            raise TypeError(f"{where}: {error}; its types have to be known when the class is defined") from error
        _, *parameters = inspect.signature(self.fn).parameters.values()
        for parameter in parameters:
            if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                raise TypeError(f"{where}: {parameter.name} can't be sent; handlers take positional parameters alone")
            if parameter.name == "message_id":
                raise TypeError(f"{where}: message_id is what every message may be sent with: give it another name")
            if parameter.name not in hints:
                raise TypeError(f"{where}: {parameter.name} has no type, so it can't be decoded")
        self.types = [hints[parameter.name] for parameter in parameters]
        self.defaults = [parameter.default for parameter in parameters if parameter.default is not parameter.empty]
        self.required = len(parameters) - len(self.defaults)
        self.result = hints.get("return")
        if self.kind == "query" and inspect.iscoroutinefunction(self.fn):
            raise TypeError(f"{where}: a query can't be async; it may only look at the state")

    def positional(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments, as they are sent. Raises `TypeError` when they are none of this handler."""
        if not named:
            return args
        bound = inspect.signature(self.fn).bind(None, *args, **named)
        bound.apply_defaults()
        return bound.args[1:]


class _Handler:
    def __init__(self, kind: Kind, fn: Callable[..., Any]) -> None:
        self.definition = Definition(kind, fn)
        self.__doc__ = fn.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.definition.name = self.definition.name or name


class Update(_Handler, Sends[P, R]):
    """What `@update` makes of a method."""

    @overload
    def __get__(self, entity: None, owner: type) -> Self: ...
    @overload
    def __get__(self, entity: Entity[Any], owner: type) -> BoundUpdate[P, R]: ...
    def __get__(self, entity: Entity[Any] | None, owner: type) -> Self | BoundUpdate[P, R]:
        return self if entity is None else BoundUpdate(self.definition, entity)


class Signal(_Handler, Sends[P, None]):
    """What `@signal` makes of a method."""

    @overload
    def __get__(self, entity: None, owner: type) -> Self: ...
    @overload
    def __get__(self, entity: Entity[Any], owner: type) -> BoundSignal[P]: ...
    def __get__(self, entity: Entity[Any] | None, owner: type) -> Self | BoundSignal[P]:
        return self if entity is None else BoundSignal(self.definition, entity)


class Query(_Handler, Sends[P, R]):
    """What `@query` makes of a method."""

    @overload
    def __get__(self, entity: None, owner: type) -> Self: ...
    @overload
    def __get__(self, entity: Entity[Any], owner: type) -> BoundQuery[P, R]: ...
    def __get__(self, entity: Entity[Any] | None, owner: type) -> Self | BoundQuery[P, R]:
        return self if entity is None else BoundQuery(self.definition, entity)


@dataclass(frozen=True)
class _Bound:
    definition: Definition
    entity: Entity[Any]

    async def _send(self, args: tuple[Any, ...], named: dict[str, Any], message_id: str | None) -> Any:
        args = self.definition.positional(args, named)
        reference = self.entity.__dict__.get("_reference")
        if reference is not None:
            return await reference.send(self.definition, args, message_id)
        if message_id is not None:
            raise TypeError("inside the entity a handler is called as it is, without a message id")
        result = self.definition.fn(self.entity, *args)
        return await result if inspect.isawaitable(result) else result


class BoundUpdate(_Bound, Sends[P, R]):
    """An update of one entity: `n = await cart.add(item)`. In another handler of the entity: that method."""

    @overload
    async def __call__(self, *args: P.args, **named: P.kwargs) -> R: ...
    @overload
    async def __call__(self: Sends0[R], *, message_id: str | None) -> R: ...
    @overload
    async def __call__(self: Sends1[A, R], a: A, /, *, message_id: str | None) -> R: ...
    @overload
    async def __call__(self: Sends2[A, B, R], a: A, b: B, /, *, message_id: str | None) -> R: ...
    @overload
    async def __call__(self: Sends3[A, B, C, R], a: A, b: B, c: C, /, *, message_id: str | None) -> R: ...
    @overload
    async def __call__(self: SendsAll[*Args, R], *args: *Args, message_id: str | None) -> R: ...
    async def __call__(self, *args: Any, message_id: str | None = None, **named: Any) -> Any:  # type: ignore[misc]
        """Send it and wait for the reply.

        The same `message_id` again, with the same arguments, gets the first reply and does nothing else; with other
        arguments it is an error, but for fields and last arguments that only one of the two has. One is made up if none
        is given. Raises `WorkflowUpdateFailedError` with what was raised by a check or the handler.
        """
        return await self._send(args, named, message_id)


class BoundSignal(_Bound, Sends[P, None]):
    """A signal of one entity: `await cart.note("gift")` returns when the server has it."""

    @overload
    async def __call__(self, *args: P.args, **named: P.kwargs) -> None: ...
    @overload
    async def __call__(self: Sends0[None], *, message_id: str | None) -> None: ...
    @overload
    async def __call__(self: Sends1[A, None], a: A, /, *, message_id: str | None) -> None: ...
    @overload
    async def __call__(self: Sends2[A, B, None], a: A, b: B, /, *, message_id: str | None) -> None: ...
    @overload
    async def __call__(self: Sends3[A, B, C, None], a: A, b: B, c: C, /, *, message_id: str | None) -> None: ...
    @overload
    async def __call__(self: SendsAll[*Args, None], *args: *Args, message_id: str | None) -> None: ...
    async def __call__(self, *args: Any, message_id: str | None = None, **named: Any) -> None:  # type: ignore[misc]
        """Send it. The same `message_id` again does nothing. What can't be handled is a dead letter then."""
        await self._send(args, named, message_id)


class BoundQuery(_Bound, Sends[P, R]):
    """A query of one entity: `n = await cart.total()`."""

    async def __call__(self, *args: P.args, **named: P.kwargs) -> R:
        """Ask it. Asks no entity into being: raises `RPCError` when there is none."""
        return await self._send(args, named, None)  # type: ignore[no-any-return]


@overload
def update(fn: Callable[Concatenate[Any, P], Awaitable[R]]) -> Update[P, R]: ...
@overload
def update(fn: Callable[Concatenate[Any, P], R]) -> Update[P, R]: ...
def update(fn: Callable[..., Any]) -> Update[..., Any]:
    """A message with a reply, by a method that may change the state and call activities.

    @update
    async def add(self, item: Item) -> int:
        self.state.items.append(item)
        return len(self.state.items)
    """
    return Update("update", fn)


@overload
def signal(fn: Callable[Concatenate[Any, P], Awaitable[None]]) -> Signal[P]: ...
@overload
def signal(fn: Callable[Concatenate[Any, P], None]) -> Signal[P]: ...
def signal(fn: Callable[..., Any]) -> Signal[...]:
    """A message without a reply. What fails in it goes to the dead letters.

    @signal
    async def note(self, text: str) -> None:
        self.state.notes.append(text)
    """
    return Signal("signal", fn)


def query(fn: Callable[Concatenate[Any, P], R]) -> Query[P, R]:
    """A question about the state, which it can't change.

    @query
    def total(self) -> int:
        return sum(item.cents for item in self.state.items)
    """
    return Query("query", fn)


@dataclass(frozen=True)
class Check:
    """What `@check` makes of a method."""

    handler: Definition
    fn: Callable[..., None]


def check(handler: SendsAll[*Args, Any]) -> Callable[[Callable[[Any, *Args], None]], Check]:
    """Look at a message before it is accepted: what the check raises refuses it, without a trace in the history.

    @check(add)
    def _positive(self, item: Item) -> None:
        if item.cents <= 0:
            raise ValueError("a price is above zero")

    It is asked again when the message's turn comes, since messages before it may have changed the state. A signal
    can't be refused: it becomes a dead letter. Arguments that were not sent are the handler's defaults.
    """

    if not isinstance(handler, Update | Signal):
        raise TypeError(f"a check is one of an update or a signal, not of {handler!r}")
    definition = handler.definition

    def decorate(fn: Callable[[Any, *Args], None]) -> Check:
        return Check(definition, fn)

    return decorate


@dataclass(frozen=True)
class Upgrade:
    """What `@upgrade` makes of a function."""

    version: int
    fn: Callable[[Steps], Steps]


def upgrade(version: int) -> Callable[[Callable[[Steps], Steps]], Upgrade]:
    """Make a state of this version one of the next. New fields with defaults need none.

    class Cart(Entity[CartState], version=2):
        @upgrade(1)
        @staticmethod
        def _cents(old: dict[str, Any]) -> dict[str, Any]:
            return {**old, "cents": old.pop("euros") * 100}
    """

    def decorate(fn: Callable[[Steps], Steps]) -> Upgrade:
        return Upgrade(version, fn)

    return decorate
