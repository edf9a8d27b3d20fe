"""Namespaces, search attributes of the operator, and what the server says of itself."""

from __future__ import annotations

from tests.conformance.driver import Driver

DAY_S = 24 * 3600


async def _registered(d: Driver, **fields: object) -> str:
    name = d.name("ns")
    await d.call("RegisterNamespace", namespace=name, **{"workflow_execution_retention_period": DAY_S, **fields})
    return name


async def is_registered_and_described(d: Driver) -> None:
    name = await _registered(d, description="for tests", owner_email="me@example.com", data={"k": "v"})
    reply = await d.call("DescribeNamespace", namespace=name)
    await d.call("DescribeNamespace", namespace="", id=reply.namespace_info.id)


async def is_registered_twice(d: Driver) -> None:
    await _registered(d)
    await _registered(d)


async def is_used_after_registration(d: Driver) -> None:
    name = await _registered(d)

    async def ready() -> bool:
        return bool(await d.quietly("CountWorkflowExecutions", namespace=name))

    await d.until(ready, attempts=400)
    await d.start(namespace=name)
    await d.poll_wft(namespace=name)


async def is_updated(d: Driver) -> None:
    name = await _registered(d, data={"keep": "1", "change": "1"})
    info = {"description": "new words", "owner_email": "you@example.com", "data": {"change": "2", "add": "3"}}
    await d.call("UpdateNamespace", namespace=name, update_info=info)
    await d.call("UpdateNamespace", namespace=name, config={"workflow_execution_retention_ttl": 3 * DAY_S})
    await d.call("DescribeNamespace", namespace=name)


async def is_deprecated(d: Driver) -> None:
    name = await _registered(d)
    await d.call("DeprecateNamespace", namespace=name)
    await d.call("DescribeNamespace", namespace=name)
    await d.call("DeprecateNamespace", namespace="nowhere-to-be-found")


async def default_is_described(d: Driver) -> None:
    await d.call("DescribeNamespace", namespace="default")


async def describe_is_refused(d: Driver) -> None:
    await d.call("DescribeNamespace", namespace="nowhere")
    await d.call("DescribeNamespace", namespace="")
    await d.call("DescribeNamespace", namespace="", id="11111111-2222-4333-8444-555555555555")
    await d.call("DescribeNamespace", namespace="", id="not-a-uuid")


async def register_is_refused(d: Driver) -> None:
    good = {"workflow_execution_retention_period": DAY_S}
    await d.call("RegisterNamespace", namespace="", **good)
    await d.call("RegisterNamespace", namespace="x" * 1001, **good)
    await d.call("RegisterNamespace", namespace=d.name("x"), **good)
    await d.call("RegisterNamespace", namespace=d.name("with space"), **good)
    await d.call("RegisterNamespace", namespace="default", **good)
    await d.call("RegisterNamespace", namespace="temporal-system", **good)
    await d.call("RegisterNamespace", namespace=d.name("a"))
    await d.call("RegisterNamespace", namespace=d.name("b"), workflow_execution_retention_period=0)
    await d.call("RegisterNamespace", namespace=d.name("c"), workflow_execution_retention_period=-1)
    await d.call("RegisterNamespace", namespace=d.name("d"), workflow_execution_retention_period=60)
    await d.call("RegisterNamespace", namespace=d.name("e"), is_global_namespace=True, **good)
    await d.call("RegisterNamespace", namespace=d.name("f"), active_cluster_name="elsewhere", **good)
    await d.call("RegisterNamespace", namespace=d.name("g"), history_archival_state="ENABLED", **good)


async def update_is_refused(d: Driver) -> None:
    await d.call("UpdateNamespace", namespace="nowhere")
    await d.call("UpdateNamespace", namespace="")
    name = await _registered(d)
    await d.call("UpdateNamespace", namespace=name, config={"workflow_execution_retention_ttl": 60})
    await d.call("UpdateNamespace", namespace=name, config={"workflow_execution_retention_ttl": -1})
    await d.call("UpdateNamespace", namespace=name, delete_bad_binary="x")
    await d.call("UpdateNamespace", namespace=name, promote_namespace=True)


async def is_deleted(d: Driver) -> None:
    name = await _registered(d)

    async def known() -> bool:
        return bool(await d.quietly("CountWorkflowExecutions", namespace=name))

    async def forgotten() -> bool:
        return not await d.quietly("CountWorkflowExecutions", namespace=name)

    await d.until(known, attempts=400)
    await d.call("DeleteNamespace", namespace=name)
    await d.until(forgotten, attempts=400)
    await d.call("DescribeNamespace", namespace=name)
    await d.start(namespace=name)


async def is_deleted_by_an_update(d: Driver) -> None:
    name = await _registered(d)

    async def open_() -> bool:
        return bool(await d.quietly("CountWorkflowExecutions", namespace=name))

    async def closed() -> bool:
        return not await open_()

    await d.until(open_, attempts=400)
    await d.start(namespace=name)
    task = await d.poll_wft(namespace=name)
    await d.call("UpdateNamespace", namespace=name, update_info={"state": "DEPRECATED"})
    await d.call("UpdateNamespace", namespace=name, update_info={"state": "DELETED"})
    await d.until(closed, attempts=400)
    execution = {"workflow_id": d.workflow_id}
    await d.start(namespace=name)
    await d.signal_with_start(namespace=name)
    await d.signal(namespace=name)
    await d.describe(namespace=name)
    await d.history(namespace=name)
    await d.complete(task, namespace=name)
    await d.complete(task, namespace="")
    await d.poll_wft_in_vain(namespace=name)
    await d.poll_activity_in_vain(namespace=name)
    await d.query(namespace=name)
    await d.call("ResetStickyTaskQueue", namespace=name, execution=execution)
    await d.call("ListWorkflowExecutions", namespace=name)
    await d.call("DescribeTaskQueue", namespace=name, task_queue="tq")
    await d.call("ListSchedules", namespace=name)
    await d.call("ListSearchAttributes", namespace=name)
    await d.call("UpdateNamespace", namespace=name, update_info={"description": "gone"})
    await d.call("UpdateNamespace", namespace=name, update_info={"state": "REGISTERED"})
    await d.call("DeprecateNamespace", namespace=name)
    await d.call("DescribeNamespace", namespace=name)


async def delete_is_refused(d: Driver) -> None:
    await d.call("DeleteNamespace", namespace="nowhere")
    await d.call("DeleteNamespace", namespace="")
    await d.call("DeleteNamespace", namespace="temporal-system")


async def search_attributes_are_listed(d: Driver) -> None:
    await d.call("ListSearchAttributes", namespace="conformance-other")
    await d.call("GetSearchAttributes")


async def search_attributes_are_added_and_removed(d: Driver) -> None:
    name = await _registered(d)

    async def known() -> bool:
        return bool(await d.quietly("ListSearchAttributes", namespace=name))

    await d.until(known, attempts=400)
    await d.call("AddSearchAttributes", namespace=name, search_attributes={"Colour": 2, "Size": 3})
    await d.call("AddSearchAttributes", namespace=name, search_attributes={"Colour": 2})
    await d.call("AddSearchAttributes", namespace=name, search_attributes={"Colour": 3})
    await d.call("ListSearchAttributes", namespace=name)
    await d.call("RemoveSearchAttributes", namespace=name, search_attributes=["Colour"])
    await d.call("RemoveSearchAttributes", namespace=name, search_attributes=["Colour"])
    await d.call("RemoveSearchAttributes", namespace=name, search_attributes=["WorkflowId"])
    await d.call("ListSearchAttributes", namespace=name)


async def search_attributes_are_refused(d: Driver) -> None:
    await d.call("AddSearchAttributes", namespace="default")
    await d.call("AddSearchAttributes", namespace="default", search_attributes={"WorkflowId": 2})
    await d.call("AddSearchAttributes", namespace="default", search_attributes={"Good": 0})
    await d.call("AddSearchAttributes", namespace="default", search_attributes={"Good": 99})
    await d.call("AddSearchAttributes", namespace="default", search_attributes={"TemporalFoo": 2})
    await d.call("AddSearchAttributes", namespace="nowhere", search_attributes={"Good": 2})
    await d.call("RemoveSearchAttributes", namespace="default")
    await d.call("RemoveSearchAttributes", namespace="default", search_attributes=["Nobody"])
    await d.call("RemoveSearchAttributes", namespace="nowhere", search_attributes=["Nobody"])
    await d.call("ListSearchAttributes", namespace="nowhere")


async def too_many_search_attributes_of_a_type(d: Driver) -> None:
    name = await _registered(d)

    async def known() -> bool:
        return bool(await d.quietly("ListSearchAttributes", namespace=name))

    await d.until(known, attempts=400)
    await d.call("AddSearchAttributes", namespace=name, search_attributes={f"Flag{n}": 5 for n in range(4)})


async def task_queue_is_described(d: Driver) -> None:
    await d.call("DescribeTaskQueue", task_queue=d.task_queue, task_queue_type="WORKFLOW")
    await d.poll_wft_in_vain()
    await d.call("DescribeTaskQueue", task_queue=d.task_queue, task_queue_type="WORKFLOW")
    await d.call("DescribeTaskQueue", task_queue=d.task_queue, task_queue_type="ACTIVITY")
    await d.call("DescribeTaskQueue", task_queue="")
    await d.call("DescribeTaskQueue")


async def empty_lists_of_what_is_not_used(d: Driver) -> None:
    await d.call("ListWorkerDeployments", namespace="conformance-other")
    await d.call("ListSchedules", namespace="conformance-other")
    await d.call("ListBatchOperations", namespace="conformance-other")
    await d.call("ListWorkers", namespace="conformance-other")
    await d.call("ListNexusEndpoints")
