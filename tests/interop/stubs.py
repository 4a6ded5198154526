"""Message classes and stubs for `protos/`, generated when first imported (package grpcio-tools)."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import grpc_tools  # type: ignore[import-untyped]
from grpc_tools import protoc

_PROTOS: Final = Path(__file__).parent / "protos"
_BUNDLED: Final = Path(grpc_tools.__file__).parent / "_proto"


def _generate() -> None:
    """Generate into a folder that lives as long as the process, and put it on the path."""
    folder = tempfile.TemporaryDirectory(prefix="interop-stubs-")
    arguments = [
        "protoc",
        f"-I{_PROTOS}",
        f"-I{_BUNDLED}",
        f"--python_out={folder.name}",
        f"--grpc_python_out={folder.name}",
        *(str(path) for path in sorted(_PROTOS.glob("*.proto"))),
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc cannot compile {_PROTOS}")
    sys.path.insert(0, folder.name)
    try:
        for name in ("testing", "orca_load_report", "orca_service"):
            importlib.import_module(f"{name}_pb2")
            importlib.import_module(f"{name}_pb2_grpc")
    finally:
        sys.path.remove(folder.name)
        folder.cleanup()


_generate()

testing: Final[Any] = sys.modules["testing_pb2"]
testing_grpc: Final[Any] = sys.modules["testing_pb2_grpc"]
orca: Final[Any] = sys.modules["orca_load_report_pb2"]
orca_service: Final[Any] = sys.modules["orca_service_pb2"]
orca_grpc: Final[Any] = sys.modules["orca_service_pb2_grpc"]
