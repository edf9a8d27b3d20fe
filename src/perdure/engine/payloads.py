"""Payloads that the server itself makes, and those that mean nothing."""

from __future__ import annotations

import json
from typing import Any

from temporalio.api.common.v1 import Payload, Payloads


def json_payload(value: object) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value, ensure_ascii=False).encode())


def json_payloads(value: object) -> Payloads:
    return Payloads(payloads=[json_payload(value)])


def is_null(payload: Payload) -> bool:
    """Whether a payload stands for "no value": null, an empty list, or nothing at all."""
    return payload.data in (b"", b"null", b"[]")


def merge_payloads(target: Any, source: Any) -> None:
    """Upsert `source` into `target`; a null payload (no data, or JSON null or an empty list) removes its key."""
    for key, payload in source.items():
        if is_null(payload):
            if key in target:
                del target[key]
        else:
            target[key].CopyFrom(payload)


def drop_nulls(a: Any) -> None:
    """Take null values off the memo and the search attributes of an event, and what is empty then off the event."""
    for name, fields_name in (("memo", "fields"), ("search_attributes", "indexed_fields")):
        fields = getattr(getattr(a, name), fields_name)
        for key in [key for key, payload in fields.items() if is_null(payload)]:
            del fields[key]
        if not fields:
            a.ClearField(name)
