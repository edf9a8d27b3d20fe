"""An entity that gets many messages at once, and whose history tells when it handles some of them."""

from dataclasses import dataclass, field

from temporalio import workflow

from perdure.patterns import Entity, query, signal


@dataclass
class Meter:
    ticks: list[str] = field(default_factory=list)
    ballast: str = ""


class Burst(Entity[Meter]):
    @signal
    def tick(self, text: str) -> None:
        self.state.ticks.append(text)
        self.state.ticks[:-5] = []
        if int(text) % 7 == 0:
            workflow.upsert_memo({"last": text})

    @signal
    def load(self, size: int) -> None:
        self.state.ballast = "x" * size

    @query
    def ticks(self) -> list[str]:
        return self.state.ticks
