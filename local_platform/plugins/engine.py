"""The engine's side of a plugin: where its messages go."""

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc


class Engine:
    """Shows messages beside the resource that they are about."""

    def __init__(self, address: str) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def status(self, urn: str, message: str) -> None:
        """Shows what a resource is waiting for, until the next status replaces it."""
        self._log(urn, message, severity=engine_pb2.INFO, ephemeral=True)

    def warn(self, urn: str, message: str) -> None:
        """Shows a warning that stays."""
        self._log(urn, message, severity=engine_pb2.WARNING, ephemeral=False)

    def _log(
        self, urn: str, message: str, *, severity: engine_pb2.LogSeverity.ValueType, ephemeral: bool
    ) -> None:
        self._stub.Log(
            engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        )
