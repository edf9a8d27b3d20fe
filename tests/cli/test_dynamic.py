"""Dynamic configuration: Temporal's keys to fields."""

import dataclasses

import pytest

from perdure.config import ALREADY_SO, Dynamic, RetryDefaults
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
        ("limit.blobSize.error", "-1", "flag: limit.blobSize.error: expected a whole number from 0, got -1."),
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
    pairs = [
        ("frontend.enableServerVersionCheck", "false"),
        ("frontend.enableUpdateWorkflowExecution", "true"),
        ("frontend.enableUpdateWorkflowExecutionAsyncAccepted", "true"),
        ("system.forceSearchAttributesCacheRefreshOnRead", "true"),
        ("system.enableEagerWorkflowStart", "true"),
        ("limit.historyCount.suggestContinueAsNew", "20"),
    ]
    assert Dynamic.from_pairs(pairs)[1] == []


@pytest.mark.parametrize(
    ("key", "asks_for_it", "asks_for_other"),
    [
        ("frontend.enableUpdateWorkflowExecution", ["true", True, '"true"', 1], ["false", False, "never"]),
        ("frontend.enableServerVersionCheck", ["false", False], ["true"]),
        ("frontend.rps", ["2400", 10_000, 1e6], ["1", 100, "0", "none"]),
        ("frontend.globalNamespaceRPS", ["0", "5000"], ["1"]),
        ("history.persistenceMaxQPS", ["0", "10000"], ["100"]),
        ("matching.numTaskqueueReadPartitions", ["1"], ["4"]),
        ("history.hostLevelCacheMaxSize", ["8192"], []),
    ],
)
def test_a_key_for_what_is_so_anyway_is_silent_only_with_a_value_that_asks_for_that(key, asks_for_it, asks_for_other):
    for value in asks_for_it:
        assert Dynamic.from_pairs([(key, value)])[1] == [], value
    for value in asks_for_other:
        assert Dynamic.from_pairs([(key, value)])[1] == [f"{key} ({ALREADY_SO[key.lower()].what})"], value
