"""Seven videos and an outside encoder that calls back by links, and whose machines die.

After five minutes of silence a video is taken up from the last progress. What comes late, twice, or is not the whole
video is refused. At the end each published video is whole, and nothing was encoded again that was known to be done.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from examples.encoder.activities import Studio, Video
from examples.encoder.farm import CHUNK, Farm
from examples.encoder.workflow import Publish
from examples.serving import served
from examples.show import Mismatch, fresh, run
from perdure.patterns import Callbacks
from perdure.patterns.links import Links, Signer

FILE = Path(__file__).parent / "videos.json"


def read() -> list[Video]:
    """The videos, with what happens to each."""
    return [Video(**each) for each in json.loads(FILE.read_text())]


@contextlib.asynccontextmanager
async def studio(client: Client) -> AsyncIterator[tuple[Studio, Farm]]:
    """The studio, the encoder, and the address that it calls back."""
    keys = [secrets.token_urlsafe(48)]
    farm = Farm()
    async with served(Links(client, keys=keys)) as url:
        yield Studio(Signer(keys, url), farm.encode), farm


async def show(client: Client) -> None:
    """Publish all videos; then see what the encoder has done, and what is published."""
    queue = fresh("encoder")
    async with (
        studio(client) as (place, farm),
        Worker(client, task_queue=queue, workflows=[Publish], activities=place.all()),
    ):
        for video in read():
            id = f"{queue}-{video.name}"
            end = await client.execute_workflow(Publish.run, video, id=id, task_queue=queue)
            calls = [f"{state.id}: {state.outcome}" for state in await Callbacks(client, id).states()]
            print(f"{video.name:15}{end:15}{', '.join(calls)}")
            if end != video.expect:
                raise Mismatch(f"{video.name} is {end!r}, not {video.expect!r}")
    check(read(), place, farm)
    if place.told != {video.name: video.expect for video in read()}:
        raise Mismatch(f"the authors have heard {place.told}")
    work = sum(sum(chunks.values()) for chunks in farm.encoded.values())
    print(f"{len(place.published)} published, {work} chunks encoded, answers to the encoder: {dict(farm.answers)}")


def check(videos: list[Video], place: Studio, farm: Farm) -> None:
    """Raises `Mismatch` unless what is published is whole, and what was told as progress was encoded once."""
    for video in videos:
        if (video.name in place.published) != (video.expect == "published"):
            raise Mismatch(f"{video.name} is {video.expect}, and the published ones are {list(place.published)}")
        if video.expect != "published":
            continue
        chunks = farm.encoded[video.name]
        if set(chunks) != set(range(0, video.frames, CHUNK)) or place.published[video.name].frames != video.frames:
            raise Mismatch(f"{video.name} is not whole: {sorted(chunks)}")
        again = {frame: times for frame, times in chunks.items() if times > 1}
        if again and "late" not in video.plan:
            raise Mismatch(f"{video.name}: encoded more than once although it was known to be done: {again}")


if __name__ == "__main__":
    run(show, __doc__)
