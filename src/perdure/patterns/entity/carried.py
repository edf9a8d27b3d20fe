"""What an entity takes along: its state, the replies it has given, messages not yet handled, and dead letters.

The form is frozen: it is the input of runs that continue others, and the snapshot that `save` gets. Values are payloads
of the user's converter; JSON stays readable, other encodings are kept as base64.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import repeat
from typing import Any, Literal

from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError

FORM = 1
"""Version of the form."""
MARK = "perdure_entity"
"""The first key of it, which tells it from a state that a run is started with."""
UPDATE = "update"
"""In place of whether a message may come again: it may, and it is an update."""
PRINTS_BYTES = 100_000
"""Of messages that are remembered, at most; of those whose prints are pushed out only the same bytes are the same."""
ENVELOPE = "perdure_message"
"""The only key of the first argument of a message that has an id."""


def pack(payload: Payload) -> Any:
    """As it is kept."""
    if not _is_json(payload):
        return {"payload": base64.b64encode(payload.SerializeToString()).decode()}
    value = json.loads(payload.data)
    return {"json": value} if payload.data.isascii() else {"json": value, "utf8": True}


def unpack(kept: Any) -> Payload:
    """The payload again, with the same bytes: messages are told apart by them."""
    if "json" in kept:
        return json_payload(kept["json"], escaped="utf8" not in kept)
    return Payload.FromString(base64.b64decode(kept["payload"]))


def weight(payload: Payload, quoted: bool) -> int:
    """The bytes that it is kept in, or more; `quoted` in a text that becomes JSON once more."""
    if not _is_json(payload):
        return 30 + payload.ByteSize() * 4 // 3
    return 30 + len(payload.data) + (payload.data.count(b'"') + payload.data.count(b"\\") if quoted else 0)


def _is_json(payload: Payload) -> bool:
    return dict(payload.metadata) == {"encoding": b"json/plain"}


def json_payload(value: Any, escaped: bool = True) -> Payload:
    """A value of JSON, in the encoding that all converters know. Halves of surrogate pairs are escaped anyway."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=escaped)
    return Payload(metadata={"encoding": b"json/plain"}, data=text.encode("utf-8", "backslashreplace"))


def envelope(message_id: str) -> Payload:
    """The first argument of a message with an id."""
    return json_payload({ENVELOPE: message_id})


def opened(args: Sequence[Payload]) -> tuple[str | None, list[Payload]]:
    """The id of a message, if it is in an envelope, and its arguments."""
    if args and ENVELOPE.encode() in args[0].data[:40] and args[0].metadata.get("encoding") == b"json/plain":
        value = json.loads(args[0].data)
        if isinstance(value, dict) and list(value) == [ENVELOPE] and isinstance(value[ENVELOPE], str):
            return value[ENVELOPE], list(args[1:])
    return None, list(args)


def digest(name: str, args: Iterable[Payload]) -> str:
    """What tells messages with the same id and other content apart."""
    found = hashlib.sha256(name.encode())
    for payload in args:
        for key in sorted(payload.metadata):
            found.update(key.encode() + b"=" + payload.metadata[key] + b";")
        found.update(len(payload.data).to_bytes(8, "big") + payload.data)
    return found.hexdigest()[:16]


@dataclass(frozen=True)
class Reply:
    """How a message ended: what an update gave, or how it failed (a serialised `Failure`); `none` is a signal's."""

    how: Literal["result", "failure", "none"]
    value: bytes = b""

    def kept(self) -> Any:
        return pack(Payload.FromString(self.value)) if self.how == "result" else base64.b64encode(self.value).decode()

    @classmethod
    def of(cls, how: Any, kept: Any) -> Reply:
        return cls(how, unpack(kept).SerializeToString() if how == "result" else base64.b64decode(kept))


@dataclass
class Window:
    """The newest messages that were handled, by id, with their replies. Bounded in count and bytes."""

    count: int
    bytes: int
    replies: dict[str, tuple[str, Reply]] = field(default_factory=dict)
    size: int = 0
    prints: dict[str, str] = field(default_factory=dict)
    """What tells them from others with the same id (`perdure.patterns.entity.same`), as far as there is room."""
    prints_size: int = 0

    def put(self, message_id: str, content: str, reply: Reply, print_: str | None = None) -> None:
        self.replies[message_id] = (content, reply)
        self.size += _weight(message_id, reply)
        if print_ is not None:
            self.prints[message_id] = print_
            self.prints_size += len(print_)
        while len(self.replies) > self.count or self.size > self.bytes:
            oldest = next(iter(self.replies))
            self.size -= _weight(oldest, self.replies.pop(oldest)[1])
            self.prints_size -= len(self.prints.pop(oldest, ""))
        while self.prints_size > PRINTS_BYTES:
            self.prints_size -= len(self.prints.pop(next(iter(self.prints))))

    def newer_half(self) -> Window:
        """Of the messages."""
        kept = [*self.replies][(len(self.replies) + 1) // 2 :]
        half = Window(self.count, self.bytes)
        for key in kept:
            half.put(key, *self.replies[key], self.prints.get(key))
        return half


def _weight(message_id: str, reply: Reply) -> int:
    return len(message_id) + len(reply.value) + 32


@dataclass
class Letter:
    """A message that could not be handled."""

    number: int
    name: str
    message_id: str
    error: str
    time: str
    args: list[Payload] | None
    """None if they were too large to keep."""

    @property
    def size(self) -> int:
        return len(self.name) + len(self.error) + sum(each.ByteSize() for each in self.args or ())


@dataclass
class DeadLetters:
    """The newest of them. Bounded in count and bytes; what is pushed out is counted."""

    count: int
    bytes: int
    letters: list[Letter] = field(default_factory=list)
    numbered: int = 0
    lost: int = 0

    def put(self, name: str, message_id: str, args: list[Payload], error: str, time: str) -> None:
        self.numbered += 1
        letter = Letter(self.numbered, name, message_id, error[:1000], time, args)
        if letter.size > self.bytes:
            letter.args = None
        self.letters.append(letter)
        while len(self.letters) > self.count or sum(each.size for each in self.letters) > self.bytes:
            del self.letters[0]
            self.lost += 1

    def newer_half(self) -> DeadLetters:
        """Of the letters."""
        gone = (len(self.letters) + 1) // 2
        return replace(self, letters=self.letters[gone:], lost=self.lost + gone)

    def find(self, number: int) -> Letter | None:
        return next((each for each in self.letters if each.number == number), None)


@dataclass(frozen=True)
class Later:
    """A signal that an entity sends itself."""

    due: datetime
    name: str
    args: tuple[Payload, ...]

    def weight(self, quoted: bool) -> int:
        return 100 + len(self.name) + sum(weight(each, quoted) for each in self.args)


@dataclass
class Carried:
    """All of it."""

    version: int
    state: Payload
    handled: int
    window: Window
    dead: DeadLetters
    signals: list[tuple[str, str, list[Payload], bool | str]]
    """Not yet handled: name, id, arguments, and whether they may come again by that id (or `UPDATE`)."""
    later: dict[str, Later] = field(default_factory=dict)

    def payload(self) -> Payload:
        return json_payload(
            {
                MARK: FORM,
                "version": self.version,
                "state": pack(self.state),
                "handled": self.handled,
                "window": [
                    [key, content, reply.how, reply.kept()] for key, (content, reply) in self.window.replies.items()
                ],
                "prints": [self.window.prints.get(key) for key in self.window.replies],
                "dead": [
                    [d.number, d.name, d.message_id, d.error, d.time, None if d.args is None else [*map(pack, d.args)]]
                    for d in self.dead.letters
                ],
                "dead_numbered": self.dead.numbered,
                "dead_lost": self.dead.lost,
                "signals": [[name, key, [*map(pack, args)], again] for name, key, args, again in self.signals],
                "later": [[key, e.due.isoformat(), e.name, [*map(pack, e.args)]] for key, e in self.later.items()],
            },
            escaped=False,
        )

    @classmethod
    def read(cls, payload: Payload, window: Window, dead: DeadLetters) -> Carried:
        """`window` and `dead` are filled, within their bounds of today. Of the keys only the first three are needed.

        Raises `ApplicationError` for anything else, and `RuntimeError` for a form of later versions of the library.
        """
        if not payload.data.startswith(f'{{"{MARK}":'.encode()):
            raise ApplicationError(
                'an entity is started without input, or with {"perdure_entity":1,"version":V,"state":{"json":STATE}}',
                non_retryable=True,
            )
        kept = json.loads(payload.data)
        if kept[MARK] > FORM:
            raise RuntimeError(f"this entity was carried in form {kept[MARK]}: it needs a newer version of perdure")
        remembered = kept.get("window", ())
        for (key, content, how, value), print_ in zip(remembered, kept.get("prints") or repeat(None), strict=False):
            window.put(key, content, Reply.of(how, value), print_)
        dead.letters = [
            Letter(number, name, key, error, time, None if args is None else [*map(unpack, args)])
            for number, name, key, error, time, args in kept.get("dead", ())
        ]
        dead.numbered, dead.lost = kept.get("dead_numbered", 0), kept.get("dead_lost", 0)
        signals = [(name, key, [*map(unpack, args)], again) for name, key, args, again in kept.get("signals", ())]
        later = {
            key: Later(datetime.fromisoformat(due), name, tuple(map(unpack, args)))
            for key, due, name, args in kept.get("later", ())
        }
        return cls(kept["version"], unpack(kept["state"]), kept.get("handled", 0), window, dead, signals, later)
