"""Entities: one workflow for each thing that lives long, such as a cart, an account, a device.

class Cart(Entity[CartState]):
    @update
    async def add(self, item: Item) -> int:
        self.state.items.append(item)
        return len(self.state.items)

cart = Cart.of(client, "cart-ann", task_queue="carts")
n = await cart.add(Item("lamp", 1900))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar, overload

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue

from perdure.patterns.entity.classes import check_initial, check_members, check_state, is_pydantic, state_type_of
from perdure.patterns.entity.client import DeadLetter, Reference
from perdure.patterns.entity.handlers import Signal
from perdure.patterns.entity.life import live
from perdure.patterns.entity.mailbox import Mailbox
from perdure.patterns.entity.plan import Limits, Plan
from perdure.patterns.entity.sends import A, Args, B, P, Sends0, Sends1, Sends2, SendsAll

S = TypeVar("S")

NEW = RawValue(Payload())
"""The input of an entity that nothing was carried to."""


class Entity(Generic[S]):
    """The base of a class of entities; S is its state, a dataclass or pydantic model whose fields have defaults.

    The class is a workflow: give it to a worker. Messages are handled one at a time, in the order in which the server
    has got them, each on a copy of the state: what fails leaves no trace. Handlers may call activities; what waits,
    makes all that follow wait. The run continues as new by itself. Cancelling it handles what was accepted, saves, and
    ends it.

        class Cart(Entity[CartState]):
            @update
            async def add(self, item: Item) -> int:
                self.state.items.append(item)
                return len(self.state.items)

        n = await Cart.of(client, "cart-ann", task_queue="carts").add(Item("lamp", 1900))

    Arguments of the class: `name` of the workflow type, `version` of the state (with `@upgrade`), `limits`, and
    `idle`, after which an entity ends, with `load` and `save`, activities that get its workflow id (and a snapshot, a
    text to keep as it is) and give that text back or None. `carries_all=True` says that the client's own data
    converter carries types that the SDK's can't. `sandboxed` is that of `workflow.defn`.

        class Cart(Entity[CartState], version=2, idle=timedelta(days=30), load=load_cart, save=save_cart): ...
    """

    _is_entity = True
    _plan: Plan

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: int = 1,
        limits: Limits | None = None,
        idle: timedelta | None = None,
        load: Callable[[str], Any] | None = None,
        save: Callable[[str, str], Any] | None = None,
        carries_all: bool = False,
        sandboxed: bool = True,
        **more: Any,
    ) -> None:
        super().__init_subclass__(**more)
        check_members(cls, Entity)
        state_type = state_type_of(cls)
        if state_type is None:
            return
        check_state(cls, state_type, carries_all)
        cls._plan = Plan(
            name=name or cls.__name__,
            state_type=state_type,
            version=version,
            limits=limits or Limits(),
            idle=idle,
            load=load,
            save=save,
        )
        cls._plan.read(cls, carries_all or is_pydantic(state_type))
        _make_workflow(cls, sandboxed)

    @workflow.init
    def __init__(self, carried: RawValue = NEW) -> None:
        start = carried.payload if carried.payload.data else None
        mailbox = Mailbox(self._plan, start, lambda state, key: _view(type(self), state, key))
        self.__dict__["_mailbox"] = mailbox

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "state" or "_message_id" not in self.__dict__:
            raise AttributeError(f"self.{name}: only what is in self.state is kept; set it there, in a handler")
        self.__dict__["state"] = value

    @property
    def state(self) -> S:
        """Of the entity, in handlers, checks and queries. Only handlers change it: what they leave is kept if they
        succeed."""
        try:
            return self.__dict__["state"]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError("the state is seen by the entity's handlers alone: ask it by a query") from None

    @state.setter
    def state(self, value: S) -> None:
        self.__dict__["state"] = value

    @property
    def message_id(self) -> str:
        """In a handler: that of the message. The same when it is sent again: a key for what its activities do.

        await workflow.execute_activity(charge, args=[cents, self.message_id], **options.flaky_api.config())
        """
        return self.__dict__["_message_id"]  # type: ignore[no-any-return]

    @overload
    def later(self, delay: timedelta, signal: Signal[P], *args: P.args, **named: P.kwargs) -> None: ...
    @overload
    def later(self, delay: timedelta, signal: Sends0[None], *, key: str) -> None: ...
    @overload
    def later(self, delay: timedelta, signal: Sends1[A, None], a: A, /, *, key: str) -> None: ...
    @overload
    def later(self, delay: timedelta, signal: Sends2[A, B, None], a: A, b: B, /, *, key: str) -> None: ...
    @overload
    def later(self, delay: timedelta, signal: SendsAll[*Args, None], *args: *Args, key: str) -> None: ...
    def later(  # type: ignore[misc]
        self, delay: timedelta, signal: Any, *args: Any, key: str = "", **named: Any
    ) -> None:
        """In a handler: have the entity get this signal after a time, unless the handler fails.

        `key` tells those of one signal apart; the same signal with the same key takes the place of the one before.

            self.later(timedelta(days=7), Cart.expire)
            self.later(timedelta(minutes=15), Stock.give_up, order, key=order)
        """
        if delay < timedelta(0):
            raise ValueError(f"delay is {delay}: it can't be in the past")
        definition = signal.definition
        if definition.kind != "signal":
            raise TypeError(f"{definition.name} is no signal")
        args = definition.positional(args, named)
        self.__dict__["_later"][f"{definition.name}/{key}"] = (delay, definition.name, args)

    def not_later(self, signal: Signal[...], key: str = "") -> None:
        """In a handler: take back what `later` has planned, if anything.

        self.not_later(Stock.give_up, key=order)
        """
        self.__dict__["_later"][f"{signal.definition.name}/{key}"] = None

    @classmethod
    def of(
        cls,
        client: Client,
        id: str,
        *,
        task_queue: str,
        initial: S | None = None,
        patience: timedelta = timedelta(minutes=5),
    ) -> Self:
        """One entity, by its workflow id: its methods send messages. The first message starts it, with `initial`.

        When it is at a limit of the server's, or on its way to the next run, it is tried again for as long as
        `patience`.

        cart = Cart.of(client, "cart-ann", task_queue="carts")
        """
        check_initial(cls.__name__, cls._plan.state_type, initial)
        reference = Reference(client, cls._plan, id, task_queue, initial, patience)
        entity = object.__new__(cls)
        entity.__dict__["_reference"] = reference
        return entity

    async def dead_letters(self) -> list[DeadLetter]:
        """Signals that could not be handled, oldest first.

        for letter in await cart.dead_letters():
            print(letter.name, letter.error)
        """
        return await self._sender().dead_letters()

    async def retry(self, letter: DeadLetter) -> None:
        """Handle a dead letter again, after its cause was fixed. Raises what was raised if it fails again.

        await cart.retry(letter)
        """
        await self._sender().handle_letter("perdure_retry", letter)

    async def drop(self, letter: DeadLetter) -> None:
        """Give a dead letter up.

        await cart.drop(letter)
        """
        await self._sender().handle_letter("perdure_drop", letter)

    async def status(self) -> dict[str, Any]:
        """What it is about: messages handled, waiting, remembered; bytes; whether it is on its way to the next run.

        assert (await cart.status())["waiting"] == 0
        """
        return await self._sender().status()

    def _sender(self) -> Reference:
        return self.__dict__["_reference"]  # type: ignore[no-any-return]

    @workflow.signal(dynamic=True)
    def _on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        self._box.signal(name, args)

    @workflow.update(dynamic=True)
    async def _on_update(self, name: str, args: Sequence[RawValue]) -> RawValue:
        return await self._box.update(name, args)

    @_on_update.validator
    def _validate(self, name: str, args: Sequence[RawValue]) -> None:
        self._box.validate(name, args)

    @workflow.query(dynamic=True)
    def _on_query(self, name: str, args: Sequence[RawValue]) -> Any:
        return self._box.query(name, args)

    @property
    def _box(self) -> Mailbox:
        return self.__dict__["_mailbox"]  # type: ignore[no-any-return]


def _view(cls: type[Entity[Any]], state: Any, message_id: str) -> Any:
    """What handlers see as `self`."""
    view = object.__new__(cls)
    view.__dict__.update(state=state, _message_id=message_id, _later={})
    return view


def _make_workflow(cls: type[Entity[Any]], sandboxed: bool) -> None:
    """A `run` of the class's own: the SDK refuses one that is inherited."""

    async def run(self: Any, carried: RawValue = NEW) -> None:
        await live(self._box)

    del run.__annotations__["self"]
    run.__module__, run.__qualname__ = cls.__module__, f"{cls.__name__}.run"
    cls.run = workflow.run(run)  # type: ignore[attr-defined]
    workflow.defn(name=cls._plan.name, sandboxed=sandboxed)(cls)
