"""The server, in this process."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest

from perdure.clock import Clock, Ids, RandomIds, RealClock
from perdure.config import Dynamic, Settings, Skipping, address
from perdure.errors import DamagedFile, DataLoss, InvalidArgument, StartupError
from perdure.rpc import validate
from perdure.rpc.router import build_handlers
from perdure.rpc.server import create_server
from perdure.rpc.services import SERVICES
from perdure.rpc.transport import Handler, Transport
from perdure.rpc.workflow.activity_operations import ActivityOperations
from perdure.rpc.workflow.activity_tasks import ActivityTasks
from perdure.rpc.workflow.batch import BatchHandlers
from perdure.rpc.workflow.delete import Deletions
from perdure.rpc.workflow.describe import Descriptions
from perdure.rpc.workflow.empty import Empty
from perdure.rpc.workflow.executions import Executions
from perdure.rpc.workflow.fast_forwards import FastForwards
from perdure.rpc.workflow.history import Histories
from perdure.rpc.workflow.multi_operation import MultiOperations
from perdure.rpc.workflow.namespaces import NamespaceHandlers
from perdure.rpc.workflow.nexus_tasks import NexusTasks
from perdure.rpc.workflow.operator import OperatorHandlers
from perdure.rpc.workflow.polls import Polls
from perdure.rpc.workflow.query import QueryHandlers
from perdure.rpc.workflow.reset import ResetRequests
from perdure.rpc.workflow.schedules import ScheduleHandlers
from perdure.rpc.workflow.system import System
from perdure.rpc.workflow.task_queues import TaskQueues
from perdure.rpc.workflow.updates import UpdateHandlers
from perdure.rpc.workflow.visibility import VisibilityHandlers
from perdure.rpc.workflow.workers import WorkerHandlers
from perdure.rpc.workflow.workflow_options import WorkflowOptions
from perdure.rpc.workflow.workflow_tasks import WorkflowTasks
from perdure.runtime.namespaces import SYSTEM_NAMESPACE, Namespace, system_namespace
from perdure.runtime.queries import Queries
from perdure.runtime.runtime import Runtime
from perdure.runtime.updates import Updates
from perdure.storage.base import Batch
from perdure.storage.sqlite import SqliteStorage
from perdure.visibility import schema

if TYPE_CHECKING:
    from temporalio.client import Client

    from perdure.rpc.http.server import HttpServer
    from perdure.runtime.executor import Publish
    from perdure.runtime.skipping import SkippedTime

CLUSTER_ID_KEY = "cluster-id"


def _dynamic(values: Mapping[str, Any]) -> Dynamic:
    """Settings by Temporal's names; unknown ones are named in a warning."""
    pairs = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in values.items()]
    dynamic, unknown = Dynamic.from_pairs(pairs)
    if unknown:
        warnings.warn(f"dynamic_config: these mean nothing to Perdure: {', '.join(unknown)}", stacklevel=3)
    return dynamic


def _search_attributes(wanted: Mapping[str, str]) -> dict[str, int]:
    """Name -> name of the type, to name -> number of it. Raises `StartupError`."""
    types = {name: kind for kind, name in schema.TYPE_NAMES.items()}
    for name, type_name in wanted.items():
        if schema.is_reserved(name):
            raise StartupError(f"search attribute {name}: the name is reserved; choose another one.")
        if type_name not in types:
            raise StartupError(f"search attribute {name}: {type_name!r} is not one of {', '.join(types)}.")
    return {name: types[type_name] for name, type_name in wanted.items()}


def _check_namespaces(settings: Settings) -> None:
    """The rules are those of RegisterNamespace. Raises `StartupError`."""
    for name in settings.namespaces:
        try:
            validate.namespace(RegisterNamespaceRequest(namespace=name), settings.dynamic, "a namespace needs a name")
        except (InvalidArgument, UnicodeError) as error:
            reason = "that is not UTF-8" if isinstance(error, UnicodeError) else str(error).rstrip(".")
            raise StartupError(f"namespace {name!r}: {reason}.") from error


class Server:
    """A Perdure server on a file, or in memory.

        async with perdure.Server(db="orders.db") as server:
            client = await server.client()

    `settings` says everything at once. Without it, `db` is the file (None: in memory), `namespaces` exist beside
    `default` when the server is up, `port` 0 picks a free one, and `dynamic_config` holds values by Temporal's names.
    `skipping` gives each namespace a clock that jumps, for tests.
    `http_port` is that of the HTTP API: 0 picks a free one, None serves none. With `links_keys_file` it serves links of
    approvals and callbacks, too.
    Several servers may run in one process, each on its own file. Raises `StartupError` with one sentence that says
    what to do.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        db: str | Path | None = None,
        namespaces: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        http_port: int | None = None,
        links_keys_file: str | Path | None = None,
        dynamic_config: Mapping[str, Any] | None = None,
        transport: str = "native",
        skipping: Skipping = Skipping.OFF,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        if isinstance(namespaces, str):
            raise TypeError(f"namespaces: expected several names, got {namespaces!r}; write ({namespaces!r},) for one")
        if settings is None:
            settings = Settings(
                db=Path(db) if db is not None else None,
                namespaces=tuple(namespaces),
                host=host,
                port=port,
                http_port=http_port,
                links_keys_file=Path(links_keys_file) if links_keys_file is not None else None,
                transport=transport,
                dynamic=_dynamic(dynamic_config or {}),
                skipping=skipping,
            )
        self.settings = settings
        self._clock = clock
        self._ids = ids or RandomIds()
        self._runtime: Runtime | None = None
        self._transport: Transport | None = None
        self._http: HttpServer | None = None
        self._polls: Polls | None = None
        self._histories: Histories | None = None
        self._updates: Updates | None = None
        self._fast_forwards: FastForwards | None = None
        self.port = 0
        """The port, once the server has started."""
        self.http_port: int | None = None
        """The HTTP API's, once the server has started; None when none is served."""

    @property
    def address(self) -> str:
        """`host:port`, for clients; `[host]:port` of an IPv6 address."""
        return address(self.settings.host, self.port)

    @property
    def time(self) -> SkippedTime | None:
        """The clocks of the namespaces, while the server runs and if they skip."""
        return self._runtime.skipped if self._runtime is not None else None

    def namespace_id(self, name: str) -> str:
        """The id of a namespace. Raises `NamespaceNotFound`; only while the server runs."""
        assert self._runtime is not None, "the server does not run"
        return self._runtime.namespaces.get(name).id

    def observe(self, observer: Publish) -> None:
        """Call it, on the server's loop, for each decision about a run once that is durable."""
        assert self._runtime is not None, "the server does not run"
        self._runtime.observers.append(observer)

    def unobserve(self, observer: Publish) -> None:
        """No longer call it."""
        if self._runtime is not None:
            self._runtime.observers.remove(observer)

    async def start(self) -> None:
        """Open the file, listen, and go on with what is due."""
        settings = self.settings
        _check_namespaces(settings)
        storage = SqliteStorage.open_file(settings.db) if settings.db is not None else SqliteStorage.open_memory()
        try:
            runtime = await self._open(storage)
            cluster_id = await self._prepare(runtime)
            polls = Polls(runtime)
            families, services = self._families(runtime, polls, cluster_id), SERVICES
            if runtime.skipped is not None:
                from perdure.rpc.test_service import SERVICE, TestService

                families.append(TestService(runtime.skipped, runtime.namespaces))
                services += (SERVICE,)
            handlers = build_handlers(families, services, flushed=runtime.executor.flushed)
            transport = create_server(settings.transport, handlers, services, settings.max_request_bytes)
            self.port = await transport.start(settings.host, settings.port)
            self._transport = transport
            await self._start_http(handlers)
        except BaseException:
            if self._transport is not None:
                await self._transport.stop(0)
                self._transport = None
            await storage.close()
            raise
        self._runtime, self._polls = runtime, polls
        runtime.start()

    async def _open(self, storage: SqliteStorage) -> Runtime:
        settings = self.settings
        try:
            return await Runtime.open(
                storage,
                self._clock or RealClock(asyncio.get_running_loop()),
                self._ids,
                settings.dynamic,
                cache_bytes=settings.execution_cache_bytes,
                skipping=settings.skipping,
                skips=settings.skips,
            )
        except DataLoss as error:
            raise DamagedFile(
                f"The database {settings.db} is damaged: {error}; `perdure check {settings.db}` tells what is left of "
                "it, and a backup brings it back."
            ) from error

    async def _start_http(self, handlers: Mapping[str, Handler]) -> None:
        if self.settings.http_port is None:
            return
        from perdure.rpc.http.server import HttpServer  # only now: it costs time and memory

        http = HttpServer(handlers, await self._mounts(), self.settings.max_request_bytes)
        self.http_port = await http.start(self.settings.host, self.settings.http_port)
        self._http = http

    async def _mounts(self) -> dict[str, Any]:
        """What else the HTTP port has."""
        settings = self.settings
        if settings.links_keys_file is None:
            return {}
        from perdure.rpc.http.links import PREFIX, links_app

        return {PREFIX: await links_app(settings.links_keys_file, settings.host, self.port)}

    def _families(self, runtime: Runtime, polls: Polls, cluster_id: str) -> list[object]:
        queries = Queries(runtime)
        self._updates = Updates(runtime)
        workflow_tasks = WorkflowTasks(runtime, polls, queries)
        self._histories = Histories(runtime)
        self._fast_forwards = FastForwards(runtime)
        executions = Executions(runtime, workflow_tasks)
        updates = UpdateHandlers(runtime, self._updates)
        return [
            Empty(runtime.namespaces.get, runtime.config),
            System(cluster_id, "sqlite", lambda: self.address),
            NamespaceHandlers(runtime),
            OperatorHandlers(runtime),
            VisibilityHandlers(runtime.namespaces, runtime.storage, runtime.config),
            workflow_tasks,
            ActivityTasks(runtime, polls),
            ActivityOperations(runtime),
            WorkflowOptions(runtime),
            self._fast_forwards,
            NexusTasks(runtime, polls),
            QueryHandlers(runtime, queries),
            executions,
            updates,
            MultiOperations(runtime, executions, updates),
            self._histories,
            Descriptions(runtime),
            ScheduleHandlers(runtime),
            BatchHandlers(runtime),
            Deletions(runtime),
            ResetRequests(runtime),
            TaskQueues(runtime),
            WorkerHandlers(runtime),
        ]

    async def _prepare(self, runtime: Runtime) -> str:
        """Make what every server has: a cluster id, and the namespaces that were asked for."""
        executor = runtime.executor
        stored = await runtime.storage.meta(CLUSTER_ID_KEY)
        cluster_id = stored.decode() if stored else self._ids.uuid()
        if stored is None:

            def change(batch: Batch) -> None:
                batch.meta[CLUSTER_ID_KEY] = cluster_id.encode()

            executor.write(change)
        if SYSTEM_NAMESPACE not in runtime.namespaces:
            runtime.namespaces.save(executor, system_namespace(executor.now_ns()))
        attributes = _search_attributes(self.settings.search_attributes)
        for name in ("default", *self.settings.namespaces):
            namespace = runtime.namespaces.find(name)
            if namespace is None:
                namespace = Namespace(id=self._ids.uuid(), name=name, created_ns=executor.now_ns())
            known = {**attributes, **namespace.custom_search_attributes}
            if name not in runtime.namespaces or known != namespace.custom_search_attributes:
                runtime.namespaces.change(executor, namespace, custom_search_attributes=known)
        await executor.flushed()
        return cluster_id

    async def stop(self, grace_s: float = 5.0) -> None:
        """Answer the polls, finish what is under way (for up to `grace_s` seconds), and close the file."""
        runtime, transport, polls = self._runtime, self._transport, self._polls
        http, self._http = self._http, None
        self._runtime = self._transport = self._polls = None
        if polls is not None:
            polls.release_all()
        if self._histories is not None:
            self._histories.release_all()
        if self._updates is not None:
            self._updates.release_all()
        if self._fast_forwards is not None:
            self._fast_forwards.release_all()
        if runtime is not None:
            runtime.matching.stop()
        try:
            if transport is not None:
                await asyncio.gather(transport.stop(grace_s), *([http.stop(grace_s)] if http is not None else []))
        finally:
            if runtime is not None:
                await runtime.stop()

    async def client(self, namespace: str = "default", **options: Any) -> Client:
        """A client of this server; `options` are those of `temporalio.client.Client.connect`."""
        from temporalio.client import Client

        return await Client.connect(self.address, namespace=namespace, **options)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()
