"""The campaign: paused, resumed, stopped, and with every mail sent twice."""

from datetime import timedelta

from examples.campaign.__main__ import GONE_EVERY, Provider, check, show
from examples.campaign.workflow import Campaign, End, Plan

READERS = [f"reader{number}" for number in range(1, 121)]


async def run(perdure, name="autumn"):
    provider = Provider(perdure.client)
    async with perdure.worker(Campaign, activities=[provider.send, provider.ask]):
        handle = await perdure.start(Campaign.run, Plan(name, READERS))
        end = await handle.result()
    return provider, end, await perdure.history(handle)


async def test_the_story(perdure, capsys):
    await show(perdure.client, recipients=150)
    told = capsys.readouterr().out
    assert "autumn pauses: " in told and "spam is over: " in told and "skipped" in told


async def test_those_who_could_not_be_reached_get_it_the_next_day(perdure):
    provider, end, history = await run(perdure)
    assert end == End({"completed": 118, "failed": 2}, pauses=1)
    check(provider, end, READERS, stopped=False)
    assert [timer.duration for timer in history.timers] == [timedelta(hours=1), timedelta(days=1)]
    tried = [provider.tried[reader] for reader in READERS]
    assert set(tried) == {1, 2, 4}, "once, twice if it is gone, three times and once more if it slept"
    assert all(provider.tried[reader] == 2 for number, reader in enumerate(READERS, 1) if number % GONE_EVERY == 0)


async def test_what_the_person_stops_is_stopped(perdure):
    provider, end, _ = await run(perdure, "spam")
    check(provider, end, READERS, stopped=True)
    assert end.counts["skipped"] >= len(READERS) - 100 - 20 and end.pauses == 1


async def test_nobody_gets_a_mail_twice(perdure):
    perdure.faults(duplicate_attempts=True)
    provider, end, _ = await run(perdure)
    assert max(provider.tried.values()) > 1
    assert len(set(provider.sent.values())) == len(provider.sent) == end.counts["completed"]


async def test_it_goes_on_where_it_was_after_each_eviction(perdure):
    perdure.faults(evict_every_task=True)
    provider, end, _ = await run(perdure)
    check(provider, end, READERS, stopped=False)
