"""What type checkers know of messages: the handler's own signature, defaults and all, with an id beside it if need be.

A parameter specification keeps defaults, and has no place for one more keyword. So a message with an id is told by how
many arguments it has: a handler of up to three may leave out those with defaults then, a longer one needs them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec, Protocol, TypeVar, TypeVarTuple

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Args = TypeVarTuple("Args")
R_co = TypeVar("R_co", covariant=True)
A_contra = TypeVar("A_contra", contravariant=True)
B_contra = TypeVar("B_contra", contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


class Sends(Generic[P, R]):
    """A message of a handler that takes P and gives R."""

    @property
    def _sends(self) -> Callable[P, R]:
        raise NotImplementedError("for type checkers alone")


class Sends0(Protocol[R_co]):
    """One that may be sent without arguments."""

    @property
    def _sends(self) -> Callable[[], R_co]: ...


class Sends1(Protocol[A_contra, R_co]):
    """One that may be sent with one argument."""

    @property
    def _sends(self) -> Callable[[A_contra], R_co]: ...


class Sends2(Protocol[A_contra, B_contra, R_co]):
    """One that may be sent with two arguments."""

    @property
    def _sends(self) -> Callable[[A_contra, B_contra], R_co]: ...


class Sends3(Protocol[A_contra, B_contra, C_contra, R_co]):
    """One that may be sent with three arguments."""

    @property
    def _sends(self) -> Callable[[A_contra, B_contra, C_contra], R_co]: ...


class SendsAll(Protocol[*Args, R_co]):
    """One that is sent with all that its handler takes."""

    @property
    def _sends(self) -> Callable[[*Args], R_co]: ...
