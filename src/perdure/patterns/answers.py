"""Answering a workflow that waits, with a client: `Approvals` for people, `Callbacks` for outside systems.

reply = await Approvals(client, "trip-17").approve("bob", "have fun")
print(reply.text)
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any, TypeVar, cast

from temporalio.client import (
    Client,
    RPCError,
    RPCStatusCode,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError

from perdure.patterns.approval import NAME
from perdure.patterns.approval import QUERY as APPROVALS
from perdure.patterns.callback import COMPLETE, FAIL, HEARTBEAT, CallbackState
from perdure.patterns.callback import QUERY as CALLBACKS
from perdure.patterns.replies import NOT_TAKEN, Reply
from perdure.patterns.votes import Answer, ApprovalState

S = TypeVar("S", ApprovalState, CallbackState)

PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 0.0)
"""After each try to answer; the last one is not followed by another."""
CLOSED = "Nothing has changed: the workflow is over."


class _Waiting:
    """A workflow, whose runs may follow each other."""

    def __init__(
        self, client: Client, workflow_id: str, *, chain: str | None = None, timeout: timedelta | None = None
    ) -> None:
        """`chain`, the first run of the workflow's chain (a notice and an address have it): answers reach no later
        workflow of the same id. `timeout` is that of each call."""
        self._handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(workflow_id, first_execution_run_id=chain)
        self._chain = chain
        self._timeout = timeout

    async def _query(self, name: str, kind: type[S]) -> list[S]:
        """Of this chain; empty if the workflow has never waited."""
        try:
            states: list[S] = await self._handle.query(name, result_type=_list_of(kind), rpc_timeout=self._timeout)
        except WorkflowQueryFailedError as error:
            if f"'{name}' expected but not found" in str(error):
                return []
            raise
        return [state for state in states if self._chain is None or state.chain == self._chain]

    async def _send(self, update: str, *args: Any) -> Reply | None:
        """None: the workflow is closed. The id stays the same over all tries, so that it counts once."""
        update_id = str(uuid.uuid4())
        ended = False
        for pause_s in PAUSES_S:
            try:
                reply: Reply = await self._handle.execute_update(
                    update, args=args, id=update_id, result_type=Reply, rpc_timeout=self._timeout
                )
                return reply
            except WorkflowUpdateFailedError as error:
                if not _unanswered(error):
                    return _refusal(error, update)
                if ended:
                    return None
                ended = True  # or it goes on in another run
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return None
                # A workflow task that failed, for one because it would have continued as new over a signal.
                if error.status is not RPCStatusCode.FAILED_PRECONDITION or not pause_s:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _ended(self, id: str, name: str, kind: type[S]) -> Reply:
        """What is said of a workflow that is over, or never was."""
        try:
            states = await self._query(name, kind)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                return Reply("late", CLOSED)
            return Reply("unknown", "There is no such workflow.")
        for state in states:
            if state.id == id and state.outcome:
                return Reply("late", f"Nothing has changed: {state.sentence()}", state.outcome)
        return Reply("late" if states else "unknown", CLOSED)


class Approvals(_Waiting):
    """The approvals of a workflow. Whoever calls this has to have made sure who `who` is.

        approvals = Approvals(client, "trip-17")
        reply = await approvals.reject("bob", "too dear")
        [state] = await approvals.states()

    An answer that comes late, or twice, changes nothing; the `Reply` says what was decided. Raises what clients raise,
    such as `RPCError`, when the server or the worker can't be reached; to answer again is safe then.
    """

    async def approve(self, who: str, reason: str = "", *, id: str = "approval") -> Reply:
        """Vote for it."""
        return await self.answer(Answer(id, who, "approve", reason))

    async def reject(self, who: str, reason: str = "", *, id: str = "approval") -> Reply:
        """Vote against it."""
        return await self.answer(Answer(id, who, "reject", reason))

    async def retract(self, who: str, reason: str = "", *, id: str = "approval") -> Reply:
        """Take one's own vote back, as long as nothing is decided."""
        return await self.answer(Answer(id, who, "retract", reason))

    async def delegate(self, who: str, to: str, reason: str = "", *, id: str = "approval") -> Reply:
        """Let another vote on one's behalf. To oneself: take that back."""
        return await self.answer(Answer(id, who, "delegate", reason, to=to))

    async def withdraw(self, who: str, reason: str = "", *, id: str = "approval") -> Reply:
        """The requester does not want it any more."""
        return await self.answer(Answer(id, who, "withdraw", reason))

    async def answer(self, answer: Answer) -> Reply:
        """Any of these."""
        reply = await self._send(NAME, answer)
        return reply or await self._ended(answer.approval, APPROVALS, ApprovalState)

    async def states(self) -> list[ApprovalState]:
        """All approvals of the workflow, also of one that is closed, as long as a worker runs."""
        return await self._query(APPROVALS, ApprovalState)

    async def state(self, id: str = "approval") -> ApprovalState | None:
        """One of them; None if there is none."""
        return next((state for state in await self.states() if state.id == id), None)


class Callbacks(_Waiting):
    """The callbacks of a workflow, for who answers as, or for, the outside system.

    callbacks = Callbacks(client, "video-3")
    await callbacks.heartbeat({"frame": 1200})
    reply = await callbacks.complete(Encoded(url, seconds=90))
    """

    async def complete(self, value: Any = None, *, id: str = "callback") -> Reply:
        """It is done, and this is the result."""
        return await self._call(COMPLETE, id, value)

    async def fail(self, message: str, *, id: str = "callback") -> Reply:
        """It has failed."""
        return await self._call(FAIL, id, message)

    async def heartbeat(self, progress: Any = None, *, id: str = "callback") -> Reply:
        """It goes on, and is here. Some ten seconds apart is enough; what comes more often is not noted."""
        return await self._call(HEARTBEAT, id, progress)

    async def _call(self, name: str, id: str, value: Any) -> Reply:
        reply = await self._send(name, id, value)
        return reply or await self._ended(id, CALLBACKS, CallbackState)

    async def states(self) -> list[CallbackState]:
        """All callbacks of the workflow, also of one that is closed, as long as a worker runs."""
        return await self._query(CALLBACKS, CallbackState)

    async def state(self, id: str = "callback") -> CallbackState | None:
        """One of them; None if there is none."""
        return next((state for state in await self.states() if state.id == id), None)


def _refusal(error: WorkflowUpdateFailedError, update: str) -> Reply:
    """What a rejected update says. Raises the error if it is none of ours."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == NOT_TAKEN:
        return Reply(**cast(dict[str, Any], cause.details[0]))
    if f"'{update}' expected but not found" in str(cause):
        return Reply("unknown", "This workflow does not wait for an answer.")
    raise error


def _unanswered(error: WorkflowUpdateFailedError) -> bool:
    """Whether the run has ended with the answer in hand."""
    return isinstance(error.cause, ApplicationError) and error.cause.type == "AcceptedUpdateCompletedWorkflow"


def _list_of(kind: type[Any]) -> type[list[Any]]:
    return list[kind]  # type: ignore[valid-type]
