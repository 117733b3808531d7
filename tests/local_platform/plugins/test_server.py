"""The server of a stand-in, as the engine starts, asks and ends it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

PLUGIN = """
from pulumi.runtime.proto import provider_pb2
from local_platform.plugins.errors import PluginError, ResourceInitError
from local_platform.plugins.server import Plugin, serve

class Example(Plugin):
    version = "1.2.3"

    def create(self, request):
        raise ResourceInitError(
            "not ready", resource_id="a/b", outputs={"x": 1}, inputs={"y": 2}, reasons=["why"])

    def update(self, request):
        raise PluginError("refused")

    def delete(self, request):
        self.cancelled.wait(60)
        raise PluginError("cancelled")

serve(Example)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A plugin's process."""
    (tmp_path / "example.py").write_text(PLUGIN)
    command = [sys.executable, str(tmp_path / "example.py"), "127.0.0.1:1"]
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": root}
    ) as started:
        yield started
        started.kill()


@pytest.fixture
def stub(
    process: "subprocess.Popen[str]",
) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The engine's side, once the plugin has said its port."""
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)


def test_a_plugin_introduces_itself(stub: provider_pb2_grpc.ResourceProviderStub) -> None:
    assert stub.GetPluginInfo(empty_pb2.Empty()).version == "1.2.3"
    handshake = stub.Handshake(provider_pb2.ProviderHandshakeRequest())
    configured = stub.Configure(provider_pb2.ConfigureRequest())
    assert handshake.accept_secrets
    assert configured.acceptSecrets, "the engine wants the same answer twice"
    assert configured.supportsPreview


def test_an_error_is_its_message(stub: provider_pb2_grpc.ResourceProviderStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Update(provider_pb2.UpdateRequest())
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert caught.value.details() == "refused"


def test_a_resource_that_is_not_ready_comes_with_its_state(
    stub: provider_pb2_grpc.ResourceProviderStub,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Create(provider_pb2.CreateRequest())
    details = next(
        item.value
        for item in caught.value.trailing_metadata()
        if item.key == "grpc-status-details-bin"
    )
    status = status_pb2.Status.FromString(details)
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert (detail.id, list(detail.reasons)) == ("a/b", ["why"])
    assert detail.properties["x"] == 1
    assert detail.inputs["y"] == 2


def test_a_call_that_a_plugin_does_not_have_is_unimplemented(
    stub: provider_pb2_grpc.ResourceProviderStub,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Construct(provider_pb2.ConstructRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_cancelling_ends_what_waits(stub: provider_pb2_grpc.ResourceProviderStub) -> None:
    waiting = stub.Delete.future(provider_pb2.DeleteRequest())
    stub.Cancel(empty_pb2.Empty())
    with pytest.raises(grpc.RpcError) as caught:
        waiting.result(timeout=10)
    assert caught.value.details() == "cancelled"


def test_an_interrupt_ends_the_process(
    process: "subprocess.Popen[str]", stub: provider_pb2_grpc.ResourceProviderStub
) -> None:
    stub.GetPluginInfo(empty_pb2.Empty())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
