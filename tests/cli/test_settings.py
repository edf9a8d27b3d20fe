"""Settings: which source wins, and what is said of a mistake in each."""

from pathlib import Path

import pytest

from perdure.cli import settings as sources
from perdure.config import Settings, address
from perdure.errors import StartupError


def load(flags=None, environ=None, config=None):
    return sources.load(flags, environ, config)[0]


@pytest.fixture
def toml(tmp_path):
    def write(text):
        file = tmp_path / "perdure.toml"
        file.write_text(text)
        return file

    return write


def test_without_any_source_the_data_is_on_a_file_in_the_users_data_directory():
    settings = load()
    assert settings.db == sources.default_db_path()
    assert settings.db.name == "perdure.db" and settings.db.parent.name == "perdure"
    assert (settings.host, settings.port, settings.namespaces) == ("127.0.0.1", 7233, ())


def test_flags_win_over_environment_over_file_over_defaults(toml):
    file = toml('port = 1\nhost = "file"\ntransport = "grpcio"\n')
    environ = {"PERDURE_PORT": "2", "PERDURE_HOST": "environ"}
    settings = load({"port": "3"}, environ, file)
    assert (settings.port, settings.host, settings.transport) == (3, "environ", "grpcio")
    assert settings.log_level == "info"


def test_a_flag_that_was_not_given_hides_nothing():
    settings = load({"port": None, "memory": False, "namespace": ()}, {"PERDURE_PORT": "0", "PERDURE_NAMESPACE": "a,b"})
    assert settings.port == 0
    assert settings.namespaces == ("a", "b")


def test_port_zero_on_the_command_line_counts_as_given():
    assert load({"port": "0"}, {"PERDURE_PORT": "5"}).port == 0


def test_the_configuration_file_may_be_named_by_the_environment(toml):
    assert load(environ={"PERDURE_CONFIG": str(toml("port = 9"))}).port == 9


def test_memory_of_a_stronger_source_wins_over_a_file_of_a_weaker_one_and_the_reverse():
    assert load({"memory": True}, {"PERDURE_DB": "/data/x.db"}).db is None
    assert load({"db": "y.db"}, {"PERDURE_MEMORY": "true"}).db == Path("y.db")
    assert load({}, {"PERDURE_MEMORY": "false", "PERDURE_DB": "x.db"}).db == Path("x.db")


MEMORY, DEFAULT = None, sources.default_db_path()


@pytest.mark.parametrize(
    ("text", "environ", "flags", "expected"),
    [
        ("memory = true", {}, {}, MEMORY),
        ("memory = false", {}, {}, DEFAULT),
        ('db = "file"\nmemory = false', {}, {}, Path("file")),
        ('db = "file"', {"MEMORY": "false"}, {}, Path("file")),
        ('db = "file"', {"MEMORY": "true"}, {}, MEMORY),
        ('db = "file"', {"MEMORY": "true"}, {"memory": False}, MEMORY),
        ('db = "file"', {"MEMORY": "true"}, {"db": "flag"}, Path("flag")),
        ('db = "file"', {"MEMORY": "false"}, {"memory": True}, MEMORY),
        ('db = "file"', {"DB": "environ"}, {}, Path("environ")),
        ('db = "file"', {"DB": "environ", "MEMORY": "false"}, {}, Path("environ")),
        ('db = "file"', {}, {"memory": True}, MEMORY),
        ("memory = true", {"MEMORY": "false"}, {}, DEFAULT),
        ("memory = true", {"DB": "environ"}, {}, Path("environ")),
        ("memory = true", {"DB": "environ", "MEMORY": "false"}, {}, Path("environ")),
        ("memory = true", {"MEMORY": "false"}, {"db": "flag"}, Path("flag")),
        ("memory = false", {"MEMORY": "true"}, {}, MEMORY),
        ("memory = false", {"DB": "environ"}, {"memory": True}, MEMORY),
        ("memory = false", {"MEMORY": "false"}, {}, DEFAULT),
    ],
)
def test_where_the_data_is_is_for_the_strongest_source_that_says_so(toml, text, environ, flags, expected):
    """`memory = false` takes back the memory of a weaker source, and no file."""
    environ = {f"PERDURE_{name}": value for name, value in environ.items()}
    assert load(flags, environ, toml(text)).db == expected


def test_dynamic_configuration_adds_up_key_by_key(toml):
    file = toml('[dynamic-config-value]\nlimit.maxIDLength = 1\n"limit.blobSize.error" = 2\nmatching.rps = 3\n')
    environ = {"PERDURE_DYNAMIC_CONFIG_VALUE": "limit.maxIDLength=10 limit.memoSize.error=20"}
    dynamic = load({"dynamic-config-value": ("LIMIT.memoSize.error=200",)}, environ, file).dynamic
    assert dynamic.blob_size_limit_error_bytes == 2
    assert dynamic.max_id_length == 10
    assert dynamic.memo_size_limit_error_bytes == 200


def test_a_table_may_be_the_value_of_a_key(toml):
    file = toml("[dynamic-config-value.history.defaultActivityRetryPolicy]\nMaximumAttempts = 3\n")
    assert load(config=file).dynamic.default_activity_retry_policy.maximum_attempts == 3


def test_unknown_dynamic_keys_share_one_warning():
    _, warnings = sources.load({"dynamic-config-value": ("foo=1", "bar=2", "foo=3")})
    assert warnings == ["These dynamic configuration keys mean nothing here and are ignored: foo, bar."]


def test_variables_that_name_no_setting_share_one_warning():
    _, warnings = sources.load(environ={"PERDURE_PROT": "1", "PERDURE_PORT": "1", "HOME": "/"})
    assert warnings == ["These environment variables name no setting and are ignored: PERDURE_PROT."]


def test_search_attributes_come_with_their_types(toml):
    assert load({"search-attribute": ("Region=keyword", "Total=DOUBLE")}).search_attributes == {
        "Region": "Keyword",
        "Total": "Double",
    }
    assert load(config=toml('[search-attribute]\nAt = "Datetime"')).search_attributes == {"At": "Datetime"}


def test_sizes_and_times_of_our_own_are_settings_like_the_others():
    settings = load({"execution-cache-bytes": "1000", "max-request-bytes": "2000", "shutdown-grace-s": "1m"})
    expected = (1000, 2000, 60.0)
    assert (settings.execution_cache_bytes, settings.max_request_bytes, settings.shutdown_grace_s) == expected


@pytest.mark.parametrize(
    ("flags", "environ", "text", "sentence"),
    [
        ({"port": "http"}, {}, "", "--port: 'http' is not a TCP port; give one from 0 (any free one) to 65535."),
        ({"port": "70000"}, {}, "", "--port: 70000 is not a TCP port; give one from 0 (any free one) to 65535."),
        ({"port": "-1"}, {}, "", "--port: -1 is not a TCP port; give one from 0 (any free one) to 65535."),
        ({"port": "7", "http-port": "7"}, {}, "", "port and http-port are both 7; gRPC and HTTP need a port each."),
        ({"http-port": "-1"}, {}, "", "--http-port: -1 is not a TCP port; give one from 0 (any free one) to 65535."),
        ({"namespace": ("a", "")}, {}, "", "--namespace: a namespace needs a name, got ''."),
        ({}, {"PERDURE_NAMESPACE": "a,"}, "", "PERDURE_NAMESPACE: a namespace needs a name, got 'a,'."),
        ({}, {}, 'namespace = ["a", " "]', "FILE: namespace: a namespace needs a name, got ''."),
        (
            {"max-request-bytes": "0"},
            {},
            "",
            "max-request-bytes: 0 is no limit for requests; give one from 1 to 2147483647.",
        ),
        ({"execution-cache-bytes": "-1"}, {}, "", "--execution-cache-bytes: expected a whole number from 0, got -1."),
        (
            {},
            {"PERDURE_PORT": "tcp://1"},
            "",
            "PERDURE_PORT: 'tcp://1' is not a TCP port; give one from 0 (any free one) to 65535.",
        ),
        ({}, {}, "port = true", "FILE: port: True is not a TCP port; give one from 0 (any free one) to 65535."),
        ({}, {}, "prot = 1", "FILE: prot is not a setting; did you mean port?"),
        ({}, {}, "zzz = 1", "FILE: zzz is not a setting."),
        ({"transport": "http"}, {}, "", "--transport: 'http' is not one of native, grpcio."),
        ({"log-level": "loud"}, {}, "", "--log-level: 'loud' is not one of debug, info, warn, error, never."),
        ({"db": "x", "memory": True}, {}, "", "--memory: give either db or memory, not both."),
        ({}, {}, "db = 1", "FILE: db: expected a path, got 1."),
        ({"dynamic-config-value": ("x",)}, {}, "", "--dynamic-config-value: expected KEY=VALUE, got 'x'."),
        (
            {},
            {"PERDURE_DYNAMIC_CONFIG_VALUE": "limit.maxIDLength=long"},
            "",
            "PERDURE_DYNAMIC_CONFIG_VALUE: limit.maxIDLength: expected a whole number, got 'long'.",
        ),
        (
            {"search-attribute": ("A=Number",)},
            {},
            "",
            "--search-attribute: A: 'Number' is not a search attribute type; "
            "the types are Text, Keyword, Int, Double, Bool, Datetime, KeywordList.",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_source_and_key(toml, flags, environ, text, sentence):
    file = toml(text) if text else None
    with pytest.raises(StartupError) as refused:
        sources.load(flags, environ, file)
    assert refused.value.message == sentence.replace("FILE", str(file))


def test_a_variable_that_is_empty_names_no_namespaces():
    assert load(environ={"PERDURE_NAMESPACE": ""}).namespaces == ()


def test_an_ipv6_address_may_come_in_brackets():
    assert load({"host": "[::1]"}).host == load({"host": "::1"}).host == "::1"


def test_a_configuration_file_that_cant_be_read_is_one_sentence(tmp_path, toml):
    with pytest.raises(StartupError, match=r"^Can't read the configuration file .*: No such file or directory\.$"):
        load(config=tmp_path / "missing.toml")
    with pytest.raises(StartupError, match=r"^The configuration file .* is not valid TOML: .*\.$"):
        load(config=toml("port ="))


def test_settings_made_in_process_are_checked_too():
    with pytest.raises(StartupError, match="transport: 'x' is not one of native, grpcio"):
        Settings(transport="x")
    with pytest.raises(StartupError, match="port: -1 is not a TCP port"):
        Settings(port=-1)


def test_an_address_has_brackets_where_it_needs_them():
    assert address("127.0.0.1", 1) == "127.0.0.1:1"
    assert address("::1", 1) == "[::1]:1"
