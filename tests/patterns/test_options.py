"""Presets always have every timeout and a bounded number of attempts, and say so."""

from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError

from perdure.patterns import Options, options

PRESETS = [options.quick, options.flaky_api, options.long_job, options.human, options.undo]


class Declined(Exception):
    pass


class CardDeclined(ApplicationError):
    pass


@pytest.mark.parametrize("preset", PRESETS, ids=["quick", "flaky_api", "long_job", "human", "undo"])
def test_a_preset_leaves_nothing_to_the_server(preset):
    config = preset.config()
    assert config["start_to_close_timeout"] and config["schedule_to_close_timeout"]
    policy = config["retry_policy"]
    assert policy.maximum_attempts >= 1 and policy.maximum_interval
    policy._validate()
    for name in ("start_to_close", "schedule_to_close", "attempts", "heartbeat", "longest_retry", "never_retry"):
        assert f"{name}=" in repr(preset)


def test_changes_leave_the_preset_alone():
    mine = options.quick.but(attempts=2, never_retry=(Declined, "Expired"), task_queue="q")
    assert mine.config()["retry_policy"].non_retryable_error_types == ["Declined", "Expired"]
    assert mine.config()["task_queue"] == "q" and "task_queue" not in options.quick.config()
    assert options.quick.attempts == 5 and mine.start_to_close == options.quick.start_to_close


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attempts": 0}, "attempts is 0"),
        ({"start_to_close": timedelta(0)}, "start_to_close is 0:00:00"),
        ({"schedule_to_close": timedelta(seconds=1)}, "schedule_to_close is shorter"),
        ({"heartbeat": timedelta(hours=1)}, "heartbeat is longer"),
        ({"backoff": 0.5}, "backoff is 0.5"),
        ({"longest_retry": timedelta(milliseconds=1)}, "longest_retry is shorter"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        options.quick.but(**changes)


def test_an_application_error_is_listed_by_its_type():
    with pytest.raises(TypeError, match=r"list the text 'CardDeclined' instead, and raise CardDeclined\(\.\.\., type="):
        options.flaky_api.but(never_retry=(Declined, CardDeclined))
    with pytest.raises(TypeError, match=r"give a tuple, \('CardDeclined',\)"):
        options.flaky_api.but(never_retry="CardDeclined")
    assert options.flaky_api.but(never_retry=("CardDeclined",)).error_types() == ["CardDeclined"]


def test_there_is_no_default_for_what_matters():
    with pytest.raises(TypeError):
        Options()
