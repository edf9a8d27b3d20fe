"""What a program left on a server, as JSON that two servers can be compared by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tests.conformance.driver import Driver, connect
from tests.conformance.normalise import Normaliser, record

_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
# A worker writes times and how long something took into its markers.
_CLOCKS = re.compile(r'("(?:seconds|nanos|[a-zA-Z_]*[mM]s|duration|Backoff)"): ?"?-?\d+"?')
_ADDRESSES = re.compile(r"0x[0-9a-f]+")
_NUMBERS = re.compile(r"\b[0-9a-f]{32}\b")
# Go's maps have no order: "KnownQueryTypes=[b a]".
_NAMES = re.compile(r"=\[([\w ]+)\]")
_PROCESS = re.compile(r"\b\d+@(?=[\w.-]+@)")


class ProgramNormaliser(Normaliser):
    """Also replaces what SDKs bring along: times in payloads, addresses in stack traces, flags in any order."""

    def message(self, message: Message) -> dict[str, Any]:
        fields = super().message(message)
        return {name: sorted(value) if name.endswith("_used_flags") else value for name, value in fields.items()}

    def _field(self, message: Message, field: FieldDescriptor, value: Any) -> Any:
        # Whether a task came with the reply to the one before or by a poll is a matter of who was faster.
        if message.DESCRIPTOR.name == "WorkflowTaskStartedEventAttributes" and field.name == "request_id":
            return "request"
        return super()._field(message, field, value)

    def text(self, text: str, kind: str = "id") -> str:
        text = _NUMBERS.sub(lambda match: str(UUID(match.group())), text)
        text = _PROCESS.sub("process@", _ADDRESSES.sub("address", _TIMES.sub("time", text)))
        text = _NAMES.sub(lambda match: f"=[{' '.join(sorted(match[1].split()))}]", text)
        return super().text(_CLOCKS.sub(r"\1:N", text), kind)

    def told(self, value: Any) -> Any:
        """A result of a program, with its strings normalised at any depth."""
        if isinstance(value, dict):
            return {self.text(key): self.told(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.told(item) for item in value]
        return self.text(value) if isinstance(value, str) else value


async def look(address: str, token: str, runs: Iterable[tuple[str, str]], result: Any) -> dict[str, Any]:
    """The histories and descriptions of `runs` (workflow id, run id) and of all they lead to; ends what is open."""
    async with connect(address) as channel:
        driver = Driver(channel, token=token)
        for workflow_id, run_id in runs:
            driver.touch(workflow_id, run_id)
        await driver.finish()
        normaliser = ProgramNormaliser(token)
        executions = record(driver, normaliser)["executions"]
        return {"executions": executions, "result": normaliser.told(result)}
