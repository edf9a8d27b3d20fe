"""The workflows and activities that the commands of `parity.cli` act on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

LONG = timedelta(hours=1)


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@activity.defn
async def flaky() -> None:
    raise ApplicationError("no luck", {"tried": [1, 2]}, type="NoLuck")


@activity.defn
async def hang() -> Any:
    activity.raise_complete_async()


@workflow.defn
class Echo:
    """Returns its argument."""

    @workflow.run
    async def run(self, value: Any = None, other: Any = None) -> Any:
        return value if other is None else [value, other]


@workflow.defn
class Fail:
    """Fails with its argument."""

    @workflow.run
    async def run(self, message: str) -> None:
        raise ApplicationError(str(message), {"why": message}, type="Intended", non_retryable=True)


@workflow.defn
class Greet:
    """Returns what an activity says; takes signals without a word."""

    @workflow.run
    async def run(self, name: str) -> Any:
        return await workflow.execute_activity(greet, name, start_to_close_timeout=LONG)

    @workflow.signal
    def note(self) -> None:
        pass


@workflow.defn
class Wait:
    """Waits for the signal `go`; takes notes, queries and updates."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.over = False

    @workflow.run
    async def run(self, value: Any = None) -> list[Any]:
        workflow.set_current_details("**waiting**")
        await workflow.wait_condition(lambda: self.over)
        return self.notes

    @workflow.signal(description="Keeps a note.")
    def note(self, note: Any = None) -> None:
        self.notes.append(note)

    @workflow.signal
    def go(self) -> None:
        self.over = True

    @workflow.query(description="The notes.")
    def state(self, prefix: str = "") -> dict[str, Any]:
        return {"prefix": prefix, "notes": self.notes}

    @workflow.query
    def fails(self) -> None:
        raise ApplicationError("a query fails")

    @workflow.update(description="One more.")
    async def add(self, number: int) -> int:
        if number >= 1000:
            raise ApplicationError("too much", type="TooMuch")
        return number + 1

    @add.validator
    def check(self, number: int) -> None:
        if number < 0:
            raise ApplicationError("only more", type="Less")


@workflow.defn
class Parent:
    """Starts a child of the given id, and returns what it returns."""

    @workflow.run
    async def run(self, child_id: str) -> Any:
        return await workflow.execute_child_workflow(Wait.run, id=child_id)


@workflow.defn
class Hang:
    """Waits for an activity that somebody else ends."""

    @workflow.run
    async def run(self) -> Any:
        return await workflow.execute_activity(
            hang, activity_id="hang", start_to_close_timeout=LONG, retry_policy=RetryPolicy(maximum_attempts=1)
        )


@workflow.defn
class Flaky:
    """Waits for an activity that is tried again in an hour."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            flaky,
            activity_id="flaky",
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(initial_interval=LONG),
        )


WORKFLOWS = [Echo, Fail, Greet, Wait, Parent, Hang, Flaky]
ACTIVITIES = [greet, flaky, hang]
