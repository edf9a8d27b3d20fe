"""Entities: what is stored, found, changed and scheduled as a run is, but is no workflow execution.

An entity has a core and pending items; inputs act on it through an `EntityTransition`, and `decide` makes a `Decision`
of that, which the executor commits like any other: in groups, together with what it means for runs. It has no history.

It lives in a *space* of its namespace, named `NAMESPACE_ID/DIVISION`. Ids are unique within a space and listings are
of one space, so entities and workflows never meet, and listings of workflows need no condition that leaves entities
out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast

import msgspec

from perdure.engine.execution import RUNNING, Core, Execution, Item, Kind, decode_core, decode_item, encode
from perdure.engine.transition import Decision, Environment, State

SEPARATOR = "/"
_MARK = 0xC1
"""The one byte that no msgpack value begins with. The number of an entity's type and its core follow."""


def space(namespace_id: str, division: str) -> str:
    """Where the entities of a division of a namespace are: what storage has for a namespace id."""
    return f"{namespace_id}{SEPARATOR}{division}"


class EntityCore(msgspec.Struct, array_like=True, kw_only=True):
    """What every entity has. These fields come first in storage, so none may be added here: add them to the types.

    `workflow_id` is the entity's id, `run_id` a UUID for each new life of it. `status` is a number of
    `WorkflowExecutionStatus`; with another than RUNNING the entity is over and is deleted after the retention, counted
    from `close_ns`. `memo` and `search_attributes` are what listings show.
    """

    division: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]
    """The kinds of pending items that it may have."""
    next_event_id: ClassVar[int] = 1
    offset_ns: ClassVar[int] = 0
    """Entities have the time of their namespace."""

    namespace_id: str = ""
    workflow_id: str = ""
    run_id: str = ""
    status: int = RUNNING
    start_ns: int = 0
    close_ns: int = 0
    memo: bytes = b""
    search_attributes: bytes = b""

    @property
    def space(self) -> str:
        return space(self.namespace_id, self.division)


CoreT = TypeVar("CoreT", bound=EntityCore)


class EntityTransition(State):
    """One input acting on one entity: an overlay that is kept or dropped whole.

    The core is a copy to be changed in place; values inside it are to be replaced, not changed.
    """

    __slots__ = ("created", "env", "now_ns", "visibility")

    def __init__(self, execution: Execution, env: Environment, *, created: bool = False) -> None:
        super().__init__(execution, 0)
        self.env = env
        self.now_ns = env.now_ns
        self.created = created
        self.visibility = created
        """Whether listings change."""

    def entity(self, core: type[CoreT]) -> CoreT:
        """The core, as the type that it is."""
        return of_type(self.core, core)

    def finish(self, reply: Any = None) -> Decision:
        """The end of the transition, as a decision. The entity is unchanged until `commit`."""
        changes = list(self.changes())
        return Decision(self.execution, self.created, self.core, changes, [], reply, visibility=self.visibility)


@dataclass(frozen=True, slots=True)
class EntityType:
    """A kind of entities. `number` and the kinds are in storage: never change one."""

    number: int
    core: type[EntityCore]
    items: Mapping[Kind, type[Item]]
    act: Callable[[EntityTransition, Any], Any]
    """The rules: acts on the transition and returns the reply for the caller, or refuses with an exception."""
    decoders: dict[int, msgspec.msgpack.Decoder[Any]] = field(default_factory=dict)


_BY_NUMBER: dict[int, EntityType] = {}
_BY_CORE: dict[type, EntityType] = {}
_BY_KIND: dict[int, EntityType] = {}


def register(entity_type: EntityType) -> None:
    """Make a type known. Numbers and kinds are used once."""
    _BY_NUMBER[entity_type.number] = _BY_CORE[entity_type.core] = entity_type
    entity_type.decoders[_MARK] = msgspec.msgpack.Decoder(entity_type.core)
    for kind, item in entity_type.items.items():
        _BY_KIND[kind] = entity_type
        entity_type.decoders[kind] = msgspec.msgpack.Decoder(item)


def spaces(namespace_id: str) -> list[str]:
    """All spaces of a namespace, that of its workflows first."""
    return [namespace_id, *sorted(space(namespace_id, known.core.division) for known in _BY_NUMBER.values())]


def is_entity(execution: Execution) -> bool:
    return isinstance(execution.core, EntityCore)


def of_type(core: Core | EntityCore, expected: type[CoreT]) -> CoreT:
    """A core as the type that its caller knows it to be."""
    assert isinstance(core, expected), f"{type(core).__name__} is no {expected.__name__}"
    return core


def hold(run_key: int, core: EntityCore) -> Execution:
    """An entity in memory. Only workflow executions have the core that `Execution` promises to those who ask for it."""
    return Execution(run_key, cast(Core, core))


def act(execution: Execution, input: Any, env: Environment, *, created: bool = False) -> tuple[State, Decision]:
    """The transition (to be committed) and the decision (to be written). Raises `PerdureError` to refuse."""
    t = EntityTransition(execution, env, created=created)
    return t, t.finish(_BY_CORE[type(execution.core)].act(t, input))


def encode_core(core: Core | EntityCore) -> bytes:
    if isinstance(core, EntityCore):
        return bytes((_MARK, _BY_CORE[type(core)].number)) + encode(core)
    return encode(core)


def load(run_key: int, blob: bytes) -> Execution:
    """The execution or entity of this core, without its items."""
    if blob[0] == _MARK:
        return hold(run_key, _BY_NUMBER[blob[1]].decoders[_MARK].decode(blob[2:]))
    return Execution(run_key, decode_core(blob))


def load_item(kind: int, blob: bytes) -> Item:
    """A pending item, of an execution or an entity."""
    entity_type = _BY_KIND.get(kind)
    if entity_type is None:
        return decode_item(kind, blob)
    item: Item = entity_type.decoders[kind].decode(blob)
    return item
