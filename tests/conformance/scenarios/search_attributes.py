"""Upserts of search attributes and memo, and what Describe shows of them."""

from __future__ import annotations

from tests.conformance.driver import Driver
from tests.conformance.messages import modify, payload, succeed, typed, upsert


async def of_each_type_are_upserted(d: Driver) -> None:
    await d.start()
    await d.step(
        upsert(
            {
                "ConfBool": True,
                "ConfDatetime": "2024-02-29T12:00:00.123456789+01:00",
                "ConfDouble": 1.5,
                "ConfInt": 7,
                "ConfKeyword": "red",
                "ConfKeywordList": ["a", "b"],
                "ConfText": "some words",
            }
        )
    )
    await d.describe()


async def are_merged(d: Driver) -> None:
    await d.start(search_attributes={"ConfInt": 1, "ConfKeyword": "red"})
    await d.step(upsert({"ConfInt": 2, "ConfText": "new"}))
    await d.describe()


async def are_removed_by_null_and_empty(d: Driver) -> None:
    await d.start(search_attributes={"ConfInt": 1, "ConfKeyword": "red", "ConfText": "words", "ConfKeywordList": ["a"]})
    await d.step(upsert({"ConfInt": None, "ConfKeyword": [], "ConfKeywordList": [], "ConfText": payload(None)}))
    await d.describe()


async def with_types_in_their_metadata(d: Driver) -> None:
    await d.start()
    await d.step(upsert({"ConfInt": typed(1, "Int"), "ConfKeyword": typed("x", "Keyword")}))
    await d.describe()


async def that_the_server_keeps_for_itself(d: Driver) -> None:
    await d.start()
    await d.step(upsert({"BuildIds": ["x"], "TemporalChangeVersion": ["v1"]}))
    await d.describe()


async def numbers_of_the_wrong_kind(d: Driver) -> None:
    await d.start()
    await d.step(upsert({"ConfDouble": 7}))
    await d.complete(await _again(d), upsert({"ConfInt": 1.5}))


async def _again(d: Driver):  # type: ignore[no-untyped-def]
    await d.signal()
    return await d.poll_wft()


async def lists_of_one_and_more(d: Driver) -> None:
    await d.start()
    await d.step(upsert({"ConfKeyword": ["one"]}))
    await d.complete(await _again(d), upsert({"ConfKeywordList": "one"}))
    await d.complete(await _again(d), upsert({"ConfKeyword": ["one", "two"]}))


async def dates_in_other_forms(d: Driver) -> None:
    await d.start()
    await d.step(upsert({"ConfDatetime": "2024-02-29"}))
    await d.complete(await d.poll_wft(), upsert({"ConfDatetime": 1700000000}))
    await d.describe()


async def memo_is_merged(d: Driver) -> None:
    await d.start(memo={"keep": 1, "change": 1, "drop": 1})
    await d.step(modify({"change": 2, "drop": None, "new": [1]}))
    await d.describe()


async def memo_of_a_closing_task(d: Driver) -> None:
    await d.start()
    await d.step(modify({"m": 1}), upsert({"ConfInt": 1}), succeed())
    await d.describe()


async def too_large_an_attribute_fails_the_workflow(d: Driver) -> None:
    await d.start()
    await d.step(upsert({"ConfText": "x" * 3000}))


async def too_many_bytes_of_attributes(d: Driver) -> None:
    await d.start()
    await d.step(upsert({"ConfKeywordList": ["x" * 1000] * 45}))


async def too_large_a_memo_fails_the_workflow(d: Driver) -> None:
    await d.start()
    await d.step(modify({"m": "x" * (2 * 1024 * 1024 + 1)}))
