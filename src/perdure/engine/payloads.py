"""Payloads that the server itself makes."""

from __future__ import annotations

import json

from temporalio.api.common.v1 import Payload, Payloads


def json_payload(value: object) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value, ensure_ascii=False).encode())


def json_payloads(value: object) -> Payloads:
    return Payloads(payloads=[json_payload(value)])
