"""The encoder: what it sends counts once, and its deaths cost what it has not told of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from examples.encoder.__main__ import check, read, show, studio
from examples.encoder.activities import Job, Video
from examples.encoder.workflow import Publish
from examples.show import Mismatch
from perdure.patterns import Callbacks
from perdure.testing import Env


async def test_the_story(perdure: Env, capsys: pytest.CaptureFixture[str]) -> None:
    await show(perdure.client)
    printed = capsys.readouterr().out
    assert "attempt-1: stalled, attempt-2: stalled, attempt-3: completed" in printed
    assert "5 published" in printed and "'refused': 2" in printed and "'late'" in printed


@pytest.mark.parametrize("name", ["workshop.mov", "panel.mov", "vhs.mov"])
async def test_rebuilt_from_history_at_every_task(perdure: Env, name: str) -> None:
    perdure.faults(evict_every_task=True)
    [video] = [each for each in read() if each.name == name]
    async with studio(perdure.client) as (place, farm):
        async with perdure.worker(Publish, activities=place.all()):
            assert await perdure.execute(Publish.run, video) == video.expect
        check([video], place, farm)


@pytest.mark.perdure(time="manual")
async def test_heartbeats_keep_it_going_and_silence_ends_it(perdure: Env) -> None:
    video = Video("talk.mov", 2700)
    links: list[tuple[Job, str]] = []
    async with studio(perdure.client) as (place, farm):

        async def take(job: Job, link: str) -> None:
            links.append((job, link))

        place.encode = take
        async with perdure.worker(Publish, activities=place.all()):
            handle = await perdure.start(Publish.run, video)
            await perdure.settle()
            for frame in range(100, 1100, 100):
                await farm.post(f"{links[0][1]}/heartbeat", frame)
                await perdure.advance(timedelta(minutes=4))
            state = await Callbacks(perdure.client, handle.id).state("attempt-1")
            assert state is not None and (state.progress, state.heartbeats, len(links)) == (1000, 10, 1)
            await perdure.advance(timedelta(minutes=2))
            assert len(links) == 2 and links[1][0].frame == 1000
            await farm.post(links[0][1], {"url": "x", "frames": 2700})
            await farm.post(links[1][1], {"url": "x", "frames": 2700})
            assert await handle.result() == "published"
    assert dict(farm.answers) == {"taken": 11, "late": 1}


async def test_what_is_not_whole_is_seen(perdure: Env) -> None:
    async with studio(perdure.client) as (place, farm):
        with pytest.raises(Mismatch, match="published ones are"):
            check([Video("talk.mov", 900)], place, farm)
