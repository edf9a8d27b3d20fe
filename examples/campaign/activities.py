"""What the campaign needs of the world; whoever runs a worker brings the mail provider and the person on duty."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio import activity


@dataclass
class Mail:
    """To one recipient."""

    campaign: str
    to: str


@activity.defn
async def send(mail: Mail) -> str:
    """Hand a mail to the provider, with `idempotency_key()`. Returns its receipt."""
    raise NotImplementedError("bring a provider")


@activity.defn
async def ask_to_go_on(campaign: str) -> bool:
    """Ask the person on duty whether a campaign that pauses goes on."""
    raise NotImplementedError("bring a person")
