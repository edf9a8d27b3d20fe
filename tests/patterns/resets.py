"""Resets of workflows, in tests."""

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest


async def reset_first_run(env, workflow_id, number=1):
    """To the completed workflow task of that number, of the oldest run. The new one."""
    history = (await env.histories(workflow_id))[0]
    completed = [
        each.event_id for each in history.events if each.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    made = await env.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=env.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=history.run_id),
            workflow_task_finish_event_id=completed[number - 1],
            request_id="once",
        )
    )
    return env.client.get_workflow_handle(workflow_id, run_id=made.run_id)
