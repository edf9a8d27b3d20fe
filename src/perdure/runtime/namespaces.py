"""The namespaces of this server, all in memory: few, read by every request, seldom changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import NamespaceState

from perdure.config import Dynamic
from perdure.engine.checks.values import short_name
from perdure.errors import DataLoss, FailedPrecondition, NamespaceInvalidState, NamespaceNotFound
from perdure.storage.base import Batch, NamespaceRow, Storage
from perdure.visibility import schema

if TYPE_CHECKING:
    from perdure.runtime.executor import Executor

REGISTERED = int(NamespaceState.NAMESPACE_STATE_REGISTERED)
DEPRECATED = int(NamespaceState.NAMESPACE_STATE_DEPRECATED)
DELETED = int(NamespaceState.NAMESPACE_STATE_DELETED)
SUFFIX_LENGTH = 5
"""Characters of its id that a deleted namespace has at least in its name."""
DAY_NS = 24 * 3600 * 1_000_000_000
SYSTEM_NAMESPACE = "temporal-system"
SYSTEM_NAMESPACE_ID = "32049b68-7872-4094-8e63-d0dd59896a83"


class Namespace(msgspec.Struct, kw_only=True, frozen=True):
    """A namespace; changed by being replaced.

    `state` is a number of `NamespaceState`; `custom_search_attributes` maps names to numbers of `IndexedValueType`.
    `removal_ns` is set by its deletion: from when on nothing of it has to be kept.
    """

    id: str
    name: str
    state: int = int(NamespaceState.NAMESPACE_STATE_REGISTERED)
    description: str = ""
    owner_email: str = ""
    data: dict[str, str] = {}
    retention_ns: int = DAY_NS
    custom_search_attributes: dict[str, int] = {}
    created_ns: int = 0
    removal_ns: int = 0


def system_namespace(now_ns: int) -> Namespace:
    """The one that every server has for itself, so that nobody else takes its name."""
    return Namespace(
        id=SYSTEM_NAMESPACE_ID,
        name=SYSTEM_NAMESPACE,
        description="Temporal internal system namespace",
        owner_email="temporal-core@temporal.io",
        retention_ns=7 * DAY_NS,
        created_ns=now_ns,
    )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Namespace)


def decoded(row: NamespaceRow) -> Namespace:
    """A namespace as it was written. Raises `DataLoss`."""
    try:
        namespace = _decoder.decode(row.blob)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DataLoss(f"namespace {row.name!r} can't be read") from error
    if (namespace.id, namespace.name) != (row.id, row.name):
        raise DataLoss(f"namespace {row.name!r} is stored under another name than its own")
    return namespace


def require_state(namespace: Namespace, *allowed: int) -> None:
    """Raises `NamespaceInvalidState` of a namespace that is in none of these states."""
    if namespace.state not in allowed:
        states = " or ".join(_state_name(state) for state in allowed)
        message = f"Namespace has invalid state: {_state_name(namespace.state)}. Must be {states}."
        raise NamespaceInvalidState(message, namespace.name, namespace.state, allowed)


def _state_name(state: int) -> str:
    return short_name(NamespaceState.Name(state), "NAMESPACE_STATE_")  # type: ignore[arg-type]


class SearchAttributeRules:
    """Whether search attributes exist in a namespace and have values of their type."""

    def __init__(self, namespaces: Namespaces, config: Dynamic) -> None:
        self._namespaces = namespaces
        self._config = config

    def check_names(self, fields: Mapping[str, Payload], namespace: str) -> None:
        if fields:
            schema.check_names(fields, self._namespaces.named(namespace).custom_search_attributes, namespace)

    def check_values(self, fields: Mapping[str, Payload], namespace: str) -> None:
        """Writes the type of each attribute into the metadata of its payload, too, where it names none."""
        if not fields:
            return
        custom = self._namespaces.named(namespace).custom_search_attributes
        if self._config.suppress_error_set_system_search_attribute:
            fields = {name: payload for name, payload in fields.items() if name not in schema.SYSTEM}
        schema.check_values(fields, custom, self._config.search_attributes_number_of_keys_limit)
        schema.set_types(fields, custom)


class Namespaces:
    """See the module's text. Changes go through the executor's batch, so that they are durable before they are told."""

    def __init__(self, config: Dynamic) -> None:
        self._by_id: dict[str, Namespace] = {}
        self._by_name: dict[str, Namespace] = {}
        self.rules = SearchAttributeRules(self, config)
        self.changed: Callable[[], None] = lambda: None
        """Called when a namespace is added, changed or removed."""

    @classmethod
    async def load(cls, storage: Storage, config: Dynamic) -> Namespaces:
        """What is durable. Raises `DataLoss`."""
        namespaces = cls(config)
        for row in await storage.namespaces():
            namespaces._put(decoded(row))
        return namespaces

    def _put(self, namespace: Namespace) -> None:
        self._drop(namespace.id)
        self._by_id[namespace.id] = namespace
        self._by_name[namespace.name] = namespace
        self.changed()

    def _drop(self, namespace_id: str) -> None:
        old = self._by_id.pop(namespace_id, None)
        if old is not None:
            del self._by_name[old.name]

    def get(self, name: str) -> Namespace:
        """By name, as requests mean it. Raises `NamespaceNotFound`, and `NamespaceInvalidState` of a deleted one."""
        namespace = self.named(name)
        if namespace.state == DELETED:
            require_state(namespace, REGISTERED, DEPRECATED)
        return namespace

    def require_open(self, namespace_id: str) -> None:
        """Raises `NamespaceInvalidState` of a deleted one; an unknown one is another's matter."""
        namespace = self._by_id.get(namespace_id)
        if namespace is not None and namespace.state == DELETED:
            require_state(namespace, REGISTERED, DEPRECATED)

    def named(self, name: str) -> Namespace:
        """By name, in whatever state it is. Raises `NamespaceNotFound`."""
        namespace = self._by_name.get(name)
        if namespace is None:
            raise NamespaceNotFound(name)
        return namespace

    def by_id(self, namespace_id: str) -> Namespace:
        namespace = self._by_id.get(namespace_id)
        if namespace is None:
            raise NamespaceNotFound(namespace_id)
        return namespace

    def living(self, namespace_id: str) -> Namespace:
        """By id, and not deleted. Raises `NamespaceNotFound`."""
        namespace = self.by_id(namespace_id)
        if namespace.state == DELETED:
            raise NamespaceNotFound(namespace.name)
        return namespace

    def find(self, name: str) -> Namespace | None:
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[Namespace]:
        return iter(sorted(self._by_id.values(), key=lambda namespace: namespace.id))

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def save(self, executor: Executor, namespace: Namespace) -> None:
        """Add or replace a namespace. It counts at once; `await executor.flushed()` before you tell it."""
        row = NamespaceRow(namespace.id, namespace.name, _encoder.encode(namespace))
        undo = self._restoring(namespace.id)
        self._put(namespace)

        def write(batch: Batch) -> None:
            batch.namespaces[namespace.id] = row

        executor.write(write, undo)

    def change(self, executor: Executor, namespace: Namespace, **changes: Any) -> Namespace:
        """`save` the namespace with other values of some fields. Returns it as it is then."""
        changed = msgspec.structs.replace(namespace, **changes)
        self.save(executor, changed)
        return changed

    def delete(self, executor: Executor, namespace: Namespace, removal_ns: int) -> Namespace:
        """Give it another name and the state DELETED. Returns it as it is then. What it holds is not touched.

        Raises `FailedPrecondition` for the server's own namespace. Deleting it again changes nothing but the time.
        """
        if namespace.id == SYSTEM_NAMESPACE_ID:
            raise FailedPrecondition("unable to delete system namespace")
        name = self._deleted_name(namespace)
        return self.change(executor, namespace, name=name, state=DELETED, removal_ns=removal_ns)

    def _deleted_name(self, namespace: Namespace) -> str:
        for length in range(SUFFIX_LENGTH, len(namespace.id)):
            suffix = f"-deleted-{namespace.id[:length]}"
            if namespace.name.endswith(suffix):
                return namespace.name
            if namespace.name + suffix not in self:
                return namespace.name + suffix
        raise FailedPrecondition(f"unable to generate new name for deleted namespace {namespace.name}")

    def remove(self, executor: Executor, namespace_id: str) -> None:
        """Forget a namespace of which nothing is stored any more."""
        undo = self._restoring(namespace_id)
        self._drop(namespace_id)

        def write(batch: Batch) -> None:
            batch.namespaces[namespace_id] = None

        executor.write(write, undo)

    def _restoring(self, namespace_id: str) -> Callable[[], None]:
        """What brings the present state of a namespace back, should the change of it not become durable."""
        before = self._by_id.get(namespace_id)

        def undo() -> None:
            if before is None:
                self._drop(namespace_id)
            else:
                self._put(before)

        return undo
