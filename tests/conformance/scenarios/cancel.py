"""Cancel requests and terminations by clients, and timeouts of whole workflows."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import cancel_workflow, continue_as_new, succeed, timer

NO_RUN = "11111111-2222-4333-8444-555555555555"
LONG = "x" * 1001
LINK = {"workflow_event": {"namespace": "default", "workflow_id": "caller", "run_id": "r"}}


async def is_granted(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.cancel(reason="changed my mind", request_id="r", links=[LINK])
    await d.describe()
    await d.step(cancel_workflow("bye"))
    await d.describe()


async def is_ignored(d: Driver) -> None:
    await d.start()
    await d.cancel()
    await d.step(succeed())


async def twice(d: Driver) -> None:
    await d.start()
    await d.cancel(request_id="one")
    await d.cancel(request_id="one")
    await d.cancel(request_id="two")
    await d.history()


async def closed(d: Driver) -> None:
    started = await d.start()
    await d.step(succeed())
    await d.cancel()
    await d.cancel((d.workflow_id, started.run_id))


async def missing(d: Driver) -> None:
    await d.cancel()
    await d.start()
    await d.cancel((d.workflow_id, NO_RUN))


async def of_a_chain_by_its_first_run(d: Driver) -> None:
    started = await d.start()
    await d.step(continue_as_new())
    await d.cancel(first_execution_run_id=NO_RUN)
    await d.cancel((d.workflow_id, started.run_id))
    await d.cancel(first_execution_run_id=started.run_id)


async def is_refused(d: Driver) -> None:
    await d.start()
    await d.cancel(("", ""))
    await d.cancel((d.workflow_id, "not-a-uuid"))
    await d.cancel(first_execution_run_id="not-a-uuid")
    await d.cancel(request_id=LONG)
    await d.cancel(identity=LONG)
    await d.cancel(namespace="nowhere")
    await d.call("RequestCancelWorkflowExecution", identity="client")


async def command_without_request_while_open_commands_wait(d: Driver) -> None:
    await d.start()
    await d.step(timer(), cancel_workflow())


async def terminate(d: Driver) -> None:
    await d.start()
    await d.step(timer())
    await d.terminate(reason="enough", details=["more", 1], links=[LINK])
    await d.describe()


async def terminate_while_a_task_is_started(d: Driver) -> None:
    await d.start()
    task = await d.poll_wft()
    await d.terminate()
    await d.complete(task, succeed())


async def terminate_closed(d: Driver) -> None:
    started = await d.start()
    await d.step(succeed())
    await d.terminate()
    await d.terminate((d.workflow_id, started.run_id))


async def terminate_missing(d: Driver) -> None:
    await d.terminate()
    await d.start()
    await d.terminate((d.workflow_id, NO_RUN))


async def terminate_a_chain_by_its_first_run(d: Driver) -> None:
    started = await d.start()
    await d.step(continue_as_new())
    await d.terminate(first_execution_run_id=NO_RUN)
    await d.terminate((d.workflow_id, started.run_id))
    await d.terminate(first_execution_run_id=started.run_id)


async def terminate_is_refused(d: Driver) -> None:
    await d.start()
    await d.terminate(("", ""))
    await d.terminate((d.workflow_id, "not-a-uuid"))
    await d.terminate(first_execution_run_id="not-a-uuid")
    await d.terminate(namespace="nowhere")
    await d.terminate(identity=LONG)
    await d.call("TerminateWorkflowExecution", identity="client")


async def run_times_out(d: Driver) -> None:
    await d.start(workflow_run_timeout=1)
    await d.step(timer())
    await d.until_closed()
    await d.signal()


async def run_times_out_while_a_task_is_started(d: Driver) -> None:
    await d.start(workflow_run_timeout=1)
    task = await d.poll_wft()
    await d.signal()
    await d.until_closed()
    await d.complete(task, succeed())


async def run_times_out_before_any_task(d: Driver) -> None:
    await d.start(workflow_run_timeout=1)
    await d.until_closed()


async def execution_times_out(d: Driver) -> None:
    await d.start(workflow_execution_timeout=1)
    await d.until_closed()


async def execution_times_out_across_runs(d: Driver) -> None:
    await d.start(workflow_execution_timeout=2, workflow_run_timeout=1)
    await d.step(continue_as_new())
    await d.until_closed()


async def execution_times_out_during_a_retry(d: Driver) -> None:
    await d.start(workflow_execution_timeout=2, workflow_run_timeout=1, retry_policy={"initial_interval": 60})
    await d.until_closed()
