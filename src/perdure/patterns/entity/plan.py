"""What is known of a class of entities when it is defined, and what is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter

from perdure.patterns.entity.carried import json_payload
from perdure.patterns.entity.classes import check_types
from perdure.patterns.entity.handlers import Check, Definition, Kind, Upgrade, _Handler


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one class of entities: what it remembers, how large it may get, and how long a run is.

    class Cart(Entity[CartState], limits=Limits(window=10_000, window_bytes=500_000)): ...
    """

    window: int = 1000
    """Messages whose replies are remembered, at most."""
    window_bytes: int = 250_000
    """Of ids and replies that are remembered, at most."""
    dead_letters: int = 100
    """Signals that could not be handled and are kept, at most."""
    dead_bytes: int = 100_000
    """Of those signals, at most."""
    state_bytes: int = 1_000_000
    """A message that would make the state larger fails. With what is to be sent later it may have 1.8 MB."""
    messages_a_run: int = 1800
    """Messages after which the run continues as new, if not before. Servers take 2,000 updates a run."""


@dataclass(kw_only=True)
class Plan:
    """All that a class says."""

    name: str
    state_type: Any
    version: int = 1
    limits: Limits = field(default_factory=Limits)
    idle: timedelta | None = None
    load: Callable[..., Any] | None = None
    save: Callable[..., Any] | None = None
    handlers: dict[tuple[Kind, str], Definition] = field(default_factory=dict)
    checks: dict[str, list[Callable[..., None]]] = field(default_factory=dict)
    upgrades: dict[int, Upgrade] = field(default_factory=dict)

    def find(self, kind: Kind, name: str) -> Definition | None:
        return self.handlers.get((kind, name))

    def read(self, cls: type, carries_all: bool) -> None:
        """Take the handlers of a class and of those it inherits from. Raises `TypeError`."""
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            found.update(vars(base))
        for name, member in found.items():
            if isinstance(member, _Handler):
                member.definition.read(cls)
                if not carries_all:
                    check_types(cls, member.definition)
                self.handlers[member.definition.kind, name] = member.definition
            elif isinstance(member, Check):
                self.checks.setdefault(member.handler.name, []).append(member.fn)
            elif isinstance(member, Upgrade):
                if member.version in self.upgrades:
                    raise TypeError(f"{cls.__name__} has two upgrades of version {member.version}")
                self.upgrades[member.version] = member
        for name, fns in self.checks.items():
            definition = self.find("update", name) or self.find("signal", name)
            for fn in fns:
                if inspect.iscoroutinefunction(fn):
                    raise TypeError(f"{cls.__name__}.{fn.__name__}: a check can't be async")
                if definition and len(inspect.signature(fn).parameters) != len(definition.types) + 1:
                    raise TypeError(f"{cls.__name__}.{fn.__name__} has to take what {name} takes")
        self._check_settings(cls)

    def _check_settings(self, cls: type) -> None:
        if not self.handlers:
            raise TypeError(f"{cls.__name__} has no handlers: give it methods with @update, @signal or @query")
        if self.idle is not None and not (self.load and self.save):
            raise TypeError(f"{cls.__name__} would lose its state when it ends idle: idle needs load and save")
        if (self.load is None) != (self.save is None):
            raise TypeError(f"{cls.__name__} needs both load and save, or none")
        if self.version < 1 or any(not 1 <= step < self.version for step in self.upgrades):
            raise TypeError(f"{cls.__name__}: upgrades lead from versions 1 to {self.version - 1} up to {self.version}")

    def decode(self, definition: Definition, args: Sequence[Payload], converter: PayloadConverter) -> list[Any]:
        """The arguments. Raises `ValueError` when they are none of this handler."""
        if not definition.required <= len(args) <= len(definition.types):
            wanted = f"{definition.required} to {len(definition.types)}"
            raise ValueError(f"{definition.name} takes {wanted} arguments and got {len(args)}")
        if not args:
            return []
        try:
            return converter.from_payloads(list(args), definition.types[: len(args)])
        except Exception as error:
            raise ValueError(f"the arguments of {definition.name} can't be decoded: {told(error)}") from error

    def decode_state(self, version: int, state: Payload, converter: PayloadConverter) -> Any:
        """A state of any version up to this one's."""
        if version > self.version:
            raise RuntimeError(
                f"the state of this {self.name} has version {version}, and this worker knows those up to "
                f"{self.version}: deploy the newer code"
            )
        if version < self.version:
            state = self._upgraded(version, state, converter)
        return converter.from_payload(state, self.state_type)

    def _upgraded(self, version: int, state: Payload, converter: PayloadConverter) -> Payload:
        steps = [self.upgrades[step] for step in range(version, self.version) if step in self.upgrades]
        if not steps:
            return state
        value = converter.from_payload(state, dict[str, Any])
        for step in steps:
            value = step.fn(value)
        plain = state.metadata.get("encoding") == b"json/plain"
        return json_payload(value) if plain else converter.to_payload(value)

    def first_state(self) -> Any:
        """That of an entity nobody gave a state."""
        return self.state_type()


def told(error: BaseException) -> str:
    """An error and what it comes from, in a line."""
    return f"{error}: {error.__cause__}" if error.__cause__ else str(error)
