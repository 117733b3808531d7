"""The client over gRPC, against a server that does what it is told."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from ft_serving.client import GenerationClient, InferenceProtocol
from ft_serving.client.errors import (
    ClientError,
    InvalidRequestError,
    OverloadError,
    SlowError,
    UnavailableError,
    UnknownModelError,
)
from tests.client.conftest import CERTIFIED
from tests.client.fake_grpc import FakeGrpc, inputs
from tests.client.fake_triton import TEXT, FakeTriton, config

Code = grpc.StatusCode


@pytest.fixture
def triton() -> Iterator[FakeGrpc]:
    with FakeGrpc() as triton:
        yield triton


def client(triton: FakeGrpc, wait_s: float = 0, timeout_s: float = 10) -> GenerationClient:
    return GenerationClient(triton.url, wait_s=wait_s, timeout_s=timeout_s, token="secret-token")


@pytest.mark.parametrize(("integers", "dtype"), [("UINT32", np.uint32), ("INT32", np.int32)])
def test_prompts_go_as_one_batch_in_the_types_that_the_server_declares(
    integers: str, dtype: type[np.generic]
) -> None:
    with FakeGrpc(config(integers)) as triton, client(triton) as asked:
        longer, shorter = asked.generate_ids([[5, 6, 7], [8]], output_length=3, seed=2**63)
    assert longer[0].output_ids == shorter[0].output_ids == tuple(TEXT[:3])
    assert [call.method for call in triton.calls] == ["ModelConfig", "ModelInfer"]
    sent = inputs(triton.calls[-1].request)
    assert sent["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert sent["input_ids"].dtype == sent["request_output_len"].dtype == np.dtype(dtype)
    assert sent["random_seed"].tolist() == [[2**63], [2**63]]


def test_answers_are_not_limited_to_grpcs_four_mebibytes() -> None:
    with FakeGrpc({**config(), "max_batch_size": 1024}) as triton, client(triton) as asked:
        rows = asked.generate_ids([[5] * 1024] * 600, output_length=1024)
    assert len(rows) == 600, "of 2048 tokens of 4 bytes each"


def test_a_stream_gives_each_token_as_it_comes() -> None:
    with FakeGrpc(config(decoupled=True)) as triton, client(triton) as asked:
        assert list(asked.stream_ids([5], output_length=3)) == [(token,) for token in TEXT[:3]]


def test_whole_texts_of_a_decoupled_model_come_by_one_stream() -> None:
    with FakeGrpc(config(decoupled=True)) as triton, client(triton) as asked:
        rows = asked.generate_ids([[5, 6], [7]], output_length=3)
    assert [row[0].output_ids for row in rows] == [tuple(TEXT[:3])] * 2
    assert [call.method for call in triton.calls] == ["ModelConfig", "ModelStreamInfer"]


def test_closing_a_stream_cancels_it() -> None:
    with FakeGrpc(config(decoupled=True)) as triton, client(triton) as asked:
        stream = asked.stream_ids([5], output_length=4)
        next(stream)
        stream.close()
        deadline = time.monotonic() + 5
        while not triton.cancelled and time.monotonic() < deadline:
            time.sleep(0.01)
        assert triton.cancelled, "the server should not go on for nobody"


def test_a_mistake_in_the_middle_of_a_stream_is_told() -> None:
    with FakeGrpc(config(decoupled=True)) as triton, client(triton) as asked:
        stream = asked.stream_ids([5], output_length=len(TEXT) + 1)
        assert [next(stream) for _ in TEXT] == [(token,) for token in TEXT]
        with pytest.raises(ClientError, match="CUDA out of memory"):
            next(stream)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    "fault",
    [
        (Code.UNAVAILABLE, "no healthy upstream"),
        (Code.UNAVAILABLE, "Received http2 header with status: 503"),
        (Code.UNAVAILABLE, "Received http2 header with status: 504"),
        (Code.INVALID_ARGUMENT, "Request for unknown model: 'ft' has no available versions"),
    ],
)
def test_a_cold_start_is_waited_for(triton: FakeGrpc, fault: tuple[Code, str]) -> None:
    triton.faults.extend([fault] * 3)
    said: list[str] = []
    with GenerationClient(triton.url, wait_s=60, say=said.append) as asked:
        assert asked.generate_ids([[5]], output_length=1)[0][0].output_ids == (TEXT[0],)
    assert len(said) == 1
    assert said[0].startswith("Waiting for the model (0 of at most 60 s): ")


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_does_not_listen_yet_is_waited_for() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    with contextlib.ExitStack() as started:

        def say(_: str) -> None:
            started.enter_context(FakeGrpc(port=port))

        with GenerationClient(f"grpc://127.0.0.1:{port}", wait_s=60, say=say) as asked:
            assert asked.generate_ids([[5]], output_length=1)[0][0].output_ids == (TEXT[0],)


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_goes_away_later_is_waited_for_and_asked_once_more() -> None:
    with FakeGrpc(config(decoupled=True)) as triton, client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.extend([(Code.UNAVAILABLE, "Socket closed")] * 2)
        assert list(asked.stream_ids([5], output_length=1)) == [(TEXT[0],)]
        assert [call.method for call in triton.calls] == [
            *("ModelConfig", "ModelStreamInfer", "ModelConfig", "ModelConfig", "ModelStreamInfer")
        ]


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("code", [Code.UNKNOWN, Code.INTERNAL])
def test_a_stream_that_a_proxy_resets_is_asked_for_again(code: Code) -> None:
    with FakeGrpc(config(decoupled=True)) as triton, client(triton, wait_s=60) as asked:
        asked.model()
        said = "Stream removed (RST_STREAM (Received RST_STREAM with error code 2))"
        triton.faults.append((code, said))
        assert list(asked.stream_ids([5], output_length=1)) == [(TEXT[0],)]


def test_a_server_that_does_not_listen_is_told(triton: FakeGrpc) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"grpc://127.0.0.1:{unused.getsockname()[1]}"
        with (
            GenerationClient(url, wait_s=0) as asked,
            pytest.raises(UnavailableError, match=rf"cannot reach {url} \(Connection refused\)"),
        ):
            asked.model()


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (
            (Code.NOT_FOUND, "Request for unknown model: 'ft' is not found"),
            UnknownModelError,
            "has no model 'fastertransformer'",
        ),
        ((Code.UNIMPLEMENTED, ""), UnknownModelError, "An ingress knows nothing of '127.0.0.1'"),
        (
            (Code.UNIMPLEMENTED, "Received http2 header with status: 404"),
            UnknownModelError,
            "An ingress knows nothing of '127.0.0.1'",
        ),
        (
            (Code.INVALID_ARGUMENT, "inference input 'input_ids' data-type is 'INT32', but"),
            ClientError,
            "has it changed since",
        ),
        (
            (Code.UNIMPLEMENTED, "ModelInfer RPC doesn't support models with decoupled policy"),
            ClientError,
            "has come to answer token by token",
        ),
        ((Code.UNAVAILABLE, "Exceeds maximum queue size"), OverloadError, "queue is full"),
        ((Code.RESOURCE_EXHAUSTED, "too many"), OverloadError, "queue is full"),
        ((Code.UNAUTHENTICATED, "Jwt is expired"), ClientError, "rejected the token"),
        ((Code.PERMISSION_DENIED, "RBAC"), ClientError, "may not use it"),
        (
            (Code.UNAVAILABLE, "Received http2 header with status: 503"),
            UnavailableError,
            "is not ready",
        ),
        ((Code.INTERNAL, "CUDA out of memory"), ClientError, "server's log may say more"),
        ((Code.UNKNOWN, ""), ClientError, "answered 500"),
    ],
)
@pytest.mark.parametrize("moment", ["first", "later"])
def test_what_goes_wrong_is_told_with_a_remedy(
    triton: FakeGrpc, fault: tuple[Code, str], kind: type[ClientError], message: str, moment: str
) -> None:
    with client(triton) as asked:
        if moment == "later":
            asked.model()
        triton.faults.append(fault)
        with pytest.raises(kind, match=message) as refused:
            asked.generate_ids([[5]])
    assert type(refused.value) is kind
    assert "secret-token" not in str(refused.value)


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_accepts_and_does_not_answer_yet_is_waited_for(
    triton: FakeGrpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft_serving.client.patience.LONGEST_PROBE_S", 0.1)
    said: list[str] = []

    def say(message: str) -> None:
        said.append(message)
        triton.delay_s = 0

    triton.delay_s = 0.3
    with GenerationClient(triton.url, wait_s=60, say=say) as asked:
        asked.model()
    assert said[0].endswith(f": cannot reach {triton.url} (no answer within 0.1 s)")


@pytest.mark.parametrize(
    "said", ["upstream request timeout", "Received http2 header with status: 504"]
)
def test_a_text_that_takes_longer_than_a_gateway_allows_is_not_asked_for_again(
    triton: FakeGrpc, said: str
) -> None:
    with client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.append((Code.UNAVAILABLE, said))
        with pytest.raises(SlowError, match="fewer tokens, or raise the gateway's timeout"):
            asked.generate_ids([[5]], output_length=1)
    assert [call.method for call in triton.calls] == ["ModelConfig", "ModelInfer"]


def test_an_answer_that_takes_too_long_is_told(triton: FakeGrpc) -> None:
    with client(triton, timeout_s=0.1) as asked:
        asked.model()
        triton.delay_s = 0.3
        with pytest.raises(SlowError, match=r"within 0\.1 s.*--timeout"):
            asked.generate_ids([[5]])


def test_a_name_without_an_address_is_not_waited_for() -> None:
    # Longer than a name may be: nobody is asked for it.
    name = 64 * "a"
    with (
        GenerationClient(f"grpc://{name}", wait_s=600) as asked,
        pytest.raises(InvalidRequestError, match=f"No address is known for '{name}'"),
    ):
        asked.model()


def test_an_http_port_is_suspected() -> None:
    with (
        FakeTriton() as http,
        GenerationClient(http.url, protocol=InferenceProtocol.GRPC, wait_s=0) as asked,
        pytest.raises(ClientError, match=r"is it an HTTP port\? Triton's for gRPC is 8001"),
    ):
        asked.model()


def test_a_connection_that_is_closed_at_once_is_suspected_to_be_http() -> None:
    # As Triton's HTTP port does.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=close_connections, args=(listener,), daemon=True)
        thread.start()
        url = f"grpc://127.0.0.1:{listener.getsockname()[1]}"
        with (
            GenerationClient(url, wait_s=0) as asked,
            pytest.raises(
                UnavailableError, match=r"closed; is it an HTTP port\? Triton's for gRPC"
            ),
        ):
            asked.model()


def close_connections(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.close()


def test_the_host_header_routes_and_the_token_is_shown(triton: FakeGrpc) -> None:
    with GenerationClient(triton.url, host_header="ft.example.com", token="secret-token") as asked:
        asked.model()
    [call] = triton.calls
    assert call.host == "ft.example.com"
    assert call.metadata["authorization"] == "Bearer secret-token"
    assert call.metadata["user-agent"].startswith("ft-serving/")


def test_a_certificate_is_checked_for_the_name_that_an_ingress_routes_by(certificate: Path) -> None:
    with FakeGrpc(certificate=certificate) as triton:
        for name in (CERTIFIED, f"{CERTIFIED}:443"):
            with GenerationClient(triton.url, host_header=name, ca_file=certificate) as asked:
                assert asked.generate_ids([[5]], output_length=1)
            assert triton.calls[-1].host == name
        for host, trusted in ((CERTIFIED, None), (None, certificate)):
            with (
                GenerationClient(triton.url, host_header=host, ca_file=trusted, wait_s=0) as asked,
                pytest.raises(ClientError, match=r"no secure connection \(.*--ca-file"),
            ):
                asked.model()


def test_a_server_without_tls_is_told_as_such(triton: FakeGrpc) -> None:
    with (
        GenerationClient(triton.url.replace("grpc", "grpcs")) as asked,
        pytest.raises(ClientError, match="if it has no TLS, an address that starts with grpc://"),
    ):
        asked.model()
