"""The directory of the sockets behind the gate: none is left by those who are gone, and nobody else's is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from perdure.rpc.transport.directory import SocketDirectory

KILLED = """
import os, signal
from perdure.rpc.transport.directory import SocketDirectory
directory = SocketDirectory()
open(os.path.join(directory.path, "front.sock"), "w").close()
print(directory.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the directories of this user are, if there are any."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / f"perdure-{os.getuid()}"


def test_a_closed_one_leaves_nothing(parent: Path) -> None:
    first, second = SocketDirectory(), SocketDirectory()
    assert {Path(each.path).parent for each in (first, second)} == {parent}
    assert all(os.stat(path).st_mode & 0o777 == 0o700 for path in (parent, first.path, second.path))
    first.close()
    assert os.path.isdir(second.path)
    second.close()
    assert not parent.exists()


def test_what_a_killed_process_leaves_goes_with_the_next(parent: Path) -> None:
    mine = SocketDirectory()
    killed = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.parent == parent and (left / "front.sock").exists() and os.path.isdir(mine.path)
    following = SocketDirectory()
    assert not left.exists() and sorted(os.listdir(parent)) == sorted(
        os.path.basename(each.path) for each in (mine, following)
    )


@pytest.mark.parametrize("trick", ["link", "open", "file"])
def test_a_place_that_others_could_have_made_is_not_used(parent: Path, tmp_path: Path, trick: str) -> None:
    target = tmp_path / "target"
    (target / "kept").mkdir(parents=True)
    if trick == "link":
        parent.symlink_to(target)
    elif trick == "open":
        parent.mkdir()
        parent.chmod(0o777)
        (parent / "kept").mkdir()
    else:
        parent.touch()
    made = SocketDirectory()
    assert Path(made.path).parent == tmp_path and os.stat(made.path).st_mode & 0o777 == 0o700
    assert (target / "kept").is_dir() and (trick != "open" or (parent / "kept").is_dir())
    made.close()
    assert not os.path.exists(made.path)


def test_links_among_them_are_not_followed(parent: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    parent.mkdir(mode=0o700)
    (parent / "link").symlink_to(kept)
    SocketDirectory()
    assert kept.is_dir() and (parent / "link").is_symlink()
