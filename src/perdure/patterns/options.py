"""Timeouts and retries of activities that are right: each preset has every timeout and a bounded number of attempts.

| preset | an attempt | all attempts | attempts | for |
|---|---|---|---|---|
| `quick` | 10 s | 2 min | 5 | a call inside the house: a query, a small write |
| `flaky_api` | 30 s | 1 h | 20 | a call to others, who may be down for a while |
| `long_job` | 6 h, a heartbeat each minute | 24 h | 5 | minutes to hours of work that tells of itself |
| `human` | 30 days | 30 days | 1 | what a person completes, by the activity's task token |
| `undo` | 1 min | 24 h | 50 | compensations, which are worth a long try |

    from perdure.patterns import options

    card = options.flaky_api.but(never_retry=(CardDeclined,))
    receipt = await workflow.execute_activity(charge, order, **card.config())
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypedDict, Unpack

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError


class _Changes(TypedDict, total=False):
    start_to_close: timedelta
    schedule_to_close: timedelta
    schedule_to_start: timedelta | None
    heartbeat: timedelta | None
    attempts: int
    first_retry: timedelta
    backoff: float
    longest_retry: timedelta
    never_retry: tuple[type[BaseException] | str, ...]
    task_queue: str | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an activity is called. `repr` shows all of it; nothing is left to a default of the server.

        render = Options(start_to_close=timedelta(minutes=5), schedule_to_close=timedelta(hours=1), attempts=3)
        await workflow.execute_activity(render_page, page, **render.config())

    Raises `ValueError` for timeouts that contradict each other and for no attempts at all, `TypeError` for an
    `ApplicationError` in `never_retry`, which is not known by its class.
    """

    start_to_close: timedelta
    """The longest that one attempt may take."""
    schedule_to_close: timedelta
    """The longest that all attempts may take together, with the waiting between them."""
    attempts: int
    """How often it is tried at most."""
    schedule_to_start: timedelta | None = None
    """The longest that an attempt may wait for a worker. It is not tried again after that, so it is rarely wanted."""
    heartbeat: timedelta | None = None
    """The longest between two heartbeats; without one a cancellation is not seen by the activity."""
    first_retry: timedelta = timedelta(seconds=1)
    """The wait before the second attempt."""
    backoff: float = 2.0
    """How much longer each wait is than the one before."""
    longest_retry: timedelta = timedelta(minutes=1)
    """The longest wait between two attempts."""
    never_retry: tuple[type[BaseException] | str, ...] = ()
    """Exceptions (or names of error types) that end it at once. Subclasses have names of their own: list them, too.
    Of an `ApplicationError` it is the `type` it is raised with, as text: its class is never told to the server."""
    task_queue: str | None = None
    """Whose workers run it; None: the workflow's."""

    def __post_init__(self) -> None:
        for name in ("start_to_close", "schedule_to_close", "schedule_to_start", "heartbeat", "first_retry"):
            value = getattr(self, name)
            if value is not None and value <= timedelta(0):
                raise ValueError(f"{name} is {value}: it has to be positive")
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}: a bounded number is needed, 1 at least")
        listed: object = self.never_retry
        if isinstance(listed, str):
            raise TypeError(f"never_retry is a text: give a tuple, ({listed!r},)")
        for each in self.never_retry:
            if isinstance(each, type) and issubclass(each, ApplicationError):
                name = each.__name__
                raise TypeError(
                    f"never_retry: a {name} is an ApplicationError, which is matched by its type alone: list the text"
                    f" {name!r} instead, and raise {name}(..., type={name!r}), or with non_retryable=True"
                )
        if self.backoff < 1:
            raise ValueError(f"backoff is {self.backoff}: waits may not get shorter")
        if self.schedule_to_close < self.start_to_close:
            raise ValueError("schedule_to_close is shorter than start_to_close")
        if self.longest_retry < self.first_retry:
            raise ValueError("longest_retry is shorter than first_retry")
        if self.heartbeat is not None and self.heartbeat > self.start_to_close:
            raise ValueError("heartbeat is longer than start_to_close")

    def but(self, **changes: Unpack[_Changes]) -> Options:
        """The same with some of it changed: `quick.but(attempts=2)`."""
        return replace(self, **changes)

    def config(self) -> workflow.ActivityConfig:
        """For the SDK: `workflow.execute_activity(charge, order, **quick.config())`."""
        config = workflow.ActivityConfig(
            start_to_close_timeout=self.start_to_close,
            schedule_to_close_timeout=self.schedule_to_close,
            schedule_to_start_timeout=self.schedule_to_start,
            heartbeat_timeout=self.heartbeat,
            retry_policy=RetryPolicy(
                initial_interval=self.first_retry,
                backoff_coefficient=self.backoff,
                maximum_interval=self.longest_retry,
                maximum_attempts=self.attempts,
                non_retryable_error_types=self.error_types(),
            ),
        )
        if self.task_queue is not None:
            config["task_queue"] = self.task_queue
        return config

    def error_types(self) -> list[str]:
        """The names of what `never_retry` lists."""
        return [each if isinstance(each, str) else each.__name__ for each in self.never_retry]


quick = Options(start_to_close=timedelta(seconds=10), schedule_to_close=timedelta(minutes=2), attempts=5)
"""A call inside the house: `workflow.execute_activity(look_up, name, **quick.config())`."""
flaky_api = Options(
    start_to_close=timedelta(seconds=30),
    schedule_to_close=timedelta(hours=1),
    attempts=20,
    longest_retry=timedelta(minutes=5),
)
"""A call to others, who may be down for a while: `saga.step(charge, order, undo=refund, options=flaky_api)`."""
long_job = Options(
    start_to_close=timedelta(hours=6),
    schedule_to_close=timedelta(hours=24),
    heartbeat=timedelta(minutes=1),
    attempts=5,
    first_retry=timedelta(seconds=10),
    longest_retry=timedelta(minutes=10),
)
"""Minutes to hours of work, with heartbeats, as by `progress`: `execute_activity(load, file, **long_job.config())`."""
human = Options(start_to_close=timedelta(days=30), schedule_to_close=timedelta(days=30), attempts=1)
"""What a person completes: `workflow.execute_activity(ask, question, **human.config())`. The activity hands out its
task token and calls `activity.raise_complete_async`."""
undo = Options(
    start_to_close=timedelta(minutes=1),
    schedule_to_close=timedelta(hours=24),
    attempts=50,
    longest_retry=timedelta(minutes=30),
)
"""Compensations: `Saga(undo_options=undo.but(attempts=100))`."""
