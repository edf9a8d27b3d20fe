"""Links on the HTTP port of a real `perdure up`: made in an activity, opened and posted to as browsers do."""

import asyncio
import contextlib
import http.client
import json
import secrets
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker
from tests.patterns.waiting import Ask, Call, Payload, Terms, Wanted

from perdure.errors import StartupError
from perdure.patterns import CallbackAddress, Notice
from perdure.patterns.links import Signer, read_keys
from perdure.server import Server

ROOT = Path(__file__).parent.parent.parent


@contextlib.contextmanager
def server(keys: Path, *flags: str):
    """`perdure up`: its ports."""
    command = [sys.executable, "-m", "perdure", "up", "--memory", "--port", "0", "--http-port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--links-keys-file", str(keys), *flags], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield ready["port"], ready["http_port"]
    finally:
        process.terminate()
        process.wait(10)


def fetch(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, parts.path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read().decode()


async def test_people_and_machines_answer_over_http(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"{secrets.token_urlsafe(48)}\n{secrets.token_urlsafe(48)}\n")
    with server(keys, "--namespace", "travel") as (port, http_port):
        signer = Signer(read_keys(keys), f"http://127.0.0.1:{http_port}/perdure/links")
        sent: dict[str, str] = {}

        @activity.defn
        async def tell(notice: Notice) -> None:
            sent[notice.to] = signer.approval(notice)

        @activity.defn
        async def submit(address: CallbackAddress, what: str) -> None:
            sent[what] = signer.callback(address)

        async def link(who: str) -> str:
            while who not in sent:
                await asyncio.sleep(0.01)
            return sent[who]

        client = await Client.connect(f"127.0.0.1:{port}", namespace="travel")
        async with Worker(client, task_queue="q", workflows=[Ask, Call], activities=[tell, submit]):
            trip = await client.start_workflow(Ask.run, Terms(), id="trip", task_queue="q")
            bob = await link("bob")
            status, html = await asyncio.to_thread(fetch, "GET", bob, accept="text/html")
            assert status == 200 and "A train to Oslo" in html and "<form" in html
            form = {"content_type": "application/x-www-form-urlencoded", "accept": "text/html"}
            body = urlencode({"do": "approve", "reason": "have fun"}).encode()
            status, html = await asyncio.to_thread(fetch, "POST", bob, body, **form)
            assert status == 200 and "Thank you" in html
            decision = await trip.result()
            assert decision.approved and decision.reason == "bob: have fun"
            status, html = await asyncio.to_thread(fetch, "POST", bob, body, **form)
            assert status == 410 and "approved by bob" in html
            video = await client.start_workflow(Call.run, Wanted(), id="video", task_queue="q")
            encoder = await link("talk.mov")
            assert (await asyncio.to_thread(fetch, "POST", f"{encoder}/heartbeat", b"7"))[0] == 200
            done = json.dumps({"url": "s3://talk.mp4", "seconds": 90}).encode()
            assert (await asyncio.to_thread(fetch, "POST", encoder, done))[0] == 200
            assert await video.result() == Payload("s3://talk.mp4", 90)
        status, told = await asyncio.to_thread(fetch, "GET", f"{bob[:-2]}xx")
        assert (status, json.loads(told)["status"]) == (403, "forged")
        status, _ = await asyncio.to_thread(fetch, "GET", f"http://127.0.0.1:{http_port}/api/v1/namespaces")
        assert status == 200, "the rest of the port is the API's"


async def test_keys_that_can_not_be_used_are_told_at_start(tmp_path):
    keys = tmp_path / "keys"
    with pytest.raises(StartupError, match="give an http-port, too"):
        Server(links_keys_file=keys)
    with pytest.raises(StartupError, match="Can't read the keys of links"):
        await Server(http_port=0, links_keys_file=keys).start()
    keys.write_text("too short")
    with pytest.raises(StartupError, match="key 1 is shorter than 32 bytes"):
        await Server(http_port=0, links_keys_file=keys).start()
