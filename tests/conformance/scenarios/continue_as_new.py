"""Continue-as-new: what the next run inherits."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import continue_as_new, failure, modify, payload, succeed, timer, upsert


async def inherits_everything(d: Driver) -> None:
    await d.start(
        input="first",
        workflow_execution_timeout=300,
        workflow_run_timeout=200,
        workflow_task_timeout=7,
        memo={"m": 1},
        search_attributes={"ConfInt": 1},
        header={"h": 1},
        retry_policy={"maximum_attempts": 3},
        priority={"priority_key": 2},
        user_metadata={"summary": payload("s")},
    )
    await d.step(continue_as_new())
    await d.describe()
    await d.step(succeed())


async def changes_everything(d: Driver) -> None:
    await d.start(memo={"m": 1}, search_attributes={"ConfInt": 1}, header={"h": 1}, workflow_execution_timeout=300)
    command = continue_as_new(
        workflow_type="other",
        task_queue=d.name("other"),
        input=["second"],
        workflow_run_timeout=100,
        workflow_task_timeout=8,
        backoff_start_interval=1,
        retry_policy={"maximum_attempts": 4},
        initiator="WORKFLOW",
        failure=failure("earlier"),
        last_completion_result="result",
        header={"h": 2},
        memo={"n": 2},
        search_attributes={"ConfKeyword": "x"},
    )
    await d.step(command)
    await d.describe()
    await d.complete(await d.poll_wft(d.name("other")), succeed())


async def keeps_what_was_upserted(d: Driver) -> None:
    await d.start(memo={"m": 1}, search_attributes={"ConfInt": 1})
    await d.step(upsert({"ConfKeyword": "late", "ConfInt": 2}), modify({"n": 2}), continue_as_new())
    await d.describe()


async def command_with_attributes_after_upserts(d: Driver) -> None:
    await d.start(memo={"m": 1}, search_attributes={"ConfInt": 1})
    command = continue_as_new(memo={"k": 3}, search_attributes={"ConfText": "t"})
    await d.step(upsert({"ConfKeyword": "late"}), modify({"n": 2}), command)
    await d.describe()


async def waits_a_second_when_it_comes_early(d: Driver) -> None:
    await d.start()
    await d.step(continue_as_new())
    await d.describe()
    await d.step(succeed())


async def twice(d: Driver) -> None:
    await d.start()
    await d.step(continue_as_new(input=1))
    await d.step(continue_as_new(input=2))
    await d.step(succeed())


async def signal_reaches_the_next_run(d: Driver) -> None:
    started = await d.start()
    await d.step(continue_as_new())
    await d.signal()
    await d.signal(execution=(d.workflow_id, started.run_id))
    await d.step(succeed())


async def with_pending_timer(d: Driver) -> None:
    await d.start()
    await d.step(timer(), continue_as_new())


async def with_run_timeout_beyond_the_execution_timeout(d: Driver) -> None:
    await d.start(workflow_execution_timeout=100)
    await d.step(continue_as_new(workflow_run_timeout=500, workflow_task_timeout=300))


async def as_if_by_cron(d: Driver) -> None:
    await d.start()
    await d.step(continue_as_new(cron_schedule="@every 1s", initiator="CRON_SCHEDULE"))
    await d.step(succeed())


async def of_a_cron_workflow(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s")
    await d.step(continue_as_new())
    await d.step(succeed("x"))
    await d.describe()


async def eager_start_continues_as_new(d: Driver) -> None:
    started = await d.start(request_eager_execution=True)
    await d.complete(started.eager_workflow_task, continue_as_new())
    await d.step(succeed())
