"""The encoder: an outside system that knows a link to post to, and nothing of workflows. Its machines die."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from examples.encoder.activities import Job

CHUNK = 900
"""Frames that are encoded at once."""


@dataclass
class Farm:
    encoded: dict[str, Counter[int]] = field(default_factory=dict)
    """Video -> chunk, by its first frame -> how often it was encoded."""
    answers: Counter[str] = field(default_factory=Counter)
    """What the workflows have answered, by status."""
    last: dict[tuple[str, int], str] = field(default_factory=dict)
    """Video and attempt -> its link."""

    async def encode(self, job: Job, link: str) -> None:
        """One attempt, as the plan of the video says. Who is asked again for the same has it still in work."""
        video, chunks = job.video, self.encoded.setdefault(job.video.name, Counter())
        self.last[video.name, job.attempt] = link
        plan = video.plan[job.attempt - 1]
        if plan.startswith("codec"):
            await self.post(f"{link}/fail", plan)
            return
        dies = plan.startswith("dies at ")
        end = int(plan.removeprefix("dies at ")) if dies else video.frames
        for frame in range(job.frame, end, CHUNK):
            chunks[frame] += 1
        if dies:
            if end > job.frame:
                await self.post(f"{link}/heartbeat", end)
            return
        result: dict[str, Any] = {"url": f"s3://videos/{video.name}.mp4", "frames": video.frames}
        if plan == "sends nonsense first":
            await self.post(link, {"url": result["url"]})
            await self.post(link, result | {"frames": 1})
        if plan == "late":
            return  # finishes when the next attempt has begun
        if job.attempt > 1 and video.plan[job.attempt - 2] == "late":
            await self.post(self.last[video.name, job.attempt - 1], result)
        await asyncio.gather(self.post(link, result), self.post(link, result))  # a webhook that is sent twice

    async def post(self, url: str, body: Any) -> None:
        def send() -> str:
            parts = urlsplit(url)
            text = body if isinstance(body, str) else json.dumps(body)
            with closing(http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)) as connection:
                connection.request("POST", parts.path, text.encode(), {"content-type": "application/json"})
                return str(json.loads(connection.getresponse().read())["status"])

        self.answers[await asyncio.to_thread(send)] += 1
