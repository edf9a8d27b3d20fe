"""`perdure check` tells a sound file from a damaged one."""

import json

import pytest
from click.testing import CliRunner

from perdure.cli.check import check
from perdure.storage.sqlite import SqliteStorage


@pytest.fixture
async def database(tmp_path):
    file = tmp_path / "x.db"
    await SqliteStorage.open_file(file).close()
    return file


def run(*args):
    result = CliRunner().invoke(check, [str(arg) for arg in args], standalone_mode=False)
    assert result.exception is None
    return result


def test_a_sound_file_is_said_to_be_sound(database):
    result = run(database)
    assert (result.return_value, result.output) == (0, f"{database} is sound.\n")
    as_json = json.loads(run(database, "--json").output)
    assert as_json == {"file": str(database), "sound": True, "problems": []}


@pytest.mark.parametrize("content", [b"not a database, but long enough" * 99, b"SQLite format 3\0" * 9])
def test_damage_is_exit_code_1_and_a_sentence(tmp_path, content):
    file = tmp_path / "y.db"
    file.write_bytes(content)
    result = run(file)
    assert result.return_value == 1
    assert result.output.endswith(f"{file} is damaged: 1 problem found.\n")
    as_json = json.loads(run(file, "--json").output)
    assert as_json["sound"] is False and len(as_json["problems"]) == 1


def test_a_file_that_is_not_there_is_named(tmp_path):
    result = run(tmp_path / "z.db")
    assert result.return_value == 1
    assert str(tmp_path / "z.db") in result.output
