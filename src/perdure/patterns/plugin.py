"""What workers need for the patterns that have workflows of their own."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.plugin import SimplePlugin

from perdure.patterns.fanout.leaf import FanOutLeaf
from perdure.patterns.fanout.tree import FanOutTree
from perdure.patterns.poll import PollMany
from perdure.patterns.registered import registered
from perdure.patterns.resume import SagaResume

WORKFLOWS: Sequence[type] = (SagaResume, FanOutTree, FanOutLeaf, PollMany)
"""Of the library."""


class PatternsPlugin(SimplePlugin):
    """Registers the library's workflows with workers that have workflows, and with replayers.

        worker = Worker(client, task_queue="orders", workflows=[Order], plugins=[PatternsPlugin()])

    Given to a client, it does so for all of its workers. A worker that has activities alone is left alone: it would get
    workflow tasks of others.
    """

    def __init__(self) -> None:
        super().__init__("perdure.patterns", workflows=_with_ours)


def _with_ours(given: Sequence[type] | None) -> Sequence[type]:
    given = list(given or ())
    if not given:
        return given
    registered()
    return [*given, *(each for each in WORKFLOWS if each not in given)]
