"""The company: who decides on what, the mails with links in them, and the till."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from temporalio import activity

from perdure.patterns import Notice
from perdure.patterns.links import Signer


@dataclass
class Expense:
    id: str
    who: str
    what: str
    cents: int
    expect: str = "paid"
    """How the story has to end."""


@dataclass
class Organisation:
    managers: dict[str, str]
    """Who -> their manager."""
    finance: list[str]

    def approvers(self, expense: Expense, large_cents: int) -> list[str]:
        """The manager; of large expenses finance as well."""
        manager = [self.managers[expense.who]]
        return manager + [who for who in self.finance if who != expense.who and expense.cents >= large_cents]

    def above(self, expense: Expense) -> list[str]:
        """The manager's manager, if there is one."""
        above = self.managers.get(self.managers[expense.who])
        return [above] if above is not None and above not in self.finance else []


@dataclass
class Post:
    """Mails, and the till. `read` is how a person reads a mail: it gets the notice and the link in it."""

    signer: Signer
    read: Callable[[Notice, str], Awaitable[None]]
    mails: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, to whom, about what."""
    till: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Key of the payment -> to whom, cents."""

    @activity.defn
    async def mail(self, notice: Notice) -> None:
        """The link is made here and goes out from here: it is in no history."""
        self.mails.append((notice.kind, notice.to, notice.request.subject))
        await self.read(notice, self.signer.approval(notice))

    @activity.defn
    async def inform(self, expense: Expense, outcome: str) -> None:
        """What became of it, to whom it matters."""
        self.mails.append((outcome, expense.who, expense.what))

    def all(self) -> list[Callable[..., object]]:
        """For the worker."""
        return [self.mail, self.pay, self.inform]

    @activity.defn
    async def pay(self, expense: Expense) -> None:
        """Paid again under the same key, it is paid once."""
        info = activity.info()
        self.till.setdefault(f"{info.workflow_id}/{info.activity_id}", (expense.who, expense.cents))
