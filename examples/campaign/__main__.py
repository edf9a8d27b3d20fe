"""A mail to each of many recipients, twenty at a time. The provider asks for a pause, and a person lets it go on; some
can't be reached before the next day. A second campaign is stopped by that person. The ledger tells who got a mail."""

from __future__ import annotations

import asyncio
from collections import Counter

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from examples.campaign.activities import Mail
from examples.campaign.workflow import Campaign, End, Plan
from examples.show import Mismatch, fresh, run
from perdure.patterns import fan_out_progress, idempotency_key

WINDOW = 20
GONE_EVERY, ASLEEP_EVERY = 50, 30
"""A mailbox is gone for good, or can't be reached today."""
PAUSE_AT = 100


class Provider:
    """Of mail; and the person on duty, who lets no campaign called "spam" go on."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.sent: dict[str, str] = {}
        """key -> recipient"""
        self.tried: Counter[str] = Counter()
        self.begun: set[str] = set()
        """Recipients."""
        self.most = self.running = 0
        self.begun_at_pause = 0
        self.begun_at_answer = 0

    @activity.defn(name="send")
    async def send(self, mail: Mail) -> str:
        """A key that has been sent is not sent again. After so many mails it asks for a pause."""
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.add(mail.to)
        try:
            return await self._send(mail, idempotency_key())
        finally:
            self.running -= 1

    async def _send(self, mail: Mail, key: str) -> str:
        number = int(mail.to.removeprefix("reader"))
        self.tried[mail.to] += 1
        await asyncio.sleep(0.005)
        if number == PAUSE_AT:
            campaign = self._client.get_workflow_handle(str(activity.info().workflow_id))
            await campaign.signal("perdure_fan_out_pause")
            self.begun_at_pause = len(self.begun)
        if number % GONE_EVERY == 0:
            raise ApplicationError(f"{mail.to} is unknown", type="NoSuchMailbox")
        if number % ASLEEP_EVERY == 0 and self.tried[mail.to] <= 3:
            raise ConnectionError(f"the server of {mail.to} does not answer")
        self.sent.setdefault(key, mail.to)
        return f"receipt {key}"

    @activity.defn(name="ask_to_go_on")
    async def ask(self, campaign: str) -> bool:
        """An hour after the pause."""
        self.begun_at_answer = len(self.begun)
        [progress] = await fan_out_progress(self._client, str(activity.info().workflow_id))
        print(f"{campaign} pauses: {progress.completed} of {progress.total} are sent, {progress.failed} could not be")
        return campaign != "spam"


async def show(client: Client, recipients: int = 300) -> None:
    """Play two campaigns; the provider's ledger has to agree with what they say."""
    readers = [f"reader{number}" for number in range(1, recipients + 1)]
    for name in ("autumn", "spam"):
        provider = Provider(client)
        end = await play(client, provider, Plan(name, readers, WINDOW))
        print(f"{name} is over: {end.counts}, {len(provider.sent)} mails, {provider.most} at a time at most")
        check(provider, end, readers, stopped=name == "spam")


async def play(client: Client, provider: Provider, plan: Plan) -> End:
    """A campaign to its end."""
    queue = fresh("campaign")
    async with Worker(client, task_queue=queue, workflows=[Campaign], activities=[provider.send, provider.ask]):
        return await client.execute_workflow(Campaign.run, plan, id=f"{queue}-{plan.name}", task_queue=queue)


def check(provider: Provider, end: End, readers: list[str], stopped: bool) -> None:
    """Raise `Mismatch` where the ledger disagrees."""
    gone = {reader for number, reader in enumerate(readers, 1) if number % GONE_EVERY == 0}
    if sorted(provider.sent.values()) != sorted(set(provider.sent.values())):
        raise Mismatch("somebody got a mail twice")
    if provider.most > WINDOW:
        raise Mismatch(f"{provider.most} mails were sent at the same time")
    if len(readers) >= PAUSE_AT and provider.begun_at_answer - provider.begun_at_pause > WINDOW:
        raise Mismatch("mails were sent in the pause that were not in flight when it began")
    if stopped and len(provider.begun) != provider.begun_at_answer:
        raise Mismatch("a mail was sent after the campaign was stopped")
    if not stopped and set(provider.sent.values()) != set(readers) - gone:
        raise Mismatch(f"{len(provider.sent)} got a mail, {len(readers) - len(gone)} can be reached")
    if end.counts.get("completed", 0) != len(provider.sent) or sum(end.counts.values()) != len(readers):
        raise Mismatch(f"the workflow says {end.counts}, {len(provider.sent)} mails were sent")


if __name__ == "__main__":
    run(show, __doc__)
