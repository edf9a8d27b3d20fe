"""Schedules: created, shown, changed, deleted, listed."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from temporalio.api.common.v1 import Memo
from temporalio.api.schedule.v1 import ScheduleListEntry
from temporalio.api.workflowservice.v1 import (
    CountSchedulesRequest,
    CountSchedulesResponse,
    CreateScheduleRequest,
    CreateScheduleResponse,
    DeleteScheduleRequest,
    DeleteScheduleResponse,
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    ListScheduleMatchingTimesRequest,
    ListScheduleMatchingTimesResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
    PatchScheduleRequest,
    PatchScheduleResponse,
    UpdateScheduleRequest,
    UpdateScheduleResponse,
)

from perdure.engine.entity import space
from perdure.engine.inputs import Input
from perdure.engine.schedule import shown
from perdure.engine.schedule.inputs import CreateSchedule, DeleteSchedule, PatchSchedule, UpdateSchedule
from perdure.engine.schedule.spec import TooManyExclusions, fill_ranges, times
from perdure.engine.schedule.state import ScheduleCore
from perdure.engine.times import get_time, set_time
from perdure.errors import InvalidArgument, NotFound, WorkflowExecutionAlreadyStarted
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.validate.schedules import LISTABLE, WORKFLOW_ID_PREFIX, query_failed
from perdure.runtime.executor import WORKFLOW_NOT_FOUND
from perdure.runtime.namespaces import Namespace
from perdure.runtime.run import Run
from perdure.runtime.runtime import Runtime
from perdure.runtime.schedules import core_of, definition_of
from perdure.storage.base import VisibilityRow
from perdure.visibility import schema
from perdure.visibility.query import compile_count, compile_list

MAX_MATCHING_TIMES = 1000
TOKEN_BYTES = 8
_OPEN = "ExecutionStatus = 'Running'"


class ScheduleHandlers:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = runtime.executor
        self._schedules = runtime.schedules
        self._schedules.check_start = functools.partial(
            validate.start, config=runtime.config, rules=runtime.namespaces.rules
        )

    def _namespace(self, request: object) -> Namespace:
        validate.namespace(request, self._runtime.config)  # type: ignore[arg-type]
        return self._runtime.namespaces.get(request.namespace)  # type: ignore[attr-defined]

    async def _find(self, namespace: Namespace, schedule_id: str) -> Run:
        """The newest schedule of that id, over or not."""
        validate.schedule_id(schedule_id)
        run = await self._schedules.find(namespace.id, schedule_id)
        if run is None:
            raise NotFound(WORKFLOW_NOT_FOUND.format(WORKFLOW_ID_PREFIX + schedule_id))
        return run

    async def _apply(self, namespace: Namespace, schedule_id: str, input: Input) -> None:
        run = await self._find(namespace, schedule_id)
        self._executor.apply(run, input)
        await self._executor.settled(run)

    async def create_schedule(self, request: CreateScheduleRequest, call: Call) -> CreateScheduleResponse:
        executor = self._executor
        namespace = self._namespace(request)
        validate.create_schedule(request, self._runtime.config, self._runtime.namespaces.rules)
        existing = await self._schedules.find(namespace.id, request.schedule_id)
        if existing is not None and core_of(existing).create_request_id == request.request_id:
            await executor.settled(existing)
            return CreateScheduleResponse(conflict_token=_token(1))
        if existing is not None and existing.execution.running:
            raise WorkflowExecutionAlreadyStarted(f'schedule "{request.schedule_id}" is already registered', "", "")
        core = ScheduleCore(
            namespace_id=namespace.id,
            workflow_id=request.schedule_id,
            run_id=executor.ids.uuid(),
            memo=request.memo.SerializeToString(deterministic=True),
            search_attributes=request.search_attributes.SerializeToString(deterministic=True),
            namespace=namespace.name,
            create_request_id=request.request_id,
        )
        patch = request.initial_patch if request.HasField("initial_patch") else None
        run = executor.create(core, CreateSchedule(request.schedule, patch))
        await executor.settled(run)
        return CreateScheduleResponse(conflict_token=_token(1))

    async def describe_schedule(self, request: DescribeScheduleRequest, call: Call) -> DescribeScheduleResponse:
        namespace = self._namespace(request)
        run = await self._find(namespace, request.schedule_id)
        core = core_of(run)
        if not run.execution.running:
            raise NotFound("schedule not found")
        definition = definition_of(run)
        response = DescribeScheduleResponse(
            schedule=shown.described(core, definition),
            info=shown.info(core, definition),
            search_attributes=shown.own_attributes(core.search_attributes),
            memo=shown.own_memo(core.memo)[0],
            conflict_token=_token(core.conflict_token),
        )
        fill_ranges(response.schedule.spec)
        await self._executor.settled(run)
        return response

    async def update_schedule(self, request: UpdateScheduleRequest, call: Call) -> UpdateScheduleResponse:
        namespace = self._namespace(request)
        validate.update_schedule(request, self._runtime.config, self._runtime.namespaces.rules)
        token = request.conflict_token
        update = UpdateSchedule(
            request.schedule,
            int.from_bytes(token[:TOKEN_BYTES], "big") if len(token) >= TOKEN_BYTES else 0,
            request.search_attributes if request.HasField("search_attributes") else None,
            request.request_id,
        )
        await self._apply(namespace, request.schedule_id, update)
        return UpdateScheduleResponse()

    async def patch_schedule(self, request: PatchScheduleRequest, call: Call) -> PatchScheduleResponse:
        namespace = self._namespace(request)
        validate.patch_schedule(request, self._runtime.config)
        await self._apply(namespace, request.schedule_id, PatchSchedule(request.patch, request.request_id))
        return PatchScheduleResponse()

    async def delete_schedule(self, request: DeleteScheduleRequest, call: Call) -> DeleteScheduleResponse:
        namespace = self._namespace(request)
        await self._apply(namespace, request.schedule_id, DeleteSchedule())
        return DeleteScheduleResponse()

    async def list_schedule_matching_times(
        self, request: ListScheduleMatchingTimesRequest, call: Call
    ) -> ListScheduleMatchingTimesResponse:
        namespace = self._namespace(request)
        run = await self._find(namespace, request.schedule_id)
        validate.schedule_matching_times(request)
        known, seed = times(definition_of(run).spec), shown.seed(core_of(run))
        response = ListScheduleMatchingTimesResponse()
        at_ns, end_ns = get_time(request.start_time), get_time(request.end_time)
        try:
            while len(response.start_time) < MAX_MATCHING_TIMES:
                following = known.next(seed, at_ns)
                if following is None or following.actual_ns > end_ns:
                    break
                at_ns = following.actual_ns
                set_time(response.start_time.add(), at_ns)
        except TooManyExclusions as problem:
            raise query_failed(str(problem)) from problem
        await self._executor.settled(run)
        return response

    async def list_schedules(self, request: ListSchedulesRequest, call: Call) -> ListSchedulesResponse:
        namespace = self._namespace(request)
        validate.list_schedules(request, self._runtime.config)
        size = request.maximum_page_size
        compiled = compile_list(_query(request.query, namespace), namespace.custom_search_attributes)
        page = compiled.after(request.next_page_token) if request.next_page_token else compiled
        rows = await self._runtime.storage.list_visibility(
            space(namespace.id, ScheduleCore.division), page.where, page.params, page.order_by, size + 1
        )
        return ListSchedulesResponse(
            schedules=[_entry(row) for _, row in rows[:size]],
            next_page_token=compiled.token(*rows[size - 1]) if len(rows) > size else b"",
        )

    async def count_schedules(self, request: CountSchedulesRequest, call: Call) -> CountSchedulesResponse:
        namespace = self._namespace(request)
        compiled = compile_count(_query(request.query, namespace), namespace.custom_search_attributes)
        counted = await self._runtime.storage.count_visibility(
            space(namespace.id, ScheduleCore.division), compiled.where, compiled.params
        )
        return CountSchedulesResponse(count=sum(number for _, number in counted))


def _query(query: str, namespace: Namespace) -> str:
    """The query for those of the schedules that are meant which are not over."""
    if not query.strip():
        return _OPEN
    _check_fields(compile_count(query, namespace.custom_search_attributes).fields)
    return f"{_OPEN} AND ({query})"


def _check_fields(fields: Iterable[str]) -> None:
    for field in sorted(fields):
        if field not in LISTABLE and schema.is_reserved(field):
            raise InvalidArgument(f'invalid query filter for schedules: cannot filter on "{field}"')


def _entry(row: VisibilityRow) -> ScheduleListEntry:
    memo, info = shown.own_memo(row.memo or b"")
    fill_ranges(info.spec)
    attributes = shown.own_attributes(row.attributes or b"")
    return ScheduleListEntry(schedule_id=row.workflow_id, memo=memo or Memo(), search_attributes=attributes, info=info)


def _token(number: int) -> bytes:
    return number.to_bytes(TOKEN_BYTES, "big")
