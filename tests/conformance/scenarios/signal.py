"""Signals, alone and with a start."""

from __future__ import annotations

import asyncio

from tests.conformance.driver import Driver
from tests.conformance.messages import payload, succeed, timer

NO_RUN = "11111111-2222-4333-8444-555555555555"
LONG = "x" * 1001
LINK = {"workflow_event": {"namespace": "default", "workflow_id": "caller", "run_id": "r"}}


async def links_to_workflows_are_refused(d: Driver) -> None:
    await d.start()
    for link in ({"namespace": "n", "workflow_id": "w", "run_id": "r"}, {}):
        await d.signal(links=[{"workflow": link}])
        await d.signal_with_start(links=[{"workflow": link}])
        await d.cancel(links=[{"workflow": link}])
        await d.terminate(links=[{"workflow": link}])


async def wakes_a_workflow(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal("hello", input=["x", 1], header={"h": 1})
    await d.step(succeed())


async def before_the_first_task_starts(d: Driver) -> None:
    await d.start()
    await d.signal("one")
    await d.signal("two")
    await d.step(succeed())


async def with_everything(d: Driver) -> None:
    await d.start()
    await d.signal("hello", input="x", header={"h": 1}, request_id="r", control="c", links=[LINK])
    await d.history()


async def twice_by_one_request(d: Driver) -> None:
    await d.start()
    await d.signal("hello", request_id="same")
    await d.signal("hello", request_id="same")
    await d.step(succeed())
    await d.signal("hello", request_id="same")
    await d.signal("hello", request_id="another")


async def to_a_run(d: Driver) -> None:
    started = await d.start()
    await d.signal(execution=(d.workflow_id, started.run_id))
    await d.signal(execution=(d.workflow_id, NO_RUN))


async def to_a_missing_workflow(d: Driver) -> None:
    await d.signal()


async def to_a_closed_workflow(d: Driver) -> None:
    started = await d.start()
    await d.step(succeed())
    await d.signal()
    await d.signal(execution=(d.workflow_id, started.run_id))


async def is_refused(d: Driver) -> None:
    await d.start()
    await d.signal("")
    await d.signal(LONG)
    await d.signal(execution=("", ""))
    await d.signal(execution=(LONG, ""))
    await d.signal(execution=(d.workflow_id, "not-a-uuid"))
    await d.signal(request_id=LONG)
    await d.signal(identity=LONG)
    await d.signal(namespace="nowhere")
    await d.signal(namespace="")
    await d.signal(input="x" * (2 * 1024 * 1024))
    await d.call("SignalWorkflowExecution", signal_name="s")


async def with_start_starts_a_workflow(d: Driver) -> None:
    await d.signal_with_start(
        name="hello",
        input="in",
        signal_input=["x"],
        header={"h": 1},
        memo={"m": 1},
        search_attributes={"ConfInt": 1},
        workflow_run_timeout=100,
        control="c",
        user_metadata={"summary": payload("s")},
        links=[LINK],
        priority={"priority_key": 2},
    )
    await d.describe()
    await d.step(succeed())


async def with_start_signals_a_running_workflow(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.signal_with_start(name="hello", signal_input="x")
    await d.step(succeed())


async def with_start_after_a_delay(d: Driver) -> None:
    await d.signal_with_start(name="hello", workflow_start_delay=1)
    await d.describe()
    await d.step(succeed())


async def with_start_twice_after_a_delay(d: Driver) -> None:
    await d.signal_with_start(name="one", workflow_start_delay=1)
    await d.signal_with_start(name="two", workflow_start_delay=1)
    await d.describe()
    await d.step(succeed())


async def with_start_by_cron(d: Driver) -> None:
    await d.signal_with_start(name="hello", cron_schedule="@every 1s")
    await d.step(succeed())


async def with_start_is_refused(d: Driver) -> None:
    await d.signal_with_start(name="")
    await d.signal_with_start(name=LONG)
    await d.signal_with_start("")
    await d.signal_with_start(LONG)
    await d.signal_with_start(workflow_type=None)
    await d.signal_with_start(workflow_type=LONG)
    await d.signal_with_start(task_queue=None)
    await d.signal_with_start(task_queue=LONG)
    await d.signal_with_start(request_id=LONG)
    await d.signal_with_start(identity=LONG)
    await d.signal_with_start(workflow_run_timeout=-1)
    await d.signal_with_start(workflow_execution_timeout=-1)
    await d.signal_with_start(workflow_task_timeout=-1)
    await d.signal_with_start(workflow_start_delay=-1)
    await d.signal_with_start(workflow_start_delay=1, cron_schedule="@daily")
    await d.signal_with_start(cron_schedule="now and then")
    await d.signal_with_start(retry_policy={"maximum_attempts": -1})
    await d.signal_with_start(search_attributes={"Nobody": 1})
    await d.signal_with_start(namespace="nowhere")
    await d.signal_with_start(workflow_id_conflict_policy="FAIL")
    await d.signal_with_start(
        workflow_id_reuse_policy="TERMINATE_IF_RUNNING", workflow_id_conflict_policy="USE_EXISTING"
    )
    await d.signal_with_start(signal_input="x" * (2 * 1024 * 1024))
    await d.signal_with_start(memo={"m": "x" * (2 * 1024 * 1024)})
    await d.signal_with_start(priority={"priority_key": -1})


async def many_wake_a_workflow_once(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    for number in range(5):
        await d.signal(f"s{number}")
    await d.step(succeed())
    await asyncio.sleep(0)
