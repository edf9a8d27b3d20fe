"""How a callback ends that has not completed."""

from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio.exceptions import ApplicationError

from perdure.patterns.replies import decoded

Q = TypeVar("Q")


class CallbackFailed(ApplicationError):
    """The outside system says that it has failed.

    try:
        video = await callback(Encoded, "talk.mov", notify=submit, expires=timedelta(hours=6))
    except CallbackFailed as failed:
        return f"no video: {failed.reason}"
    """

    def __init__(self, id: str, message: str) -> None:
        super().__init__(f"callback {id}: {message}", type="CallbackFailed", non_retryable=True)
        self.reason = message


class CallbackExpired(ApplicationError):
    """The outside system did not call back in time.

    try:
        paid = await callback(Payment, order, notify=open_checkout, expires=timedelta(hours=1))
    except CallbackExpired:
        return "nobody has paid"
    """

    def __init__(self, id: str, at: datetime) -> None:
        super().__init__(f"callback {id}: nobody called back by {at}", type="CallbackExpired", non_retryable=True)


class CallbackStalled(ApplicationError):
    """The outside system has not been heard of for the `stall_timeout`.

    try:
        video = await callback(Encoded, "talk.mov", notify=submit, expires=DAY, stall_timeout=HOUR)
    except CallbackStalled as stalled:
        frame = stalled.progress(int) or 0  # where the next attempt begins
    """

    def __init__(self, id: str, silence: timedelta, last: Any) -> None:
        text = f"callback {id}: nothing was heard for {silence}"
        super().__init__(text, type="CallbackStalled", non_retryable=True)
        self.last = last
        """The last progress, as it came."""

    def progress(self, kind: type[Q]) -> Q | None:
        """The last progress as a value of that type; None if there was none. In workflow code.

        except CallbackStalled as stalled:
            frame = stalled.progress(int) or 0
        """
        return None if self.last is None else decoded(self.last, kind)
