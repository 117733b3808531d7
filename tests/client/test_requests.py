"""Requests over HTTP and gRPC, to a server that does what it is told."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from ft_serving.client import Finish, GenerationClient
from ft_serving.client.errors import ClientError, InvalidRequestError, UnavailableError
from ft_serving.client.session import MOST_TIMES
from tests.client.conftest import CERTIFIED, MARY, Server, client
from tests.client.fake_grpc import FakeGrpc
from tests.client.fake_triton import (
    DROPPED,
    TEXT,
    FakeServer,
    FakeTriton,
    Fault,
    config,
    error,
    gateway,
)


def broken_off(*tokens: int, ending: str | None = None) -> Fault:
    """Return a stream behind [5] with its first tokens, whose server then dies."""
    return Fault(streamed=(([5, *tokens, 1, 1], 1 + len(tokens)),), ending=ending)


@pytest.mark.parametrize("integers", ["UINT32", "INT32"])
def test_prompts_become_texts_in_one_batch_of_the_types_that_the_server_declares(
    triton: FakeServer, integers: str
) -> None:
    triton.model = config(integers)
    with client(triton) as asked:
        longer, shorter = asked.generate(
            ["Mary has a little lamb.", "Mary"], output_length=4, seed=2**63, stop=["lamb"]
        )
    assert (longer.prompt, longer.text) == ("Mary has a little lamb.", " Its fleece is")
    assert (list(longer.prompt_ids), list(longer.output_ids)) == (MARY, TEXT)
    assert (shorter.prompt, shorter.text) == ("Mary", " Its fleece is")
    assert longer.finish is Finish.LENGTH
    assert triton.asked == ["config", "infer"], "one batch, and the configuration once"
    assert triton.requests[-1].inputs == {
        "input_ids": (integers, [2, 6], [*MARY, 690, 0, 0, 0, 0, 0]),
        "input_lengths": (integers, [2, 1], [6, 1]),
        "request_output_len": (integers, [2, 1], [4, 4]),
        "random_seed": ("UINT64", [2, 1], [2**63] * 2),
        "stop_words_list": ("INT32", [2, 2, 4], [77, 66, 354, 448, 3, 4, -1, -1] * 2),
    }


@pytest.mark.parametrize("decoupled", [False, True])
def test_a_text_ends_before_its_end_token_whichever_that_is(
    triton: FakeServer, decoupled: bool
) -> None:
    triton.model = config(decoupled=decoupled)
    with client(triton) as asked:
        [generation] = asked.generate(["Mary"], output_length=4, end_id=TEXT[2])
        *chunks, last = asked.stream("Mary", output_length=4, end_id=TEXT[2])
    assert (generation.text, generation.finish) == (" Its", Finish.END)
    assert generation.output_ids == tuple(TEXT[:3])
    assert "".join(chunk.text for chunk in chunks) == " Its"
    assert last.generation == generation


def test_a_stream_gives_a_piece_a_token_and_the_whole_at_the_end(triton: FakeServer) -> None:
    triton.model = config(decoupled=True)
    with client(triton) as asked:
        *chunks, last = asked.stream("Mary has a little lamb.", output_length=4)
    assert [chunk.text for chunk in chunks] == [" I", "ts", " fleece", " is"]
    assert [chunk.output_ids for chunk in chunks] == [(token,) for token in TEXT]
    assert not any(chunk.generation for chunk in chunks)
    assert (last.text, last.output_ids) == ("", ())
    assert last.generation
    assert (last.generation.text, last.generation.finish) == (" Its fleece is", Finish.LENGTH)


def test_a_piece_is_given_before_the_next_has_come_and_closing_cancels_the_rest(
    triton: FakeServer,
) -> None:
    triton.model = config(decoupled=True)
    with client(triton) as asked:
        triton.go_on.clear()
        stream = asked.stream_ids([5], output_length=4)
        assert next(stream) == (TEXT[0],)
        assert not triton.go_on.is_set(), "the server waits before the next piece"
        stream.close()
        triton.go_on.set()
        assert triton.cancelled.wait(5), "the server should not go on for nobody"


def test_whole_texts_of_a_decoupled_model_come_by_streams(triton: FakeServer) -> None:
    triton.model = config(decoupled=True)
    with client(triton) as asked:
        first, second = asked.generate_ids([MARY, [5]], output_length=3)
    # Triton's HTTP streams have one prompt.
    assert triton.asked == ["config", *["stream"] * (2 if isinstance(triton, FakeTriton) else 1)]
    assert first[0].output_ids == second[0].output_ids == tuple(TEXT[:3])


def test_what_cannot_be_sent_is_told_before_the_model_is_waited_for(over_http: FakeTriton) -> None:
    with client(over_http) as asked:
        for ask, message in (
            (lambda: asked.generate("Mary"), r"write \[prompt\]"),
            (lambda: asked.generate(["Mary"], top_p=2), "top_p"),
            (lambda: asked.generate_ids([[-1]]), "prompt 1: must be token ids from 0"),
            (lambda: next(asked.stream_ids([2**32])), "prompt 1: must be token ids from 0"),
            (lambda: next(asked.stream("Mary", beam_width=2)), "a stream has one beam"),
        ):
            with pytest.raises(InvalidRequestError, match=message):
                ask()
    assert not over_http.requests


def test_grpc_answers_are_not_limited_to_four_mebibytes(over_grpc: FakeGrpc) -> None:
    over_grpc.model["max_batch_size"] = 1024
    with client(over_grpc) as asked:
        rows = asked.generate_ids([[5] * 1024] * 600, output_length=1024)
    assert len(rows) == 600, "of 2048 tokens of 4 bytes each"


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    "fault",
    [
        gateway(503, "no healthy upstream"),
        gateway(502),
        gateway(504, "activator request timeout"),
        DROPPED,
        error(400, "Request for unknown model: 'fastertransformer' has no available versions"),
        error(503, "Server is not ready"),
    ],
)
def test_a_cold_start_is_waited_for(triton: FakeServer, fault: Fault) -> None:
    triton.faults.extend([fault] * 3)
    said: list[str] = []
    with GenerationClient(triton.url, wait_s=60, say=said.append) as asked:
        assert asked.generate_ids([[5]], output_length=1)[0][0].output_ids == (TEXT[0],)
    assert triton.asked == ["config"] * 4 + ["infer"]
    [told] = said
    assert told.startswith("Waiting for the model (0 of at most 60 s): ")


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_does_not_listen_yet_is_waited_for(server: Server) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    said: list[str] = []
    with ExitStack() as started:

        def say(message: str) -> None:
            said.append(message)
            started.enter_context(server(port=port))

        scheme = "http" if server is FakeTriton else "grpc"
        with GenerationClient(f"{scheme}://127.0.0.1:{port}", wait_s=60, say=say) as asked:
            assert asked.generate_ids([[5]], output_length=1)[0][0].output_ids == (TEXT[0],)
    [told] = said
    assert told.endswith(f": cannot reach {scheme}://127.0.0.1:{port} (Connection refused)")


@pytest.mark.usefixtures("no_pauses")
def test_a_request_that_dying_servers_drop_is_answered_by_the_next(triton: FakeServer) -> None:
    dying = error(500, "Stub process 'fastertransformer_0_0' is not healthy.")
    with client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.extend([DROPPED, gateway(503), None, dying, None, gateway(502)])
        [[completion]] = asked.generate_ids([[5]], output_length=1)
    assert completion.output_ids == (TEXT[0],)
    assert triton.asked == [
        *("config", "infer", "config", "config"),
        *("infer", "config", "infer", "config", "infer"),
    ]


@pytest.mark.usefixtures("no_pauses")
def test_a_request_that_always_ends_the_server_is_given_up(over_http: FakeTriton) -> None:
    with client(over_http, wait_s=60) as asked:
        asked.model()
        over_http.faults.extend([gateway(503), None] * MOST_TIMES)
        with pytest.raises(ClientError, match=r"sent 6 times, .* is it the request that ends it\?"):
            asked.generate_ids([[5]], output_length=1)
    assert over_http.asked.count("infer") == MOST_TIMES


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("ending", [None, ""], ids=["breaks off", "ends before its text"])
def test_a_stream_that_is_cut_short_goes_on_behind_what_it_gave(
    triton: FakeServer, ending: str | None
) -> None:
    triton.model = config(decoupled=True)
    with client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.append(broken_off(*TEXT[:2], ending=ending))
        pieces = list(asked.stream_ids([5], output_length=4))
        assert pieces == [tuple(TEXT[:2]), (TEXT[2],), (TEXT[3],)]
        # A whole answer comes by a stream, too.
        triton.faults.append(broken_off(*TEXT[:2]))
        [[completion]] = asked.generate_ids([[5]], output_length=4)
        assert completion.output_ids == tuple(TEXT)


@pytest.mark.usefixtures("no_pauses")
def test_a_stream_that_broke_off_does_not_go_on_with_another_text(over_http: FakeTriton) -> None:
    over_http.model = config(decoupled=True)
    with client(over_http, wait_s=60) as asked:
        asked.model()
        over_http.faults.append(broken_off(TEXT[0], TEXT[0] + 1))
        pieces = asked.stream_ids([5], output_length=4)
        assert next(pieces) == (TEXT[0], TEXT[0] + 1)
        with pytest.raises(ClientError, match="answers with another text; ask again"):
            next(pieces)


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "as long as asked"])
def test_a_stream_merged_with_a_longer_prompts_has_its_own_tokens(
    over_http: FakeTriton, ends: bool
) -> None:
    # NVIDIA's backend counts from the longest prompt of all, here of 10 tokens, and fills rows.
    responses = [([5, *TEXT[:n], *[1] * (13 - n)], 10 + n) for n in (1, 2, 3)]
    if ends:
        responses.append((responses[-1][0], 14))
    over_http.model = config(decoupled=True)
    with client(over_http) as asked:
        asked.model()
        over_http.faults.append(Fault(streamed=tuple(responses)))
        pieces = list(asked.stream_ids([5], output_length=4 if ends else 3, end_id=1))
    assert pieces == [(token,) for token in TEXT[:3]] + [(1,)] * ends


def test_without_patience_a_server_that_is_gone_is_told_at_once(over_http: FakeTriton) -> None:
    over_http.model = config(decoupled=True)
    over_http.faults.append(gateway(503, "no healthy upstream"))
    with client(over_http) as asked:
        with pytest.raises(UnavailableError, match="no healthy upstream"):
            asked.generate_ids([[5]])
        over_http.faults.extend([None, broken_off(TEXT[0])])
        pieces = asked.stream_ids([5], output_length=4)
        assert next(pieces) == (TEXT[0],)
        with pytest.raises(UnavailableError, match="cannot reach"):
            next(pieces)


def test_the_host_header_routes_and_the_token_is_shown(
    triton: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_SERVING_TOKEN", "from-the-environment\n")
    for token, shown in (("secret", "secret"), (None, "from-the-environment")):
        with GenerationClient(triton.url, host_header="ft.example.com", token=token) as asked:
            asked.generate_ids([[5]], output_length=1)
        for request in triton.requests[-2:]:
            assert request.headers["host"] == "ft.example.com"
            assert request.headers["authorization"] == f"Bearer {shown}"
            assert request.headers["user-agent"].startswith("ft-serving/")


def test_a_redirect_does_not_get_the_token(over_http: FakeTriton) -> None:
    with FakeTriton() as elsewhere:
        over_http.faults.append(Fault(status=307, headers={"Location": f"{elsewhere.url}/v2"}))
        with client(over_http) as asked, pytest.raises(ClientError, match=r"redirects to .* use"):
            asked.model()
        assert not elsewhere.requests


def test_a_path_before_the_protocols_own_is_kept(over_http: FakeTriton) -> None:
    with GenerationClient(f"{over_http.url}/serving/ft/", model="a b/c?d") as asked:
        asked.model()
    assert over_http.requests[0].path == "/serving/ft/v2/models/a%20b%2Fc%3Fd/config"


def test_a_certificate_is_checked_for_the_name_that_an_ingress_routes_by(
    server: Server, certificate: Path
) -> None:
    with server(certificate=certificate) as triton:
        for name in (CERTIFIED, f"{CERTIFIED}:443"):
            with GenerationClient(triton.url, host_header=name, ca_file=certificate) as asked:
                assert asked.generate_ids([[5]], output_length=1)
            assert triton.requests[-1].headers["host"] == name
        for host, trusted in ((CERTIFIED, None), (None, certificate)):
            with (
                GenerationClient(triton.url, host_header=host, ca_file=trusted) as asked,
                pytest.raises(ClientError, match=r"no secure connection \(\w.*--ca-file"),
            ):
                asked.model()
