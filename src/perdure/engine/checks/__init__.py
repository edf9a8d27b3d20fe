"""What the real server checks, and fills in, on the commands of a workflow task.

`check_sequence` looks at the commands as a whole and refuses the call. `check_command` looks at one command before it
becomes an event: it fills in defaults *in place* and raises `BadCommand` when the task must fail. Nothing here changes
an execution; what depends on pending items by id (a duplicate timer, an unknown activity) is said by the machines, with
the words of `bad_action`.
"""

from perdure.engine.checks.commands import BadCommand as BadCommand
from perdure.engine.checks.commands import CommandContext as CommandContext
from perdure.engine.checks.commands import bad_action as bad_action
from perdure.engine.checks.commands import cause_name as cause_name
from perdure.engine.checks.commands import check_cancel_timer as check_cancel_timer
from perdure.engine.checks.commands import check_cancel_workflow_execution as check_cancel_workflow_execution
from perdure.engine.checks.commands import check_command as check_command
from perdure.engine.checks.commands import check_complete_workflow_execution as check_complete_workflow_execution
from perdure.engine.checks.commands import check_fail_workflow_execution as check_fail_workflow_execution
from perdure.engine.checks.commands import (
    check_modify_workflow_properties as check_modify_workflow_properties,
)
from perdure.engine.checks.commands import check_protocol_message as check_protocol_message
from perdure.engine.checks.commands import check_record_marker as check_record_marker
from perdure.engine.checks.commands import check_request_cancel_activity_task as check_request_cancel_activity_task
from perdure.engine.checks.commands import check_schedule_activity_task as check_schedule_activity_task
from perdure.engine.checks.commands import check_sequence as check_sequence
from perdure.engine.checks.commands import check_start_timer as check_start_timer
from perdure.engine.checks.commands import (
    check_upsert_workflow_search_attributes as check_upsert_workflow_search_attributes,
)
from perdure.engine.checks.executions import (
    check_continue_as_new_workflow_execution as check_continue_as_new_workflow_execution,
)
from perdure.engine.checks.executions import (
    check_request_cancel_external_workflow_execution as check_request_cancel_external_workflow_execution,
)
from perdure.engine.checks.executions import (
    check_signal_external_workflow_execution as check_signal_external_workflow_execution,
)
from perdure.engine.checks.executions import (
    check_start_child_workflow_execution as check_start_child_workflow_execution,
)
