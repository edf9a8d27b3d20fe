"""Three customers, each for a year of their own: one pays, one's card is declined for good, one cancels in spring."""

from __future__ import annotations

from collections import defaultdict

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from examples.show import Mismatch, fresh, run
from examples.subscription.activities import Charge
from examples.subscription.workflow import End, Plan, Subscription

MONTHS = 12


class Bank:
    """What the payment provider remembers, and the customers' mailboxes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.paid: dict[str, dict[str, int]] = defaultdict(dict)
        """customer -> key of the charge -> cents"""
        self.mails: dict[str, list[str]] = defaultdict(list)

    @activity.defn
    async def charge(self, request: Charge) -> str:
        """The provider knows the key of a charge it has made. Bob's card is good until June."""
        if request.customer == "bob" and request.key not in self.paid["bob"] and len(self.paid["bob"]) >= 5:
            raise ApplicationError("no money", type="Declined")
        self.paid[request.customer].setdefault(request.key, request.cents)
        return f"receipt for {request.key}"

    @activity.defn
    async def mail(self, customer: str, text: str) -> None:
        """Cleo cancels when she is told of the fourth charge."""
        self.mails[customer].append(text)
        handle = self._client.get_workflow_handle_for(Subscription.run, str(activity.info().workflow_id))
        if customer == "cleo" and len(self.mails["cleo"]) == 4:
            await handle.signal(Subscription.cancel)


async def show(client: Client) -> None:
    """Play the story; the bank's ledger has to agree with what the workflows say."""
    bank = Bank(client)
    queue = fresh("subscription")
    async with Worker(client, task_queue=queue, workflows=[Subscription], activities=[bank.charge, bank.mail]):
        handles = {
            customer: await client.start_workflow(
                Subscription.run, Plan(customer, cents=900, months=MONTHS), id=f"{queue}-{customer}", task_queue=queue
            )
            for customer in ("ann", "bob", "cleo")
        }
        ends = {customer: await handle.result() for customer, handle in handles.items()}
    for customer, end in ends.items():
        paid = bank.paid[customer]
        print(f"{customer}: {end.reason}, {len(paid)} charges, {sum(paid.values())} cents, {_mails(bank, customer)}")
        _check(customer, end, paid)


def _mails(bank: Bank, customer: str) -> str:
    return f"{len(bank.mails[customer])} mails, the last: {bank.mails[customer][-1]}"


def _check(customer: str, end: End, paid: dict[str, int]) -> None:
    if len(end.receipts) != len(paid):
        raise Mismatch(f"{customer} has {len(end.receipts)} receipts for {len(paid)} charges")
    expected = {"ann": ("complete", MONTHS), "bob": ("unpaid", 5), "cleo": ("cancelled", 3)}[customer]
    if (end.reason, len(paid)) != expected:
        raise Mismatch(f"{customer} ended {end.reason} after {len(paid)} charges, not {expected}")


if __name__ == "__main__":
    run(show, __doc__)
