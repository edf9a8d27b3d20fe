"""How far the official Python SDK's own tests get: the text for `docs/API.md`.

Told of four files of temporalio/sdk-python at commit 3a464f9, run with temporalio 1.32.0: what passes on the real
server, and what of that does not pass here, by the feature it waits for (a feature of `coverage.TABLE`).
"""

from __future__ import annotations

FILES = {
    "tests/test_client.py": 36,
    "tests/worker/test_activity.py": 55,
    "tests/worker/test_worker.py": 32,
    "tests/worker/test_workflow.py": 217,
}
"""How many tests of each file pass on the real server. A test is counted once for each set of parameters."""

WAITING: dict[str, dict[str, dict[str, int]]] = {
    "worker versions": {
        "tests/test_client.py": {"test_build_id_interactions": 1},
        "tests/worker/test_worker.py": {
            "test_continue_as_new_with_ramping_version": 1,
            "test_continue_as_new_with_version_upgrade": 1,
            "test_worker_deployment_dynamic_workflow_with_auto_upgrade_versioning": 1,
            "test_worker_deployment_dynamic_workflow_with_pinned_versioning": 1,
            "test_worker_deployment_ramp": 1,
            "test_worker_with_worker_deployment_config": 1,
            "test_workflows_can_use_default_versioning_behavior": 1,
            "test_workflows_can_use_versioning_override": 1,
        },
    },
    "Nexus operations": {"tests/worker/test_worker.py": {"test_custom_slot_supplier": 1}},
}
"""Feature -> file -> test -> how many sets of its parameters wait for the feature."""

TOO_PROMPT = {
    "tests/worker/test_activity.py": {
        "test_sync_activity_cancel_after_return_does_not_kill_thread_pool_worker": 1,
    },
}
"""Tests that count on the real server's timers, which fire in steps of a second."""

INTRODUCTION = """\
## The official Python SDK's own tests

What passes on the real server, and how much of that passes here (sdk-python at 3a464f9, temporalio 1.32.0):
"""

PROMPTNESS = """\
Perdure's timeouts fire when they are due, the real server's up to a second later. One test needs them late: it gives
an activity 200 ms, and waits 5 s after the timeout for its worker to give up, which it does 5.2 s after the start.
"""


def sdk_suite_doc() -> str:
    """The section."""
    lines = [INTRODUCTION, "| file | real server | Perdure |", "|---|---|---|"]
    lines += [f"| {file} | {total} | {total - missing(file)} |" for file, total in FILES.items()]
    lines += ["", "Those that do not pass, with the feature that they wait for:", ""]
    lines += ["| waits for | file | test |", "|---|---|---|"]
    for feature, files in WAITING.items():
        lines += _rows(feature, files)
    lines += ["", PROMPTNESS, "| file | test |", "|---|---|"]
    lines += [f"| {file} | `{test}` |" for file, tests in TOO_PROMPT.items() for test in tests]
    return "\n".join(lines) + "\n"


def missing(file: str) -> int:
    """How many of the file's tests that pass on the real server do not pass here."""
    return sum(sum(files.get(file, {}).values()) for files in (*WAITING.values(), TOO_PROMPT))


def _rows(first: str, files: dict[str, dict[str, int]]) -> list[str]:
    rows = []
    for file, tests in files.items():
        for test, count in tests.items():
            rows.append(f"| {first} | {file} | `{test}`{f' ({count})' if count > 1 else ''} |")
    return rows
