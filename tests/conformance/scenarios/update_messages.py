"""Messages about updates that say something wrong, or at the wrong time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import temporalio.api.protocol.v1 as protocol_pb
import temporalio.api.update.v1 as update_pb
from google.protobuf.any_pb2 import Any as AnyMessage
from tests.conformance.driver import Driver
from tests.conformance.messages import command, marker, payloads, succeed, timer
from tests.conformance.updates import accept, answer, commands, message, poll, reject, respond, sent


async def _begun(d: Driver) -> None:
    await d.start()
    await d.step(timer())


async def _answered_once(d: Driver, make: Callable[[Any], list[protocol_pb.Message]], **fields: Any) -> None:
    """An update whose worker answers with these messages, and what becomes of it then."""
    await _begun(d)
    update = await sent(d, timeout_s=3)
    task = await d.poll_wft()
    await answer(d, task, *make(task), **fields)
    await update
    await poll(d)


def _body(type_url: str, value: bytes = b"", instance: str = "u") -> protocol_pb.Message:
    return protocol_pb.Message(id="m", protocol_instance_id=instance, body=AnyMessage(type_url=type_url, value=value))


_PREFIX = "type.googleapis.com/temporal.api"


async def without_body(d: Driver) -> None:
    await _answered_once(d, lambda task: [protocol_pb.Message(id="m", protocol_instance_id="u")])


async def without_body_and_command(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, timeout_s=3)
    task = await d.poll_wft()
    await d.complete(task, messages=[protocol_pb.Message(id="m", protocol_instance_id="u")])
    await update


async def body_without_type(d: Driver) -> None:
    await _answered_once(d, lambda task: [_body("")])


async def body_of_a_type_without_dots(d: Driver) -> None:
    await _answered_once(d, lambda task: [_body("type.googleapis.com/Acceptance")])


async def body_of_another_protocol(d: Driver) -> None:
    await _answered_once(d, lambda task: [_body(f"{_PREFIX}.common.v1.Payload")])


async def body_of_an_unknown_type(d: Driver) -> None:
    await _answered_once(d, lambda task: [_body(f"{_PREFIX}.update.v1.Unknown")])


async def body_of_an_unknown_type_for_an_unknown_update(d: Driver) -> None:
    await _answered_once(d, lambda task: [_body(f"{_PREFIX}.update.v1.Unknown", instance="other")])


async def body_that_cannot_be_read(d: Driver) -> None:
    await _answered_once(d, lambda task: [_body(f"{_PREFIX}.update.v1.Acceptance", b"\xff")])


async def body_with_bad_text(d: Driver) -> None:
    await _answered_once(d, lambda task: [_body(f"{_PREFIX}.update.v1.Acceptance", b"\x0a\x01\xff")])


async def body_that_is_cut(d: Driver) -> None:
    await _answered_once(d, lambda task: [_body(f"{_PREFIX}.update.v1.Response", b"\x0a\x05x")])


async def body_that_is_a_request(d: Driver) -> None:
    await _answered_once(d, lambda task: [message("u", update_pb.Request(meta={"update_id": "u"}))])


async def body_that_is_an_outcome(d: Driver) -> None:
    await _answered_once(d, lambda task: [message("u", update_pb.Outcome(success=payloads("x")))])


async def acceptance_that_is_empty(d: Driver) -> None:
    await _answered_once(d, lambda task: [message("u", update_pb.Acceptance())])


async def acceptance_without_message_id(d: Driver) -> None:
    await _answered_once(d, lambda task: [accept(task, accepted_request_message_id="")])


async def acceptance_with_other_ids(d: Driver) -> None:
    """Nobody compares them with those of the request."""
    fields = {"accepted_request_message_id": "other", "accepted_request_sequencing_event_id": 999}
    await _answered_once(d, lambda task: [accept(task, **fields), respond()])


async def acceptance_without_request(d: Driver) -> None:
    await _answered_once(d, lambda task: [accept(task, accepted_request=None), respond()])


async def acceptance_of_another_request(d: Driver) -> None:
    other = update_pb.Request(meta={"update_id": "v"}, input={"name": "other"})
    await _answered_once(d, lambda task: [accept(task, accepted_request=other), respond()])


async def acceptance_of_an_unknown_update(d: Driver) -> None:
    await _answered_once(d, lambda task: [accept(task, "other")])


async def acceptance_of_a_lost_update(d: Driver) -> None:
    """What the worker knows is enough to bring the update back."""
    lost = update_pb.Request(meta={"update_id": "lost", "identity": "client"}, input={"name": "change"})
    await _answered_once(d, lambda task: [accept(task), respond(), accept(task, "lost", accepted_request=lost)])
    await d.signal()
    await answer(d, await d.poll_wft(), respond("lost"))
    await poll(d, "lost")


async def rejection_of_a_lost_update(d: Driver) -> None:
    lost = update_pb.Request(meta={"update_id": "lost", "identity": "client"}, input={"name": "change"})
    await _answered_once(d, lambda task: [accept(task), respond(), reject(task, "lost", rejected_request=lost)])
    await poll(d, "lost")


async def acceptance_twice(d: Driver) -> None:
    await _answered_once(d, lambda task: [accept(task), message("u", update_pb.Acceptance(), "again")])


async def acceptance_again_later(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    await update
    await d.signal()
    again = await d.poll_wft()
    await answer(d, again, accept(again))
    await poll(d, stage="ACCEPTED")


async def acceptance_after_rejection(d: Driver) -> None:
    await _answered_once(d, lambda task: [reject(task), accept(task)])


async def acceptance_of_a_completed_one(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond())
    await update
    await d.signal()
    await answer(d, await d.poll_wft(), accept(task, accepted_request=None))
    await answer(d, await d.poll_wft(), respond())


async def rejection_that_is_empty(d: Driver) -> None:
    await _answered_once(d, lambda task: [message("u", update_pb.Rejection())])


async def rejection_with_a_command(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    rejection = reject(task)
    await d.complete(task, *commands(rejection), messages=[rejection])
    await update


async def rejection_of_an_unknown_update(d: Driver) -> None:
    await _answered_once(d, lambda task: [reject(task, "other")])


async def rejection_of_an_accepted_one(d: Driver) -> None:
    await _answered_once(d, lambda task: [accept(task), reject(task)])


async def rejection_of_one_accepted_before(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, stage="ACCEPTED")
    task = await d.poll_wft()
    await answer(d, task, accept(task))
    await update
    await d.signal()
    await answer(d, await d.poll_wft(), reject(task, rejected_request=None))
    await poll(d, stage="ACCEPTED")


async def rejection_twice(d: Driver) -> None:
    await _answered_once(d, lambda task: [reject(task), message("u", update_pb.Rejection(), "again")])


async def response_without_acceptance(d: Driver) -> None:
    await _answered_once(d, lambda task: [respond()])


async def response_before_acceptance(d: Driver) -> None:
    await _answered_once(d, lambda task: [respond(), accept(task)])


async def response_that_is_empty(d: Driver) -> None:
    await _answered_once(d, lambda task: [accept(task), message("u", update_pb.Response())])


async def response_without_update_id(d: Driver) -> None:
    await _answered_once(
        d, lambda task: [accept(task), message("u", update_pb.Response(meta=update_pb.Meta(identity="w")))]
    )


async def response_of_another_update_id(d: Driver) -> None:
    body = update_pb.Response(meta={"update_id": "v"}, outcome={"success": payloads("x")})
    await _answered_once(d, lambda task: [accept(task), message("u", body)])


async def response_without_outcome(d: Driver) -> None:
    body = update_pb.Response(meta={"update_id": "u"})
    await _answered_once(d, lambda task: [accept(task), message("u", body)])


async def response_with_an_empty_outcome(d: Driver) -> None:
    body = update_pb.Response(meta={"update_id": "u"}, outcome={})
    await _answered_once(d, lambda task: [accept(task), message("u", body)])


async def response_twice(d: Driver) -> None:
    again = respond()
    again.id = "again"
    await _answered_once(d, lambda task: [accept(task), respond(), again])


async def response_for_an_unknown_update(d: Driver) -> None:
    await _answered_once(d, lambda task: [respond("other")])


async def command_without_message(d: Driver) -> None:
    await _answered_once(d, lambda task: [], then=[command("PROTOCOL_MESSAGE", message_id="none")])


async def command_without_message_id(d: Driver) -> None:
    await _answered_once(d, lambda task: [], then=[command("PROTOCOL_MESSAGE")])


async def command_twice_for_one_message(d: Driver) -> None:
    await _begun(d)
    update = await sent(d, timeout_s=3)
    task = await d.poll_wft()
    acceptance = accept(task)
    await d.complete(task, *commands(acceptance, acceptance), messages=[acceptance])
    await update


async def messages_without_commands(d: Driver) -> None:
    """They count behind the commands, in their order or another."""
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await d.complete(task, marker(), messages=[accept(task)])
    await d.signal()
    await d.complete(await d.poll_wft(), marker(), messages=[respond()])
    await update


async def messages_with_the_same_id(d: Driver) -> None:
    acceptance, response = accept_id("same"), respond()
    response.id = "same"
    await _answered_once(d, lambda task: [acceptance(task), response])


def accept_id(message_id: str) -> Callable[[Any], protocol_pb.Message]:
    def make(task: Any) -> protocol_pb.Message:
        made = accept(task)
        made.id = message_id
        return made

    return make


async def messages_behind_the_close(d: Driver) -> None:
    await _begun(d)
    update = await sent(d)
    task = await d.poll_wft()
    await d.complete(task, succeed(), messages=[message("u", update_pb.Acceptance())])
    await update


async def bad_on_the_first_task(d: Driver) -> None:
    await d.start()
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, respond(), then=[timer()])
    await update
    again = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, accept(task), respond(), then=[timer()])
    await again


async def bad_at_the_second_attempt(d: Driver) -> None:
    await _begun(d)
    await d.signal()
    await d.fail(await d.poll_wft())
    update = await sent(d)
    task = await d.poll_wft()
    await answer(d, task, respond())
    await update
    await d.terminate()


async def good_and_bad_together(d: Driver) -> None:
    """What the others have brought is undone, too."""
    await _begun(d)
    one = await sent(d, "one", timeout_s=3)
    other = await sent(d, "other", timeout_s=3)
    task = await d.poll_wft()
    await answer(d, task, accept(task, "one"), respond("one"), respond("other"))
    await one
    await other
    await poll(d, "one")
