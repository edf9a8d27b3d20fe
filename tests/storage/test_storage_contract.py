"""What every storage promises, on each kind."""

from __future__ import annotations

import asyncio

import pytest
from tests.storage.support import NAMESPACE, Commits, batch_of, born, events, identity, listed, run_id

from perdure.storage.base import Batch, DueItem, HistoryBatch, NamespaceRow, PendingRow, ReadyItem, RunChange, Storage

DAY_NS = 86_400_000_000_000


async def test_a_run_is_found_by_its_ids_and_loaded_with_its_pending_items(storage: Storage, commit: Commits) -> None:
    timer, task = PendingRow(7, None, 0, b"timer"), PendingRow(None, "q", -3, b"task")
    await commit(born(5, pending={(2, "b"): timer, (1, "a"): task}), current={(NAMESPACE, "workflow-5"): 5})
    assert await storage.find_current(NAMESPACE, "workflow-5") == 5
    assert await storage.find_run(*identity(5)) == 5
    run = await storage.load_run(5)
    assert run is not None
    assert (run.run_key, run.identity, run.core) == (5, identity(5), b"core")
    assert run.pending == [(1, "a", task), (2, "b", timer)]


async def test_what_is_not_there_is_none(storage: Storage, commit: Commits) -> None:
    await commit(born(1))
    assert await storage.find_current(NAMESPACE, "workflow-1") is None
    assert await storage.find_run(NAMESPACE, "workflow-2", run_id(1)) is None
    assert await storage.find_run("other", "workflow-1", run_id(1)) is None
    assert await storage.find_run(NAMESPACE, "workflow-1", "not a uuid") is None
    assert await storage.load_run(2) is None
    assert await storage.history(2) == []
    assert await storage.meta("x") is None


async def test_changes_of_a_run_replace_only_what_they_name(storage: Storage, commit: Commits) -> None:
    row = PendingRow(None, None, 0, b"1")
    await commit(born(1, pending={(1, "keep"): row, (1, "drop"): row, (1, "change"): row}))
    changed = row._replace(blob=b"2")
    await commit(RunChange(1, pending={(1, "drop"): None, (1, "change"): changed, (1, "never was"): None}))
    run = await storage.load_run(1)
    assert run is not None and run.core == b"core"
    assert run.pending == [(1, "change", changed), (1, "keep", row)]
    await commit(RunChange(1, core=b"new"))
    run = await storage.load_run(1)
    assert run is not None and run.core == b"new" and len(run.pending) == 2


async def test_histories_are_read_in_whole_batches_both_ways(storage: Storage, commit: Commits) -> None:
    batches = [events(1, 2), events(3, 1), events(4, 3), events(7, 1)]
    await commit(born(1, history=batches[:2]), born(2))
    await commit(RunChange(1, history=batches[2:]))
    assert await storage.history(1) == batches
    assert await storage.history(1, reverse=True) == batches[::-1]
    assert await storage.history(1, 3, 7) == batches[1:3]
    assert await storage.history(1, 4) == batches[2:]
    assert await storage.history(1, 5) == batches[3:]
    assert await storage.history(1, 1, 4, reverse=True) == batches[1::-1]


async def test_history_stops_behind_the_batch_that_reaches_a_limit(storage: Storage, commit: Commits) -> None:
    batches = [HistoryBatch(i, bytes(100)) for i in range(1, 6)]
    await commit(born(1, history=batches))
    assert await storage.history(1, limit_batches=2) == batches[:2]
    assert await storage.history(1, limit_bytes=1) == batches[:1]
    assert await storage.history(1, limit_bytes=101) == batches[:2]
    assert await storage.history(1, limit_bytes=200, reverse=True) == batches[:2:-1]


async def test_closed_runs_come_in_the_order_of_their_ends_and_in_pages(storage: Storage, commit: Commits) -> None:
    ends = {1: 30, 2: None, 3: 10, 4: 20, 5: 10}
    await commit(*(born(key, visibility=listed(key, close_time=end)) for key, end in ends.items()))
    ordered = await storage.closed(NAMESPACE, None, 10)
    assert [(run.close_ns, run.run_key) for run in ordered] == [(10, 3), (10, 5), (20, 4), (30, 1)]
    assert await storage.closed(NAMESPACE, None, 2) == ordered[:2]
    assert await storage.closed(NAMESPACE, ordered[0], 2) == ordered[1:3]
    assert await storage.closed(NAMESPACE, ordered[3], 2) == []
    assert await storage.closed("other", None, 10) == []
    await commit(RunChange(3, delete=True))
    assert await storage.closed(NAMESPACE, None, 10) == ordered[1:]


async def test_deadlines_come_in_order_and_in_pages(storage: Storage, commit: Commits) -> None:
    rows = {(kind, key): PendingRow(due, None, 0, b"") for due, kind, key in [(30, 1, "a"), (10, 2, "b"), (10, 1, "c")]}
    await commit(born(1, pending=rows), born(2, pending={(1, "x"): PendingRow(10, None, 0, b"")}))
    await commit(born(3, pending={(1, "none"): PendingRow(None, "q", 0, b"")}))
    ordered = [DueItem(10, 1, 1, "c"), DueItem(10, 1, 2, "b"), DueItem(10, 2, 1, "x"), DueItem(30, 1, 1, "a")]
    assert await storage.due(None, 30, 10) == ordered
    assert await storage.due(None, 29, 10) == ordered[:3]
    assert await storage.due(None, 30, 2) == ordered[:2]
    assert await storage.due(ordered[1], 30, 10) == ordered[2:]
    assert await storage.due(ordered[1], 30, 1) == ordered[2:3]


async def test_ready_tasks_come_in_order_and_in_pages_by_queue(storage: Storage, commit: Commits) -> None:
    await commit(
        born(1, pending={(1, "a"): PendingRow(None, "q", 5, b""), (1, "b"): PendingRow(9, "q", -5, b"")}),
        born(2, pending={(1, "a"): PendingRow(None, "q", 5, b""), (1, "b"): PendingRow(None, "p", 1, b"")}),
    )
    ordered = [ReadyItem(-5, 1, 1, "b"), ReadyItem(5, 1, 1, "a"), ReadyItem(5, 2, 1, "a")]
    assert await storage.ready("q", None, 10) == ordered
    assert await storage.ready("q", ordered[1], 10) == ordered[2:]
    assert await storage.ready("q", None, 1) == ordered[:1]
    assert await storage.ready("none", None, 10) == []
    assert await storage.ready_count("q") == 3
    assert await storage.ready_count("none") == 0
    assert await storage.max_order("q") == 5
    assert await storage.max_order("none") is None


async def test_queues_with_ready_tasks_are_named_by_prefix(storage: Storage, commit: Commits) -> None:
    names = ["a/1", "a/2", "a\U0010fffd", "b", "ä"]
    for number, name in enumerate(names):
        await commit(born(number + 1, pending={(1, str(i)): PendingRow(None, name, i, b"") for i in range(3)}))
    assert await storage.ready_queues() == names
    assert await storage.ready_queues("a") == names[:3]
    assert await storage.ready_queues("a/") == names[:2]
    assert await storage.ready_queues("c") == []


async def test_listings_filter_order_and_limit(storage: Storage, commit: Commits) -> None:
    await commit(born(1), born(2), born(3))
    await commit(RunChange(2, visibility=listed(2, status=2, close_time=50)))
    await commit(RunChange(1, visibility=listed(1, status=2, close_time=60, search_attributes='{"A": 1}', memo=b"m")))
    rows = await storage.list_visibility(NAMESPACE, "", (), "", 10)
    assert [key for key, _ in rows] == [3, 1, 2]
    assert rows[1][1] == listed(1, status=2, close_time=60, search_attributes='{"A": 1}', memo=b"m")
    closed = await storage.list_visibility(NAMESPACE, "status = ? OR status = ?", (2, 9), "run_key", 10)
    assert [key for key, _ in closed] == [1, 2]
    assert len(await storage.list_visibility(NAMESPACE, "", (), "", 2)) == 2
    assert await storage.list_visibility("other", "status = 1 OR status = 2", (), "", 10) == []


async def test_counts_by_group(storage: Storage, commit: Commits) -> None:
    assert await storage.count_visibility(NAMESPACE, "", ()) == [(None, 0)]
    await commit(born(1), born(2), born(3, visibility=listed(3, status=2)))
    assert await storage.count_visibility(NAMESPACE, "", ()) == [(None, 3)]
    assert await storage.count_visibility(NAMESPACE, "start_time > ?", (1,), "status") == [(1, 1), (2, 1)]


async def test_a_listing_shows_what_was_committed_just_before(storage: Storage, commit: Commits) -> None:
    for key in range(1, 30):
        await commit(born(key))
        assert (await storage.list_visibility(NAMESPACE, "", (), "", 1))[0][0] == key


async def test_namespaces_and_metadata_are_put_and_removed(storage: Storage, commit: Commits) -> None:
    one, two = NamespaceRow("1", "one", b"x"), NamespaceRow("2", "two", b"")
    await commit(namespaces={"2": two, "1": one}, meta={"a/1": b"1", "a/2": b"2", "b": b""})
    assert await storage.namespaces() == [one, two]
    assert await storage.meta_all() == {"a/1": b"1", "a/2": b"2", "b": b""}
    assert await storage.meta_all("a/") == {"a/1": b"1", "a/2": b"2"}
    await commit(namespaces={"1": one._replace(name="new"), "2": None}, meta={"a/1": None, "b": b"3"})
    assert await storage.namespaces() == [one._replace(name="new")]
    assert await storage.meta_all() == {"a/2": b"2", "b": b"3"}
    assert await storage.meta("b") == b"3"


async def test_a_deleted_run_leaves_nothing(storage: Storage, commit: Commits) -> None:
    pending = {(1, "a"): PendingRow(1, "q", 0, b""), (2, "b"): PendingRow(2, None, 0, b"")}
    await commit(born(1), current={(NAMESPACE, "workflow-1"): 1})
    await commit(born(2, pending=pending), current={(NAMESPACE, "workflow-2"): 2})
    await commit(RunChange(2, delete=True), current={(NAMESPACE, "workflow-2"): None})
    assert await storage.load_run(2) is None
    assert await storage.find_run(*identity(2)) is None
    assert await storage.find_current(NAMESPACE, "workflow-2") is None
    assert await storage.due(None, DAY_NS, 10) == []
    assert await storage.ready_queues() == []
    assert await storage.count_visibility(NAMESPACE, "", ()) == [(None, 1)]
    while await storage.history(2):
        await commit.until_idle()
    assert await storage.load_run(1) is not None
    assert await storage.history(1) == [events(1, 2)]


async def test_a_run_key_counts_as_used_until_nothing_of_its_run_is_left(storage: Storage, commit: Commits) -> None:
    assert await storage.max_run_key() == 0
    await commit(born(7), born(9, history=[HistoryBatch(i, b"x") for i in range(1, 2000)]))
    assert await storage.max_run_key() == 9
    await commit(RunChange(9, delete=True))
    while await storage.history(9, limit_batches=1):
        assert await storage.max_run_key() == 9
        await commit.until_idle()
    assert await storage.max_run_key() == 7


async def test_a_run_born_and_deleted_within_a_batch_is_never_written(storage: Storage, commit: Commits) -> None:
    batch = batch_of(born(1), RunChange(1, core=b"2", pending={(1, "a"): PendingRow(1, "q", 1, b"")}))
    batch.add(RunChange(1, delete=True))
    assert not batch
    assert not batch_of(born(1, delete=True))
    assert await commit.start(batch) is None
    assert await storage.max_run_key() == 0


def test_an_item_put_and_removed_within_the_batch_of_its_runs_birth_is_not_written() -> None:
    batch = batch_of(born(1), RunChange(1, pending={(1, "a"): PendingRow(1, "q", 1, b"")}))
    batch.add(RunChange(1, pending={(1, "a"): None}))
    assert batch.runs[1].pending == {}


def test_nothing_may_follow_the_end_of_a_run() -> None:
    batch = batch_of(RunChange(1, delete=True))
    with pytest.raises(AssertionError):
        batch.add(RunChange(1, core=b""))
    with pytest.raises(AssertionError):
        batch_of(RunChange(2, core=b""), born(2))


async def test_callbacks_come_in_the_order_of_the_batches(storage: Storage) -> None:
    order: list[int] = []
    finished = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in range(50):
        storage.submit(Batch(meta={"n": b"%d" % number}), lambda error, number=number: order.append(number))
    storage.submit(Batch(), lambda error: loop.call_soon_threadsafe(finished.set))
    await finished.wait()
    assert order == list(range(50))
    assert await storage.meta("n") == b"49"


async def test_a_callback_that_raises_does_not_stop_the_writer(storage: Storage, commit: Commits) -> None:
    def done(error: BaseException | None) -> None:
        raise RuntimeError("a bug of the caller")

    storage.submit(Batch(meta={"a": b"1"}), done)
    await commit(meta={"b": b"2"})
    assert await storage.meta_all() == {"a": b"1", "b": b"2"}


async def test_large_values_and_odd_names_survive(storage: Storage, commit: Commits) -> None:
    blob = bytes(range(256)) * 20_000
    name = "null\x00, quote', \U0001f600, \u2028"
    await commit(
        born(
            1, name, core=blob, history=[HistoryBatch(1, blob)], pending={(1, name): PendingRow(1, name, 1 << 62, blob)}
        ),
        current={(NAMESPACE, name): 1},
    )
    assert await storage.find_current(NAMESPACE, name) == 1
    run = await storage.load_run(1)
    assert run is not None and run.core == blob and run.pending == [(1, name, PendingRow(1, name, 1 << 62, blob))]
    assert await storage.history(1) == [HistoryBatch(1, blob)]
    assert await storage.ready(name, None, 1) == [ReadyItem(1 << 62, 1, 1, name)]


async def test_closing_writes_what_was_submitted(tmp_path) -> None:
    from perdure.storage.sqlite import SqliteStorage

    storage = SqliteStorage.open_file(tmp_path / "a.db")
    for number in range(20):
        storage.submit(Batch(meta={str(number): b"x"}), lambda error: None)
    await storage.close()
    storage = SqliteStorage.open_file(tmp_path / "a.db")
    assert len(await storage.meta_all()) == 20
    await storage.close()
