"""What those are told who answer a workflow that waits: people for an approval, outside systems for a callback."""

import base64
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

T = TypeVar("T")
S = TypeVar("S", bound="_State")

NOT_TAKEN = "AnswerNotTaken"
"""The error type of updates that change nothing: they are rejected, so they cost no events. Its detail is the reply."""

JSON = (b"json/plain", b"binary/null")
"""The encodings of values that a query can show."""

KEPT_BYTES = 250_000
"""Of what a run hands to the next one: for the approvals that are over, for the callbacks that are, and for what came
early for either, each. Servers refuse 2 MB."""


@dataclass(frozen=True)
class Reply:
    """What became of an answer.

    reply = await Approvals(client, "trip-17").approve("bob")
    if not reply.taken:
        print(reply.status, reply.text)
    """

    status: Literal["taken", "early", "again", "late", "refused", "unknown"]
    """`taken`: it counts. `again`: it was said before, and nothing has changed. `late`: it is over, and nothing has
    changed. `early`: nothing of this id is open yet; the answer is kept until it is. `refused`: this answer, or who
    gives it, can't be taken. `unknown`: nothing of this id waits here."""
    text: str
    """A sentence for who has answered; what was decided is in it."""
    outcome: str = ""
    """How it has ended, if it has."""

    @property
    def taken(self) -> bool:
        """Whether it counts."""
        return self.status == "taken"


def refuse_unless_taken(reply: Reply) -> None:
    """In the validator of an update."""
    if not reply.taken:
        raise ApplicationError(reply.text, asdict(reply), type=NOT_TAKEN, non_retryable=True)


def decoded(value: Any, kind: type[T]) -> T:
    """A value that came without its type being known. Raises whatever the converter raises."""
    if isinstance(value, RawValue):
        payload = value.payload
    else:
        payload = workflow.payload_converter().to_payload(value)
    found: T = workflow.payload_converter().from_payload(payload, kind)
    return found


def encoding(value: Any) -> bytes:
    """Of the payload that a value is as."""
    payload = value.payload if isinstance(value, RawValue) else workflow.payload_converter().to_payload(value)
    return payload.metadata["encoding"]


def size(value: Any) -> int:
    """The bytes that a value takes as a payload."""
    return len(workflow.payload_converter().to_payload(value).data)


def sealed(value: Any) -> str:
    """A value of any kind as text, for a state that a run hands to the next one."""
    payload = value.payload if isinstance(value, RawValue) else workflow.payload_converter().to_payload(value)
    return base64.b64encode(payload.SerializeToString()).decode()


def raw(text: str) -> RawValue:
    """What `sealed` was given, not decoded."""
    return RawValue(Payload.FromString(base64.b64decode(text)))


def unsealed(text: str, kind: type[T]) -> T:
    """What `sealed` was given."""
    return decoded(raw(text), kind)


class _State(Protocol):
    outcome: Any
    handed_over: datetime | None


def for_next_run(states: Sequence[S], now: datetime, remembered: int) -> list[S]:
    """What a run hands to the next one: all that is open, and the newest `remembered` of what is over, as far as
    there is room.

    What the code has got in this very moment it can't have acted on, if it continues as new instead of that: so the
    next run gets it once more.
    """
    kept = [copy(state) for state in states]
    for state in kept:
        if state.handed_over == now:
            state.handed_over = None
    over = [state for state in kept if state.handed_over is not None or state.outcome == "cancelled"]
    forgotten, room = over[:-remembered], KEPT_BYTES
    for number, state in reversed(list(enumerate(over))):
        room -= size(state)
        if room < 0:
            forgotten = over[: max(number + 1, len(forgotten))]
            break
    return [state for state in kept if not any(state is each for each in forgotten)]


def why(error: BaseException) -> str:
    """An error, and what it came from, in a line."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < 5:
        text = str(cause) or type(cause).__name__
        if text not in texts:
            texts.append(text)
        cause = cause.__cause__
    return ": ".join(texts)[:500]


def moment(at: datetime) -> str:
    """As people read it: `2026-11-22 18:05 UTC`."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
