"""The orders demo: a small file through the same program, kills and all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from examples.orders.make_orders import make_orders
from examples.processes import ROOT

DEMO = [sys.executable, "-m", "examples.orders.demo", "--timeout", "100"]


def write_orders(path: Path, count: int) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in make_orders(count, seed=3)))
    return path


def test_twenty_orders_survive_three_kills(tmp_path: Path, server_command: str) -> None:
    file = write_orders(tmp_path / "orders.jsonl", 20)
    books = tmp_path / "books"
    run = subprocess.run(
        [*DEMO, str(file), "--json", "--dir", str(books), "--server-command", server_command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr + run.stdout
    report = json.loads(run.stdout)
    assert report["ok"]
    assert report["problems"] == []
    assert (report["orders"], report["lost"], report["charged_twice"]) == (20, 0, 0)
    assert report["endings"] == {"completed": 14, "out_of_stock": 2, "payment_declined": 2, "carrier_refused": 2}
    assert report["undone_in_reverse"] == 6
    assert [kill["victim"] for kill in report["kills"]] == ["server", "worker", "server"]
    assert all(kill["in_flight"] for kill in report["kills"])
    charged_again = {entry["order_id"] for entry in report["repeats_turned_away"] if entry["action"] == "charge"}
    assert charged_again & set(report["kills"][1]["in_flight"])


def test_an_order_that_ends_otherwise_than_the_file_says_is_a_mismatch(tmp_path: Path, server_command: str) -> None:
    file = tmp_path / "orders.jsonl"
    item = {"item": "MUG", "name": "Mug", "stock": 3, "weight_g": 420}
    order = {
        "order": "O-1",
        "customer": "ana@example.com",
        "item": "MUG",
        "quantity": 2,
        "amount_cents": 2580,
        "card": "4242424242424242",
        "country": "CH",
        "expect": "payment_declined",
    }
    file.write_text(f"{json.dumps(item)}\n{json.dumps(order)}\n")
    command = [*DEMO, str(file), "--dir", str(tmp_path / "books"), "--server-command", server_command]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1, run.stderr + run.stdout
    assert "O-1: expected payment_declined, ended completed" in run.stdout


def test_a_file_that_cannot_be_used_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text("{}\n")
    run = subprocess.run([*DEMO, str(file)], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "orders.jsonl:1: neither an item" in run.stderr
