"""Payloads as the JSON they hold, both ways.

A payload of encoding `json/plain` is its data; one of `json/protobuf` is its data with the message type in
`_protoMessageType`; `binary/null` has a form of its own. A payload of another kind, or with more metadata, keeps its
long form, and so do all of a `Payloads` when one of them does.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor

from perdure.rpc.http.encode import EncodeProblem, Encoder
from perdure.rpc.http.gojson import Number, Pairs, Tree, base64_bytes, finite, float_text, write_deep, write_tree

TYPE_KEY = "_protoMessageType"
NULL = {"metadata": {"encoding": "YmluYXJ5L251bGw="}}
LONG = object()
"""What a payload without a short form has in place of one."""

LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def shorthand_encoder(descriptor: Descriptor, plain: Encoder) -> Encoder:
    """The encoder of `Payload` or `Payloads`; `plain` is that of the long form."""
    if descriptor.name == "Payload":

        def encode(payload: Any) -> object:
            short = _guarded(payload, "Payload")
            return plain(payload) if short is LONG else short

        return encode

    def encode_all(payloads: Any) -> object:
        shorts = []
        for payload in payloads.payloads:
            short = _guarded(payload, "Payloads")
            if short is LONG:
                return plain(payloads)
            shorts.append(short)
        return shorts

    return encode_all


def _guarded(payload: Any, holder: str) -> object:
    try:
        return _short(payload)
    except ValueError as error:
        raise EncodeProblem(f"MaybeMarshalProtoJSON impl for *common.{holder} failed: {error}")


def _short(payload: Any) -> object:
    metadata = payload.metadata
    encoding = metadata.get("encoding")
    if encoding == b"binary/null":
        return NULL
    if encoding == b"json/plain" and len(metadata) == 1:
        value = _read(payload.data)
        return NULL if value is None else _shown(value)
    message_type = metadata.get("messageType")
    if encoding == b"json/protobuf" and message_type and len(metadata) == 2:
        value = _read(payload.data)
        if value is None:
            return {}
        if not isinstance(value, dict):
            kind = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
            raise ValueError(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
        return _shown(value | {TYPE_KEY: message_type.decode("utf-8", "replace")})
    return LONG


def _float(text: str) -> float:
    try:
        return finite(text)
    except OverflowError:
        raise ValueError(f"json: cannot unmarshal number {text} into Go value of type float64")


def _constant(name: str) -> object:
    raise json.JSONDecodeError(name, name, 0)


_DECODER = json.JSONDecoder(parse_int=_float, parse_float=_float, parse_constant=_constant)


def _read(data: bytes) -> Any:
    """Raises `ValueError` in Go's words."""
    text = data.decode("utf-8", "replace")
    try:
        return _DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError):
        from perdure.rpc.http.gosyntax import read

    return read(text, _DECODER, whole=True)[0]


def _shown(value: Any) -> object:
    try:
        return _written(value)
    except RecursionError:
        return msgspec.Raw(write_deep(value, lambda scalar: msgspec.json.encode(_written(scalar))))


def _written(value: Any) -> object:
    if isinstance(value, dict):
        return {_text(name): _written(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_written(each) for each in value] or None
    if isinstance(value, float):
        return msgspec.Raw(float_text(value).encode())
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    return LONE_SURROGATE.sub("\ufffd", value)


def payload_from(tree: Tree) -> tuple[dict[str, bytes], bytes]:
    """Metadata and data of a payload that was written in either form. Raises `OverflowError` or `TypeError`."""
    if tree is None:
        return {"encoding": b"binary/null"}, b""
    if isinstance(tree, Pairs):
        members = dict(tree)
        long = _from_long(members)
        if long is not None:
            return long
        if TYPE_KEY in members:
            message_type = members.pop(TYPE_KEY)
            if not isinstance(message_type, str) or isinstance(message_type, Number):
                raise TypeError(f'internal key "{TYPE_KEY}" should have type string')
            data = write_tree(Pairs(members.items()))
            return {"encoding": b"json/protobuf", "messageType": message_type.encode()}, data
    return {"encoding": b"json/plain"}, write_tree(tree)


def _from_long(members: dict[str, Tree]) -> tuple[dict[str, bytes], bytes] | None:
    if not isinstance(members.get("metadata"), Pairs):
        return None
    metadata = dict(members["metadata"])
    if "encoding" not in metadata:
        return None
    if "data" not in members and metadata["encoding"] == NULL["metadata"]["encoding"]:
        return {"encoding": b"binary/null"}, b""
    if set(members) != {"metadata", "data"}:
        return None
    data = _bytes(members["data"])
    decoded = {name: _bytes(value) for name, value in metadata.items()}
    if data is None or None in decoded.values():
        return None
    return {name: value for name, value in decoded.items() if value is not None}, data


def _bytes(tree: Tree) -> bytes | None:
    return base64_bytes(tree) if isinstance(tree, str) and not isinstance(tree, Number) else None
