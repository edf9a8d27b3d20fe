"""The gate before the native front: what is within the limit passes untouched, however it is cut into pieces; what is
not is answered there, and the rest of its connection goes on."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.config import MAX_REQUEST_BYTES
from perdure.rpc.transport.frames import MAX_FRAME_BYTES, MAX_REFUSED, PREFACE, Hostile, Requests, Responses
from perdure.rpc.transport.limits import STREAM_BYTES, Budget, Limits

REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "x"), ("te", "trailers")]
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]


def connection(*, client: bool) -> h2.connection.H2Connection:
    made = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client, header_encoding="utf-8"))
    made.initiate_connection()
    made.increment_flow_control_window(1 << 30)
    return made


def message(payload: bytes, *, compressed: bool = False) -> bytes:
    return bytes([compressed]) + len(payload).to_bytes(4) + payload


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        size = chance.choice([1, 3, 9, 30, 1000, 70_000])
        yield data[:size]
        data = data[size:]


LIMITS = Limits(unfinished_bytes=64 << 20)


def requests() -> Requests:
    """Those of a connection that is alone."""
    return Requests(LIMITS, Budget(LIMITS.unfinished_bytes), lambda: None)


class Wire:
    """A client, the gate, and what stands behind it, each speaking HTTP/2 in earnest. Wires may share a `budget`."""

    def __init__(self, budget: Budget | None = None, limits: Limits = LIMITS) -> None:
        self.client = connection(client=True)
        self.server = connection(client=False)
        self.budget = budget or Budget(limits.unfinished_bytes)
        self.requests = Requests(limits, self.budget, self._evict)
        self.responses = Responses(self.requests.answered)
        self.shed = b""
        self.at_client: list[h2.events.Event] = []
        self.at_server: list[h2.events.Event] = []
        self.exchange()

    def _evict(self) -> None:
        self.shed += self.requests.shed()

    def exchange(self) -> None:
        """Carry bytes both ways until nobody has more to say."""
        while True:
            up, down = self.client.data_to_send(), self.server.data_to_send()
            if not up and not down and not self.shed:
                return
            shed, self.shed = self.shed, b""
            passed = shed + self.requests.feed(up)
            answers, self.requests.answers = self.requests.answers, b""
            to_client = self.responses.insert(answers) + self.responses.feed(down)
            self.at_server += self.server.receive_data(passed)
            self.at_client += self.client.receive_data(to_client)
            for event in self.at_server:
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    self.server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    event.flow_controlled_length = 0

    def send(
        self, body: bytes, *, padding: int | None = None, frame_bytes: int = 16_000, unfinished: bool = False
    ) -> int:
        """Make a request as far as windows and refusals allow; returns its stream."""
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, REQUEST)
        while body:
            self.exchange()
            if self.refusal(stream):
                return stream
            room = self.client.local_flow_control_window(stream) - (padding or 0) - 1
            size = min(room, frame_bytes)
            assert size > 0, "the windows were not given back"
            self.client.send_data(stream, body[:size], pad_length=padding)
            body = body[size:]
        self.exchange()
        if not self.refusal(stream) and not unfinished:
            self.client.end_stream(stream)
            self.exchange()
        return stream

    def received(self, stream: int) -> bytes:
        data = (event for event in self.at_server if isinstance(event, h2.events.DataReceived))
        return b"".join(event.data for event in data if event.stream_id == stream)

    def refusal(self, stream: int) -> dict[str, str]:
        headers = (event for event in self.at_client if isinstance(event, h2.events.ResponseReceived))
        return next((dict(event.headers) for event in headers if event.stream_id == stream), {})

    def was_reset(self, stream: int) -> bool:
        return any(isinstance(event, h2.events.StreamReset) and event.stream_id == stream for event in self.at_server)


def bomb(size_bytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(size_bytes >> 20)]) + packer.flush()


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.lists(st.binary(max_size=40_000), max_size=8), st.booleans())
def test_what_is_within_the_limit_passes_untouched_in_any_pieces(
    chance: random.Random, payloads: list[bytes], compressed: bool
) -> None:
    client = connection(client=True)
    client.remote_settings.initial_window_size = 1 << 20
    client.outbound_flow_control_window = 1 << 24
    for payload in payloads:
        stream = client.get_next_available_stream_id()
        client.send_headers(stream, REQUEST)
        body = message(gzip.compress(payload) if compressed else payload, compressed=compressed)
        while body:
            size = min(chance.choice([1, 4, 5, 16_000]), len(body))
            client.send_data(stream, body[:size], pad_length=chance.choice([None, 0, 7]), end_stream=False)
            body = body[size:]
        client.end_stream(stream)
    sent = client.data_to_send()
    gate = requests()
    assert b"".join(gate.feed(piece) for piece in pieces(sent, chance)) == sent
    assert gate.answers == b""
    assert gate.unfinished_bytes == 0


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.lists(st.binary(max_size=30_000), max_size=5))
def test_answers_pass_untouched_and_what_is_put_in_between_breaks_none(
    chance: random.Random, payloads: list[bytes]
) -> None:
    client, server = connection(client=True), connection(client=False)
    for payload in payloads:
        stream = client.get_next_available_stream_id()
        client.send_headers(stream, REQUEST, end_stream=True)
        server.receive_data(client.data_to_send())
        server.send_headers(stream, [*RESPONSE, ("long", "x" * 20_000)])  # takes a CONTINUATION
        for start in range(0, len(payload), 16_000):
            server.send_data(stream, payload[start : start + 16_000])
        server.end_stream(stream)
    ping = b"\0\0\x08\x06\0\0\0\0\0" + b"a ping !"
    responses = Responses(lambda stream: None)
    got, inserted = b"", 0
    for piece in pieces(server.data_to_send(), chance):
        got += responses.feed(piece)
        if chance.random() < 0.3:
            got += responses.insert(ping)
            inserted += 1
    events = client.receive_data(got)
    assert sum(isinstance(event, h2.events.PingReceived) for event in events) == inserted
    assert sum(isinstance(event, h2.events.StreamEnded) for event in events) == len(payloads)
    assert b"".join(e.data for e in events if isinstance(e, h2.events.DataReceived)) == b"".join(payloads)


@pytest.mark.parametrize("padding", [None, 3])
def test_a_message_over_the_limit_is_refused_at_its_first_bytes(padding: int | None) -> None:
    wire = Wire()
    stream = wire.send(message(bytes(MAX_REQUEST_BYTES + 1)), padding=padding)
    assert wire.refusal(stream)["grpc-status"] == "8"
    assert wire.refusal(stream)["grpc-message"] == "grpc: received message larger than max (4194305 vs. 4194304)"
    assert wire.received(stream) == b""
    assert wire.was_reset(stream)


def test_a_message_at_the_limit_passes() -> None:
    wire = Wire()
    body = message(bytes(MAX_REQUEST_BYTES))
    stream = wire.send(body)
    assert not wire.refusal(stream)
    assert wire.received(stream) == body


@pytest.mark.parametrize("frame_bytes", [1, 1000, 16_000])
def test_what_inflates_over_the_limit_never_becomes_whole(frame_bytes: int) -> None:
    wire = Wire()
    packed = bomb(MAX_REQUEST_BYTES + (1 << 20))
    stream = wire.send(message(packed, compressed=True), frame_bytes=frame_bytes)
    assert wire.refusal(stream)["grpc-message"] == "grpc: received message after decompression larger than max 4194304"
    assert len(wire.received(stream)) < len(packed)
    assert wire.was_reset(stream)


def test_what_inflates_to_the_limit_passes() -> None:
    wire = Wire()
    body = message(bomb(MAX_REQUEST_BYTES), compressed=True)
    stream = wire.send(body)
    assert not wire.refusal(stream)
    assert wire.received(stream) == body


def test_what_does_not_inflate_is_left_to_the_front() -> None:
    wire = Wire()
    body = message(random.Random(1).randbytes(100_000), compressed=True)
    assert wire.received(wire.send(body)) == body


def test_refusals_leave_the_connection_its_windows() -> None:
    wire = Wire()
    for _ in range(200):
        stream = wire.client.get_next_available_stream_id()
        wire.client.send_headers(stream, REQUEST)
        for _ in range(4):  # before the answer comes
            wire.client.send_data(stream, message(bytes(16_000))[:1] + b"\xff\xff\xff\xff" + bytes(11_000))
        wire.exchange()
        assert wire.refusal(stream)
    body = message(bytes(1 << 20))
    assert wire.received(wire.send(body)) == body


@pytest.mark.parametrize("early", [b"GET / HTTP/1.1\r\n", b"P", b"PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n"])
def test_other_protocols_are_cut_off(early: bytes) -> None:
    gate = requests()
    with pytest.raises(Hostile):
        gate.feed(early)
        gate.feed(b"OST / HTTP/1.1\r\n\r\n")


def test_a_frame_without_measure_is_cut_off() -> None:
    with pytest.raises(Hostile):
        requests().feed(PREFACE + (MAX_FRAME_BYTES + 1).to_bytes(3) + b"\x02\0\0\0\0\x01")


def test_who_never_ends_refused_streams_is_cut_off() -> None:
    gate = requests()
    gate.feed(PREFACE)
    with pytest.raises(Hostile):
        for number in range(MAX_REFUSED + 1):
            gate.feed(b"\0\0\x05\0\0" + (number * 2 + 1).to_bytes(4) + b"\0\xff\xff\xff\xff")


SMALL = Limits(request_bytes=100_000, unfinished_bytes=350_000)
WORDS = SMALL.too_much_unfinished


def unfinished(wire: Wire, size_bytes: int = 99_000) -> int:
    """A request that is begun and lacks its end; returns its stream."""
    return wire.send(message(bytes(100_000))[:size_bytes], unfinished=True)


def test_requests_that_are_not_finished_are_refused_once_they_fill_what_there_is_for_them() -> None:
    wire = Wire(limits=SMALL)
    streams = [unfinished(wire) for _ in range(20)]
    refused = [stream for stream in streams if wire.refusal(stream)]
    assert refused == streams[3:]
    assert all(wire.refusal(stream)["grpc-message"] == WORDS for stream in refused)
    assert all(wire.was_reset(stream) for stream in refused)
    assert wire.budget.bytes <= SMALL.unfinished_bytes


def test_others_are_served_while_one_connection_hoards() -> None:
    budget = Budget(SMALL.unfinished_bytes)
    hoarder, other = Wire(budget, SMALL), Wire(budget, SMALL)
    held = [unfinished(hoarder) for _ in range(3)]
    bodies = [message(bytes([number]) * 90_000) for number in range(5)]
    streams = [other.send(body) for body in bodies]
    assert [other.received(stream) for stream in streams] == bodies
    hoarder.exchange()
    assert [bool(hoarder.refusal(stream)) for stream in held] == [False, False, True], "the newest goes"
    assert hoarder.was_reset(held[2]) and hoarder.refusal(held[2])["grpc-message"] == WORDS
    body = message(bytes(1000))
    assert hoarder.received(hoarder.send(body)) == body, "its connection goes on"


def test_many_small_hoarders_are_refused_like_a_large_one() -> None:
    budget = Budget(SMALL.unfinished_bytes)
    hoarders = [Wire(budget, SMALL) for _ in range(8)]
    for wire in hoarders:
        for _ in range(9):
            unfinished(wire, 10_000)
            assert budget.bytes <= SMALL.unfinished_bytes
    other = Wire(budget, SMALL)
    body = message(bytes(20_000))
    assert other.received(other.send(body)) == body


@pytest.mark.parametrize("end", ["whole", "reset", "trailers", "answer", "close"])
def test_what_an_unfinished_request_holds_is_given_back(end: str) -> None:
    wire = Wire()
    stream = unfinished(wire)
    assert wire.budget.bytes == wire.requests.unfinished_bytes > 90_000
    if end == "whole":
        wire.client.send_data(stream, bytes(1005), end_stream=True)
    elif end == "reset":
        wire.client.reset_stream(stream)
    elif end == "trailers":
        wire.client.send_headers(stream, [("a", "b")], end_stream=True)
    elif end == "answer":
        wire.server.send_headers(stream, RESPONSE, end_stream=True)
    else:
        wire.requests.close()
    wire.exchange()
    assert (wire.budget.bytes, wire.requests.unfinished_bytes, wire.budget.holders) == (0, 0, set())


def begin(wire: Wire) -> int:
    """A request of which only the headers come; returns its stream."""
    stream = wire.client.get_next_available_stream_id()
    wire.client.send_headers(stream, REQUEST)
    wire.exchange()
    return stream


def test_requests_of_headers_alone_are_refused_once_they_fill_what_there_is_for_them() -> None:
    wire = Wire(limits=SMALL)
    streams = [begin(wire) for _ in range(40)]
    refused = [stream for stream in streams if wire.refusal(stream)]
    room = SMALL.unfinished_bytes // (STREAM_BYTES + 100)
    assert refused == streams[room:] and len(refused) > 10
    assert all(wire.refusal(stream)["grpc-message"] == WORDS and wire.was_reset(stream) for stream in refused)
    wire.client.send_data(streams[0], message(b"here"), end_stream=True)
    wire.exchange()
    assert wire.received(streams[0]) == message(b"here")
    assert not wire.refusal(begin(wire)), "there is room again"


def test_headers_that_come_at_once_are_refused_the_same() -> None:
    wire = Wire(limits=SMALL)
    streams = [wire.client.get_next_available_stream_id() + 2 * number for number in range(40)]
    for stream in streams:
        wire.client.send_headers(stream, [*REQUEST, ("long", "x" * 20_000)])  # takes a CONTINUATION
    wire.exchange()
    refused = [stream for stream in streams if wire.refusal(stream)]
    kept = len(streams) - len(refused)
    assert refused == streams[kept:]
    assert kept * (STREAM_BYTES + 15_000) < SMALL.unfinished_bytes < (kept + 1) * (STREAM_BYTES + 20_000)
    assert wire.budget.bytes <= SMALL.unfinished_bytes


def test_whole_requests_that_wait_for_their_answers_count_for_nothing() -> None:
    wire = Wire(limits=SMALL)
    streams = [wire.send(message(b"poll")) for _ in range(90)]
    assert (wire.budget.bytes, wire.requests.unfinished_bytes) == (0, 0)
    assert wire.requests.calls == set(streams)


def test_what_headers_hold_is_given_back_when_their_request_is_whole_or_reset() -> None:
    wire = Wire()
    first, second, third = begin(wire), begin(wire), begin(wire)
    assert wire.budget.bytes > 3 * STREAM_BYTES
    wire.client.send_data(first, message(b"here"), end_stream=True)
    wire.client.reset_stream(second)
    wire.client.send_headers(third, [("a", "b")], end_stream=True)
    wire.exchange()
    assert (wire.budget.bytes, wire.requests.unfinished_bytes, wire.budget.holders) == (0, 0, set())


def test_trailers_of_an_answered_request_open_no_other() -> None:
    wire = Wire()
    stream = begin(wire)
    wire.server.send_headers(stream, RESPONSE, end_stream=True)
    wire.exchange()
    wire.client.send_headers(stream, [("a", "b")], end_stream=True)
    wire.exchange()
    assert wire.requests.calls == set()


def test_nothing_is_said_to_a_client_that_has_its_answer() -> None:
    wire = Wire(limits=SMALL)
    stream = unfinished(wire)
    wire.server.send_headers(stream, RESPONSE, end_stream=True)
    wire.exchange()
    wire.client.send_data(stream, bytes(1005) + b"\0" + (SMALL.request_bytes + 1).to_bytes(4))
    wire.requests.feed(wire.client.data_to_send())
    assert b"grpc-status" not in wire.requests.answers


def test_inflating_counts_too() -> None:
    wire = Wire(limits=SMALL)
    packed = message(gzip.compress(random.Random(1).randbytes(90_000)), compressed=True)[:30]
    streams = [wire.send(packed, unfinished=True) for _ in range(20)]
    assert any(wire.refusal(stream) for stream in streams)
    assert not wire.refusal(streams[0])


def test_who_holds_most_and_leaves_its_headers_unfinished_is_cut_off() -> None:
    budget = Budget(SMALL.unfinished_bytes)
    hoarder, other = Wire(budget, SMALL), Wire(budget, SMALL)
    for _ in range(3):
        unfinished(hoarder)
    hoarder.requests.feed(b"\0\0\x01\x01\0" + (101).to_bytes(4) + b"\x88")
    with pytest.raises(Hostile):
        unfinished(other)
