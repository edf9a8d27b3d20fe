"""Retries of whole workflows, and cron."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import cancel_workflow, fail_workflow, succeed, timer

QUICK = {"initial_interval": 0.1, "backoff_coefficient": 1}


async def until_it_succeeds(d: Driver) -> None:
    await d.start(retry_policy={**QUICK, "maximum_attempts": 3}, memo={"m": 1}, search_attributes={"ConfInt": 1})
    await d.step(fail_workflow(message="first"))
    await d.step(succeed("second"))
    await d.describe()


async def until_attempts_run_out(d: Driver) -> None:
    await d.start(retry_policy={**QUICK, "maximum_attempts": 2})
    await d.step(fail_workflow(message="first"))
    await d.step(fail_workflow(message="second"))


async def backs_off(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 1, "backoff_coefficient": 3, "maximum_interval": 2})
    await d.step(fail_workflow(message="first"))
    await d.step(fail_workflow(message="second"))
    await d.step(fail_workflow(message="third"))
    await d.describe()


async def not_for_a_fatal_failure(d: Driver) -> None:
    await d.start(retry_policy=QUICK)
    await d.step(fail_workflow(fatal=True))


async def not_for_a_listed_type(d: Driver) -> None:
    await d.start(retry_policy={**QUICK, "non_retryable_error_types": ["Final"]})
    await d.step(fail_workflow(type_name="Final"))


async def not_beyond_the_execution_timeout(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 60}, workflow_execution_timeout=30)
    await d.step(fail_workflow())


async def after_a_run_timeout(d: Driver) -> None:
    await d.start(retry_policy={**QUICK, "maximum_attempts": 2}, workflow_run_timeout=2)
    first = await d.poll_wft()
    await d.complete(first, timer())
    await d.step(succeed())


async def not_after_a_run_timeout_that_is_listed(d: Driver) -> None:
    policy = {**QUICK, "non_retryable_error_types": ["TemporalTimeout:StartToClose"]}
    await d.start(retry_policy=policy, workflow_run_timeout=1)
    await d.until_closed()


async def chooses_its_next_delay(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 60})
    await d.step(fail_workflow(next_retry_delay=0.5))
    await d.step(succeed())


async def not_after_a_cancel(d: Driver) -> None:
    await d.start(retry_policy=QUICK)
    await d.cancel()
    await d.step(cancel_workflow())


async def not_after_a_termination(d: Driver) -> None:
    await d.start(retry_policy=QUICK)
    await d.terminate()


async def ends_by_termination_while_it_waits(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 60})
    await d.step(fail_workflow())
    await d.describe()
    await d.terminate()


async def signal_while_it_waits(d: Driver) -> None:
    await d.start(retry_policy={"initial_interval": 1})
    await d.step(fail_workflow())
    await d.signal()
    await d.describe()
    await d.step(succeed())


async def cron_runs_again_and_again(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s", input="in", memo={"m": 1})
    await d.describe()
    await d.step(succeed("one"))
    await d.step(succeed("two"))
    await d.describe()


async def cron_goes_on_after_a_failure(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s")
    await d.step(succeed("one"))
    await d.step(fail_workflow(message="two"))
    await d.step(succeed("three"))


async def cron_goes_on_after_a_timeout(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s", workflow_run_timeout=1)
    await d.poll_wft()
    await d.step(succeed())


async def cron_ends_with_a_cancel(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s")
    await d.cancel()
    await d.step(cancel_workflow())


async def cron_ends_with_a_termination(d: Driver) -> None:
    await d.start(cron_schedule="@every 10m")
    await d.terminate()


async def cron_ends_with_the_execution_timeout(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s", workflow_execution_timeout=3)
    await d.step(succeed())
    await d.step(succeed())
    await d.until_closed()


async def cron_with_retries(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s", retry_policy={**QUICK, "maximum_attempts": 2})
    await d.step(fail_workflow(message="first try"))
    await d.step(fail_workflow(message="second try"))
    await d.step(succeed())


async def cron_with_a_zone(d: Driver) -> None:
    await d.start(cron_schedule="CRON_TZ=Europe/Vienna @every 10m")


async def cron_signalled_before_its_time(d: Driver) -> None:
    await d.start(cron_schedule="@every 1s")
    await d.signal()
    await d.step(succeed())
