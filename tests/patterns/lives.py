"""Entities that plan ahead, end, and begin again."""

from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import activity, workflow

from perdure.patterns import Entity, Limits, query, signal, update

kept: dict[str, str] = {}


@activity.defn
async def load(entity_id: str) -> str | None:
    return kept.get(entity_id)


@activity.defn
async def save(entity_id: str, snapshot: str) -> None:
    kept[entity_id] = snapshot


@dataclass
class Nagged:
    said: list[str] = field(default_factory=list)


class Nag(Entity[Nagged], limits=Limits(messages_a_run=6), idle=timedelta(days=30), load=load, save=save):
    @update
    async def plan(self, minutes: float, text: str, fails: bool = False) -> None:
        self.later(timedelta(minutes=minutes), Nag.say, text, key=text[0])
        if fails:
            raise ValueError("no")

    @update
    def forget(self, key: str) -> None:
        self.not_later(Nag.say, key=key)

    @signal
    async def say(self, text: str) -> None:
        self.state.said.append(f"{(workflow.now() - workflow.info().start_time).total_seconds() >= 0} {text}")
        if text == "again":
            self.later(timedelta(minutes=1), Nag.say, "at last")

    @update
    async def work(self, days: float) -> None:
        await workflow.sleep(timedelta(days=days))

    @query
    def said(self) -> list[str]:
        return [each.removeprefix("True ") for each in self.state.said]
