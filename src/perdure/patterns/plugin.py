"""What workers need for the patterns that have workflows of their own, and to hear answers from the first moment on."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from perdure.patterns.approval import Desk
from perdure.patterns.callback import CallbackDesk
from perdure.patterns.fanout.leaf import FanOutLeaf
from perdure.patterns.fanout.tree import FanOutTree
from perdure.patterns.poll import PollMany
from perdure.patterns.resume import SagaResume

WORKFLOWS: Sequence[type] = (SagaResume, FanOutTree, FanOutLeaf, PollMany)
"""Of the library."""


class PatternsPlugin(SimplePlugin):
    """Registers the library's workflows with workers that have workflows, and with replayers.

        worker = Worker(client, task_queue="orders", workflows=[Order], plugins=[PatternsPlugin()])

    Given to a client, it does so for all of its workers. A worker that has activities alone is left alone: it would get
    workflow tasks of others.

    All workflows of such a worker take updates for approvals and callbacks with their first workflow task, before they
    have opened any; those wait then. Without it they are rejected, except where the workflow's `__init__` restores its
    `Waits`.
    """

    def __init__(self) -> None:
        super().__init__("perdure.patterns", workflows=_with_ours, interceptors=[_Listening()])


def _with_ours(given: Sequence[type] | None) -> Sequence[type]:
    given = list(given or ())
    return [*given, *(each for each in WORKFLOWS if each not in given)] if given else given


class _Listening(Interceptor):
    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return _FirstUpdates


class _FirstUpdates(WorkflowInboundInterceptor):
    """The SDK runs the updates of the first workflow task before the workflow's code, and rejects those that nothing
    takes then."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(outbound)
        Desk.first()
        CallbackDesk.first()
