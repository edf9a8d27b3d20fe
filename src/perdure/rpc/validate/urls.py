"""URLs of callbacks, read as Go's `net/url` reads them, with its words for what it can't read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from perdure.errors import InvalidArgument

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_BAD_IN_HOST = re.compile(r"""[^A-Za-z0-9\-._~!$&'()*+,;=:\[\]<>"\x80-\U0010ffff]""")
_PORT = re.compile(r"(:\d*)?", re.ASCII)
_KEPT_IN_PATH = "%$&+,/:;=@-._~!'()*[]"


@dataclass(frozen=True, slots=True)
class Url:
    """`host` is with its port; `text` the URL as Go writes it."""

    scheme: str
    host: str
    text: str


def parse(url: str) -> Url:
    """Errors: `InvalidArgument`, as a callback's URL is refused."""
    before, mark, fragment = url.partition("#")
    try:
        scheme, rest = _scheme(before)
        rest, question, query = rest.partition("?")
        if scheme and not rest.startswith("/"):
            return Url(scheme, "", f"{scheme}:{rest}{question}{query}{mark}{fragment}")
        authority, path = _authority(scheme, rest)
        host = _host(authority.rpartition("@")[2]) if authority is not None else ""
        _escapes(path)
    except ValueError as error:
        raise InvalidArgument(f"invalid callback url: parse {_quoted(before)}: {error}") from error
    start = f"{scheme}:" if scheme else ""
    middle = f"//{authority}" if authority is not None else ""
    return Url(scheme, host, f"{start}{middle}{quote(path, safe=_KEPT_IN_PATH)}{question}{query}{mark}{fragment}")


def _scheme(text: str) -> tuple[str, str]:
    if _CONTROL.search(text):
        raise ValueError("net/url: invalid control character in URL")
    if text.startswith(":"):
        raise ValueError("missing protocol scheme")
    found = _SCHEME.match(text)
    if found is not None:
        return found.group()[:-1].lower(), text[found.end() :]
    if ":" in re.split("[/?]", text, maxsplit=1)[0]:
        raise ValueError("first path segment in URL cannot contain colon")
    return "", text


def _authority(scheme: str, rest: str) -> tuple[str | None, str]:
    if not rest.startswith("//") or (not scheme and rest.startswith("///")):
        return None, rest
    authority, slash, path = rest[2:].partition("/")
    return authority, slash + path


def _host(host: str) -> str:
    if host.startswith("["):
        _, bracket, port = host.rpartition("]")
        if not bracket:
            raise ValueError("missing ']' in host")
    else:
        _, colon, number = host.rpartition(":")
        port = colon + number if colon else ""
    if not _PORT.fullmatch(port):
        raise ValueError(f"invalid port {_quoted(port)} after host")
    if "%" in host:
        _escapes(host)
        raise ValueError(f"invalid URL escape {_quoted(host[host.index('%') :][:3])}")
    if (bad := _BAD_IN_HOST.search(host)) is not None:
        raise ValueError(f"invalid character {_quoted(bad.group())} in host name")
    return host


def _escapes(text: str) -> None:
    if (bad := _BAD_ESCAPE.search(text)) is not None:
        raise ValueError(f"invalid URL escape {_quoted(bad.group())}")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", escaped) + '"'
