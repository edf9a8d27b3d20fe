"""The HTTP rules of the services' descriptors, as routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import MethodDescriptor

from perdure.rpc.services import methods

VERBS = ("get", "put", "post", "delete", "patch")

SEGMENT = re.compile(r"\{([^={}]+)(?:=([^{}]*))?\}|(\*\*)|(\*)|([^{}*]+)")
"""One piece of a template: a variable with its own template, a wildcard, or text."""

WILDCARDS = {"*": "[^/]*", "**": ".*"}


@dataclass(frozen=True, slots=True)
class Binding:
    """One way to reach an RPC."""

    method: MethodDescriptor
    verb: str
    """In capitals: `GET`, ..."""
    template: str
    """As the rule has it: `/namespaces/{namespace}/workflows/{execution.workflow_id}`."""
    pattern: re.Pattern[str]
    """What matches an unescaped path, with a group for each of `variables`."""
    variables: tuple[str, ...]
    """The fields that the path sets, dotted, by their proto names."""
    has_body: bool
    """Whether the request is in the body; if not, it is in the query."""

    @property
    def path(self) -> str:
        """The RPC's gRPC path."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"


def bindings() -> Iterator[Binding]:
    """Every binding of both services, in the order of the descriptors."""
    for method in methods():
        options = method.GetOptions()
        if options.HasExtension(annotations_pb2.http):
            rule = options.Extensions[annotations_pb2.http]
            for each in (rule, *rule.additional_bindings):
                yield _binding(method, each)


def _binding(method: MethodDescriptor, rule: HttpRule) -> Binding:
    verb = rule.WhichOneof("pattern")
    if verb not in VERBS or rule.body not in ("", "*") or rule.response_body:
        raise TypeError(f"{method.full_name}: an HTTP rule of a kind that is not served: {rule}")
    template = getattr(rule, verb)
    pattern, variables = compile_template(template)
    return Binding(method, verb.upper(), template, pattern, variables, has_body=rule.body == "*")


def compile_template(template: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """The pattern of a path template of `google.api.http`, and the fields that its groups stand for."""
    variables: list[str] = []
    pattern = ""
    for name, inner, *wildcards, text in SEGMENT.findall(template):
        if name:
            variables.append(name)
            parts = re.split(r"(\*\*|\*)", inner or "*")
            pattern += "(" + "".join(WILDCARDS.get(part) or re.escape(part) for part in parts) + ")"
        else:
            pattern += WILDCARDS.get("".join(wildcards)) or re.escape(text)
    return re.compile(pattern), tuple(variables)


class Routes:
    """Finds the binding of a request. Of two that match, the later one wins, as in the real server's gateway."""

    def __init__(self, all_bindings: Iterable[Binding]) -> None:
        self._by_verb: dict[str, list[Binding]] = {}
        for binding in all_bindings:
            self._by_verb.setdefault(binding.verb, []).insert(0, binding)

    def find(self, verb: str, path: str) -> tuple[Binding, tuple[str, ...]] | Literal["other verb"] | None:
        """The binding and what its path sets; `"other verb"` when the path is only right with one."""
        found = self._find_with(verb, path)
        if found is not None:
            return found
        return "other verb" if any(self._find_with(other, path) for other in self._by_verb if other != verb) else None

    def _find_with(self, verb: str, path: str) -> tuple[Binding, tuple[str, ...]] | None:
        for binding in self._by_verb.get(verb, ()):
            match = binding.pattern.fullmatch(path)
            if match is not None:
                return binding, match.groups()
        return None
