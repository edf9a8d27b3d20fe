"""What a link says, and the proof that we have said it: HMAC-SHA256 over the text, with a key that only we have."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from temporalio import activity

from perdure.patterns.approval import Notice
from perdure.patterns.callback import CallbackAddress

VERSION = "1"
CONTEXT = b"perdure links 1\n"
"""Signed with the text, so that the same key used elsewhere proves nothing here."""
MIN_KEY_BYTES = 32
LONGEST_TOKEN = 8192


class BadLink(Exception):
    """A link that is not to be obeyed. The text is for whoever has used it."""

    def __init__(self, kind: Literal["forged", "expired"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Link:
    """What a link says."""

    kind: Literal["approval", "callback"]
    namespace: str
    workflow_id: str
    chain: str
    """The first run of the workflow's chain."""
    id: str
    """Of the approval or callback."""
    who: str
    """Who may answer with it; of a callback: nobody."""
    expires_s: int
    """Seconds since 1970."""
    link: str
    """Of this link, and of no other."""


def read_keys(path: str | Path) -> list[str]:
    """The keys in a file, one a line; the first signs, all are good. Lines that begin with `#` are left out.

    Make one with `openssl rand -base64 48`. Raises `ValueError` if there is none, or one is too short.
    """
    lines = [line.strip() for line in Path(path).read_text("utf-8").splitlines()]
    return checked([line for line in lines if line and not line.startswith("#")])


def checked(keys: Sequence[str | bytes]) -> list[Any]:
    """The keys, if they are good ones. Raises `ValueError`; its text has no part of a key."""
    if isinstance(keys, str | bytes):
        raise ValueError("keys is one key: give a list of keys, of which the first signs")
    if not keys:
        raise ValueError("no keys: links need one at least")
    for number, key in enumerate(keys, 1):
        if len(_bytes(key)) < MIN_KEY_BYTES:
            raise ValueError(
                f"key {number} is shorter than {MIN_KEY_BYTES} bytes: make one with openssl rand -base64 48"
            )
    return list(keys)


class Signer:
    """Makes links, in activities. The first of the `keys` signs; `base_url` is where `Links` is mounted.

    signer = Signer(read_keys("links.keys"), "https://example.com/perdure/links")
    """

    def __init__(self, keys: Sequence[str | bytes], base_url: str) -> None:
        if not base_url.startswith(("https://", "http://")):
            raise ValueError(f"base_url is {base_url!r}: it has to begin with https:// (or http://)")
        self._key = _bytes(checked(keys)[0])
        self._base = base_url.rstrip("/")

    def __repr__(self) -> str:
        return f"Signer(base_url={self._base!r})"

    def approval(self, notice: Notice) -> str:
        """In the activity that tells somebody: the link by which they, and nobody else, answer. Each call makes another
        link; each counts once.

            await send(notice.to, signer.approval(notice))
        """
        info = activity.info()
        return self._url("approval", info, notice.chain, notice.approval, notice.to, notice.deadline)

    def callback(self, address: CallbackAddress) -> str:
        """In the activity that asks an outside system: the link that it posts to.

        `POST LINK` with the result as JSON completes, `POST LINK/fail` with a text fails, `POST LINK/heartbeat` with
        the progress as JSON says that it goes on.

            await encoder.submit(video, webhook=signer.callback(address))
        """
        return self._url("callback", activity.info(), address.chain, address.callback, "", address.expires)

    def _url(
        self,
        kind: Literal["approval", "callback"],
        info: activity.Info,
        chain: str,
        id: str,
        who: str,
        expires: datetime,
    ) -> str:
        workflow_id, namespace = info.workflow_id, info.workflow_namespace
        assert workflow_id is not None and namespace is not None, "links are made in activities of workflows"
        link = Link(
            kind, namespace, workflow_id, chain, id, who, int(expires.timestamp()) + 1, secrets.token_urlsafe(12)
        )
        return f"{self._base}/{sign(link, self._key)}"


def sign(link: Link, key: bytes) -> str:
    """The token of a link."""
    text = _encode(json.dumps(list(asdict(link).values()), separators=(",", ":"), ensure_ascii=False).encode())
    return f"{VERSION}.{text}.{_encode(_mac(text, key))}"


def verify(token: str, keys: Sequence[str | bytes], now_s: Callable[[], float] = time.time) -> Link:
    """What a token says, if one of the keys has signed it. Raises `BadLink`."""
    forged = BadLink("forged", "This link is not valid. Maybe it is not complete, or it was made long ago.")
    version, _, rest = token.partition(".")
    text, _, mac = rest.partition(".")
    if version != VERSION or len(token) > LONGEST_TOKEN or not mac.isascii() or not text.isascii():
        raise forged
    proofs = [hmac.compare_digest(_encode(_mac(text, _bytes(key))), mac) for key in keys]
    if not any(proofs):
        raise forged
    link = Link(*json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    if now_s() >= link.expires_s:
        raise BadLink("expired", "The time to answer with this link is up.")
    return link


def _mac(text: str, key: bytes) -> bytes:
    return hmac.new(key, CONTEXT + text.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else key
