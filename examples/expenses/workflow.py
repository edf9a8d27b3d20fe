"""An expense: small ones are paid at once, others are decided on by people who are not the one who wants the money."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from examples.expenses.activities import Expense, Organisation, Post
    from perdure.patterns import ApprovalRequest, approval, method, options

SMALL_CENTS = 5_000
"""Below, nobody is asked."""
LARGE_CENTS = 100_000
"""From here on finance has to agree, too."""
DEADLINE = timedelta(days=10)
REMINDERS = timedelta(days=2)
ESCALATION = timedelta(days=5)


@workflow.defn
class ExpenseApproval:
    @workflow.run
    async def run(self, expense: Expense, organisation: Organisation) -> str:
        """What became of it: paid, rejected, withdrawn, expired."""
        if expense.cents >= SMALL_CENTS:
            decision = await approval(
                ApprovalRequest(expense.what, expense.who, {"Amount": f"{expense.cents / 100:.2f} EUR"}),
                organisation.approvers(expense, LARGE_CENTS),
                quorum=2 if expense.cents >= LARGE_CENTS else 1,
                deadline=DEADLINE,
                remind=REMINDERS,
                escalate=[(ESCALATION, who) for who in organisation.above(expense)],
                notify=method(Post.mail),
            )
            if not decision.approved:
                return await self._inform(expense, decision.outcome)
        await workflow.execute_activity_method(
            Post.pay, expense, activity_id=f"pay/{expense.id}", **options.flaky_api.config()
        )
        return await self._inform(expense, "paid")

    async def _inform(self, expense: Expense, outcome: str) -> str:
        await workflow.execute_activity_method(Post.inform, args=[expense, outcome], **options.flaky_api.config())
        return outcome
