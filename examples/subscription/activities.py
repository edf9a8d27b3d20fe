"""What the subscription does to the world. Here it only prints; the names and types are what matters."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio import activity


@dataclass
class Charge:
    customer: str
    cents: int
    key: str
    """The same for all attempts of one charge, for the payment provider to recognise it."""


@activity.defn
def charge(request: Charge) -> str:
    """Take the money; the receipt. Fails with an `ApplicationError` of type "Declined" if the card is declined."""
    print(f"{request.customer} pays {request.cents} cents ({request.key})")
    return f"receipt for {request.key}"


@activity.defn
def mail(customer: str, text: str) -> None:
    """Tell the customer."""
    print(f"to {customer}: {text}")
