"""Ask a real server the golden queries and values again: `python -m tests.visibility.record HOST:PORT`.

It wants a server of its own, just started, with nothing in it; the golden files are written anew.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from temporalio.api.common.v1 import Payload, SearchAttributes, WorkflowExecution, WorkflowType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, OperatorServiceStub
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeWorkflowExecutionRequest,
    GetSystemInfoRequest,
    ListWorkflowExecutionsRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    WorkflowServiceStub,
)
from tests.visibility.table import CUSTOM

HERE = Path(__file__).parent
RUNS: dict[str, dict[str, Any]] = {
    "a1": {
        "MyText": "Hello, World foo-bar", "MyKw": "k_1%", "MyInt": 5, "MyDouble": 1.5, "MyBool": True,
        "MyTime": "2024-01-02T03:04:05Z", "MyList": ["x", "Y z"],
    },
    "a2": {
        "MyText": "hello there", "MyKw": "K_1", "MyInt": 7, "MyDouble": 2, "MyBool": False,
        "MyTime": "2025-01-02T03:04:05.123456789Z", "MyList": ["X"],
    },
    "b3": {"MyKw": "it's", "MyInt": -1},
    "b4": {},
}  # fmt: skip


class Recorder:
    def __init__(self, address: str) -> None:
        channel = grpc.insecure_channel(address)
        self.workflows: Any = WorkflowServiceStub(channel)
        OperatorServiceStub(channel).AddSearchAttributes(
            AddSearchAttributesRequest(namespace="default", search_attributes=CUSTOM)  # type: ignore[arg-type]
        )
        version = self.workflows.GetSystemInfo(GetSystemInfoRequest()).server_version
        self.head = f'{{"server": "{version} on SQLite",\n'

    def start(self, workflow_id: str, values: dict[str, Any]) -> None:
        """Attributes that were just added may take a while to be known."""
        fields = {
            name: Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())
            for name, value in values.items()
        }
        request = StartWorkflowExecutionRequest(
            namespace="default",
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name=f"T{workflow_id[0]}"),
            task_queue=TaskQueue(name="q"),
            request_id=workflow_id,
            search_attributes=SearchAttributes(indexed_fields=fields),
        )
        until = time.monotonic() + 30
        while True:
            try:
                self.workflows.StartWorkflowExecution(request)
                return
            except grpc.RpcError as error:
                if "no mapping" not in error.details() or time.monotonic() > until:
                    raise
                time.sleep(0.5)

    def queries(self) -> None:
        for workflow_id, values in RUNS.items():
            self.start(workflow_id, values)
        execution = WorkflowExecution(workflow_id="b4")
        self.workflows.TerminateWorkflowExecution(
            TerminateWorkflowExecutionRequest(namespace="default", workflow_execution=execution)
        )
        until = time.monotonic() + 30
        while len(self.listed("CloseTime IS NOT NULL")) + len(self.listed("")) < 5 and time.monotonic() < until:
            time.sleep(0.2)
        golden = json.loads((HERE / "golden_queries.json").read_text())
        for entry in golden["queries"]:
            ask = self.counted if entry.get("count") else self.listed
            entry["answer"] = answered(lambda ask=ask, query=entry["query"]: ask(query))  # type: ignore[misc]
        middle = f' "attributes": {json.dumps(CUSTOM)},\n "queries": [\n'
        write("golden_queries.json", self.head + middle, golden["queries"])

    def listed(self, query: str) -> list[str]:
        request = ListWorkflowExecutionsRequest(namespace="default", query=query)
        return sorted(info.execution.workflow_id for info in self.workflows.ListWorkflowExecutions(request).executions)

    def counted(self, query: str) -> list[Any]:
        request = CountWorkflowExecutionsRequest(namespace="default", query=query)
        response = self.workflows.CountWorkflowExecutions(request)
        return [response.count, [[group.group_values[0].data.decode(), group.count] for group in response.groups]]

    def values(self) -> None:
        golden = json.loads((HERE / "golden_values.json").read_text())
        for number, entry in enumerate(golden["values"]):

            def kept(number: int = number, entry: dict[str, Any] = entry) -> Any:
                self.start(f"v{number}", {entry["name"]: entry["value"]})
                request = DescribeWorkflowExecutionRequest(
                    namespace="default", execution=WorkflowExecution(workflow_id=f"v{number}")
                )
                info = self.workflows.DescribeWorkflowExecution(request).workflow_execution_info
                return {
                    name: [{key: value.decode() for key, value in found.metadata.items()}, found.data.decode()]
                    for name, found in info.search_attributes.indexed_fields.items()
                }

            entry["answer"] = answered(kept)
        write("golden_values.json", self.head + ' "values": [\n', golden["values"])


def answered(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"


def write(name: str, head: str, entries: list[dict[str, Any]]) -> None:
    lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in entries)
    (HERE / name).write_text(f"{head}{lines}\n]}}\n")


if __name__ == "__main__":
    recorder = Recorder(sys.argv[1])
    recorder.queries()
    recorder.values()
