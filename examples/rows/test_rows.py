"""The import: through a crash, with bad rows, and with none at all."""

import pytest

from examples.rows.__main__ import _check, _import, lines, show
from examples.rows.activities import Cursor, Importer, Report
from examples.rows.workflow import ImportRows
from perdure.patterns import FanOutLeaf, FanOutTree


async def test_each_row_is_imported_as_the_file_has_it(perdure, capsys):
    await show(perdure.client, rows=700)
    told = capsys.readouterr().out
    assert "the worker dies: " in told and "693 rows are imported" in told and "7 are rejected" in told


async def test_what_was_half_done_is_written_again_and_is_the_same(perdure, tmp_path):
    file, database = tmp_path / "rows.csv", tmp_path / "rows.db"
    file.write_text("".join(lines(200)))
    report = await _import(perdure.client, file, database, 200)
    importer = Importer(database)
    _check(importer, report, 200)
    assert importer.db.execute("SELECT max(writes) FROM customer").fetchone()[0] == 2


@pytest.mark.parametrize("rows", [0, 1, 3, 4])
async def test_pages_of_three(perdure, tmp_path, rows):
    """Also where the file ends with a page."""
    file = tmp_path / "rows.csv"
    file.write_text("".join(lines(rows)))
    importer = Importer(tmp_path / "rows.db")
    activities = [importer.read_rows, importer.upsert, importer.report, importer.add]
    async with perdure.worker(ImportRows, FanOutTree, FanOutLeaf, activities=activities):
        handle = await perdure.start(ImportRows.run, Cursor(str(file), 0, 3))
        report = await handle.result()
    assert report == Report(rows, 0, sum(number * 37 for number in range(1, rows + 1)))
    pages = await perdure.history(f"{handle.id}/{handle.first_execution_run_id}/fan_out#1")
    assert len(pages.children("perdure_fan_out_leaf")) == max(1, -(-rows // 3))
