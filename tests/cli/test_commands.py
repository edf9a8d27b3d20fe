"""The command line: every flag is taken, help has examples, mistakes are one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from perdure.cli import COMMANDS, perdure
from perdure.cli import settings as sources
from perdure.cli.start_dev import start_dev, to_settings
from perdure.cli.up import announcement, up
from perdure.config import Settings

SOURCE = Path(__file__).parents[2] / "src"


def python(*args):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    environ["PYTHONPATH"] = str(SOURCE)
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, env=environ)


def run(*args):
    return python("-m", "perdure", *args)


def parse(command, *args):
    return dict(command.make_context("perdure", list(args)).params)


def all_commands(group=perdure, path=("perdure",)):
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            yield (*path, name), command
            if isinstance(command, click.Group):
                yield from all_commands(command, (*path, name))


@pytest.mark.parametrize(("path", "command"), all_commands(), ids=lambda value: str(value))
def test_each_command_has_help_and_an_example_that_parses(path, command):
    assert command.help
    assert command.epilog and command.epilog.startswith("Example: " + " ".join(path))
    words = command.epilog.removeprefix("Example: ").split()[len(path) :]
    if isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    command.make_context("example", words)


def test_help_of_the_command_lists_what_there_is():
    result = run("--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in COMMANDS)


def test_each_setting_is_a_flag_of_up():
    flags = {option.opts[0].removeprefix("--") for option in up.params}
    assert flags == set(sources._READERS) | {"config", "json"}


def sdk_core_arguments(port, *more):
    """What sdk-core passes, on behalf of the Python, TypeScript, .NET and Ruby SDKs."""
    return [
        *("--port", str(port), "--namespace", "default", "--ip", "127.0.0.1"),
        *("--log-format", "pretty", "--log-level", "warn"),
        *("--dynamic-config-value", "frontend.enableServerVersionCheck=false"),
        *("--dynamic-config-value", "frontend.enableUpdateWorkflowExecution=true"),
        *("--dynamic-config-value", "frontend.enableUpdateWorkflowExecutionAsyncAccepted=true"),
        *(more or ("--headless",)),
    ]


def test_start_dev_takes_what_sdk_core_passes_without_a_warning():
    settings, warnings = to_settings(parse(start_dev, *sdk_core_arguments(4321)))
    assert warnings == []
    assert settings == Settings(port=4321, namespaces=("default",), log_level="warn")


def test_start_dev_takes_every_flag_of_the_official_cli():
    args = [
        *("--db-filename", "x.db", "--namespace", "a", "-n", "b", "-p", "1", "--ip", "localhost"),
        *("--http-port", "2", "--metrics-port", "3", "--ui-port", "4", "--headless", "--ui-ip", "::1"),
        *("--ui-public-path", "/ui", "--ui-asset-path", "/a", "--ui-codec-endpoint", "http://c"),
        *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1", "--log-config"),
        *("--search-attribute", "A=Text", "--search-attribute", "B=keywordlist"),
        *("--dynamic-config-value", "limit.maxIDLength=77", "--dynamic-config-value", 'x="y"'),
        *("--log-format", "json", "--log-level", "never", "--output", "json", "-o", "jsonl"),
        *("--env", "e", "--env-file", "f", "--config-file", "c", "--profile", "p", "--disable-config-file"),
        *("--disable-config-env", "--time-format", "iso", "--color", "never", "--no-json-shorthand-payloads"),
        *("--command-timeout", "1s", "--client-connect-timeout", "1s"),
    ]
    params = parse(start_dev, *args)
    assert params.pop("log_config") is True
    settings, warnings = to_settings(params)
    assert (str(settings.db), settings.namespaces, settings.port) == ("x.db", ("a", "b"), 1)
    assert (settings.host, settings.log_format, settings.log_level) == ("127.0.0.1", "json", "never")
    assert settings.search_attributes == {"A": "Text", "B": "KeywordList"}
    assert settings.dynamic.max_id_length == 77
    named = [sentence.split(":")[0] for sentence in warnings[:-1]]
    assert named == ["--metrics-port", "--ui-port", "--ui-ip", "--ui-public-path", "--ui-asset-path",
                     "--ui-codec-endpoint", "--sqlite-pragma"]  # fmt: skip
    assert warnings[-1].endswith("are ignored: x.")


def test_start_dev_is_in_memory_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("PERDURE_DB", "/data/x.db")
    settings, _ = to_settings(parse(start_dev))
    assert settings.db is None
    assert settings.port == 7233


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("up", "--port", "x"), "Error: --port: 'x' is not a TCP port; give one from 0 (any free one) to 65535."),
        (("up", "--config", "missing.toml"), "Error: Can't read the configuration file missing.toml: No such file"),
        (("up", "--port", "-1"), "Error: --port: -1 is not a TCP port; give one from 0 (any free one) to 65535."),
        (("test-server", "abc"), "Error: PORT: 'abc' is not a TCP port; give one from 0 (any free one) to 65535."),
        (("test-server", "70000"), "Error: PORT: 70000 is not a TCP port; give one from 0 (any free one) to 65535."),
        (
            ("test-server", "0", "--skips", "0"),
            "Error: skips: 0 is no budget; give how often time may skip, 1 or more.",
        ),
        (("test-server", "0", "--namespace", ""), "Error: namespace '': a namespace needs a name."),
        (("server", "start-dev", "--log-level", "loud"), "Error: --log-level: 'loud' is not one of debug, info,"),
        (("server", "start-dev", "--search-attribute", "A"), "Error: --search-attribute: expected KEY=VALUE, got 'A'."),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(args, sentence):
    result = run(*args)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(sentence)
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_flag_says_how_to_get_help():
    result = run("up", "--prot", "1")
    assert result.returncode == 2
    assert "No such option" in result.stderr and "--port" in result.stderr
    assert "Traceback" not in result.stderr


def test_version_says_what_it_runs_on():
    import perdure as package

    assert run("version").stdout.startswith(f"perdure {package.__version__} (python ")
    parts = json.loads(run("version", "--json").stdout)
    assert parts["perdure"] == package.__version__
    assert set(parts) == {"perdure", "python", "sqlite", "temporalio", "pygrpc-native"}


def test_readiness_names_the_address_and_the_file(tmp_path):
    settings = Settings(db=tmp_path / "x.db")
    assert announcement(settings, 5, False).endswith(f"is ready on 127.0.0.1:5, data in {tmp_path / 'x.db'}.")
    assert "in memory" in announcement(Settings(), 5, False)
    assert "is ready on [::1]:5, with" in announcement(Settings(host="::1"), 5, False, 6)
    ready = json.loads(announcement(settings, 5, True))
    assert (ready["event"], ready["port"], ready["db"]) == ("ready", 5, str(tmp_path / "x.db"))


def test_the_command_itself_loads_neither_server_nor_rich():
    code = "import sys, perdure.cli, perdure.cli.up, perdure.cli.start_dev; print(*sys.modules)"
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert not loaded & {"temporalio", "grpc", "apsw", "rich", "asyncio", "perdure.server", "google.protobuf"}
