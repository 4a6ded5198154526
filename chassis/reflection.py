"""gRPC reflection, v1 and v1alpha, so that grpcurl needs no files to talk to us.

grpcio-reflection ships v1alpha only. v1 has the same messages under another package, so one
servicer answers for both, and v1's own description is made from v1alpha's by renaming.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection,
    reflection_pb2,
    reflection_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA: str = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name

_V1_FILE = "grpc/reflection/v1/reflection.proto"


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Serve the descriptions of `services` (full names) and of reflection itself."""
    _describe_v1(descriptor_pool.Default())
    servicer = reflection.aio.ReflectionServicer((*services, V1, V1ALPHA))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handlers: dict[str, Any] = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, handlers),))
    # Newer gRPC looks here first, on its faster path.
    server.add_registered_method_handlers(V1, handlers)


def _describe_v1(pool: descriptor_pool.DescriptorPool) -> None:
    try:
        pool.FindFileByName(_V1_FILE)
    except KeyError:
        alpha = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
        # Every mention of the package, in its own name and in the types of fields and methods,
        # is `grpc.reflection.v1alpha`; text format makes replacing it safe for lengths.
        renamed = str(alpha).replace("grpc.reflection.v1alpha", "grpc.reflection.v1")
        v1 = text_format.Parse(renamed, descriptor_pb2.FileDescriptorProto())
        v1.name = _V1_FILE
        pool.AddSerializedFile(v1.SerializeToString())
