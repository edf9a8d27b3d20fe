"""Where `Settings` come from, strongest first: flags, environment (`PERDURE_*`), a TOML file, defaults.

One table says what a setting is called and how it is read; its name is the flag without dashes at the front, the TOML
key, and, upper-case with underscores, the end of the environment variable. A mistake is a `StartupError` that names the
source and the key.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from perdure import values
from perdure.config import LOG_FORMATS, LOG_LEVELS, TRANSPORTS, Dynamic, Settings, known_key
from perdure.errors import StartupError

PREFIX = "PERDURE_"
CONFIG_VARIABLE = "PERDURE_CONFIG"
MEMORY = object()
"""The value of `db` that means: no file. None stands for the opposite: a file, whichever."""

Reader = Callable[[object, str], Any]
Pairs = list[tuple[str, object]]


def default_db_path() -> Path:
    """`perdure.db` in the user's data directory."""
    import platformdirs

    return Path(platformdirs.user_data_dir("perdure", appauthor=False)) / "perdure.db"


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | Path | None = None,
) -> tuple[Settings, list[str]]:
    """The settings, and sentences to warn with. A flag that is None, False or empty counts as not given.

    `config` falls back to `PERDURE_CONFIG`. Without a database in any source it is `default_db_path()`.
    """
    environ = environ or {}
    config = config or environ.get(CONFIG_VARIABLE)
    variables, warnings = _environment(environ)
    layers = [
        _read_all(_toml(Path(config)), lambda name: f"{config}: {name}") if config else {},
        _read_all(variables, _variable),
        _read_all({name: value for name, value in (flags or {}).items() if _given(value)}, lambda name: f"--{name}"),
    ]
    chosen: dict[str, Any] = {}
    pairs: Pairs = []
    for layer in layers:
        pairs += layer.pop("dynamic", [])
        if "db" in layer and layer["db"] is None and chosen.get("db") is not MEMORY:
            del layer["db"]  # no memory: takes back that of a weaker source, and no file
        chosen |= layer
    db = chosen.pop("db", None) or default_db_path()
    dynamic, unknown = Dynamic.from_pairs(pairs)
    if unknown:
        warnings.append(f"These dynamic configuration keys mean nothing here and are ignored: {', '.join(unknown)}.")
    settings = Settings(db=None if db is MEMORY else db, dynamic=dynamic, **chosen)
    return settings, warnings


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace("-", "_")


def _given(value: object) -> bool:
    return value is not None and value is not False and value != "" and value != ()


def _environment(environ: Mapping[str, str]) -> tuple[dict[str, object], list[str]]:
    """Settings by name, and a warning about variables that look like ones and are none."""
    found: dict[str, object] = {}
    strangers: list[str] = []
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower().replace("_", "-")
        if name in _READERS:
            found[name] = value
        else:
            strangers.append(variable)
    warning = f"These environment variables name no setting and are ignored: {', '.join(sorted(strangers))}."
    return found, [warning] if strangers else []


def _toml(file: Path) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise StartupError(f"Can't read the configuration file {file}: {error.strerror}.") from error
    except ValueError as error:
        raise StartupError(f"The configuration file {file} is not valid TOML: {error}.") from error


def _read_all(raw: Mapping[str, object], called: Callable[[str], str]) -> dict[str, Any]:
    """Typed values by field of `Settings`; dynamic configuration checked already, as pairs under `dynamic`.

    `called` is what a setting is called in this source.
    """
    typed: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in _READERS:
            hint = difflib.get_close_matches(name, _READERS, 1)
            raise StartupError(f"{called(name)} is not a setting{f'; did you mean {hint[0]}?' if hint else '.'}")
        field, read = _READERS[name]
        result = read(value, called(name))
        if field == "db" and typed.get("db") and result:
            raise StartupError(f"{called(name)}: give either db or memory, not both.")
        typed[field] = typed.get(field) or result
    return typed


def _path(value: object, where: str) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise StartupError(f"{where}: expected a path, got {value!r}.")
    return Path(value).expanduser()


def _memory(value: object, where: str) -> object:
    return MEMORY if values.boolean(value, where) else None


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise StartupError(f"{where}: expected text, got {value!r}.")
    return value


def _whole(value: object, where: str) -> int:
    return values.integer(values.scalar(value) if isinstance(value, str) else value, where)


def _port(value: object, where: str) -> int:
    return values.port(values.scalar(value) if isinstance(value, str) else value, where)


def _host(value: object, where: str) -> str:
    """An IPv6 address may come with its brackets."""
    host = _text(value, where)
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _one_of(choices: tuple[str, ...]) -> Reader:
    def read(value: object, where: str) -> str:
        if value not in choices:
            raise StartupError(f"{where}: {value!r} is not one of {', '.join(choices)}.")
        return str(value)

    return read


def _names(value: object, where: str) -> tuple[str, ...]:
    """A list, or text with commas."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Iterable) or isinstance(names, Mapping):
        raise StartupError(f"{where}: expected names, got {value!r}.")
    return tuple(dict.fromkeys(_text(name, where).strip() for name in names))


def _namespaces(value: object, where: str) -> tuple[str, ...]:
    """Names, none of them empty; an empty text, as of a variable that is there and not set, has none."""
    names = _names(value, where) if value != "" else ()
    if "" in names:
        raise StartupError(f"{where}: a namespace needs a name, got {value if isinstance(value, str) else ''!r}.")
    return names


def _pairs(value: object, where: str) -> Pairs:
    """A table; or a list or text with white space of KEY=VALUE. Checked here, so that errors name their source."""
    if isinstance(value, Mapping):
        pairs = list(_flat(value, ""))
    else:
        items = value.split() if isinstance(value, str) else value
        if not isinstance(items, Iterable):
            raise StartupError(f"{where}: expected KEY=VALUE, got {value!r}.")
        pairs = [_pair(item, where) for item in items]
    Dynamic.from_pairs(pairs, where)
    return pairs


def _pair(item: object, where: str) -> tuple[str, object]:
    key, equals, value = _text(item, where).partition("=")
    if not equals or not key.strip():
        raise StartupError(f"{where}: expected KEY=VALUE, got {item!r}.")
    return key.strip(), value


def _flat(table: Mapping[str, object], prefix: str) -> Iterable[tuple[str, object]]:
    """TOML reads the dots of an unquoted key as tables; a key whose own value is a table ends the descent."""
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, Mapping) and not known_key(key):
            yield from _flat(value, key + ".")
        else:
            yield key, value


def _attributes(value: object, where: str) -> dict[str, str]:
    """A table, or a list or text with commas of NAME=TYPE."""
    if isinstance(value, Mapping):
        given = {name: _text(kind, where) for name, kind in value.items()}
    else:
        given = {name: str(kind) for name, kind in (_pair(item, where) for item in _names(value, where))}
    return {name: _attribute_type(kind, f"{where}: {name}") for name, kind in given.items()}


def _attribute_type(kind: str, where: str) -> str:
    types = ("Text", "Keyword", "Int", "Double", "Bool", "Datetime", "KeywordList")
    for name in types:
        if kind.lower() == name.lower():
            return name
    raise StartupError(f"{where}: {kind!r} is not a search attribute type; the types are {', '.join(types)}.")


_READERS: Mapping[str, tuple[str, Reader]] = {
    "db": ("db", _path),
    "memory": ("db", _memory),
    "host": ("host", _host),
    "port": ("port", _port),
    "http-port": ("http_port", _port),
    "links-keys-file": ("links_keys_file", _path),
    "namespace": ("namespaces", _namespaces),
    "search-attribute": ("search_attributes", _attributes),
    "dynamic-config-value": ("dynamic", _pairs),
    "transport": ("transport", _one_of(TRANSPORTS)),
    "log-format": ("log_format", _one_of(LOG_FORMATS)),
    "log-level": ("log_level", _one_of(LOG_LEVELS)),
    "execution-cache-bytes": ("execution_cache_bytes", _whole),
    "max-request-bytes": ("max_request_bytes", _whole),
    "shutdown-grace-s": ("shutdown_grace_s", values.seconds),
}
"""Name -> field of `Settings`, and how to read a value."""
