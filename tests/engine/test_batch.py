"""Batch jobs without a server: pages, the rate, what is tried again, ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import StartBatchOperationRequest
from tests.engine.driver import World

from perdure.config import Dynamic
from perdure.engine import batch, entity
from perdure.engine.batch import EndJob, JobCore, Outcome, PageFound, StartJob, Target, Worked, chosen
from perdure.engine.entity import encode_core, load, load_item
from perdure.engine.execution import Execution, Kind, encode
from perdure.engine.inputs import Input
from perdure.engine.times import NS
from perdure.errors import NotFound
from perdure.runtime import batch as _registers  # noqa: F401

RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
COMPLETED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
DONE, FAILED, MAY_PASS = Outcome.DONE, Outcome.FAILED, Outcome.MAY_PASS


class Job:
    """A job whose steps are taken by the test. It is stored and loaded after each."""

    def __init__(self, targets: int = 0, query: str = "", max_rate: float = 0) -> None:
        self.world = World()
        self.execution: Execution = entity.hold(1, JobCore(namespace_id="n", workflow_id="job", max_rate=max_rate))
        request = StartBatchOperationRequest(job_id="job", visibility_query=query)
        for number in range(targets):
            request.executions.add(workflow_id=f"w{number}")
        self.apply(StartJob(request))

    def apply(self, input: Input) -> None:
        t, _ = entity.act(self.execution, input, self.world.environment())
        t.commit()
        stored = load(1, encode_core(self.execution.core))
        for kind, items in self.execution.pending.items():
            for key, item in items.items():
                stored.pending[kind][key] = load_item(kind, encode(item))
        self.execution = stored

    @property
    def core(self) -> JobCore:
        return entity.of_type(self.execution.core, JobCore)

    @property
    def due_s(self) -> float:
        """In how many seconds the next step is due."""
        due_ns: int = self.execution.pending[Kind.BATCH_STEP][""].due_ns
        return (due_ns - self.world.now_ns) / NS

    def wait(self) -> None:
        self.world.now_ns += max(round(self.due_s * NS), 0)

    def chosen(self, config: Dynamic | None = None) -> list[int]:
        page = self.execution.pending[Kind.BATCH_PAGE][""]
        return chosen(self.core, page, config or self.world.config, self.world.now_ns)

    def work(self, outcome: Outcome = DONE, *except_for: int, otherwise: Outcome = DONE) -> list[int]:
        positions = self.chosen()
        self.apply(Worked({each: otherwise if each in except_for else outcome for each in positions}))
        return positions


def test_a_list_is_done_once_from_its_beginning_to_its_end() -> None:
    job, seen = Job(120), []
    while job.core.status == RUNNING:
        job.wait()
        seen += job.work()
    assert seen == list(range(120))
    assert (job.core.status, job.core.total, job.core.succeeded, job.core.failed) == (COMPLETED, 120, 120, 0)
    assert not job.execution.pending[Kind.BATCH_STEP]


def test_after_the_first_second_the_rate_holds() -> None:
    job = Job(200)
    start_ns = job.world.now_ns
    while job.core.status == RUNNING:
        job.wait()
        job.work()
        elapsed_s = (job.world.now_ns - start_ns) / NS
        assert job.core.succeeded <= 50 * elapsed_s + 50 + 1e-3
    assert elapsed_s == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize(("allowed", "seconds"), [(10, 5), (0.5, 118), (1000, 0.2)])
def test_the_request_can_ask_for_less(allowed: float, seconds: float) -> None:
    job = Job(60, max_rate=allowed)
    start_ns = job.world.now_ns
    while job.core.status == RUNNING:
        job.wait()
        job.work()
    assert (job.world.now_ns - start_ns) / NS == pytest.approx(seconds, rel=0.02, abs=0.11)


def test_pages_follow_each_other_until_there_is_none() -> None:
    job = Job(query="x")
    assert job.due_s == 0
    job.apply(PageFound([Target("a", "1"), Target("b", "2")], b"more", total=3))
    assert job.work() == [0, 1]
    assert (job.core.status, job.core.total, job.due_s) == (RUNNING, 3, 0)
    job.apply(PageFound([Target("c", "3")], b""))
    assert job.work() == [0]
    assert (job.core.status, job.core.succeeded) == (COMPLETED, 3)


def test_a_query_that_finds_nothing_ends_at_once() -> None:
    job = Job(query="x")
    job.apply(PageFound([], b"", total=0))
    assert (job.core.status, job.core.total) == (COMPLETED, 0)


def test_what_may_pass_is_tried_again_and_given_up_in_the_end() -> None:
    job, tries = Job(3), 0
    while job.core.status == RUNNING:
        job.wait()
        tries += 1 in job.work(MAY_PASS, 0, 2)
    assert tries == batch.MAX_ATTEMPTS
    assert (job.core.status, job.core.succeeded, job.core.failed) == (COMPLETED, 2, 1)


def test_what_is_final_is_not_tried_again() -> None:
    job = Job(2)
    assert job.work(FAILED, 0) == [0, 1]
    assert (job.core.status, job.core.succeeded, job.core.failed) == (COMPLETED, 1, 1)


def test_a_job_that_is_stuck_takes_no_others() -> None:
    job = Job(100)
    config = replace(job.world.config, batcher_concurrency=5)
    job.apply(Worked(dict.fromkeys(range(3), MAY_PASS)))
    assert job.chosen(config) == [0, 1, 2, 3, 4]
    job.apply(Worked(dict.fromkeys(range(5), MAY_PASS)))
    assert job.chosen(config) == [0, 1, 2, 3, 4]


def test_a_job_that_is_over_refuses_everything() -> None:
    job = Job(2)
    job.apply(EndJob())
    assert job.core.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
    assert job.core.close_ns == job.world.now_ns
    assert not job.execution.pending[Kind.BATCH_STEP]
    for again in (EndJob(), Worked({0: DONE})):
        with pytest.raises(NotFound, match="workflow execution already completed"):
            job.apply(again)
