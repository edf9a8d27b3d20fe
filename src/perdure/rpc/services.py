"""The two services of Temporal's protocol, as their descriptors tell."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from temporalio.api.operatorservice.v1 import service_pb2 as operator
from temporalio.api.workflowservice.v1 import service_pb2 as workflow

SERVICES: tuple[ServiceDescriptor, ...] = (
    workflow.DESCRIPTOR.services_by_name["WorkflowService"],
    operator.DESCRIPTOR.services_by_name["OperatorService"],
)


def methods(services: Iterable[ServiceDescriptor] = SERVICES) -> Iterator[MethodDescriptor]:
    """Every method of the services. No name occurs in two of them."""
    for service in services:
        yield from service.methods


@functools.cache
def snake_case(name: str) -> str:
    """`StartWorkflowExecution` -> `start_workflow_execution`: how the handler of an RPC is called."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
