"""The pytest plugin: the fixture `perdure`, and what tests show of their workflows: all of them when they fail, those
that are open at the end with `-rA`.

The marker `@pytest.mark.perdure(time="manual", search_attributes=[...], replay=False, ...)` gives the options of
`perdure.testing.Env`. Importing this module loads nothing of the server.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from perdure.testing.env import Env
    from perdure.testing.host import Host

_ENV = pytest.StashKey["Env"]()
_FAILED = pytest.StashKey[bool]()
_TOLD = pytest.StashKey[list[tuple[str, str]]]()
"""What there is to show of a failure at the end."""
_OPEN = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("perdure_time", 'How clocks move unless a test says: "skip", "manual" or "real".', default="skip")
    parser.addini("perdure_stall_s", "Real seconds without progress after which a waiting test fails.", default="10")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        'perdure(time="skip"|"manual"|"real", search_attributes=(), skips=..., stall_s=10, replay=True): '
        "options of the fixture `perdure`",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    if "temporalio.workflow" not in sys.modules:
        return
    from perdure.testing.imports import SandboxImports

    finder = SandboxImports()
    sys.meta_path.insert(0, finder)
    session.config.add_cleanup(lambda: sys.meta_path.remove(finder))


@pytest.fixture(scope="session")
def perdure_host() -> Iterator[Host]:
    """The server of this process, for all its tests; started by the first that uses `perdure`."""
    from perdure.testing.host import Host

    host = Host()
    host.start()
    yield host
    host.stop()


@pytest.fixture
def perdure_client_options() -> Mapping[str, Any]:
    """Options of the clients of `perdure`, such as a data converter. Override it in a conftest."""
    return {}


@pytest.fixture
def perdure(
    request: pytest.FixtureRequest, perdure_host: Host, perdure_client_options: Mapping[str, Any]
) -> Iterator[Env]:
    """An `Env`: a namespace of its own on the server of this process."""
    from perdure.testing.env import Env

    stall_s = float(request.config.getini("perdure_stall_s"))
    if timeout_s := _timeout_s(request.node):
        stall_s = min(stall_s, timeout_s / 2)
    options: dict[str, Any] = {"time": request.config.getini("perdure_time"), "stall_s": stall_s}
    for marker in reversed(list(request.node.iter_markers("perdure"))):
        options.update(marker.kwargs)
    param = getattr(request, "param", None)
    options.update({"time": param} if isinstance(param, str) else param or {})
    env = Env(perdure_host, name=request.node.name, client_options=perdure_client_options, **options)
    request.node.stash[_ENV] = env
    yield env
    try:
        request.node.stash[_OPEN] = env.still_open()
        if not request.node.stash.get(_FAILED, False):
            env.verify()
    except BaseException:
        request.node.stash[_TOLD] = _sections(env)
        raise
    finally:
        env.close()
        del request.node.stash[_ENV]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    env = item.stash.get(_ENV, None)
    if env is not None and call.excinfo is not None and report.failed:
        item.stash[_FAILED] = True
        report.sections += _sections(env, call.excinfo.value)
    if report.when == "teardown" and report.failed and (told := item.stash.get(_TOLD, None)):
        report.sections += told
    if report.when == "teardown" and (still_open := item.stash.get(_OPEN, None)):
        report.sections.append(("perdure: open at teardown", f"{item.name} leaves open: {', '.join(still_open)}"))
    return report


def _timeout_s(item: pytest.Item) -> float:
    """The test's limit, if pytest-timeout knows one: a stall has to be told before that."""
    config = item.config
    if not config.pluginmanager.has_plugin("timeout"):
        return 0.0
    marker = item.get_closest_marker("timeout")
    told = (marker.args[0] if marker.args else marker.kwargs.get("timeout")) if marker is not None else None
    return float(told or config.getoption("timeout", None) or config.getini("timeout") or 0)


def _sections(env: Env, error: BaseException | None = None) -> list[tuple[str, str]]:
    """What a failing test shows; of time, if it was under way when the error came."""
    try:
        sections = [("perdure: workflows", env.timelines()), ("perdure: open", "\n".join(env.still_open()))]
        if sections[-1][1] and error is not None:
            sections.append(("perdure: time", env.why_time_stood(error)))
    except Exception as problem:
        return [("perdure", f"nothing can be told of its workflows: {problem!r}")]
    return [(title, text) for title, text in sections if text]
