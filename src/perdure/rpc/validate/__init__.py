"""What a request must look like, and what its absent fields mean: one function for each RPC family.

A function takes the request and the configuration, fills in defaults in place, and raises `InvalidArgument` (rarely
another `PerdureError`) with the real server's words, in its order: of two faults it names the same one. It looks at the
request alone. A handler calls `namespace` first (for calls about namespaces their own function does; for answers of
workers `tokens.of_answer`), finds the namespace, and then calls the function of its RPC.
"""

from perdure.rpc.validate.activities import activity_canceled as activity_canceled
from perdure.rpc.validate.activities import activity_completed as activity_completed
from perdure.rpc.validate.activities import activity_failed as activity_failed
from perdure.rpc.validate.activities import activity_failed_by_id as activity_failed_by_id
from perdure.rpc.validate.activities import activity_heartbeat as activity_heartbeat
from perdure.rpc.validate.activities import activity_id as activity_id
from perdure.rpc.validate.batches import batch_job_id as batch_job_id
from perdure.rpc.validate.batches import batch_options as batch_options
from perdure.rpc.validate.batches import batches_enabled as batches_enabled
from perdure.rpc.validate.batches import describe_batch as describe_batch
from perdure.rpc.validate.batches import list_batches as list_batches
from perdure.rpc.validate.batches import start_batch as start_batch
from perdure.rpc.validate.batches import stop_batch as stop_batch
from perdure.rpc.validate.common import DESERIALIZING_TOKEN as DESERIALIZING_TOKEN
from perdure.rpc.validate.common import INVALID_NEXT_PAGE_TOKEN as INVALID_NEXT_PAGE_TOKEN
from perdure.rpc.validate.common import INVALID_TASK_TOKEN as INVALID_TASK_TOKEN
from perdure.rpc.validate.common import RUN_ID_MISMATCH as RUN_ID_MISMATCH
from perdure.rpc.validate.common import TOKEN_OF_OTHER_NAMESPACE as TOKEN_OF_OTHER_NAMESPACE
from perdure.rpc.validate.common import execution as execution
from perdure.rpc.validate.common import fast_forward_id as fast_forward_id
from perdure.rpc.validate.common import long_poll_deadline as long_poll_deadline
from perdure.rpc.validate.common import namespace as namespace
from perdure.rpc.validate.common import namespace_length as namespace_length
from perdure.rpc.validate.common import parse as parse
from perdure.rpc.validate.common import require_time_skipping as require_time_skipping
from perdure.rpc.validate.common import task_token as task_token
from perdure.rpc.validate.common import token_namespace as token_namespace
from perdure.rpc.validate.common import undecodable as undecodable
from perdure.rpc.validate.executions import cancel as cancel
from perdure.rpc.validate.executions import delete as delete
from perdure.rpc.validate.executions import describe as describe
from perdure.rpc.validate.executions import history as history
from perdure.rpc.validate.executions import history_reverse as history_reverse
from perdure.rpc.validate.executions import query as query
from perdure.rpc.validate.executions import reset as reset
from perdure.rpc.validate.executions import signal as signal
from perdure.rpc.validate.executions import terminate as terminate
from perdure.rpc.validate.multi_operation import ABORTED as ABORTED
from perdure.rpc.validate.multi_operation import FAILED as FAILED
from perdure.rpc.validate.multi_operation import multi_operation as multi_operation
from perdure.rpc.validate.namespaces import delete_namespace as delete_namespace
from perdure.rpc.validate.namespaces import describe_namespace as describe_namespace
from perdure.rpc.validate.namespaces import register_namespace as register_namespace
from perdure.rpc.validate.namespaces import update_namespace as update_namespace
from perdure.rpc.validate.operations import activity_execution as activity_execution
from perdure.rpc.validate.operations import activity_operation as activity_operation
from perdure.rpc.validate.operations import workflow_options as workflow_options
from perdure.rpc.validate.operations import workflow_pause as workflow_pause
from perdure.rpc.validate.queue_config import TOO_MANY_OVERRIDES as TOO_MANY_OVERRIDES
from perdure.rpc.validate.queue_config import queue_config as queue_config
from perdure.rpc.validate.schedules import create_schedule as create_schedule
from perdure.rpc.validate.schedules import list_schedules as list_schedules
from perdure.rpc.validate.schedules import patch_schedule as patch_schedule
from perdure.rpc.validate.schedules import schedule_id as schedule_id
from perdure.rpc.validate.schedules import schedule_matching_times as schedule_matching_times
from perdure.rpc.validate.schedules import update_schedule as update_schedule
from perdure.rpc.validate.start import signal_with_start as signal_with_start
from perdure.rpc.validate.start import start as start
from perdure.rpc.validate.tasks import describe_task_queue as describe_task_queue
from perdure.rpc.validate.tasks import list_partitions as list_partitions
from perdure.rpc.validate.tasks import partition_number as partition_number
from perdure.rpc.validate.tasks import poll_activity as poll_activity
from perdure.rpc.validate.tasks import poll_nexus as poll_nexus
from perdure.rpc.validate.tasks import poll_workflow as poll_workflow
from perdure.rpc.validate.tasks import query_completed as query_completed
from perdure.rpc.validate.tasks import workflow_task_completed as workflow_task_completed
from perdure.rpc.validate.tasks import workflow_task_failed as workflow_task_failed
from perdure.rpc.validate.updates import poll_update as poll_update
from perdure.rpc.validate.updates import update as update
from perdure.rpc.validate.visibility import list_archived as list_archived
from perdure.rpc.validate.visibility import list_closed as list_closed
from perdure.rpc.validate.visibility import list_open as list_open
from perdure.rpc.validate.visibility import list_workflows as list_workflows
