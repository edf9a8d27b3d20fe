"""Types of the errors by which an entity refuses a message. They travel, so they are frozen."""

from temporalio.exceptions import ApplicationError

DRAINING = "EntityDraining"
"""It is about to continue as new, or to end: the same message again will find the next run."""
ID_REUSED = "MessageIdReused"
"""A message id came again with other content."""
UNKNOWN = "UnknownMessage"
"""The class has no such handler."""
UNDECODABLE = "UndecodableMessage"
REFUSED = "MessageRefused"
"""A check raised an error that has no type of its own."""
LOADING = "EntityLoading"
"""A query came before the state was loaded."""
TOO_LARGE = "EntityTooLarge"
NO_LETTER = "NoSuchDeadLetter"


def refusal(text: str, kind: str) -> ApplicationError:
    return ApplicationError(text, type=kind, non_retryable=True)
