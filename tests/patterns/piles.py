"""An entity that is saved, for the fault matrix."""

from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import activity, workflow

from perdure.patterns import Entity, Limits, options, query, signal, update


@dataclass
class State:
    done: list[str] = field(default_factory=list)


@activity.defn(name="matrix_load")
async def load(entity_id: str) -> str | None: ...


@activity.defn(name="matrix_save")
async def save(entity_id: str, snapshot: str) -> None: ...


class Pile(Entity[State], limits=Limits(messages_a_run=3), idle=timedelta(hours=3), load=load, save=save):
    """Idle for longer than the matrix lets time move while clients are at work: see its `NOT_FAR_S`."""

    @update
    async def put(self, what: str) -> int:
        self.state.done.append(what)
        return len(self.state.done)

    @update
    async def weigh(self, what: str) -> int:
        grams: int = await workflow.execute_activity("matrix_weigh", what, result_type=int, **options.quick.config())
        self.state.done.append(what)
        return grams

    @signal
    def toss(self, what: str) -> None:
        self.state.done.append(what)

    @query
    def done(self) -> list[str]:
        return self.state.done
