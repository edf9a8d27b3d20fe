"""How examples are run: on which server, and with what exit code."""

import asyncio
import re
from pathlib import Path

import pytest
from temporalio.client import Client

from examples.show import MISMATCH, OK, UNUSABLE, Mismatch, can_skip, examples, play, story
from perdure.server import Server
from perdure.testing import Env

HERE = Path(__file__).parent


async def fine(client: Client) -> None:
    pass


async def wrong(client: Client) -> None:
    raise Mismatch("two and two are five")


def test_a_mismatch_is_told_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert play({"a": fine, "b": wrong, "c": fine}, None) == MISMATCH
    printed = capsys.readouterr()
    assert "two and two are five" in printed.err and "\nc\n" in printed.out
    assert play({"a": fine}, None) == OK


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert play({"a": fine}, "127.0.0.1:1") == UNUSABLE
    assert capsys.readouterr().err.startswith("error: ")


async def test_a_namespace_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    async with Server() as server:
        assert await asyncio.to_thread(play, {"a": fine}, server.address, "nowhere") == UNUSABLE
    assert "nowhere" in capsys.readouterr().err


async def test_a_server_that_cannot_skip_time_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    async with Server(dynamic_config={"frontend.WorkflowTimeSkippingEnabled": False}) as server:
        assert not await can_skip(await Client.connect(server.address))
        assert await asyncio.to_thread(play, {"a": fine}, server.address) == OK
    assert "can't skip time" in capsys.readouterr().out


async def test_a_year_on_a_server_whose_time_is_real(capsys: pytest.CaptureFixture[str]) -> None:
    async with Server() as server:
        assert await asyncio.to_thread(play, {"subscription": story("subscription")}, server.address) == OK
    assert "ann: complete, 12 charges" in capsys.readouterr().out


async def test_the_story_of_the_subscription(perdure: Env) -> None:
    await story("subscription")(perdure.client)


def test_the_table_of_examples_is_true() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)/README\.md\) .*`python -m examples\.([\w.]+)`", _readme(), re.MULTILINE)
    assert listed and all(name == folder == command.split(".")[0] for name, folder, command in listed)
    assert {name for name, _, _ in listed} == {"orders", *examples()}


def _readme() -> str:
    return (HERE / "README.md").read_text("utf-8")
