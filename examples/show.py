"""What all examples have in common: how they are run, and on which server.

An example is a package with a `show(client)` in its `__main__.py`, which plays its story on any server where waiting is
skipped, or not. As soon as nothing is in flight time goes on by itself, so people and outside systems of a story answer
from an activity that the workflow has called.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import logging
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, PollWorkflowExecutionTimeSkippingRequest
from temporalio.client import Client
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from perdure.testing import open_env

Show = Callable[..., Awaitable[None]]
OK, MISMATCH, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
SKIPS = TimeSkippingConfig(max_session_skip_count=100_000)
"""Servers let an execution skip 200 times unless they are told."""


class Mismatch(Exception):
    """The ledgers at the end of a story don't say what they have to say."""


def run(show: Show, doc: str | None) -> None:
    """The main program of an example: read the command line, play the story, and exit.

    Each parameter of `show` after the client is an option with the default it has there: `rows: int = 1000` is
    `--rows`. Exit codes: 0 all as it has to be, 1 a mismatch, 2 it could not run.
    """
    name = sys.modules["__main__"].__spec__
    module = name.name.removesuffix(".__main__") if name is not None else "examples.NAME"
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=doc,
        epilog=f"Example: python -m {module} --address 127.0.0.1:7233",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_server(parser)
    options = [each for each in inspect.signature(show).parameters.values() if each.default is not each.empty]
    for each in options:
        parser.add_argument(
            f"--{each.name.replace('_', '-')}",
            type=type(each.default),
            default=each.default,
            help="default: %(default)s",
        )
    given = parser.parse_args()
    values = {each.name: getattr(given, each.name) for each in options}
    sys.exit(play({module: lambda client: show(client, **values)}, given.address, given.namespace))


def add_server(parser: argparse.ArgumentParser) -> None:
    """The options that say which server."""
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="any Temporal server (default: one in this process whose time skips)"
    )
    parser.add_argument("--namespace", default="default", help="on that server (default: %(default)s)")


def play(stories: dict[str, Show], address: str | None, namespace: str = "default") -> int:
    """Play stories one after the other; the exit code."""
    # What fails on purpose is part of the story, not a warning with a traceback.
    log = logging.getLogger("temporalio")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        if address is None:
            with open_env() as env:
                return asyncio.run(_play(stories, env.client, env.now))
        return asyncio.run(_play_at(stories, address, namespace))
    except (RuntimeError, RPCError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    except AssertionError as error:
        print(f"mismatch: {error}", file=sys.stderr)
        return MISMATCH
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        log.setLevel(level)


async def _play_at(stories: dict[str, Show], address: str, namespace: str) -> int:
    runtime = Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter="error")))
    try:
        client = await Client.connect(address, namespace=namespace, runtime=runtime)
    except RuntimeError as error:
        raise RuntimeError(f"no server answers at {address}; start one with `perdure up`. ({error})") from error
    if await can_skip(client):
        client = TimeSkipper(client, config=SKIPS).client
    else:
        print(f"{address} can't skip time in namespace {namespace}: this takes as long as it says.")
    return await _play(stories, client)


async def can_skip(client: Client) -> bool:
    """Whether the server can skip time for one workflow execution.

    It says so to a question about an execution that is not there. Raises `RPCError` when it can't be asked.
    """
    nobody = WorkflowExecution(workflow_id=fresh("nobody"))
    request = PollWorkflowExecutionTimeSkippingRequest(
        namespace=client.namespace, workflow_execution=nobody, fast_forward_id="none"
    )
    try:
        await client.workflow_service.poll_workflow_execution_time_skipping(request)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND and "namespace" not in error.message.lower():
            return True
        if error.status == RPCStatusCode.UNIMPLEMENTED:
            return False
        raise
    return True


async def _play(stories: dict[str, Show], client: Client, now: Callable[[], datetime] | None = None) -> int:
    code = OK
    for name, show in stories.items():
        print(f"\n{name}" if len(stories) > 1 else name)
        began_s, was = time.monotonic(), now() if now else None
        try:
            await show(client)
        except (Mismatch, AssertionError) as error:
            print(f"mismatch in {name}: {error}", file=sys.stderr)
            code = MISMATCH
        lived = f"{_told(now() - was)} of the server's time in " if now and was else ""
        print(f"({lived}{time.monotonic() - began_s:.1f} s)")
    return code


def _told(lived: timedelta) -> str:
    return f"{lived.days} days" if lived.days > 1 else str(timedelta(seconds=round(lived.total_seconds())))


def fresh(name: str) -> str:
    """An id that no other run of an example has, for workflows and task queues."""
    return f"{name}-{secrets.token_hex(4)}"


async def until_polled(client: Client, task_queue: str, worker: str) -> None:
    """Wait until the worker of that identity asks for activities: nothing tells skipped time before that it comes."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    while True:
        about = await client.workflow_service.describe_task_queue(request)
        if any(poller.identity == worker for poller in about.pollers):
            return
        await asyncio.sleep(0.02)


def examples() -> list[str]:
    """The names of all that can be shown, in order."""
    return sorted(file.parent.name for file in Path(__file__).parent.glob("*/__main__.py"))


def story(name: str) -> Show:
    """The `show` of an example."""
    module: Any = importlib.import_module(f"examples.{name}.__main__")
    found: Show = module.show
    return found
