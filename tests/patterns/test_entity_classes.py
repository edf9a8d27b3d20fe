"""Classes of entities that can't work: each is an error when it is defined, which tells what to do."""

from dataclasses import dataclass, field
from decimal import Decimal
from types import new_class
from typing import TypeVar

import pytest
from temporalio import workflow

from perdure.patterns import Entity, query, update

S = TypeVar("S")


@dataclass
class Count:
    n: int = 0


@dataclass
class Money:
    amounts: dict[str, list[Decimal | None]] = field(default_factory=dict)


@dataclass
class Named:
    name: str
    age: int = 0


def test_a_class_says_what_it_lacks():
    with pytest.raises(TypeError, match=r"A begins with Named\(\), which needs name: give each field a default"):

        class A(Entity[Named]):
            @query
            def x(self) -> int:
                return 1

    with pytest.raises(TypeError, match=r"B doesn't say what its state is: class B\(Entity\[TheState\]\)"):

        class B(Entity):  # type: ignore[type-arg]
            @query
            def x(self) -> int:
                return 1

    class Base(Entity[S]):
        @query
        def x(self) -> int:
            return 1

    class Fine(Base[Count]):
        pass

    with pytest.raises(TypeError, match="C doesn't say what its state is"):

        class C(Base):  # type: ignore[type-arg]
            pass

    assert "x" in vars(Base) and Fine.of


def define(name, **members):
    return new_class(name, (Entity[Count],), {}, lambda namespace: namespace.update(members))


async def one(self) -> int:
    return 1


class Setup:
    def __init__(self) -> None:
        self.n = 1


def test_a_class_has_what_the_library_sees_to():
    with pytest.raises(TypeError, match=r"A.__init__: an entity has nothing but its state"):

        class A(Entity[Count]):
            def __init__(self) -> None:
                self.n = 1

            @query
            def x(self) -> int:
                return 1

    with pytest.raises(TypeError, match=r"B.__init__: an entity has nothing but its state"):

        class B(Setup, Entity[Count]):
            @query
            def x(self) -> int:
                return 1

    for decorator in (workflow.signal, workflow.query, workflow.update):

        def x(self) -> None: ...

        with pytest.raises(
            TypeError, match=r"C.x: what temporalio.workflow decorates .* Decorate it with update, signal"
        ):
            define("C", x=decorator(x))

    for name in ("run", "status", "later"):
        with pytest.raises(TypeError, match=f"D.{name} would hide what Entity has by that name"):
            define("D", **{name: update(one)})


def test_what_the_converter_can_not_carry_is_said_of_messages_too():
    with pytest.raises(TypeError, match=r"A.x: the SDK's converter can't carry price \(Decimal\). .* carries_all=True"):

        class A(Entity[Count]):
            @update
            async def x(self, n: int, price: Decimal) -> None: ...

    with pytest.raises(TypeError, match=r"B.x: the SDK's converter can't carry its result \(amounts: Decimal\)"):

        class B(Entity[Count]):
            @query
            def x(self) -> list[Money]:
                return []

    class C(Entity[Count], carries_all=True):
        @update
        async def x(self, price: Decimal) -> None: ...

    class D(Entity[Count]):
        @update
        async def x(self, photo: bytes, thumb: bytes | None = None) -> bytes:
            return photo

    with pytest.raises(TypeError, match=r"E.x: message_id is what every message may be sent with"):

        class E(Entity[Count]):
            @update
            async def x(self, message_id: str) -> None: ...
