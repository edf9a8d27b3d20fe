"""Expenses: who decides, over real pages; and that the till pays what was approved, once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from examples.expenses.__main__ import check, company, read, show
from examples.expenses.activities import Expense, Organisation
from examples.expenses.workflow import DEADLINE, ExpenseApproval
from examples.show import Mismatch
from perdure.patterns import Approvals
from perdure.testing import Env

TRIP = Expense("e1", "ann", "Train", 42_000)


def organisation() -> Organisation:
    return Organisation({"ann": "sam", "sam": "tom"}, ["uma"])


async def test_the_story(perdure: Env, capsys: pytest.CaptureFixture[str]) -> None:
    await show(perdure.client)
    printed = capsys.readouterr().out
    assert "carol delegated ben, day 0: ben approved" in printed
    assert "day 5: escalated dora, day 5: dora approved" in printed
    assert "paid:  5048.50 EUR for 7 expenses" in printed


async def test_the_till_pays_once_under_faults(perdure: Env) -> None:
    perdure.faults(evict_every_task=True, duplicate_attempts=True)
    organisation, expenses = read()
    expense = next(each for each in expenses if each.what == "Desk")
    async with company(perdure.client) as (post, _), perdure.worker(ExpenseApproval, activities=post.all()):
        handle = await perdure.start(ExpenseApproval.run, expense, organisation)
        assert await handle.result() == "paid"
        state = await Approvals(perdure.client, handle.id).state()
    assert state is not None
    check([expense], {expense.id: "paid"}, {expense.id: state}, post)


@pytest.mark.perdure(time="manual")
async def test_the_page_and_what_it_says_when_it_is_over(perdure: Env) -> None:
    async with company(perdure.client) as (post, people), perdure.worker(ExpenseApproval, activities=post.all()):
        links: dict[str, str] = {}

        async def read_mail(notice: object, link: str) -> None:
            links[str(getattr(notice, "to", ""))] = link

        post.read = read_mail
        handle = await perdure.start(ExpenseApproval.run, TRIP, organisation())
        await perdure.settle()
        page = await people.browse("GET", links["sam"])
        assert "Train" in page and "420.00 EUR" in page and "<form" in page
        await people.press(links["sam"], "reject", "by bus, please")
        assert await handle.result() == "rejected"
        late = await people.browse("POST", links["sam"], "do=approve")
        assert "rejected by sam" in late and "by bus, please" in late
        assert dict(people.statuses) == {200: 2, 410: 1}


@pytest.mark.perdure(time="manual")
async def test_nobody_answers(perdure: Env) -> None:
    async with company(perdure.client) as (post, _), perdure.worker(ExpenseApproval, activities=post.all()):
        handle = await perdure.start(ExpenseApproval.run, TRIP, organisation())
        await perdure.advance(DEADLINE - timedelta(hours=1))
        state = await Approvals(perdure.client, handle.id).state()
        assert state is not None and state.waiting_for() == ["sam", "tom"]
        await perdure.advance(timedelta(hours=2))
        assert await handle.result() == "expired"
    assert post.till == {} and next(mail for mail in post.mails if mail[1] == "tom")[0] == "escalated"


async def test_a_wrong_till_is_seen(perdure: Env) -> None:
    async with company(perdure.client) as (post, _):
        post.till["x"] = ("ann", 42_000)
        with pytest.raises(Mismatch, match="1 times paid"):
            check([Expense("e1", "ann", "Train", 42_000, "rejected")], {"e1": "rejected"}, {}, post)
