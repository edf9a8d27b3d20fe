"""gRPC server reflection, v1 and v1alpha: tools like grpcurl learn the services and their messages from it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from perdure.errors import InvalidArgument, NotFound
from perdure.rpc.transport import Responder

SERVICE_V1 = "grpc.reflection.v1.ServerReflection"
SERVICE_V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
HEALTH = "grpc.health.v1.Health"


def reflection_streams(services: Iterable[str]) -> dict[str, Responder]:
    """The two-way streams by path; `services` are listed along with health and reflection themselves.

    What reflection needs is imported at the first question.
    """
    listed = sorted({*services, HEALTH, SERVICE_V1, SERVICE_V1ALPHA})
    return {
        f"/{name}/ServerReflectionInfo": functools.partial(_answer, name, listed)
        for name in (SERVICE_V1, SERVICE_V1ALPHA)
    }


def _answer(service: str, listed: list[str], message: bytes) -> bytes:
    return _reflection(service).answer(message, listed)


@functools.cache
def _reflection(service: str) -> Reflection:
    from google.protobuf import descriptor_pool
    from google.protobuf.message_factory import GetMessageClass

    _register_descriptors()
    method = descriptor_pool.Default().FindServiceByName(service).methods_by_name["ServerReflectionInfo"]
    return Reflection(GetMessageClass(method.input_type), GetMessageClass(method.output_type))


@functools.cache
def _register_descriptors() -> None:
    """Put health and both reflections into the default pool: the package brings v1alpha, and v1 differs in its name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, text_format
    from grpc_health.v1 import health_pb2  # noqa: F401
    from grpc_reflection.v1alpha import reflection_pb2

    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    renamed = text_format.MessageToString(file).replace("v1alpha", "v1")
    file = text_format.Parse(renamed, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


class Reflection:
    """Answers the questions of one version of the protocol; the versions have the same messages."""

    def __init__(self, request: type[Any], response: type[Any]) -> None:
        from google.protobuf import descriptor_pool

        self._request = request
        self._response = response
        self._pool: Any = descriptor_pool.Default()
        self._files: Mapping[str, Callable[[Any], Any]] = {
            "file_by_filename": lambda request: self._pool.FindFileByName(request.file_by_filename),
            "file_containing_symbol": lambda request: self._pool.FindFileContainingSymbol(
                request.file_containing_symbol
            ),
            "file_containing_extension": lambda request: (
                self._extension(
                    request.file_containing_extension.containing_type,
                    request.file_containing_extension.extension_number,
                ).file
            ),
        }

    def answer(self, message: bytes, services: Iterable[str]) -> bytes:
        request = self._request.FromString(message)
        response = self._response(valid_host=request.host, original_request=request)
        question = request.WhichOneof("message_request")
        try:
            if question == "list_services":
                for name in services:
                    response.list_services_response.service.add(name=name)
            elif question == "all_extension_numbers_of_type":
                self._answer_numbers(response.all_extension_numbers_response, request.all_extension_numbers_of_type)
            elif question in self._files:
                file = self._files[question](request)
                response.file_descriptor_response.file_descriptor_proto.extend(
                    each.serialized_pb for each in _with_dependencies(file)
                )
            else:
                raise InvalidArgument(f"invalid MessageRequest: {question}")
        except KeyError:
            response.error_response.error_code = NotFound.code
            response.error_response.error_message = "proto: not found"
        answer: bytes = response.SerializeToString()
        return answer

    def _extension(self, containing_type: str, number: int) -> Any:
        return self._pool.FindExtensionByNumber(self._pool.FindMessageTypeByName(containing_type), number)

    def _answer_numbers(self, response: Any, type_name: str) -> None:
        extended = self._pool.FindMessageTypeByName(type_name)
        response.base_type_name = type_name
        response.extension_number.extend(sorted(each.number for each in self._pool.FindAllExtensions(extended)))


def _with_dependencies(file: Any) -> Iterator[Any]:
    """`file` and all it imports, each once."""
    seen: dict[str, Any] = {}
    waiting = [file]
    while waiting:
        file = waiting.pop()
        if file.name not in seen:
            seen[file.name] = file
            waiting.extend(file.dependencies)
    return iter(seen.values())
