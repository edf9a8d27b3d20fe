"""A till, an entity whose runs are short."""

from dataclasses import dataclass, field

from temporalio import activity, workflow

from perdure.patterns import Entity, Limits, options, query, signal, update


@dataclass
class TillState:
    paid: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@activity.defn(name="print_receipt")
async def print_receipt(key: str) -> None:
    raise NotImplementedError


class Till(Entity[TillState], limits=Limits(messages_a_run=3, window=50)):
    @update
    async def pay(self, what: str) -> int:
        await workflow.execute_activity(print_receipt, what, **options.quick.config())
        self.state.paid.append(what)
        return len(self.state.paid)

    @signal
    def note(self, text: str) -> None:
        self.state.notes.append(text)

    @query
    def told(self) -> TillState:
        return self.state
