"""The pytest plugin in a project of somebody: what failing tests show, how tests share a process."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(300)  # a test runs others up to twice, each time within two minutes

HEAD = """
import asyncio
from datetime import timedelta
import pytest
from temporalio import activity, workflow
from temporalio.common import RetryPolicy

@activity.defn
async def charge(amount: int) -> str:
    return f"paid {amount}"

@workflow.defn(sandboxed=False)
class Pay:
    @workflow.run
    async def run(self, amount: int) -> str:
        await workflow.sleep(timedelta(days=30))
        return await workflow.execute_activity(charge, amount, start_to_close_timeout=timedelta(minutes=1))
"""

BROKEN = """
@workflow.defn(sandboxed=False)
class Broken:
    @workflow.run
    async def run(self) -> None:
        raise RuntimeError("a bug")

async def test_that_does_not_wait(perdure):
    async with perdure.worker(Broken):
        await perdure.start(Broken.run, id="broken")
        while not perdure.task_failures:
            await asyncio.sleep(0)
"""


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run tests in a project with the plugin; gives the outcome and what was printed."""

    def run(text: str, *args: str, conftest: str = "", ini: str = "asyncio_mode = auto") -> pytest.RunResult:
        pytester.makeconftest('pytest_plugins = ["perdure.testing.plugin"]\n' + conftest)
        pytester.makeini(f"[pytest]\n{ini}\nasyncio_default_fixture_loop_scope = function\n")
        pytester.makepyfile(HEAD + text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *args, timeout=120)

    return run


def test_what_failing_tests_show(run) -> None:
    result = run(
        BROKEN
        + """
async def test_wrong(perdure):
    async with perdure.worker(Pay, activities=[charge]):
        await perdure.start(Pay.run, 3, id="stays", start_delay=timedelta(days=365))
        assert await perdure.execute(Pay.run, 5, id="bill") == "paid 6"

class Code:
    changed = False

@workflow.defn(sandboxed=False)
class Fickle:
    @workflow.run
    async def run(self) -> None:
        if Code.changed:
            await workflow.sleep(5)
        await workflow.execute_activity(charge, 1, start_to_close_timeout=timedelta(minutes=1))

async def run_it(perdure):
    Code.changed = False
    async with perdure.worker(Fickle, activities=[charge]):
        await perdure.execute(Fickle.run, id="fickle")
    Code.changed = True

async def test_replayed(perdure):
    await run_it(perdure)

@pytest.mark.perdure(replay=False)
async def test_not_replayed(perdure):
    await run_it(perdure)

@pytest.mark.perdure(stall_s=3)
async def test_that_waits_for_ever(perdure):
    async with perdure.worker(Pay, activities=[perdure.mock(charge, blocks=True)]):
        await perdure.execute(Pay.run, 5, id="long")
"""
    )
    result.assert_outcomes(passed=3, failed=2, errors=2)
    text = result.stdout
    text.fnmatch_lines(
        [
            "*perdure: workflows*",
            "bill Pay(5) run *: completed after 30d 00:00:0* -> 'paid 5'",
            "*timer 1 of 30d 00:00:00 fired after 30d 00:00:00",
            "*activity charge#1(5) completed after * -> 'paid 5'",
            "*perdure: open*",
            "stays",
            "*perdure: time*",
            "time stands: nobody waits for a workflow",
        ]
    )
    text.fnmatch_lines(["*Fickle fickle (run *) does not replay: *"])
    text.fnmatch_lines(["*a workflow task of broken failed (workflow worker unhandled failure): a bug*"])
    held = "time stands: activity charge#1 of workflow long is with worker *"
    text.fnmatch_lines([f"*Stalled: nothing has happened for * {held}"])


def test_what_is_shown_of_failures_at_the_end_and_of_workers_that_are_gone(run) -> None:
    result = run(
        BROKEN
        + """
from collections.abc import Sequence
from temporalio.common import RawValue

class Code:
    changed = False

@workflow.defn(sandboxed=False, dynamic=True)
class Fickle:
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> None:
        if Code.changed:
            await workflow.sleep(5)
        await workflow.execute_activity(charge, 1, start_to_close_timeout=timedelta(minutes=1))

async def test_replayed(perdure):
    async with perdure.worker(Fickle, activities=[charge]):
        await perdure.execute("Anything", id="fickle")
    Code.changed = True

@pytest.mark.perdure(time="manual")
async def test_that_fails_with_a_worker(perdure):
    stuck = perdure.mock(charge, blocks=True)
    async with perdure.worker(Pay, activities=[stuck], identity="slow"):
        await perdure.start(Pay.run, 5, id="long")
        await perdure.advance(timedelta(days=30))
        await stuck.called()
        assert False
"""
    )
    result.assert_outcomes(passed=2, failed=1, errors=2)
    text = result.stdout
    text.fnmatch_lines(["*fickle (run *) does not replay: *", "*perdure: workflows*", "fickle Anything() run *"])
    text.fnmatch_lines(["*a workflow task of broken failed*", "*perdure: workflows*", "broken Broken() run *"])
    text.fnmatch_lines(["*perdure: time*", "time stands: activity charge#1 of workflow long is with worker slow"])


def test_open_workflows_are_listed_when_passing_tests_are_shown(run) -> None:
    text = """
async def test_passes(perdure):
    await perdure.start(Pay.run, 3, id="left", task_queue="nobody")

async def test_leaves_nothing(perdure):
    async with perdure.worker(Pay, activities=[charge]):
        await perdure.execute(Pay.run, 5, id="ended")
"""
    result = run(text, "-rA")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*perdure: open at teardown*", "test_passes leaves open: left"])
    assert str(result.stdout).count("open at teardown") == 1
    assert "open at teardown" not in str(run(text).stdout)


def test_the_memory_of_a_long_session_stays_flat(run) -> None:
    """Of the namespaces of tests that are over, their workflows and clocks nothing is left."""
    result = run("""
HISTORY = "x" * 100_000

def names(host):
    async def read():
        runtime = host.server._runtime
        return [each.name for each in runtime.namespaces], len(host.time._times), list(runtime.executor._runs)
    return host.run(read())

@pytest.mark.parametrize("number", range(200))
async def test_it(perdure, number):
    await perdure.start(Pay.run, number, id="open", task_queue="nobody", memo={"large": HISTORY})

async def test_what_is_left(perdure, perdure_host):
    for _ in range(500):
        namespaces, clocks, runs = names(perdure_host)
        if len(namespaces) < 5 and clocks < 5 and not runs:
            break
        await asyncio.sleep(0.05)
    assert len(namespaces) < 5 and clocks < 5 and len(runs) == 0
""")
    result.assert_outcomes(passed=201)


def test_any_scope_of_the_event_loop_and_settings_of_a_project(run) -> None:
    result = run(
        """
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

KEY = SearchAttributeKey.for_keyword("Customer")

class Scoped:
    @pytest.mark.parametrize("number", range(2))
    async def test_it(self, perdure, number):
        async with perdure.worker(Pay, activities=[charge]):
            handle = await perdure.start(Pay.run, number)
            await perdure.advance(timedelta(days=31))
            assert await handle.result() == f"paid {number}"

@pytest.mark.asyncio(loop_scope="session")
class TestOfTheSession(Scoped):
    pass

@pytest.mark.asyncio(loop_scope="class")
class TestOfTheClass(Scoped):
    pass

class TestOfTheFunction(Scoped):
    pass

@pytest.mark.timeout(30)
@pytest.mark.perdure(search_attributes=[KEY])
async def test_settings(perdure):
    assert perdure.stall_s == 15
    attributes = TypedSearchAttributes([SearchAttributePair(KEY, "ann")])
    async with perdure.worker(Pay, activities=[charge]):
        await perdure.start(Pay.run, 1, id="bill", search_attributes=attributes)
        await perdure.advance(timedelta(days=31))
        [found] = [run async for run in perdure.client.list_workflows("Customer = 'ann'")]
    assert found.id == "bill" and found.close_time > found.start_time
    assert perdure.client.data_converter.payload_codec is not None
    assert (await perdure.history("bill")).args == [1]
    assert "moved by hand" in perdure.why_time_stands()
""",
        conftest="""
import pytest

@pytest.fixture
def perdure_client_options():
    import dataclasses
    from temporalio.converter import DataConverter, PayloadCodec
    from temporalio.api.common.v1 import Payload

    class Hidden(PayloadCodec):
        async def encode(self, payloads):
            return [Payload(metadata={"encoding": b"hidden"}, data=p.SerializeToString()) for p in payloads]

        async def decode(self, payloads):
            return [Payload.FromString(p.data) if p.metadata["encoding"] == b"hidden" else p for p in payloads]

    return {"data_converter": dataclasses.replace(DataConverter.default, payload_codec=Hidden())}
""",
        ini="asyncio_mode = auto\nperdure_time = manual\nperdure_stall_s = 20",
    )
    result.assert_outcomes(passed=7)


def test_tests_share_nothing_and_run_in_parallel(run) -> None:
    result = run(
        """
@pytest.mark.parametrize("number", range(6))
async def test_it(perdure, number):
    began = perdure.now()
    async with perdure.worker(Pay, activities=[charge]):
        assert await perdure.execute(Pay.run, number, id="bill") == f"paid {number}"
    assert perdure.now() - began < timedelta(days=31)
    assert await perdure.open_workflows() == []
""",
        "-n2",
    )
    result.assert_outcomes(passed=6)


def test_with_anyio_and_loaded_only_when_used(run) -> None:
    result = run(
        """
import sys

def test_first():
    assert not {"perdure.server", "perdure.testing.env", "apsw"} & set(sys.modules)

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
@pytest.mark.parametrize("number", range(2))
async def test_it(perdure, number):
    async with perdure.worker(Pay, activities=[charge]):
        assert await perdure.execute(Pay.run, number) == f"paid {number}"
""",
        "-p",
        "no:asyncio",
        ini="",
    )
    result.assert_outcomes(passed=3)


def test_a_sandbox_loads_a_module_unchanged_and_compiles_it_once(run, pytester: pytest.Pytester, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    pytester.makepyfile(
        flows="""
from temporalio import workflow

def helper(): pass

@workflow.defn
class Flow:
    @workflow.run
    async def run(self) -> list:
        return [id(helper), id(helper.__code__), "@pytest_ar" in globals()]
"""
    )
    result = run(
        """
from flows import Flow, helper
import flows

async def test_twice(perdure):
    async with perdure.worker(Flow):
        one, other = [await perdure.execute(Flow.run, id=name) for name in ("one", "other")]
    assert "@pytest_ar" in vars(flows), "outside of the sandbox asserts are rewritten"
    assert one[0] != other[0], "each run has a module of its own"
    assert one[1] == other[1]
    assert not one[2] and not other[2]
""",
        conftest='import pytest; pytest.register_assert_rewrite("flows")',
    )
    result.assert_outcomes(passed=1)
