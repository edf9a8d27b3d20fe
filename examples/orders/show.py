"""What the demo shows: progress while it runs, and the table at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.orders.audit import Audit
from examples.orders.orderfile import Ending
from examples.orders.run import Run, Watcher
from examples.orders.stores import Entry

REPEATS_SHOWN = 5
PROBLEMS_SHOWN = 20


class _Bar:
    """Shows a run on a terminal."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("orders", total=total, open=0)

    def moved(self, run: Run) -> None:
        self._progress.update(self._task, completed=run.finished, open=run.started - run.finished)

    def said(self, text: str) -> None:
        self._progress.console.print(f"[yellow]•[/] {escape(text)}", highlight=False)


class _Lines:
    """Shows a run where only lines can be shown: one for each tenth of the orders."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._tenths = 0

    def moved(self, run: Run) -> None:
        tenths = run.finished * 10 // self._total
        if tenths > self._tenths:
            self._tenths = tenths
            self.said(f"{run.finished} of {self._total} orders finished, {run.started - run.finished} open")

    def said(self, text: str) -> None:
        self._console.print(escape(text), highlight=False, soft_wrap=True)


@contextmanager
def progress_on(console: Console, total: int) -> Iterator[Watcher]:
    """Show the progress of a run over `total` orders while the context lasts."""
    if not console.is_terminal:
        yield _Lines(console, total)
        return
    columns = [
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[open]} open"),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, total)


def show_report(console: Console, run: Run, found: Audit) -> None:
    """Print what the ledgers say."""
    console.print(_endings_table(run, found), _accidents_table(run), _repeats_table(found.repeats))
    total = len(run.file.orders)
    compensated = len(found.endings) - found.count(Ending.COMPLETED)
    facts = [
        ("orders lost", str(total - len(found.endings))),
        ("orders charged twice", str(found.charged_twice)),
        ("compensated in reverse order", f"{found.undone_in_reverse} of {compensated}"),
        ("nothing to undo (tombstones left)", str(found.tombstones)),
        ("charged, refunded, kept", _money(found)),
        ("repeats turned away", f"{len(found.repeats)}: {_by_action(found.repeats)}"),
        ("seconds", f"{run.seconds:.1f}"),
    ]
    table = Table("from the ledgers", "", title_justify="left")
    for name, value in facts:
        table.add_row(name, value)
    console.print(table)
    for problem in found.problems[:PROBLEMS_SHOWN]:
        console.print(f"[red]mismatch:[/] {escape(problem)}", highlight=False, soft_wrap=True)
    if len(found.problems) > PROBLEMS_SHOWN:
        console.print(f"[red]and {len(found.problems) - PROBLEMS_SHOWN} more[/]")
    verdict = f"[red]{len(found.problems)} mismatches[/]" if found.problems else "[green]All as the file expects.[/]"
    console.print(f"{verdict}", highlight=False)


def as_json(run: Run, found: Audit) -> dict[str, Any]:
    """Return the report as plain data."""
    return {
        "ok": not found.problems,
        "orders": len(run.file.orders),
        "lost": len(run.file.orders) - len(found.endings),
        "endings": {ending.value: found.count(ending) for ending in Ending},
        "charged_twice": found.charged_twice,
        "undone_in_reverse": found.undone_in_reverse,
        "tombstones": found.tombstones,
        "charged_cents": found.charged_cents,
        "refunded_cents": found.refunded_cents,
        "kills": [vars(accident) for accident in run.accidents],
        "repeats_turned_away": [vars(entry) for entry in found.repeats],
        "problems": found.problems,
        "seconds": round(run.seconds, 1),
    }


def _endings_table(run: Run, found: Audit) -> Table:
    table = Table("orders", title="What became of the orders")
    table.add_column("expected", justify="right")
    table.add_column("in the ledgers", justify="right")
    table.add_column("")
    expected = Counter(run.file.expected.values())
    for ending in Ending:
        same = expected[ending] == found.count(ending)
        name = "completed" if ending is Ending.COMPLETED else f"compensated: {ending.replace('_', ' ')}"
        table.add_row(name, str(expected[ending]), str(found.count(ending)), "[green]✓[/]" if same else "[red]✗[/]")
    return table


def _accidents_table(run: Run) -> Table:
    table = Table("killed", "while charging", title="SIGKILL on the way")
    table.add_column("back after", justify="right")
    for accident in run.accidents:
        table.add_row(accident.victim, ", ".join(accident.in_flight), f"{accident.down_s:.2f} s")
    return table


def _repeats_table(repeats: list[Entry]) -> Table:
    table = Table("time", "asked again for", "idempotency key", "first answer", title="Repeats turned away")
    shown = sorted(repeats, key=lambda entry: entry.action != "charge")[:REPEATS_SHOWN]
    for entry in shown:
        at = datetime.fromtimestamp(entry.at_ns / 1e9).strftime("%H:%M:%S.%f")[:-3]
        table.add_row(at, entry.action, entry.key, entry.note)
    if len(repeats) > len(shown):
        table.add_row("", "...", f"and {len(repeats) - len(shown)} more", "")
    return table


def _by_action(entries: list[Entry]) -> str:
    counts = Counter(entry.action for entry in entries)
    return ", ".join(f"{count} {action}" for action, count in counts.most_common()) or "none"


def _money(found: Audit) -> str:
    kept = found.charged_cents - found.refunded_cents
    return f"{found.charged_cents / 100:,.2f} − {found.refunded_cents / 100:,.2f} = {kept / 100:,.2f}"
