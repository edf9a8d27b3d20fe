"""Dynamic configuration: Temporal's keys to fields."""

import dataclasses

import pytest

from perdure.config import ALREADY_SO, Dynamic, RetryDefaults, known_key
from perdure.errors import StartupError

KEYS = {f.name: f.metadata["key"] for f in dataclasses.fields(Dynamic) if f.metadata["key"]}


def test_each_field_is_reached_by_its_key_in_any_case():
    for name, key in KEYS.items():
        default = getattr(Dynamic(), name)
        match default:
            case bool():
                text, expected = str(not default).lower(), not default
            case int() | float():
                text, expected = "7", 7
            case RetryDefaults():
                text, expected = '{"MaximumAttempts": 7}', RetryDefaults(maximum_attempts=7)
        for spelling in (key, key.lower(), key.upper()):
            dynamic, unknown = Dynamic.from_pairs([(spelling, text)])
            assert getattr(dynamic, name) == expected, key
            assert dataclasses.replace(dynamic, **{name: default}) == Dynamic(), f"{key} changes more than {name}"
            assert unknown == []


def test_no_key_stands_twice():
    keys = [key.lower() for key in KEYS.values()] + list(ALREADY_SO)
    assert len(keys) == len(set(keys))
    assert all(key == key.lower() for key in ALREADY_SO)


def test_durations_come_as_text_with_or_without_quotes_or_as_seconds():
    for text in ("90s", '"1m30s"', "90", "1.5m"):
        dynamic, _ = Dynamic.from_pairs([("history.longPollExpirationInterval", text)])
        assert dynamic.history_long_poll_expiration_interval_s == 90


def test_unknown_keys_are_named_once_as_they_were_written():
    pairs = [("Some.Key", "1"), ("limit.blobSize.error", "100"), ("Some.Key", "2"), ("other", '"x"')]
    dynamic, unknown = Dynamic.from_pairs(pairs)
    assert unknown == ["Some.Key", "other"]
    assert dynamic.blob_size_limit_error_bytes == 100


def test_the_last_value_of_a_key_counts():
    dynamic, _ = Dynamic.from_pairs([("limit.maxIDLength", 1), ("LIMIT.MAXIDLENGTH", 2)])
    assert dynamic.max_id_length == 2


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("limit.blobSize.error", "big", "flag: limit.blobSize.error: expected a whole number, got 'big'."),
        ("limit.blobSize.error", "-1", "flag: limit.blobSize.error: expected a whole number, got -1."),
        ("system.disallowQuery", "3", "flag: system.disallowQuery: expected true or false, got 3."),
        (
            "matching.longPollExpirationInterval",
            "soon",
            "flag: matching.longPollExpirationInterval: expected a duration such as 10s or 1m30s, got 'soon'.",
        ),
        (
            "history.defaultActivityRetryPolicy",
            '{"Attempts": 1}',
            "flag: history.defaultActivityRetryPolicy: Attempts is not a field of a default retry policy.",
        ),
    ],
)
def test_a_bad_value_is_one_sentence_that_names_the_key(key, value, sentence):
    with pytest.raises(StartupError) as refused:
        Dynamic.from_pairs([(key, value)], "flag")
    assert refused.value.message == sentence


def test_a_retry_policy_keeps_what_is_not_named():
    text = '{"InitialIntervalInSeconds": "2s", "backoffCoefficient": 1.5}'
    dynamic, _ = Dynamic.from_pairs([("history.defaultActivityRetryPolicy", text)])
    assert dynamic.default_activity_retry_policy == RetryDefaults(initial_interval_s=2.0, backoff_coefficient=1.5)
    assert dynamic.default_workflow_retry_policy == RetryDefaults()


def test_what_every_sdk_passes_to_every_dev_server_is_no_reason_to_warn():
    keys = [
        "frontend.enableServerVersionCheck",
        "frontend.enableUpdateWorkflowExecution",
        "frontend.enableUpdateWorkflowExecutionAsyncAccepted",
        "system.forceSearchAttributesCacheRefreshOnRead",
        "system.enableEagerWorkflowStart",
        "limit.historyCount.suggestContinueAsNew",
    ]
    assert all(known_key(key) or key.lower() in ALREADY_SO for key in keys)
