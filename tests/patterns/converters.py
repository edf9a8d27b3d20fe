"""A data converter as others have it: values in an encoding of their own, everything encrypted."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    PayloadCodec,
)

KEY = b"a key for tests alone"


class ReversedJson(EncodingPayloadConverter):
    """JSON that nobody else reads."""

    def __init__(self) -> None:
        self._json = JSONPlainPayloadConverter()

    @property
    def encoding(self) -> str:
        return "tests/reversed-json"

    def to_payload(self, value: Any) -> Payload | None:
        payload = self._json.to_payload(value)
        if payload is None:
            return None
        return Payload(metadata={"encoding": self.encoding.encode()}, data=payload.data[::-1])

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        plain = Payload(metadata={"encoding": b"json/plain"}, data=payload.data[::-1])
        return self._json.from_payload(plain, type_hint)


class ReversedConverter(CompositePayloadConverter):
    """The default's, with JSON of our own."""

    def __init__(self) -> None:
        default = DefaultPayloadConverter.default_encoding_payload_converters
        others = [each for each in default if each.encoding != "json/plain"]
        super().__init__(*others, ReversedJson())


class Encrypted(PayloadCodec):
    """A stream cipher with a nonce: no payload reads as another, or as what it was."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._sealed(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [each if _is_patch(each) else self._opened(each) for each in payloads]

    def _opened(self, payload: Payload) -> Payload:
        assert payload.metadata["encoding"] == b"tests/encrypted", payload
        return Payload.FromString(_mixed(payload.metadata["nonce"], payload.data))

    def _sealed(self, payload: Payload) -> Payload:
        nonce = os.urandom(12)
        data = _mixed(nonce, payload.SerializeToString())
        return Payload(metadata={"encoding": b"tests/encrypted", "nonce": nonce}, data=data)


def _is_patch(payload: Payload) -> bool:
    """What markers of `workflow.patched` have, which the SDK writes past converters."""
    return payload.metadata["encoding"] == b"json/plain" and json.loads(payload.data).keys() == {"id", "deprecated"}


def _mixed(nonce: bytes, data: bytes) -> bytes:
    stream = hashlib.shake_256(KEY + nonce).digest(len(data))
    return bytes(left ^ right for left, right in zip(data, stream, strict=True))


encrypting = dataclasses.replace(
    DataConverter.default, payload_converter_class=ReversedConverter, payload_codec=Encrypted()
)
