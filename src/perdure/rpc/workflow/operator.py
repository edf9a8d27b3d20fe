"""The operator's calls: search attributes of a namespace, and its deletion.

Search attributes are kept by name, in any number: the real server on SQL has a fixed set of columns for each type (ten
for Keyword, three for each other) to which it gives names.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    AddSearchAttributesResponse,
    DeleteNamespaceRequest,
    DeleteNamespaceResponse,
    ListSearchAttributesRequest,
    ListSearchAttributesResponse,
    RemoveSearchAttributesRequest,
    RemoveSearchAttributesResponse,
)

from perdure.clock import SECOND_NS
from perdure.engine.times import get_duration
from perdure.errors import InvalidArgument
from perdure.rpc import validate
from perdure.rpc.transport import Call
from perdure.rpc.validate.common import HasNamespace
from perdure.runtime.namespaces import Namespace
from perdure.runtime.reclaim import Reclaimer
from perdure.runtime.runtime import Runtime
from perdure.visibility import schema

NAMESPACE_NOT_SET = "Namespace is not set on request."
_UNSPECIFIED = IndexedValueType.INDEXED_VALUE_TYPE_UNSPECIFIED
SEARCH_ATTRIBUTES_NOT_SET = "SearchAttributes are not set on request."
TYPE_NOT_SET = "Unable to create search attributes: cannot have more than 0 search attribute of type Unspecified."


class OperatorHandlers:
    def __init__(self, runtime: Runtime) -> None:
        self._executor = runtime.executor
        self._namespaces = runtime.namespaces
        self._config = runtime.config
        self._reclaimer: Reclaimer = runtime.reclaimer

    def _named(self, request: HasNamespace) -> Namespace | None:
        """The namespace that the request names, if any: that one is missing, other mistakes come before."""
        validate.namespace_length(request, self._config)
        return self._namespaces.get(request.namespace) if request.namespace else None

    async def add_search_attributes(
        self, request: AddSearchAttributesRequest, call: Call
    ) -> AddSearchAttributesResponse:
        """One that is there already stays as it is, whatever type is asked for; no name adds nothing."""
        named = self._named(request)
        if not request.search_attributes:
            raise InvalidArgument(SEARCH_ATTRIBUTES_NOT_SET)
        for name, kind in request.search_attributes.items():
            if schema.is_reserved(name):
                raise InvalidArgument(f"Search attribute {name} is reserved by system.")
            if kind != _UNSPECIFIED and kind not in schema.TYPE_NAMES:
                raise InvalidArgument(f"Unknown search attribute type: {kind}.")
        namespace = _required(named)
        if _UNSPECIFIED in request.search_attributes.values():
            raise InvalidArgument(TYPE_NOT_SET)
        wanted = {name: int(kind) for name, kind in request.search_attributes.items() if name}
        await self._set(namespace, {**wanted, **namespace.custom_search_attributes})
        return AddSearchAttributesResponse()

    async def remove_search_attributes(
        self, request: RemoveSearchAttributesRequest, call: Call
    ) -> RemoveSearchAttributesResponse:
        """What runs have of it stays with them, out of reach of queries."""
        named = self._named(request)
        if not request.search_attributes:
            raise InvalidArgument(SEARCH_ATTRIBUTES_NOT_SET)
        namespace = _required(named)
        kept = dict(namespace.custom_search_attributes)
        for name in request.search_attributes:
            if name in schema.SYSTEM or name in schema.PREDEFINED:
                raise InvalidArgument(f"Unable to remove non-custom search attributes: {name}.")
            kept.pop(name, None)
        await self._set(namespace, kept)
        return RemoveSearchAttributesResponse()

    async def _set(self, namespace: Namespace, attributes: dict[str, int]) -> None:
        if attributes != namespace.custom_search_attributes:
            self._namespaces.change(self._executor, namespace, custom_search_attributes=attributes)
        await self._executor.flushed()

    async def list_search_attributes(
        self, request: ListSearchAttributesRequest, call: Call
    ) -> ListSearchAttributesResponse:
        await self._executor.flushed()
        response = ListSearchAttributesResponse()
        for name, kind in _required(self._named(request)).custom_search_attributes.items():
            response.custom_attributes[name] = IndexedValueType.ValueType(kind)
        for name, kind in {**schema.SYSTEM, **schema.PREDEFINED}.items():
            response.system_attributes[name] = IndexedValueType.ValueType(kind)
        return response

    async def delete_namespace(self, request: DeleteNamespaceRequest, call: Call) -> DeleteNamespaceResponse:
        """The name is free again with the answer; what the namespace holds goes later."""
        validate.delete_namespace(request)
        namespaces = self._namespaces
        if request.namespace_id:
            namespace = namespaces.by_id(request.namespace_id)
        else:
            namespace = namespaces.named(request.namespace)
        delay_ns = int(self._config.delete_namespace_delay_s * SECOND_NS)
        if request.HasField("namespace_delete_delay"):
            delay_ns = get_duration(request.namespace_delete_delay)
        deleted = namespaces.delete(self._executor, namespace, self._executor.now_ns() + delay_ns)
        await self._executor.flushed()
        self._reclaimer.reclaim(deleted.id)
        return DeleteNamespaceResponse(deleted_namespace=deleted.name)


def _required(namespace: Namespace | None) -> Namespace:
    if namespace is None:
        raise InvalidArgument(NAMESPACE_NOT_SET)
    return namespace
