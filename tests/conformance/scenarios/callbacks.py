"""Completion callbacks of starts that are refused."""

from __future__ import annotations

from typing import Any

from tests.conformance.driver import Driver

SYSTEM = "temporal://system"


def _nexus(url: str, **header: str) -> dict[str, Any]:
    return {"nexus": {"url": url, "header": header}}


async def refused(d: Driver) -> None:
    for url in (
        "",
        "nonsense",
        "http://",
        "https:///path",
        "HTTP://localhost/x",
        "http://localhost:9999/callback?q=1",
        "https://user:word@example.com/callback#part",
        "ftp://example.com",
        "temporal://other",
        "temporal://system/path",
        "http://bad host/",
        "http://[::1",
        "http://host/%zz",
        "http://host:port/",
        ":nothing",
        "http://example.com/" + "x" * 1000,
        "%41:%42",
        "//example.com/x",
        "/path",
        "a b",
        "http://example.com/\x7f",
        "1http://x",
    ):
        await d.start(completion_callbacks=[_nexus(url)])
    await d.start(completion_callbacks=[{}])


async def refused_headers_and_counts(d: Driver) -> None:
    await d.start(completion_callbacks=[_nexus(SYSTEM, large="x" * 8188)])
    await d.start(completion_callbacks=[_nexus(SYSTEM)] * 2001)
    await d.start(completion_callbacks=[_nexus(SYSTEM), _nexus("http://localhost/")])
    links = [{"batch_job": {"job_id": f"job {n}"}} for n in range(6)]
    await d.start(completion_callbacks=[{**_nexus(SYSTEM), "links": links}], links=[{"batch_job": {"job_id": "x"}}] * 5)
    await d.start(completion_callbacks=[{**_nexus(SYSTEM), "links": [{}]}])
    await d.start(on_conflict_options={"attach_completion_callbacks": True})


async def internal(d: Driver) -> None:
    await d.start(completion_callbacks=[{"internal": {"data": b"x"}}])
    await d.describe()
