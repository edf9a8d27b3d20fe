"""What requests are refused for, word by word.

`REFUSED` was confirmed on the reference server (v1.32.0), every line of it. To do so again:
`REFERENCE=host:port pytest tests/rpc/test_validate.py` sends the same requests there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import (
    Callback,
    Link,
    Memo,
    Payload,
    Payloads,
    Priority,
    RetryPolicy,
    WorkerVersionCapabilities,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import (
    NamespaceState,
    TaskQueueKind,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.filter.v1 import StartTimeFilter, StatusFilter
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest, OperatorServiceStub
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import OnConflictOptions
from temporalio.api.workflowservice import v1 as api

from perdure.config import Dynamic
from perdure.errors import FailedPrecondition, Internal, InvalidArgument, PerdureError
from perdure.rpc import validate

CONFIG = Dynamic()
LONG = "x" * 1001
BIG = Payloads(payloads=[Payload(data=b"x" * (2 * 1024 * 1024))])
RUN_ID = "11111111-2222-3333-4444-555555555555"


class AnyAttributes:
    def check_names(self, fields: object, namespace: str) -> None: ...
    def check_values(self, fields: object, namespace: str) -> None: ...


def seconds(number: int, nanos: int = 0) -> Duration:
    return Duration(seconds=number, nanos=nanos)


def start(**changes: Any) -> api.StartWorkflowExecutionRequest:
    fields: dict[str, Any] = {
        "namespace": "default",
        "workflow_id": "w",
        "workflow_type": WorkflowType(name="T"),
        "task_queue": TaskQueue(name="q"),
    }
    return api.StartWorkflowExecutionRequest(**{**fields, **changes})


def signal_with_start(**changes: Any) -> api.SignalWithStartWorkflowExecutionRequest:
    fields: dict[str, Any] = {
        "namespace": "default",
        "workflow_id": "w",
        "workflow_type": WorkflowType(name="T"),
        "task_queue": TaskQueue(name="q"),
        "signal_name": "s",
    }
    return api.SignalWithStartWorkflowExecutionRequest(**{**fields, **changes})


def signal(**changes: Any) -> api.SignalWorkflowExecutionRequest:
    fields: dict[str, Any] = {
        "namespace": "default",
        "workflow_execution": WorkflowExecution(workflow_id="w"),
        "signal_name": "s",
    }
    return api.SignalWorkflowExecutionRequest(**{**fields, **changes})


def poll(**changes: Any) -> api.PollWorkflowTaskQueueRequest:
    fields: dict[str, Any] = {"namespace": "default", "task_queue": TaskQueue(name="q")}
    return api.PollWorkflowTaskQueueRequest(**{**fields, **changes})


def register(**changes: Any) -> api.RegisterNamespaceRequest:
    fields: dict[str, Any] = {"namespace": "n", "workflow_execution_retention_period": seconds(86400)}
    return api.RegisterNamespaceRequest(**{**fields, **changes})


TO_A_WORKFLOW = Link.Workflow(namespace="n", workflow_id="w", run_id="r")


def link(**event: Any) -> Link:
    return Link(workflow_event=Link.WorkflowEvent(**event))


def versioned(name: str, build: str) -> WorkerDeploymentOptions:
    return WorkerDeploymentOptions(deployment_name=name, build_id=build, worker_versioning_mode=2)


REUSE = WorkflowIdReusePolicy
CONFLICT = WorkflowIdConflictPolicy
NEGATIVE = "cause: negative duration"
SIGNS = "duration has seconds and nanos with different signs"

REFUSED: list[tuple[Message, str]] = [
    # Namespaces of requests.
    (start(namespace=""), "Namespace is empty."),
    (poll(namespace=""), "Namespace is empty."),
    (start(namespace=LONG), "Namespace length exceeds limit."),
    # Start.
    (start(workflow_id=""), "WorkflowId is not set on request."),
    (start(workflow_id=LONG), "WorkflowId exceeds maximum allowed length (1001/1000)"),
    (start(workflow_id="é" * 501), "WorkflowId exceeds maximum allowed length (1002/1000)"),
    (start(workflow_type=None), "WorkflowType is not set on request."),
    (start(workflow_type=WorkflowType(name=LONG)), "WorkflowType length exceeds limit."),
    (start(task_queue=None), "taskQueue is not set"),
    (start(task_queue=TaskQueue()), "missing task queue name"),
    (start(task_queue=TaskQueue(name=LONG)), "taskQueue length exceeds limit"),
    (start(task_queue=TaskQueue(name="/_sys/q")), "task queue name cannot start with reserved prefix /_sys/"),
    (
        start(task_queue=TaskQueue(name="temporal-sys-per-ns-tq")),
        "cannot use internal per-namespace task queue:temporal-sys-per-ns-tq",
    ),
    (start(request_id=LONG), "RequestId length exceeds limit."),
    (
        start(workflow_execution_timeout=seconds(-1)),
        f"An invalid WorkflowExecutionTimeoutSeconds is set on request. {NEGATIVE}",
    ),
    (start(workflow_run_timeout=seconds(-1)), f"An invalid WorkflowRunTimeoutSeconds is set on request. {NEGATIVE}"),
    (
        start(workflow_task_timeout=seconds(1, -1)),
        f"An invalid WorkflowTaskTimeoutSeconds is set on request. cause: {SIGNS}",
    ),
    (start(workflow_start_delay=seconds(-1)), f"An invalid WorkflowStartDelaySeconds is set on request. {NEGATIVE}"),
    (
        start(workflow_start_delay=seconds(1), cron_schedule="@daily"),
        "CronSchedule and WorkflowStartDelay may not be used together.",
    ),
    (start(cron_schedule="nonsense"), "invalid CronSchedule."),
    (
        start(cron_schedule="0 0 30 2 *"),
        "invalid CronSchedule, no time can be found to satisfy the schedule",
    ),
    (
        start(retry_policy=RetryPolicy(backoff_coefficient=0.5)),
        "BackoffCoefficient cannot be less than 1 on retry policy.",
    ),
    (
        start(retry_policy=RetryPolicy(initial_interval=seconds(-1))),
        "invalid InitialInterval set on retry policy: negative duration",
    ),
    (
        start(retry_policy=RetryPolicy(maximum_interval=seconds(-1))),
        "invalid MaximumInterval set on retry policy: negative duration",
    ),
    (
        start(retry_policy=RetryPolicy(initial_interval=seconds(3), maximum_interval=seconds(2))),
        "MaximumInterval cannot be less than InitialInterval on retry policy.",
    ),
    (start(retry_policy=RetryPolicy(maximum_attempts=-1)), "MaximumAttempts cannot be negative on retry policy."),
    (
        start(retry_policy=RetryPolicy(non_retryable_error_types=["TemporalTimeout:Never"])),
        "Invalid timeout type value: Never.",
    ),
    (
        start(
            workflow_id_reuse_policy=REUSE.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING,
            workflow_id_conflict_policy=CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        ),
        "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together with a "
        "WorkflowIDConflictPolicy",
    ),
    (
        start(
            workflow_id_reuse_policy=REUSE.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
            workflow_id_conflict_policy=CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
        ),
        "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with "
        "WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING",
    ),
    (
        start(on_conflict_options=OnConflictOptions(attach_completion_callbacks=True)),
        "attaching request ID is required for attaching completion callbacks",
    ),
    (start(priority=Priority(priority_key=-1)), "priority key can't be negative"),
    (start(priority=Priority(fairness_key="k" * 65)), "fairness key length exceeds limit"),
    (start(priority=Priority(fairness_weight=-1)), "must be greater than zero"),
    (start(links=[Link()]), "unsupported link variant"),
    (start(links=[link(namespace="n", workflow_id="w")] * 11), "cannot attach more than 10 links per request, got 11"),
    (start(links=[link(namespace="n" * 4000)]), "link exceeds allowed size of 4000, got 4006"),
    (start(links=[link()]), "workflow event link must not have an empty namespace field"),
    (start(links=[link(namespace="n")]), "workflow event link must not have an empty workflow ID field"),
    (start(links=[link(namespace="n", workflow_id="w")]), "workflow event link must not have an empty run ID field"),
    (
        start(links=[link(namespace="n", workflow_id="w", run_id="r", event_ref={"event_id": 3})]),
        "workflow event link ref cannot have an unspecified event type and a non-zero event ID",
    ),
    (start(links=[Link(batch_job=Link.BatchJob())]), "batch job link must not have an empty job ID"),
    (
        start(completion_callbacks=[Callback(nexus=Callback.Nexus(url="x" * 1001))]),
        "invalid url: url length longer than max length allowed of 1000",
    ),
    (
        start(completion_callbacks=[Callback(nexus=Callback.Nexus(url="ftp://a"))]),
        "invalid url: unknown scheme: ftp://a",
    ),
    (start(completion_callbacks=[Callback(nexus=Callback.Nexus(url="http://"))]), "invalid url: missing host"),
    (
        start(completion_callbacks=[Callback(nexus=Callback.Nexus(url="http://nowhere/x"))]),
        "invalid url: url does not match any configured callback address: http://nowhere/x",
    ),
    (start(input=BIG), "Blob data size exceeds limit."),
    (start(memo=Memo(fields={"k": BIG.payloads[0]})), "Memo size exceeds limit."),
    # The order: of two faults, the first of the real server's is told.
    (start(workflow_id="", workflow_type=None), "WorkflowId is not set on request."),
    (start(workflow_type=None, cron_schedule="nonsense"), "invalid CronSchedule."),
    # Signal with start.
    (signal_with_start(workflow_id="", cron_schedule="x"), "invalid CronSchedule."),
    (signal_with_start(workflow_id=""), "WorkflowId is not set on request."),
    (signal_with_start(signal_name=""), "signal not set"),
    (signal_with_start(signal_name=LONG), "signal name exceeds maximum allowed length (1001/1000)"),
    (signal_with_start(workflow_type=None), "workflow type not set"),
    (
        signal_with_start(workflow_type=WorkflowType(name=LONG)),
        "workflow type name exceeds maximum allowed length (1001/1000)",
    ),
    (signal_with_start(task_queue=None), "taskQueue is not set"),
    (signal_with_start(request_id=LONG), "Request ID exceeds maximum allowed length (1001/1000)"),
    (
        signal_with_start(workflow_id_conflict_policy=CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_FAIL),
        "Invalid WorkflowIDConflictPolicy: WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation.",
    ),
    (signal_with_start(priority=Priority(priority_key=-1)), "priority key can't be negative"),
    (signal_with_start(memo=Memo(fields={"k": BIG.payloads[0]})), "Memo size exceeds limit."),
    # One execution.
    (signal(workflow_execution=None), "Execution is not set on request."),
    (signal(workflow_execution=WorkflowExecution()), "WorkflowId is not set on request."),
    (signal(workflow_execution=WorkflowExecution(workflow_id="w", run_id="r")), "Invalid RunId."),
    (signal(signal_name=""), "SignalName is not set on request."),
    (signal(signal_name=LONG), "SignalName length exceeds limit."),
    (signal(request_id=LONG), "RequestId length exceeds limit."),
    (signal(links=[Link()]), "unsupported link variant"),
    (signal(links=[Link(workflow=TO_A_WORKFLOW)]), "unsupported link variant"),
    (signal(links=[Link(workflow=Link.Workflow())]), "unsupported link variant"),
    (signal(input=BIG), "Blob data size exceeds limit."),
    (api.TerminateWorkflowExecutionRequest(namespace="default"), "Execution is not set on request."),
    (api.RequestCancelWorkflowExecutionRequest(namespace="default"), "Execution is not set on request."),
    (api.DeleteWorkflowExecutionRequest(namespace="default"), "Execution is not set on request."),
    (api.DescribeWorkflowExecutionRequest(namespace="default"), "Execution is not set on request."),
    (api.ResetStickyTaskQueueRequest(namespace="default"), "Execution is not set on request."),
    (api.GetWorkflowExecutionHistoryRequest(namespace="default"), "Execution is not set on request."),
    (api.GetWorkflowExecutionHistoryReverseRequest(namespace="default"), "Execution is not set on request."),
    (api.QueryWorkflowRequest(namespace="default"), "Execution is not set on request."),
    (
        api.QueryWorkflowRequest(namespace="default", execution=WorkflowExecution(workflow_id="w")),
        "WorkflowQuery is not set on request.",
    ),
    (
        api.QueryWorkflowRequest(
            namespace="default", execution=WorkflowExecution(workflow_id="w"), query=WorkflowQuery()
        ),
        "QueryType is not set on request.",
    ),
    (
        api.QueryWorkflowRequest(
            namespace="default",
            execution=WorkflowExecution(workflow_id="w"),
            query=WorkflowQuery(query_type="q", query_args=BIG),
        ),
        "Blob data size exceeds limit.",
    ),
    # Workers.
    (poll(identity=LONG), "Identity length exceeds limit."),
    (poll(task_queue=None), "taskQueue is not set"),
    (poll(task_queue=TaskQueue()), "missing task queue name"),
    (poll(task_queue=TaskQueue(name="/_sys/q")), "task queue name cannot start with reserved prefix /_sys/"),
    (
        poll(task_queue=TaskQueue(name="q", kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY, normal_name=LONG)),
        "taskQueue length exceeds limit",
    ),
    (
        poll(
            task_queue=TaskQueue(name="q", kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY),
            deployment_options=WorkerDeploymentOptions(),
        ),
        "NormalName must be set on sticky queue when UseVersioning is true or DeploymentOptions are set.",
    ),
    (
        poll(worker_version_capabilities=WorkerVersionCapabilities(build_id="b" * 256)),
        "Build ID exceeds configured limit.workerBuildIdSize, use a shorter build ID.",
    ),
    (poll(deployment_options=versioned("", "b")), "Deployment name and build id must be set together."),
    (poll(deployment_options=versioned("a.b", "b")), "worker deployment name cannot contain '.'"),
    (poll(deployment_options=versioned("a:b", "b")), "worker deployment name cannot contain ':'"),
    (poll(deployment_options=versioned("__a", "b")), "WorkerDeploymentName cannot start with '__'"),
    (poll(deployment_options=versioned("a", "__b")), "BuildID cannot start with '__'"),
    (
        poll(deployment_options=versioned("a" * 481, "b")),
        "size of WorkerDeploymentName larger than the maximum allowed",
    ),
    (api.PollActivityTaskQueueRequest(namespace="default", identity=LONG), "taskQueue is not set"),
    (
        api.PollActivityTaskQueueRequest(namespace="default", identity=LONG, task_queue=TaskQueue(name="q")),
        "Identity length exceeds limit.",
    ),
    (api.RespondActivityTaskCompletedRequest(namespace="default"), "Task token not set on request."),
    (api.RespondWorkflowTaskCompletedRequest(namespace="default"), "Task token not set on request."),
    (api.RespondActivityTaskCompletedByIdRequest(namespace="default"), "ActivityId is not set on request."),
    (
        api.RespondActivityTaskFailedByIdRequest(namespace="default", activity_id="a", identity=LONG),
        "Identity length exceeds limit.",
    ),
    (api.RecordActivityTaskHeartbeatByIdRequest(namespace="default"), "ActivityId is not set on request."),
    (api.DescribeTaskQueueRequest(namespace="default"), "taskQueue is not set"),
    (
        api.DescribeTaskQueueRequest(
            namespace="default",
            api_mode=1,
            task_queue=TaskQueue(name="q", kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY),
        ),
        "Enhanced DescribeTaskQueue is not valid for a sticky queue, use api_mode=UNSPECIFIED or a normal queue.",
    ),
    # Lists.
    (
        api.ListOpenWorkflowExecutionsRequest(
            namespace="default",
            start_time_filter=StartTimeFilter(earliest_time=Timestamp(seconds=2), latest_time=Timestamp(seconds=1)),
        ),
        "EarliestTime in StartTimeFilter should not be larger than LatestTime.",
    ),
    (
        api.ListClosedWorkflowExecutionsRequest(namespace="default", status_filter=StatusFilter(status=1)),
        "StatusFilter must be specified and must be not Running.",
    ),
    (
        api.ListArchivedWorkflowExecutionsRequest(namespace="default"),
        "Cluster is not configured for visibility archival.",
    ),
    # Namespaces.
    (register(namespace=""), "Namespace not set on request."),
    (register(namespace=LONG), "Namespace length exceeds limit."),
    (register(is_global_namespace=True), "Cannot register global namespace when not enabled"),
    (register(workflow_execution_retention_period=None), "A valid retention period is not set on request."),
    (register(workflow_execution_retention_period=seconds(3599)), "A valid retention period is not set on request."),
    (register(workflow_execution_retention_period=seconds(-1)), "A valid retention period is not set on request."),
    (api.DescribeNamespaceRequest(), "Namespace not set on request."),
    (api.UpdateNamespaceRequest(), "Namespace not set on request."),
    (
        api.DescribeNamespaceRequest(namespace="default", id=RUN_ID),
        "GetNamespace operation failed.  Both ID and Name specified in request.",
    ),
    (
        api.UpdateNamespaceRequest(namespace="default", config={"workflow_execution_retention_ttl": seconds(1)}),
        "A valid retention period is not set on request.",
    ),
    (
        api.UpdateNamespaceRequest(namespace="default", update_info={"state": 4}),
        "Invalid namespace state update.",
    ),
    (
        api.UpdateNamespaceRequest(namespace="default", delete_bad_binary="b"),
        "Bad binary checksum b doesn't exists.",
    ),
    (
        api.UpdateNamespaceRequest(namespace="default", replication_config={"active_cluster_name": "other"}),
        "Invalid cluster name: other",
    ),
    (DeleteNamespaceRequest(), "Namespace not set on request."),
    (
        DeleteNamespaceRequest(namespace="default", namespace_id=RUN_ID),
        "Only one of namespace name or Id should be set on request.",
    ),
]

Check = Callable[[Any], object]
CHECKS: dict[str, Check] = {
    "StartWorkflowExecution": lambda r: validate.start(r, CONFIG, AnyAttributes()),
    "SignalWithStartWorkflowExecution": lambda r: validate.signal_with_start(r, CONFIG, AnyAttributes()),
    "SignalWorkflowExecution": lambda r: validate.signal(r, CONFIG),
    "TerminateWorkflowExecution": lambda r: validate.terminate(r, CONFIG),
    "RequestCancelWorkflowExecution": lambda r: validate.cancel(r, CONFIG),
    "DeleteWorkflowExecution": lambda r: validate.delete(r),
    "DescribeWorkflowExecution": lambda r: validate.describe(r),
    "ResetStickyTaskQueue": lambda r: validate.describe(r),
    "GetWorkflowExecutionHistory": lambda r: validate.history(r, CONFIG),
    "GetWorkflowExecutionHistoryReverse": lambda r: validate.history_reverse(r, CONFIG),
    "QueryWorkflow": lambda r: validate.query(r, CONFIG),
    "PollWorkflowTaskQueue": lambda r: validate.poll_workflow(r, 10.0, CONFIG),
    "PollActivityTaskQueue": lambda r: validate.poll_activity(r, 10.0, CONFIG),
    "RespondActivityTaskCompleted": lambda r: validate.activity_completed(r, CONFIG),
    "RespondWorkflowTaskCompleted": lambda r: validate.workflow_task_completed(r, CONFIG),
    "RespondActivityTaskCompletedById": lambda r: validate.activity_completed(r, CONFIG),
    "RespondActivityTaskFailedById": lambda r: validate.activity_failed_by_id(r, CONFIG),
    "RecordActivityTaskHeartbeatById": lambda r: validate.activity_heartbeat(r, CONFIG),
    "DescribeTaskQueue": lambda r: validate.describe_task_queue(r, CONFIG),
    "ListOpenWorkflowExecutions": lambda r: validate.list_open(r, CONFIG),
    "ListClosedWorkflowExecutions": lambda r: validate.list_closed(r, CONFIG),
    "ListArchivedWorkflowExecutions": lambda r: validate.list_archived(r, CONFIG),
    "RegisterNamespace": lambda r: validate.register_namespace(r, CONFIG),
    "DescribeNamespace": lambda r: validate.describe_namespace(r, CONFIG),
    "UpdateNamespace": lambda r: validate.update_namespace(r, NamespaceState.NAMESPACE_STATE_REGISTERED, CONFIG),
    "DeleteNamespace": lambda r: validate.delete_namespace(r),
}


def rpc_of(request: Message) -> str:
    return type(request).__name__.removesuffix("Request")


def label(value: object) -> str | None:
    return value[:60] if isinstance(value, str) else rpc_of(value) if isinstance(value, Message) else None


class Found:
    """Any namespace."""

    id = "any"


def found(namespace: str) -> Found:
    return Found()


def check_all(request: Any) -> None:
    """As a handler does it."""
    name = rpc_of(request)
    if "task_token" in request.DESCRIPTOR.fields_by_name:
        validate.task_token(request, CONFIG, found)
    elif not name.endswith("Namespace"):
        validate.namespace(request, CONFIG)
    CHECKS[name](request)


@pytest.mark.parametrize(("request_", "text"), REFUSED, ids=label)
def test_refused(request_: Message, text: str) -> None:
    copy = type(request_)()
    copy.CopyFrom(request_)
    with pytest.raises(InvalidArgument) as caught:
        check_all(copy)
    assert caught.value.message == text


@pytest.mark.skipif("REFERENCE" not in os.environ, reason="needs REFERENCE=host:port")
@pytest.mark.parametrize(("request_", "text"), REFUSED, ids=label)
def test_refused_by_the_reference(request_: Message, text: str) -> None:
    with grpc.insecure_channel(os.environ["REFERENCE"]) as channel:
        stub = (
            OperatorServiceStub(channel) if rpc_of(request_) == "DeleteNamespace" else api.WorkflowServiceStub(channel)
        )
        with pytest.raises(grpc.RpcError) as caught:
            getattr(stub, rpc_of(request_))(request_, timeout=10)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    # Go's protobuf package varies the space after its name on purpose.
    assert caught.value.details().replace("\xa0", " ") == text


@pytest.mark.parametrize(
    ("timeout_s", "error", "text"),
    [
        (None, InvalidArgument, "Context timeout is not set."),
        (1.9, FailedPrecondition, "Context timeout is too short."),
    ],
)
def test_polls_need_time(timeout_s: float | None, error: type[PerdureError], text: str) -> None:
    with pytest.raises(error) as caught:
        validate.poll_workflow(poll(), timeout_s, CONFIG)
    assert caught.value.message == text


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(Internal, match=r"^grpc: error unmarshalling request: string field contains invalid UTF-8$"):
        validate.parse(api.StartWorkflowExecutionRequest, b"\x0a\x01\xff")
    with pytest.raises(Internal, match=r"^grpc: error unmarshalling request: proto: cannot parse invalid wire-format"):
        validate.parse(api.StartWorkflowExecutionRequest, b"\x0a\x05\xff")


def test_start_fills_in_defaults() -> None:
    request = start(workflow_execution_timeout=seconds(5), retry_policy=RetryPolicy(initial_interval=seconds(2)))
    validate.start(request, CONFIG, AnyAttributes())
    assert request.workflow_run_timeout.seconds == 5
    assert request.workflow_task_timeout.seconds == 5
    assert request.retry_policy.maximum_interval.seconds == 200
    assert request.retry_policy.backoff_coefficient == 2
    assert request.task_queue.kind == TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    assert request.workflow_id_reuse_policy == REUSE.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
    assert request.workflow_id_conflict_policy == CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_FAIL
    assert request.request_id


def test_start_fills_in_what_is_absent_only() -> None:
    request = start(request_id="r")
    validate.start(request, CONFIG, AnyAttributes())
    assert request.request_id == "r"
    assert not request.HasField("workflow_run_timeout")
    assert not request.HasField("retry_policy")
    assert request.workflow_task_timeout == seconds(10)


@pytest.mark.parametrize(("asked_s", "given_s"), [(0, 10), (60, 60), (500, 120)])
def test_workflow_task_timeouts_are_cut(asked_s: int, given_s: int) -> None:
    request = start(workflow_task_timeout=seconds(asked_s))
    validate.start(request, CONFIG, AnyAttributes())
    assert request.workflow_task_timeout.seconds == given_s


def test_endless_timeouts_are_cut_to_a_hundred_years() -> None:
    request = start(workflow_execution_timeout=seconds(10**12))
    validate.start(request, CONFIG, AnyAttributes())
    assert request.workflow_execution_timeout.seconds == 100 * 365 * 24 * 3600


def test_the_old_reuse_policy_means_a_conflict_policy() -> None:
    for request in (
        start(workflow_id_reuse_policy=REUSE.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING),
        signal_with_start(workflow_id_reuse_policy=REUSE.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING),
    ):
        check_all(request)
        assert request.workflow_id_conflict_policy == CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
        assert request.workflow_id_reuse_policy == REUSE.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE


def test_signal_with_start_uses_an_existing_workflow_by_default() -> None:
    request = signal_with_start()
    check_all(request)
    assert request.workflow_id_conflict_policy == CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING


@pytest.mark.parametrize(("asked", "given"), [(0, 256), (-1, 256), (10, 10), (5000, 256)])
def test_history_pages_are_bounded(asked: int, given: int) -> None:
    request = api.GetWorkflowExecutionHistoryRequest(
        namespace="default", execution=WorkflowExecution(workflow_id="w"), maximum_page_size=asked
    )
    validate.history(request, CONFIG)
    assert request.maximum_page_size == given


def test_terminate_says_who_did_it() -> None:
    request = api.TerminateWorkflowExecutionRequest(workflow_execution=WorkflowExecution(workflow_id="w"))
    validate.terminate(request, CONFIG)
    assert (request.reason, request.identity) == ("terminated by user via frontend", "frontend-service")


def test_a_result_that_is_too_large_becomes_a_failure() -> None:
    failure = validate.activity_completed(api.RespondActivityTaskCompletedRequest(result=BIG), CONFIG)
    assert failure is not None
    assert failure.message == "Complete result exceeds size limit."
    assert failure.server_failure_info.non_retryable
    assert validate.activity_completed(api.RespondActivityTaskCompletedRequest(), CONFIG) is None


def test_a_failure_that_is_too_large_keeps_its_beginning() -> None:
    failure = Failure(message="é" * 1_500_000, application_failure_info={"type": "T"})
    request = api.RespondActivityTaskFailedRequest(failure=failure, last_heartbeat_details=BIG)
    told = validate.activity_failed(request, CONFIG)
    assert [each.message for each in told] == ["Heartbeat details exceed size limit.", "Failure exceeds size limit."]
    assert not request.HasField("last_heartbeat_details")
    assert request.failure.cause.application_failure_info.type == "T"
    assert request.failure.cause.message.startswith("éé")
    assert request.failure.ByteSize() <= CONFIG.blob_size_limit_warn_bytes + 100


def test_an_activity_fails_with_an_application_failure_only() -> None:
    with pytest.raises(InvalidArgument, match=r"^Failure must have ApplicationFailureInfo.$"):
        validate.activity_failed(api.RespondActivityTaskFailedRequest(failure=Failure(message="x")), CONFIG)
    assert validate.activity_failed(api.RespondActivityTaskFailedRequest(), CONFIG) == []


@pytest.mark.parametrize("causes", [90, 91])
def test_failures_are_no_deeper_than_clients_can_read_them_in_histories(causes: int) -> None:
    failure = Failure()
    for _ in range(causes):
        failure = Failure(cause=failure)
    failure.application_failure_info.type = "x"
    checks: list[Callable[[], Any]] = [
        lambda: validate.activity_failed(api.RespondActivityTaskFailedRequest(failure=failure), CONFIG),
        lambda: validate.activity_failed_by_id(
            api.RespondActivityTaskFailedByIdRequest(failure=failure, workflow_id="w", activity_id="a"), CONFIG
        ),
        lambda: validate.workflow_task_failed(api.RespondWorkflowTaskFailedRequest(failure=failure), CONFIG),
    ]
    for check in checks:
        if causes == 90:
            check()
            continue
        with pytest.raises(InvalidArgument, match="nested too deeply: it has 91 causes, more than 90"):
            check()


def test_a_query_answer_that_is_too_large_is_a_failed_query() -> None:
    request = api.RespondQueryTaskCompletedRequest(task_token=b"t", query_result=BIG, completed_type=1)
    validate.query_completed(request, CONFIG)
    assert (request.task_token, request.completed_type) == (b"t", 2)
    assert request.error_message == "Blob data size exceeds limit."
    assert not request.HasField("query_result")


@pytest.mark.parametrize("cls", [api.ResetActivityRequest, api.UnpauseActivityRequest])
def test_the_jitter_of_an_activity_is_cut_to_a_century(cls: Any) -> None:
    request = cls(execution={"workflow_id": "w"}, id="a", jitter=seconds(10**13))
    validate.activity_operation(request)
    assert request.jitter == seconds(100 * 365 * 24 * 3600)
