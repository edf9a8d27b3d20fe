"""Eleven expenses, decided on by people who get links in their mails.

Some need a reminder, one hands things on, one double-clicks, one never answers, so that others are asked after five
days; nobody decides on their own expense. At the end the till has paid what was approved, once, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from examples.expenses.activities import Expense, Organisation, Post
from examples.expenses.people import People
from examples.expenses.workflow import ExpenseApproval
from examples.serving import served
from examples.show import Mismatch, fresh, run
from perdure.patterns import Approvals, ApprovalState
from perdure.patterns.links import Links, Signer

FILE = Path(__file__).parent / "expenses.json"


def read() -> tuple[Organisation, list[Expense]]:
    """Who works there, and who wants what."""
    found = json.loads(FILE.read_text())
    return Organisation(found["managers"], found["finance"]), [Expense(**each) for each in found["expenses"]]


@contextlib.asynccontextmanager
async def company(client: Client) -> AsyncIterator[tuple[Post, People]]:
    """The post, the people, and the pages that links open."""
    keys = [secrets.token_urlsafe(48)]
    people = People(client)
    async with served(Links(client, keys=keys)) as url:
        yield Post(Signer(keys, url), people.read), people


async def show(client: Client) -> None:
    """Hand in all expenses, wait until each is decided, and read the till."""
    organisation, expenses = read()
    queue = fresh("expenses")
    states: dict[str, ApprovalState] = {}
    ends: dict[str, str] = {}
    async with (
        company(client) as (post, people),
        Worker(client, task_queue=queue, workflows=[ExpenseApproval], activities=post.all()),
    ):
        for expense in expenses:
            id = f"{queue}-{expense.id}"
            ends[expense.id] = await client.execute_workflow(
                ExpenseApproval.run, args=[expense, organisation], id=id, task_queue=queue
            )
            if state := await Approvals(client, id).state():
                states[expense.id] = state
            print(f"{expense.who:6}{expense.what:34}{ends[expense.id]:10} {story(states.get(expense.id))}")
    check(expenses, ends, states, post)
    mails = Counter(kind for kind, _, _ in post.mails)
    print(f"mails: {', '.join(f'{number} {kind}' for kind, number in sorted(mails.items()))}")
    print(f"pages: {dict(sorted(people.statuses.items()))}, application: {dict(sorted(people.replies.items()))}")
    print(f"paid:  {sum(cents for _, cents in post.till.values()) / 100:.2f} EUR for {len(post.till)} expenses")


def story(state: ApprovalState | None) -> str:
    """Who did what."""
    if state is None:
        return "(small)"
    days = {entry: (entry.at - state.opened).days for entry in state.audit}
    lines = [entry for entry in state.audit if entry.what not in ("asked", "reminded")]
    return ", ".join(
        " ".join(filter(None, [f"day {days[entry]}:", entry.who, entry.what, entry.whom])) for entry in lines
    )


def check(expenses: list[Expense], ends: dict[str, str], states: dict[str, ApprovalState], post: Post) -> None:
    """Raises `Mismatch` unless the till has paid what was approved, once, and nobody decided on their own expense."""
    paid = Counter(post.till.values())
    for expense in expenses:
        if ends[expense.id] != expense.expect:
            raise Mismatch(f"{expense.id} ({expense.what}) is {ends[expense.id]}, not {expense.expect}")
        wanted = 1 if ends[expense.id] == "paid" else 0
        if paid[expense.who, expense.cents] != wanted:
            raise Mismatch(f"{expense.id} is {ends[expense.id]}, but {paid[expense.who, expense.cents]} times paid")
        state = states.get(expense.id)
        voters = [entry.who for entry in state.audit if entry.what in ("approved", "rejected")] if state else []
        if expense.who in voters or len(set(voters)) != len(voters):
            raise Mismatch(f"{expense.id} of {expense.who}: the votes are of {voters}")
    if len(post.till) != sum(end == "paid" for end in ends.values()):
        raise Mismatch(f"the till has paid {len(post.till)} times")


if __name__ == "__main__":
    run(show, __doc__)
