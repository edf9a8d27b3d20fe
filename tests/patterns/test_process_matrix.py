"""Every pattern on a `perdure up` that is killed with SIGKILL. Nothing skips time here, so waits are short."""

import json
from dataclasses import replace

import pytest
from tests.patterns import (
    test_approval_matrix,
    test_entity_matrix,
    test_fan_out_matrix,
    test_poll_matrix,
    test_saga_matrix,
    test_till_matrix,
    test_waits_matrix,
)
from tests.patterns.conftest import SECONDS
from tests.patterns.matrix import Matrix, play, replays
from tests.patterns.polls import Ask, AskMany, ManyWaiter, Waiter
from tests.patterns.process import ProcessEnv, process_host
from tests.patterns.waiting import Payload

from perdure.patterns import Callbacks

pytestmark = pytest.mark.timeout(SECONDS)
OFTEN_S = 0.2


async def poll_one(stage):
    return await stage.client.start_workflow(Waiter.run, Ask(every_s=OFTEN_S), id=stage.id, task_queue=stage.queue)


async def poll_many(stage):
    ask = AskMany(test_poll_matrix.NAMES, every_s=OFTEN_S)
    return await stage.client.start_workflow(ManyWaiter.run, ask, id=stage.id, task_queue=stage.queue)


async def complete(stage):
    """A beat, the value, and another one, which is late; in one run, for the next would sleep for an hour."""
    callbacks = Callbacks(stage.client, stage.id)
    while await test_approval_matrix.states_of(callbacks) == []:
        pass
    stage.world.replies.append(("beat", await callbacks.heartbeat(1)))
    for value in (test_waits_matrix.DONE, Payload("other", 1)):
        stage.world.replies.append(("", await callbacks.complete(value)))


CASES = [
    test_saga_matrix.TRIP,
    test_saga_matrix.FAILING,
    test_fan_out_matrix.FLAT,
    test_fan_out_matrix.PAGES,
    test_entity_matrix.CANCELLED,
    test_till_matrix.TILL,
    test_waits_matrix.APPROVAL,
    replace(test_waits_matrix.CALLBACK, drive=complete),
    replace(test_poll_matrix.ONE, start=poll_one),
    replace(test_poll_matrix.MANY, start=poll_many),
]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with process_host(tmp_path_factory.mktemp("process")) as host:
        yield host


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_killed(case, host, record_property):
    table = Matrix(case.name)
    env = ProcessEnv(host, name=case.name, time="real", stall_s=0)
    replays(env)
    await play(replace(case, few=1), env, table, server=host.kill, row="process killed")
    assert not table.failed, "\n".join(problem for row in table.failed.values() for problem in row)
    assert table.held["process killed"], "it was killed, and what has to hold did"
    env.finish()
    record_property("matrix", json.dumps([case.name, table.held]))
