"""The import: a fan-out over the pages of a file."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from examples.rows.activities import Cursor, Importer, Report
    from perdure.patterns import Fold, Pages, fan_out, method, options

WRITE = options.quick.but(start_to_close=timedelta(seconds=5), schedule_to_close=timedelta(hours=1))


@workflow.defn
class ImportRows:
    """Imports what can be imported, and reports what can't."""

    @workflow.run
    async def run(self, at: Cursor) -> Report:
        summary = await fan_out(
            Pages(method(Importer.read_rows), at),
            method(Importer.upsert),
            max_in_flight=60,
            children=3,
            on_error="collect",
            options=WRITE,
            fold=Fold(method(Importer.report), method(Importer.add)),
        )
        return summary.folded or Report()
