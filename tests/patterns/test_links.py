"""Links: signed, expiring, obeyed once; GET shows and POST acts; what people and machines are told."""

import asyncio
import base64
import json
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from temporalio import activity
from tests.patterns import test_approval, waiting
from tests.patterns.waiting import DAY, AskAndStay, Call, CallAndStay, Payload, Terms, Wanted, submit, tell

from perdure.patterns import Approvals, CallbackAddress, Callbacks, Notice
from perdure.patterns.links import Links, Signer, read_keys
from perdure.patterns.links.tokens import BadLink, Link, sign, verify

pytestmark = pytest.mark.perdure(time="manual")
OLD, NEW, OTHER = (name * 12 for name in ("old-", "new-", "other-"))
BASE = "https://example.com/perdure/links"
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
LINKS: dict[str, str] = {}
"""Who -> the last link that was sent to them."""


@pytest.fixture(autouse=True)
def _fresh():
    waiting.fresh()
    LINKS.clear()


def sending(keys):
    """The activities, which send links."""
    signer = Signer(keys, BASE)

    @activity.defn(name="tell")
    async def tell_link(notice: Notice) -> None:
        LINKS[notice.to] = signer.approval(notice)

    @activity.defn(name="submit")
    async def submit_link(address: CallbackAddress, what: str) -> None:
        LINKS["encoder"] = signer.callback(address)

    return [tell_link, submit_link]


async def started(perdure, workflow, terms):
    """Once all links are sent."""
    handle = await test_approval.started(perdure, workflow, terms)
    await sent(*(terms.approvers if isinstance(terms, Terms) else ["encoder"]))
    return handle


async def sent(*people):
    while not set(people) <= set(LINKS):
        await asyncio.sleep(0.01)


async def call(app, method, url, body=None, headers=None):
    """Status, headers, text."""
    headers = {name.lower(): value for name, value in (headers or {}).items()}
    if isinstance(body, dict):
        body, headers["content-type"] = urlencode(body).encode(), "application/x-www-form-urlencoded"
    path = url.removeprefix("https://example.com")
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "query_string": b""}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    sent = []

    async def receive():
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(event):
        sent.append(event)

    await app(scope, receive, send)
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, sent[1]["body"].decode()


def mounted(links):
    return Starlette(routes=[Mount("/perdure/links", app=links)])


async def test_get_shows_and_post_acts_once(perdure):
    async with perdure.worker(AskAndStay, activities=sending([NEW])):
        handle = await started(perdure, AskAndStay, Terms(quorum=2))
        app = mounted(Links(perdure.client, keys=[NEW]))
        for _ in range(3):
            status, headers, html = await call(app, "GET", LINKS["bob"], headers=HTML)
            assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
        assert "A train to Oslo" in html and "420 EUR" in html and 'value="approve"' in html and "bob" in html
        status, _, shown = await call(app, "GET", LINKS["bob"])
        assert (status, json.loads(shown)["status"], json.loads(shown)["who"]) == (200, "open", "bob")
        assert (await call(app, "HEAD", LINKS["bob"]))[2] == ""
        state = await Approvals(perdure.client, handle.id).state()
        assert all(not seat.vote for seat in state.seats), "nothing but POST acts"

        status, _, html = await call(app, "POST", LINKS["bob"], {"do": "approve", "reason": "fine"}, HTML)
        assert status == 200 and "Thank you" in html and "1 of 2 approvals" in html
        status, _, html = await call(app, "POST", LINKS["bob"], {"do": "reject"}, HTML)
        assert status == 409 and "This link has been used" in html
        assert (await call(app, "GET", LINKS["bob"], headers=HTML))[0] == 409
        body = json.dumps({"do": "approve"}).encode()
        status, _, told = await call(app, "POST", LINKS["dora"], body, {"content-type": "application/json"})
        assert (status, json.loads(told)["outcome"]) == (200, "approved")
        status, _, html = await call(app, "POST", LINKS["carol"], {"do": "reject"}, HTML)
        assert status == 410 and "it was approved by bob, dora" in html
        assert "it was approved by bob, dora" in (await call(app, "GET", LINKS["carol"], headers=HTML))[2]
        await perdure.advance(30 * DAY)
        decision = await handle.result()
    assert decision.by == ["bob", "dora"] and decision.reason == "bob: fine"


async def test_a_used_link_stays_used_when_the_vote_is_taken_back(perdure):
    async with perdure.worker(AskAndStay, activities=sending([NEW])):
        handle = await started(perdure, AskAndStay, Terms(quorum=2))
        links = Links(perdure.client, keys=[NEW])
        app = mounted(links)
        await call(app, "POST", LINKS["bob"], {"do": "approve"})
        await Approvals(perdure.client, handle.id).retract("bob")
        status, _, told = await call(app, "POST", LINKS["bob"], {"do": "approve"})
        assert (status, json.loads(told)["status"]) == (409, "again")
        state = await Approvals(perdure.client, handle.id).state()
        assert all(not seat.vote for seat in state.seats)


async def test_many_posts_of_one_link_count_once(perdure):
    async with perdure.worker(AskAndStay, activities=sending([NEW])):
        handle = await started(perdure, AskAndStay, Terms(quorum=3))
        app = mounted(Links(perdure.client, keys=[NEW]))
        answers = await asyncio.gather(*(call(app, "POST", LINKS["bob"], {"do": "approve"}) for _ in range(5)))
        assert sorted(status for status, _, _ in answers) == [200, 409, 409, 409, 409]
        audit = (await Approvals(perdure.client, handle.id).state()).audit
        assert [entry.what for entry in audit].count("approved") == 1


async def test_keys_rotate(perdure):
    async with perdure.worker(AskAndStay, activities=sending([OLD])):
        await started(perdure, AskAndStay, Terms())
        link = LINKS["bob"]
        assert (await call(mounted(Links(perdure.client, keys=[NEW, OLD])), "GET", link))[0] == 200
        status, _, told = await call(mounted(Links(perdure.client, keys=[NEW])), "GET", link)
        assert (status, json.loads(told)["status"]) == (403, "forged")


async def test_forged_and_expired_links(perdure):
    async with perdure.worker(AskAndStay, activities=sending([NEW])):
        await started(perdure, AskAndStay, Terms(days=2))
        link = LINKS["bob"]
        app = mounted(Links(perdure.client, keys=[NEW]))
        version, text, mac = link.rpartition("/")[2].split(".")
        said = json.loads(base64.urlsafe_b64decode(text + "=="))
        said[said.index("bob")] = "carol"
        other = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
        flipped = mac[:5] + ("A" if mac[5] != "A" else "B") + mac[6:]
        tokens = [f"{version}.{other}.{mac}", f"{version}.{text}.{flipped}", f"{version}.{text}.", f"2.{text}.{mac}"]
        for token in [*tokens, text, "", ".", "..", "é.é.é", "x" * 10_000, f"{version}.{text}.{mac}="]:
            for method in ("GET", "POST"):
                status, _, told = await call(app, method, f"{BASE}/{token}", {"do": "approve"})
                assert (status, json.loads(told)["status"]) == (403, "forged"), token
        status, _, html = await call(app, "GET", f"{BASE}/{tokens[0]}", headers=HTML)
        assert status == 403 and "This link is not valid" in html
        late = mounted(Links(perdure.client, keys=[NEW], now_s=lambda: perdure.now().timestamp() + 3 * 86400))
        status, _, html = await call(late, "POST", link, {"do": "approve"}, HTML)
        assert status == 410 and "This link has expired" in html
        await perdure.advance(3 * DAY)
        assert (await call(app, "POST", link, {"do": "approve"}))[0] == 410, "the workflow's clock says so, too"


async def test_no_key_or_token_is_in_a_history(perdure):
    async with perdure.worker(AskAndStay, Call, activities=sending([NEW])):
        handle = await started(perdure, AskAndStay, Terms(remind=1))
        app = mounted(Links(perdure.client, keys=[NEW]))
        await perdure.advance(1.5 * DAY)
        await call(app, "POST", LINKS["bob"], {"do": "approve"})
        asked = await started(perdure, Call, Wanted())
        await call(app, "POST", LINKS["encoder"], json.dumps({"url": "x", "seconds": 1}).encode())
        await asked.result()
        texts = [(await each.fetch_history()).to_json() for each in (handle, asked)]
    assert len(LINKS) == 4
    for text in texts:
        found = re.findall(r'"data": "([^"]+)"', text)
        everything = text + "".join(base64.b64decode(each).decode("utf-8", "replace") for each in found)
        assert "A train to Oslo" in everything or "talk.mov" in everything, "this test can see into payloads"
        assert NEW[:12] not in everything
        for link in LINKS.values():
            _, said, mac = link.rpartition("/")[2].split(".")
            assert said not in everything and mac not in everything


async def test_pages_are_safe(perdure):
    evil = "<script>alert(1)</script>\"'&"
    hostile = waiting.ApprovalRequest(evil, "ann", {evil: evil})
    previous, waiting.REQUEST = waiting.REQUEST, hostile
    try:
        async with perdure.worker(AskAndStay, activities=sending([NEW])):
            handle = await started(perdure, AskAndStay, Terms(approvers=["bob", evil]))
            app = mounted(Links(perdure.client, keys=[NEW]))
            _, headers, html = await call(app, "GET", LINKS[evil], headers=HTML)
            assert "<script" not in html and "&lt;script&gt;" in html
            assert not re.search(r"(src|href|url\()", html) and "http" not in html, "nothing is loaded"
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
            assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
            assert headers["x-content-type-options"] == "nosniff"
            _, _, html = await call(app, "POST", LINKS["bob"], {"do": "reject", "reason": evil}, HTML)
            assert "<script" not in html
            await perdure.advance(30 * DAY)
            assert (await handle.result()).reason == f"bob: {evil}"
    finally:
        waiting.REQUEST = previous


async def test_requests_that_make_no_sense(perdure):
    async with perdure.worker(AskAndStay, CallAndStay, activities=sending([NEW])):
        await started(perdure, AskAndStay, Terms())
        app = mounted(Links(perdure.client, keys=[NEW]))
        link, form = LINKS["bob"], {"do": "approve"}
        status, headers, _ = await call(app, "PUT", link, form)
        assert (status, headers["allow"]) == (405, "GET, HEAD, POST")
        assert (await call(app, "POST", link, {"do": "applaud"}))[0] == 400
        assert (await call(app, "POST", link, b""))[0] == 415
        assert (await call(app, "POST", link, b"{", {"content-type": "application/json"}))[0] == 400
        assert (await call(app, "POST", link, b"[" * 100_000, {"content-type": "application/json"}))[0] == 400
        assert (await call(app, "POST", link, b'["approve"]', {"content-type": "application/json"}))[0] == 400
        assert (await call(app, "POST", link, {"do": "approve", "reason": "x" * 2_000_000}))[0] == 413
        assert (await call(app, "POST", link, {"do": "approve", "reason": "x" * 3000}))[0] == 422
        assert (await call(app, "POST", link + "/complete", form))[0] == 404
        elsewhere = mounted(
            Links(perdure.client.__class__(perdure.client.service_client, namespace="other"), keys=[NEW])
        )
        assert (await call(elsewhere, "POST", link, form))[0] == 404
        many = mounted(Links({perdure.namespace: perdure.client}.__getitem__, keys=[NEW]))
        assert (await call(many, "GET", link))[0] == 200


async def test_a_callback_by_link(perdure):
    async with perdure.worker(Call, activities=sending([NEW])):
        handle = await started(perdure, Call, Wanted(stall_s=600))
        app, link = mounted(Links(perdure.client, keys=[NEW])), LINKS["encoder"]
        for frame in (10, 20, 30):
            assert (await call(app, "POST", link + "/heartbeat", str(frame).encode()))[0] == 200
            await perdure.advance(timedelta(minutes=1))
        assert (await call(app, "POST", link + "/heartbeat", b"40"))[0] == 200
        assert (await call(app, "POST", link + "/heartbeat", b"50"))[0] == 200, "too close is no mistake"
        status, _, told = await call(app, "GET", link)
        assert (status, json.loads(told)["progress"], json.loads(told)["status"]) == (200, 40, "open")
        status, _, told = await call(app, "POST", link, b'{"url": 1}')
        assert status == 422 and "the wait goes on" in json.loads(told)["text"]
        assert (await call(app, "POST", link, b"{"))[0] == 400
        assert (await call(app, "POST", link + "/else", b"{}"))[0] == 404
        done = json.dumps({"url": "s3://talk.mp4", "seconds": 90}).encode()
        assert (await call(app, "POST", link, done))[0] == 200
        assert (await call(app, "POST", link, done))[0] in (409, 410)
        assert (await call(app, "POST", link + "/fail", b"no"))[0] == 410
        assert await handle.result() == Payload("s3://talk.mp4", 90)


async def test_an_outside_system_fails_by_link(perdure):
    async with perdure.worker(Call, activities=sending([NEW])):
        handle = await started(perdure, Call, Wanted())
        app, link = mounted(Links(perdure.client, keys=[NEW])), LINKS["encoder"]
        assert (await call(app, "POST", link + "/fail", "Größe".encode()))[0] == 200
        state = await Callbacks(perdure.client, handle.id).state()
        assert (state.outcome, state.message) == ("failed", "Größe")


async def test_a_link_reaches_no_later_workflow_of_the_same_id(perdure):
    async with perdure.worker(AskAndStay, activities=sending([NEW])):
        first = await perdure.start(AskAndStay.run, Terms(), id="same")
        await sent("bob")
        old = dict(LINKS)
        await first.terminate()
        LINKS.clear()
        await perdure.start(AskAndStay.run, Terms(), id="same")
        await sent("bob")
        app = mounted(Links(perdure.client, keys=[NEW]))
        assert (await call(app, "POST", old["bob"], {"do": "approve"}))[0] in (404, 410)
        assert (await call(app, "GET", old["bob"]))[0] == 404
        assert (await call(app, "POST", LINKS["bob"], {"do": "approve"}))[0] == 200


@pytest.mark.perdure(time="real")
async def test_while_no_worker_answers_people_are_asked_to_come_again(perdure):
    async with perdure.worker(AskAndStay, activities=sending([NEW])):
        handle = await perdure.start(AskAndStay.run, Terms())
        while "bob" not in LINKS:
            await asyncio.sleep(0.01)
    app = mounted(Links(perdure.client, keys=[NEW], timeout=timedelta(seconds=0.3)))
    for method in ("GET", "POST"):
        status, _, html = await call(app, method, LINKS["bob"], {"do": "approve"}, HTML)
        assert status == 503 and "Please try again" in html
    await handle.terminate()


def test_tokens_are_of_one_link_and_one_key():
    link = Link("approval", "default", "wf/ü", "run", "approval", "bob", 1000, "x1")
    token = sign(link, OLD.encode())
    assert verify(token, [NEW, OLD], lambda: 999.0) == link
    with pytest.raises(BadLink) as raised:
        verify(token, [OLD], lambda: 1000.0)
    assert raised.value.kind == "expired"
    with pytest.raises(BadLink) as raised:
        verify(token, [NEW], lambda: 999.0)
    assert raised.value.kind == "forged"


def test_keys_files(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# newest first\n{NEW}\n\n{OLD}\n")
    assert read_keys(file) == [NEW, OLD]
    for text, why in (("", "no keys"), ("short\n", "key 1 is shorter than 32 bytes")):
        file.write_text(text)
        with pytest.raises(ValueError, match=why) as raised:
            read_keys(file)
        assert "short\n" not in str(raised.value)
    with pytest.raises(ValueError, match="a list of keys"):
        Signer(NEW, BASE)
    with pytest.raises(ValueError, match="https://"):
        Signer([NEW], "example.com")
    assert NEW not in repr(Signer([NEW], BASE))


def test_the_activities_of_these_tests_are_those_of_the_workflows():
    assert [each.__name__ for each in (tell, submit)] == ["tell", "submit"]
