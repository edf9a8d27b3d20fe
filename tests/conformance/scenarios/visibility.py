"""Listing, counting and scanning by queries, and the queries that are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.conformance.driver import Driver
from tests.conformance.messages import child, fail_workflow, succeed


async def _three(d: Driver) -> str:
    """Three workflows, one completed, one failed, one running; returns the query that finds them."""
    mark = d.name("mark")
    for number, close in enumerate((succeed(), fail_workflow(), None)):
        queue = d.name(f"tq{number}")
        attributes = {
            "ConfKeyword": mark,
            "ConfInt": number,
            "ConfDouble": number + 0.5,
            "ConfBool": number == 1,
            "ConfDatetime": f"2024-01-0{number + 1}T00:00:00Z",
            "ConfText": f"word{number} common",
            "ConfKeywordList": [f"k{number}", "all"],
        }
        fields = {"task_queue": queue, "search_attributes": attributes, "memo": {"n": number}}
        await d.start(d.name(f"wf{number}"), workflow_type=f"type{number}", **fields)
        if close:
            await d.complete(await d.poll_wft(queue), close)
    query = f"ConfKeyword = '{mark}'"
    await d.until_listed(query, 3)
    await d.until_listed(f"{query} AND ExecutionStatus = 'Running'", 1)
    return query


async def lists_what_there_is(d: Driver) -> None:
    query = await _three(d)
    await d.call("ListWorkflowExecutions", query=query)


async def lists_in_pages(d: Driver) -> None:
    query = await _three(d)
    reply = await d.call("ListWorkflowExecutions", query=query, page_size=2)
    reply = await d.call("ListWorkflowExecutions", query=query, page_size=2, next_page_token=reply.next_page_token)
    await d.call("ListWorkflowExecutions", query=query, page_size=2, next_page_token=b"nonsense")
    await d.call("ListWorkflowExecutions", query=query, page_size=-1)
    await d.call("ListWorkflowExecutions", query=query, page_size=100_000)


async def scans(d: Driver) -> None:
    query = await _three(d)
    await d.call("ScanWorkflowExecutions", query=query)


async def counts(d: Driver) -> None:
    query = await _three(d)
    await d.call("CountWorkflowExecutions", query=query)
    await d.call("CountWorkflowExecutions", query=f"{query} AND ConfInt > 0")
    await d.call("CountWorkflowExecutions", query=f"{query} AND ConfInt > 99")


async def counts_by_status(d: Driver) -> None:
    query = await _three(d)
    await d.call("CountWorkflowExecutions", query=f"{query} GROUP BY ExecutionStatus")
    await d.call("CountWorkflowExecutions", query=f"{query} AND ConfInt > 99 GROUP BY ExecutionStatus")


async def counts_by_what_is_not_supported(d: Driver) -> None:
    query = await _three(d)
    await d.call("CountWorkflowExecutions", query=f"{query} GROUP BY WorkflowType")
    await d.call("CountWorkflowExecutions", query=f"{query} GROUP BY ConfInt")
    await d.call("CountWorkflowExecutions", query=f"{query} GROUP BY ExecutionStatus, WorkflowType")
    await d.call("CountWorkflowExecutions", query=f"{query} GROUP BY Nobody")
    await d.call("ListWorkflowExecutions", query=f"{query} GROUP BY ExecutionStatus")


async def lists_open_and_closed(d: Driver) -> None:
    await _three(d)
    everything = {"earliest_time": {"seconds": 1}, "latest_time": {"seconds": 10**10}}
    for number in range(3):
        fields = {"start_time_filter": everything, "execution_filter": {"workflow_id": d.name(f"wf{number}")}}
        await d.call("ListOpenWorkflowExecutions", **fields)
        await d.call("ListClosedWorkflowExecutions", **fields)


async def lists_closed_by_status(d: Driver) -> None:
    everything = {"earliest_time": {"seconds": 10**10}, "latest_time": {"seconds": 10**10 + 1}}
    await d.call("ListClosedWorkflowExecutions", start_time_filter=everything, status_filter={"status": "COMPLETED"})
    await d.call("ListClosedWorkflowExecutions", start_time_filter=everything, status_filter={"status": "RUNNING"})
    await d.call("ListClosedWorkflowExecutions", start_time_filter=everything, type_filter={"name": "type0"})
    backwards = {"earliest_time": {"seconds": 10}, "latest_time": {"seconds": 5}}
    await d.call("ListClosedWorkflowExecutions", start_time_filter=backwards)
    await d.call("ListOpenWorkflowExecutions", start_time_filter=backwards)
    await d.call("ListOpenWorkflowExecutions", start_time_filter=everything, type_filter={"name": "nobody"})


async def keyword_lists_and_case(d: Driver) -> None:
    await d.start(search_attributes={"ConfKeywordList": ["Red"]})
    here = f"WorkflowId = '{d.workflow_id}' AND"
    await d.until_listed(f"{here} ConfKeywordList = 'Red'", 1)
    for query in ("ConfKeywordList = 'red'", "ConfKeywordList IN ('red', 'blue')", "ConfKeywordList != 'red'"):
        await d.call("CountWorkflowExecutions", query=f"{here} {query}")


async def children_know_their_parent_and_root(d: Driver) -> None:
    await d.start()
    await d.step(child(d.name("kid")))
    await d.until_event("CHILD_WORKFLOW_EXECUTION_STARTED")
    for query in (
        f"ParentWorkflowId = '{d.workflow_id}'",
        f"RootWorkflowId = '{d.workflow_id}' AND ParentWorkflowId IS NULL",
        f"RootWorkflowId = '{d.workflow_id}' AND ParentWorkflowId IS NOT NULL",
    ):
        await d.until_listed(query, 1)
        await d.call("ListWorkflowExecutions", query=query)


async def lists_nothing_in_an_unknown_namespace(d: Driver) -> None:
    for method in ("ListWorkflowExecutions", "CountWorkflowExecutions", "ScanWorkflowExecutions"):
        await d.call(method, namespace="nowhere")
        await d.call(method, namespace="")


async def archived_is_not_configured(d: Driver) -> None:
    await d.call("ListArchivedWorkflowExecutions", query="")
    await d.call("ListArchivedWorkflowExecutions", query="", page_size=10)


CONDITIONS = [
    "ConfInt = 1",
    "ConfInt != 1",
    "ConfInt < 1",
    "ConfInt <= 1",
    "ConfInt > 1",
    "ConfInt >= 1",
    "ConfInt BETWEEN 1 AND 2",
    "ConfInt NOT BETWEEN 1 AND 2",
    "ConfInt IN (0, 2)",
    "ConfInt NOT IN (0, 2)",
    "ConfInt IS NULL",
    "ConfInt IS NOT NULL",
    "ConfDouble > 1",
    "ConfDouble = 1.5",
    "ConfBool = true",
    "ConfBool = false",
    "ConfBool = 'true'",
    "ConfDatetime = '2024-01-02T00:00:00Z'",
    "ConfDatetime > '2024-01-01T12:00:00Z'",
    "ConfDatetime BETWEEN '2024-01-01T00:00:00Z' AND '2024-01-02T00:00:00Z'",
    "ConfDatetime > '2024-01-01T12:00:00+01:00'",
    "ConfText = 'word1'",
    "ConfText != 'word1'",
    "ConfText = 'common word2'",
    "ConfText = 'WORD1'",
    "ConfKeywordList = 'k1'",
    "ConfKeywordList != 'k1'",
    "ConfKeywordList IN ('k0', 'k1')",
    "ConfKeywordList NOT IN ('k0', 'k1')",
    "ConfKeywordList = 'all'",
    "WorkflowType = 'type1'",
    "WorkflowType STARTS_WITH 'type'",
    "WorkflowType NOT STARTS_WITH 'type1'",
    "WorkflowType IN ('type0', 'type1')",
    "WorkflowType > 'type0'",
    "WorkflowType BETWEEN 'type1' AND 'type2'",
    "ExecutionStatus = 'Running'",
    "ExecutionStatus = 'RUNNING'",
    "ExecutionStatus = 1",
    "ExecutionStatus IN ('Completed', 'Failed')",
    "ExecutionStatus != 'Completed'",
    "ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_FAILED'",
    "CloseTime IS NULL",
    "CloseTime IS NOT NULL",
    "CloseTime > '2020-01-01T00:00:00Z'",
    "StartTime > '2020-01-01T00:00:00Z'",
    "StartTime < '2020-01-01T00:00:00Z'",
    "StartTime > 1577836800000000000",
    "ExecutionTime > '2020-01-01T00:00:00Z'",
    "ExecutionDuration < '1h'",
    "ExecutionDuration < 3600000000000",
    "ExecutionDuration < '00:59:59'",
    "ExecutionDuration IS NULL",
    "HistoryLength > 3",
    "HistorySizeBytes > 1",
    "StateTransitionCount > 0",
    "ParentWorkflowId IS NULL",
    "RootWorkflowId IS NOT NULL",
    "TaskQueue STARTS_WITH 'tq1'",
    "WorkflowId STARTS_WITH 'wf1'",
    "(ConfInt = 0 OR ConfInt = 1) AND ConfBool = true",
    "ConfInt = 0 OR ConfInt = 1",
    "NOT ConfInt = 1",
    "NOT (ConfInt = 0 OR ConfInt = 1)",
    "`ConfInt` = 1",
    'WorkflowType = "type1"',
    "WorkflowType = 'it''s'",
    "CustomInt = 1",
    "BuildIds IS NULL",
    "TemporalChangeVersion IS NULL",
]


async def conditions(d: Driver) -> None:
    """Each condition on three workflows: how many it finds, or why not."""
    query = await _three(d)
    for condition in CONDITIONS:
        await d.call("CountWorkflowExecutions", query=f"{query} AND ({condition})")


BAD_QUERIES = {
    "no_operator": "WorkflowType",
    "no_value": "WorkflowType =",
    "no_name": "= 'x'",
    "unknown_name": "Nobody = 'x'",
    "open_quote": "WorkflowType = 'x",
    "open_parenthesis": "(WorkflowType = 'x'",
    "closing_parenthesis": "WorkflowType = 'x')",
    "two_conditions": "WorkflowType = 'x' WorkflowId = 'y'",
    "dangling_and": "WorkflowType = 'x' AND",
    "strange_character": "WorkflowType = 'x' ; drop",
    "unquoted_text": "WorkflowType = x",
    "name_on_the_right": "'x' = WorkflowType",
    "like": "WorkflowType LIKE 'x%'",
    "not_like": "WorkflowType NOT LIKE 'x%'",
    "regexp": "WorkflowType REGEXP 'x'",
    "function": "LOWER(WorkflowType) = 'x'",
    "arithmetic": "HistoryLength = 1 + 2",
    "null_by_equality": "CloseTime = NULL",
    "is_true": "ConfBool IS TRUE",
    "exists": "EXISTS (SELECT 1)",
    "subquery": "WorkflowType IN (SELECT 1)",
    "text_for_int": "ConfInt = 'one'",
    "float_for_int": "ConfInt = 1.5",
    "int_for_keyword": "ConfKeyword = 7",
    "text_for_bool": "ConfBool = 'maybe'",
    "int_for_bool": "ConfBool = 1",
    "text_for_double": "ConfDouble = 'much'",
    "text_for_datetime": "ConfDatetime = 'yesterday'",
    "bool_for_datetime": "StartTime > true",
    "unknown_status": "ExecutionStatus = 'Sleeping'",
    "unknown_status_number": "ExecutionStatus = 99",
    "bad_duration": "ExecutionDuration > 'long'",
    "greater_on_text": "ConfText > 'a'",
    "between_on_text": "ConfText BETWEEN 'a' AND 'b'",
    "starts_with_on_text": "ConfText STARTS_WITH 'a'",
    "starts_with_on_int": "ConfInt STARTS_WITH 1",
    "starts_with_on_list": "ConfKeywordList STARTS_WITH 'a'",
    "greater_on_list": "ConfKeywordList > 'a'",
    "greater_on_bool": "ConfBool > true",
    "between_without_and": "ConfInt BETWEEN 1",
    "empty_in": "ConfInt IN ()",
    "in_without_parentheses": "ConfInt IN 1",
    "mixed_in": "ConfInt IN (1, 'x')",
    "order_by": "WorkflowType = 'nobody' ORDER BY StartTime DESC",
    "order_by_unknown": "WorkflowType = 'nobody' ORDER BY Nobody",
    "order_by_text": "WorkflowType = 'nobody' ORDER BY ConfText",
    "limit": "WorkflowType = 'nobody' LIMIT 1",
    "select": "SELECT * FROM executions",
    "namespace_division": "TemporalNamespaceDivision = 'x' AND WorkflowType = 'nobody'",
    "namespace_id": "NamespaceId = 'x'",
    "visibility_column": "Memo = 'x'",
    "column_name": "workflow_type_name = 'x'",
    "lower_case_name": "workflowtype = 'x'",
}


def _bad(query: str) -> Callable[[Driver], Awaitable[None]]:
    async def refused(d: Driver) -> None:
        await d.call("ListWorkflowExecutions", query=query)
        await d.call("CountWorkflowExecutions", query=query)

    return refused


TABLE = {f"query_{name}": _bad(query) for name, query in BAD_QUERIES.items()}
