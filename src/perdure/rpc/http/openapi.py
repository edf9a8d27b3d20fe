"""The HTTP API as an OpenAPI document (version 3.0), made from the same bindings that are served."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc.status_pb2 import Status

from perdure import __version__
from perdure.rpc.http.bindings import Binding, bindings
from perdure.rpc.http.encode import WRAPPERS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Schema = dict[str, Any]

DESCRIPTION = """\
Temporal's HTTP API as Perdure serves it. Payloads are the JSON that they hold where that loses nothing; with the \
query parameter `noPayloadShorthand`, or that content type, they have their long form. `pretty` indents answers."""

SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "bytes"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_SINT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_SFIXED32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "uint32"},
    FieldDescriptor.TYPE_FIXED32: {"type": "integer", "format": "uint32"},
}
TEXT: Schema = {"type": "string"}
"""64-bit integers among others."""

ANY: Schema = {
    "type": "object",
    "properties": {"@type": {"type": "string", "description": "The type of the message."}},
    "additionalProperties": True,
}
SPECIAL: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "format": "field-mask"},
    "temporal.api.common.v1.Payload": {"description": "Any JSON, or an object of `metadata` and `data` in base64."},
}
CONTENT_TYPE = "application/json"
PARAMETER = re.compile(r"\{([^={}]+)(?:=[^{}]*)?\}")
QUERY_DEPTH = 3
"""Fields of messages within messages that are told as query parameters."""


def openapi() -> Schema:
    """The document."""
    schemas = _Schemas()
    paths: dict[str, Schema] = {}
    numbers: Counter[str] = Counter()
    for binding in bindings():
        numbers[binding.path] += 1
        path = PARAMETER.sub(r"{\1}", binding.template)
        paths.setdefault(path, {})[binding.verb.lower()] = _operation(binding, numbers[binding.path], schemas)
    error = schemas.of_message(Status.DESCRIPTOR)
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"]["default"] = _response("An error.", error)
    tags = sorted({operation["tags"][0] for operations in paths.values() for operation in operations.values()})
    return {
        "openapi": "3.0.3",
        "info": {"title": "Temporal HTTP API", "description": DESCRIPTION, "version": __version__},
        "tags": [{"name": tag} for tag in tags],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.known.items()))},
    }


def _operation(binding: Binding, number: int, schemas: _Schemas) -> Schema:
    """`number` tells it from the operations of the RPC's other bindings."""
    method = binding.method
    operation: Schema = {
        "tags": [method.containing_service.name],
        "operationId": f"{method.name}_{number}" if number > 1 else method.name,
        "deprecated": True,
        "parameters": [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in binding.variables],
        "responses": {"200": _response("OK", schemas.of_message(method.output_type))},
    }
    if not method.GetOptions().deprecated:
        del operation["deprecated"]
    if binding.has_body:
        content = {CONTENT_TYPE: {"schema": schemas.of_message(method.input_type)}}
        operation["requestBody"] = {"required": True, "content": content}
    else:
        operation["parameters"] += _query_parameters(method.input_type, binding.variables, schemas)
    return operation


def _response(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {CONTENT_TYPE: {"schema": schema}}}


def _query_parameters(descriptor: Descriptor, taken: tuple[str, ...], schemas: _Schemas) -> list[Schema]:
    return [
        {"name": ".".join(field.json_name for field in path), "in": "query", "schema": schemas.of_field(path[-1])}
        for path in _query_paths(descriptor, ())
        if ".".join(field.name for field in path) not in taken
    ]


def _query_paths(descriptor: Descriptor, above: tuple[FieldDescriptor, ...]) -> Iterator[tuple[FieldDescriptor, ...]]:
    for field in descriptor.fields:
        path = (*above, field)
        inner = field.message_type
        if inner is None or inner.full_name in SPECIAL or inner.full_name.startswith("google.protobuf."):
            yield path
        elif not field.is_repeated and len(path) < QUERY_DEPTH:
            yield from _query_paths(inner, path)


class _Schemas:
    """The schemas of the messages that were asked for, by name; each refers to others."""

    def __init__(self) -> None:
        self.known: dict[str, Schema] = {}
        self._types: dict[str, str] = {}

    def of_message(self, descriptor: Descriptor) -> Schema:
        if descriptor.full_name in SPECIAL:
            return SPECIAL[descriptor.full_name]
        if descriptor.full_name == "google.protobuf.Any":
            return ANY
        if descriptor.full_name.removeprefix("google.protobuf.") in WRAPPERS:
            return self.of_field(descriptor.fields_by_name["value"])
        name = self._name(descriptor)
        if name not in self.known:
            schema = self.known[name] = {"type": "object"}
            if descriptor.fields:
                schema["properties"] = {field.json_name: self.of_field(field) for field in descriptor.fields}
        reference = {"$ref": f"#/components/schemas/{name}"}
        if descriptor.full_name == "temporal.api.common.v1.Payloads":
            return {"oneOf": [{"type": "array", "items": SPECIAL["temporal.api.common.v1.Payload"]}, reference]}
        return reference

    def _name(self, descriptor: Descriptor) -> str:
        """The message's own name, with those around it; of two messages of one name, the second has its package's."""
        parts = descriptor.full_name.split(".")
        first = next((index for index, part in enumerate(parts) if part[:1].isupper()), 0)
        name = "_".join(parts[first:])
        if self._types.setdefault(name, descriptor.full_name) == descriptor.full_name:
            return name
        name = "_".join(parts[-3:])
        self._types[name] = descriptor.full_name
        return name

    def of_field(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self._one(field.message_type.fields_by_name["value"])}
        one = self._one(field)
        schema = {"type": "array", "items": one} if field.is_repeated else one
        if field.GetOptions().deprecated and "$ref" not in schema:
            return {**schema, "deprecated": True}
        return schema

    def _one(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.of_message(field.message_type)
        if field.enum_type is not None:
            return {"type": "string", "format": "enum", "enum": [value.name for value in field.enum_type.values]}
        return SCALARS.get(field.type, TEXT)


def as_json() -> str:
    """The document, as JSON."""
    return json.dumps(openapi(), indent=2) + "\n"


def as_yaml() -> str:
    """The document, as YAML."""
    return "\n".join(_lines(openapi(), "")) + "\n"


PLAIN = re.compile(r"[A-Za-z_/][\w/.-]*", re.ASCII)
WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def _lines(value: Any, indent: str) -> Iterator[str]:
    members = value.items() if isinstance(value, dict) else ((None, each) for each in value)
    for name, each in members:
        start = "-" if name is None else f"{_scalar(name)}:"
        if not isinstance(each, dict | list):
            yield f"{indent}{start} {_scalar(each)}"
        elif not each:
            yield f"{indent}{start} {'{}' if isinstance(each, dict) else '[]'}"
        elif name is None:
            first, *others = _lines(each, indent + "  ")
            yield f"{indent}- {first.removeprefix(indent + '  ')}"
            yield from others
        else:
            yield f"{indent}{start}"
            yield from _lines(each, indent + "  ")


def _scalar(value: object) -> str:
    plain = isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS
    return str(value) if plain else json.dumps(value)


async def serve_openapi(request: Request) -> Response:
    """The document, by the end of the path in YAML or JSON; made at the first request, for it is large."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response

    is_json = request.url.path.endswith(".json")
    text = await run_in_threadpool(as_json if is_json else as_yaml)
    return Response(text, media_type=CONTENT_TYPE if is_json else "application/vnd.oai.openapi;version=3.0")
