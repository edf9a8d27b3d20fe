"""What a start does when its workflow id is in use: every reuse and conflict policy with every state."""

from __future__ import annotations

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy as Conflict
from temporalio.api.enums.v1 import WorkflowIdReusePolicy as Reuse
from tests.engine.driver import START_NS, S, refusal

from perdure.config import Dynamic
from perdure.engine.execution import Core
from perdure.engine.start import Start, resolve
from perdure.errors import WorkflowExecutionAlreadyStarted

REUSE = ["UNSPECIFIED", "ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE", "TERMINATE_IF_RUNNING"]
CONFLICT = ["UNSPECIFIED", "FAIL", "USE_EXISTING", "TERMINATE_EXISTING"]
FAILED = ["FAILED", "CANCELED", "TERMINATED", "TIMED_OUT"]
SUCCEEDED = ["COMPLETED", "CONTINUED_AS_NEW"]


def core(status: str, age_s: float = 60) -> Core:
    return Core(
        workflow_id="w",
        run_id="run",
        first_run_id="first",
        start_request_id="request",
        status=Status.Value(f"WORKFLOW_EXECUTION_STATUS_{status}"),  # type: ignore[arg-type]
        start_ns=START_NS - int(age_s * S),
    )


def outcome(
    current: Core | None, reuse: str = "UNSPECIFIED", conflict: str = "UNSPECIFIED", config: Dynamic | None = None
) -> Start:
    reuse_policy = Reuse.Value(f"WORKFLOW_ID_REUSE_POLICY_{reuse}")  # type: ignore[arg-type]
    conflict_policy = Conflict.Value(f"WORKFLOW_ID_CONFLICT_POLICY_{conflict}")  # type: ignore[arg-type]
    return resolve(current, reuse_policy, conflict_policy, START_NS, config or Dynamic())


@pytest.mark.parametrize("reuse", REUSE)
@pytest.mark.parametrize("conflict", CONFLICT)
def test_a_new_id_is_always_free(reuse: str, conflict: str) -> None:
    assert outcome(None, reuse, conflict) is Start.NEW


@pytest.mark.parametrize("reuse", REUSE)
@pytest.mark.parametrize("conflict", CONFLICT)
def test_an_open_run_is_a_matter_of_the_conflict_policy(reuse: str, conflict: str) -> None:
    if reuse == "TERMINATE_IF_RUNNING" or conflict == "TERMINATE_EXISTING":
        assert outcome(core("RUNNING"), reuse, conflict) is Start.TERMINATE_CURRENT
    elif conflict == "USE_EXISTING":
        assert outcome(core("RUNNING"), reuse, conflict) is Start.USE_CURRENT
    else:
        with pytest.raises(WorkflowExecutionAlreadyStarted) as error:
            outcome(core("RUNNING"), reuse, conflict)
        assert error.value.message == "Workflow execution is already running. WorkflowId: w, RunId: run."
        assert (error.value.run_id, error.value.start_request_id) == ("run", "request")


@pytest.mark.parametrize("status", [*FAILED, *SUCCEEDED])
@pytest.mark.parametrize("reuse", REUSE)
@pytest.mark.parametrize("conflict", CONFLICT)
def test_a_closed_run_is_a_matter_of_the_reuse_policy(status: str, reuse: str, conflict: str) -> None:
    refused = reuse == "REJECT_DUPLICATE" or (reuse == "ALLOW_DUPLICATE_FAILED_ONLY" and status in SUCCEEDED)
    if not refused:
        assert outcome(core(status), reuse, conflict) is Start.NEW
        return
    with pytest.raises(WorkflowExecutionAlreadyStarted) as error:
        outcome(core(status), reuse, conflict)
    finished = "finished" if reuse == "REJECT_DUPLICATE" else "finished successfully"
    assert error.value.message.startswith(f"Workflow execution already {finished}. WorkflowId: w, RunId: run.")


def test_an_id_may_be_protected_against_starts_in_too_fast_a_row() -> None:
    config = Dynamic(enable_workflow_id_reuse_start_time_validation=True)
    message = refusal(lambda: outcome(core("COMPLETED", age_s=0.5), config=config))
    assert message == "ResourceExhausted: Too many starts for workflow w. Time since last start: 500 ms"
    young = core("RUNNING", age_s=0.25)
    message = refusal(lambda: outcome(young, conflict="TERMINATE_EXISTING", config=config))
    assert message == "ResourceExhausted: Too many restarts for workflow w. Time since last start: 250 ms"
    assert outcome(core("COMPLETED", age_s=1.5), config=config) is Start.NEW
