"""The client over HTTP, against a server that does what it is told."""

import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from ft_serving.client import Finish, GenerationClient, InferenceProtocol
from ft_serving.client.errors import (
    ClientError,
    InvalidRequestError,
    UnavailableError,
)
from ft_serving.client.session import MOST_TIMES
from tests.client.asking import MARY, client, error
from tests.client.conftest import CERTIFIED
from tests.client.fake_triton import TEXT, FakeTriton, Fault, config, streamed


def test_prompts_become_texts(triton: FakeTriton) -> None:
    with client(triton) as asked:
        longer, shorter = asked.generate(["Mary has a little lamb.", "Mary"], output_length=4)
    assert (longer.prompt, longer.text) == ("Mary has a little lamb.", " Its fleece is")
    assert (list(longer.prompt_ids), list(longer.output_ids)) == (MARY, TEXT)
    assert longer.finish is Finish.LENGTH
    assert (shorter.prompt, shorter.text) == ("Mary", " Its fleece is")
    assert triton.paths == ["config", "infer"], "one batch, and the configuration once"


@pytest.mark.parametrize("integers", ["UINT32", "INT32"])
def test_integers_are_sent_as_the_server_declares_them(integers: str) -> None:
    with FakeTriton(config(integers)) as triton, client(triton) as asked:
        asked.generate_ids([[5, 6]], output_length=2, top_k=3, seed=7)
    sent = triton.requests[-1].body["inputs"]
    assert {t["name"]: (t["datatype"], t["shape"], t["data"]) for t in sent} == {
        "input_ids": (integers, [1, 2], [5, 6]),
        "input_lengths": (integers, [1, 1], [2]),
        "request_output_len": (integers, [1, 1], [2]),
        "runtime_top_k": (integers, [1, 1], [3]),
        "random_seed": ("UINT64", [1, 1], [7]),
    }


def test_stop_words_are_sent_in_both_forms(triton: FakeTriton) -> None:
    with client(triton) as asked:
        asked.generate(["Mary"], output_length=4, stop=["lamb"])
    sent = {tensor["name"]: tensor for tensor in triton.requests[-1].body["inputs"]}
    assert sent["stop_words_list"]["shape"] == [1, 2, 4]
    assert sent["stop_words_list"]["data"] == [77, 66, 354, 448, 3, 4, -1, -1]


def test_a_text_ends_before_its_end_token_whichever_that_is() -> None:
    for decoupled in (False, True):
        with FakeTriton(config(decoupled=decoupled)) as triton, client(triton) as asked:
            [generation] = asked.generate(["Mary"], output_length=4, end_id=TEXT[2])
            *chunks, last = asked.stream("Mary", output_length=4, end_id=TEXT[2])
        assert (generation.text, generation.finish) == (" Its", Finish.END)
        assert generation.output_ids == tuple(TEXT[:3])
        assert "".join(chunk.text for chunk in chunks) == " Its"
        assert last.generation == generation


def test_a_single_text_in_place_of_a_list_is_refused(triton: FakeTriton) -> None:
    with client(triton) as asked, pytest.raises(InvalidRequestError, match=r"write \[prompt\]"):
        asked.generate("Mary")
    assert not triton.requests, "each letter would be a prompt"


def test_nothing_is_sent_for_a_request_that_makes_no_sense(triton: FakeTriton) -> None:
    with client(triton) as asked, pytest.raises(InvalidRequestError, match="top_p"):
        asked.generate(["Mary"], top_p=2)
    assert not triton.requests


def test_prompts_that_cannot_be_sent_are_told_before_the_model_is_waited_for(
    triton: FakeTriton,
) -> None:
    with client(triton) as asked:
        for ask in (lambda: asked.generate_ids([[-1]]), lambda: next(asked.stream_ids([2**32]))):
            with pytest.raises(InvalidRequestError, match="prompt 1: must be token ids from 0"):
                ask()
    assert not triton.requests


def test_a_stream_gives_a_piece_a_token_and_the_whole_at_the_end() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        chunks = list(asked.stream("Mary has a little lamb.", output_length=4, stop=["lamb"]))
    assert [chunk.text for chunk in chunks] == [" I", "ts", " fleece", " is", ""]
    assert [chunk.output_ids for chunk in chunks] == [*((token,) for token in TEXT), ()]
    assert [chunk.generation is None for chunk in chunks] == [True] * 4 + [False]
    whole = chunks[-1].generation
    assert whole
    assert (whole.text, whole.finish) == (" Its fleece is", Finish.LENGTH)
    assert triton.requests[-1].body == {
        "input_ids": MARY,
        "input_lengths": [6],
        "request_output_len": [4],
        "stop_words_list": [77, 66, 354, 448, 3, 4, -1, -1],
    }, "Triton's generate endpoint wants flat arrays"


def test_a_piece_is_given_before_the_next_has_come() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        triton.go_on.clear()
        stream = asked.stream_ids([5], output_length=2)
        begin = time.monotonic()
        assert next(stream) == (TEXT[0],)
        assert time.monotonic() - begin < 4, "the server waits 5 seconds before the next piece"
        triton.go_on.set()
        assert next(stream) == (TEXT[1],)


def test_whole_texts_of_a_decoupled_model_come_by_streams_one_a_prompt() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        first, second = asked.generate_ids([MARY, [5]], output_length=3)
    assert triton.paths == ["config", "generate_stream", "generate_stream"]
    assert first[0].output_ids == second[0].output_ids == tuple(TEXT[:3])


def test_closing_a_stream_ends_it() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        stream = asked.stream("Mary", output_length=4)
        assert next(stream).text == " I"
        stream.close()
        assert [piece.text for piece in asked.stream("Mary", output_length=1)] == [" I", ""]


def test_beams_are_refused_for_a_stream(triton: FakeTriton) -> None:
    with client(triton) as asked, pytest.raises(InvalidRequestError, match="a stream has one beam"):
        next(asked.stream("Mary", beam_width=2))


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503, body=b"no healthy upstream"),
        Fault(status=502),
        Fault(status=504, body=b"activator request timeout"),
        Fault(raw=b""),
        error(400, "Request for unknown model: 'fastertransformer' has no available versions"),
        error(503, "Server is not ready"),
    ],
)
def test_a_cold_start_is_waited_for(triton: FakeTriton, fault: Fault) -> None:
    triton.faults.extend([fault] * 3)
    said: list[str] = []
    with GenerationClient(triton.url, wait_s=60, say=said.append) as asked:
        assert asked.generate_ids([[5]], output_length=1)[0][0].output_ids == (TEXT[0],)
    assert triton.paths == ["config"] * 4 + ["infer"]
    assert len(said) == 1
    assert said[0].startswith("Waiting for the model (0 of at most 60 s): ")


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_does_not_listen_yet_is_waited_for() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    said: list[str] = []
    with ExitStack() as started:

        def say(message: str) -> None:
            said.append(message)
            started.enter_context(FakeTriton(port=port))

        with GenerationClient(f"127.0.0.1:{port}", wait_s=60, say=say) as asked:
            assert asked.generate_ids([[5]], output_length=1)[0][0].output_ids == (TEXT[0],)
    [told] = said
    assert told.endswith(f": cannot reach http://127.0.0.1:{port} (Connection refused)")


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_goes_away_later_is_waited_for_and_asked_once_more(
    triton: FakeTriton,
) -> None:
    with client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.extend([Fault(status=503), Fault(status=503)])
        assert asked.generate_ids([[5]], output_length=1)
        assert triton.paths == ["config", "infer", "config", "config", "infer"]
        triton.faults.append(Fault(raw=b""))
        assert [*asked.stream_ids([5], output_length=2)] == [(TEXT[0],), (TEXT[1],)]


@pytest.mark.usefixtures("no_pauses")
def test_a_request_that_a_dying_server_drops_several_times_is_answered_by_the_next(
    triton: FakeTriton,
) -> None:
    configured = Fault(body=json.dumps(config()).encode())
    dying = error(500, "Stub process 'fastertransformer_0_0' is not healthy.")
    with client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.extend([Fault(raw=b""), configured, dying, configured, Fault(status=502)])
        [[completion]] = asked.generate_ids([[5]], output_length=1)
    assert completion.output_ids == (TEXT[0],)
    assert triton.paths == ["config", *("infer", "config") * 3, "infer"]


@pytest.mark.usefixtures("no_pauses")
def test_a_request_that_always_ends_the_server_is_given_up(triton: FakeTriton) -> None:
    configured = Fault(body=json.dumps(config()).encode())
    with client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.extend([Fault(status=503), configured] * MOST_TIMES)
        with pytest.raises(ClientError, match=r"sent 6 times, .* is it the request that ends it\?"):
            asked.generate_ids([[5]], output_length=1)
    assert triton.paths.count("infer") == MOST_TIMES


BROKEN_OFF = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def stream_that_breaks_off(*tokens: int) -> Fault:
    """A stream of [5] with its first tokens, whose server then dies."""
    values = {"output_ids": [5, *tokens, 1, 1], "sequence_length": 1 + len(tokens)}
    event = f"data: {json.dumps(values)}\n\n".encode()
    return Fault(raw=BROKEN_OFF + b"%x\r\n%s\r\n" % (len(event), event))


@pytest.mark.usefixtures("no_pauses")
def test_a_stream_that_breaks_off_goes_on_behind_what_it_gave() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.extend([stream_that_breaks_off(*TEXT[:2]), Fault(status=503)])
        pieces = list(asked.stream_ids([5], output_length=4))
        assert pieces == [tuple(TEXT[:2]), (TEXT[2],), (TEXT[3],)]
        triton.faults.append(stream_that_breaks_off(*TEXT[:2]))
        [[completion]] = asked.generate_ids([[5]], output_length=4)
    assert completion.output_ids == tuple(TEXT), "whole answers come by streams, too"


def test_a_stream_that_ends_before_its_text_goes_on_behind_what_it_gave() -> None:
    short = Fault(body=f"data: {json.dumps(streamed([5], 2, 4))}\n\n".encode())
    with FakeTriton(config(decoupled=True)) as triton, client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.append(short)
        pieces = list(asked.stream_ids([5], output_length=4))
        assert pieces == [tuple(TEXT[:2]), (TEXT[2],), (TEXT[3],)]
        triton.faults.extend([short, short])
        with pytest.raises(ClientError, match="before its text had ended"):
            list(asked.stream_ids([5], output_length=4))


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "as long as asked"])
def test_a_stream_merged_with_a_longer_prompts_has_its_own_tokens(ends: bool) -> None:
    # NVIDIA's backend counts from the longest prompt of all, here of 10 tokens, and fills rows.
    end, count = 1, 3
    rows = [[5, *TEXT[:n], *[end] * (14 - 1 - n)] for n in range(1, count + 1)]
    counts = [10 + n for n in range(1, count + 1)]
    if ends:
        rows, counts = [*rows, rows[-1]], [*counts, 10 + count + 1]
    values = [
        {"output_ids": row, "sequence_length": length}
        for row, length in zip(rows, counts, strict=True)
    ]
    body = "".join(f"data: {json.dumps(value)}\n\n" for value in values).encode()
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        asked.model()
        triton.faults.append(Fault(body=body))
        pieces = list(asked.stream_ids([5], output_length=4 if ends else count, end_id=end))
    assert pieces == [(token,) for token in TEXT[:count]] + [(end,)] * ends


@pytest.mark.usefixtures("no_pauses")
def test_a_stream_that_broke_off_does_not_go_on_with_another_text() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.append(stream_that_breaks_off(TEXT[0], TEXT[0] + 1))
        pieces = asked.stream_ids([5], output_length=4)
        assert next(pieces) == (TEXT[0], TEXT[0] + 1)
        with pytest.raises(ClientError, match="answers with another text; ask again"):
            next(pieces)


def test_without_patience_a_stream_that_breaks_off_is_told() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        asked.model()
        triton.faults.append(stream_that_breaks_off(TEXT[0]))
        pieces = asked.stream_ids([5], output_length=4)
        assert next(pieces) == (TEXT[0],)
        with pytest.raises(UnavailableError, match="cannot reach"):
            next(pieces)


def test_without_patience_a_server_that_is_gone_is_told_at_once(triton: FakeTriton) -> None:
    triton.faults.append(Fault(status=503, body=b"no healthy upstream"))
    with client(triton) as asked, pytest.raises(UnavailableError, match="no healthy upstream"):
        asked.generate_ids([[5]])
    assert triton.paths == ["config"]


def test_the_host_header_routes_and_the_token_is_shown(triton: FakeTriton) -> None:
    with GenerationClient(triton.url, host_header="ft.example.com", token="secret-token") as asked:
        asked.generate_ids([[5]], output_length=1)
    for request in triton.requests:
        assert request.headers["host"] == "ft.example.com"
        assert request.headers["authorization"] == "Bearer secret-token"


def test_the_token_is_taken_from_the_environment(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_SERVING_TOKEN", "from-the-environment\n")
    with GenerationClient(triton.url) as asked:
        asked.model()
    assert triton.requests[0].headers["authorization"] == "Bearer from-the-environment"


def test_without_a_token_none_is_shown(triton: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FT_SERVING_TOKEN", raising=False)
    triton.faults.append(Fault(status=401))
    with (
        GenerationClient(triton.url, wait_s=0) as asked,
        pytest.raises(ClientError, match="Set FT_SERVING_TOKEN to a bearer token"),
    ):
        asked.model()
    assert "authorization" not in triton.requests[0].headers


def test_a_redirect_does_not_get_the_token(triton: FakeTriton) -> None:
    with FakeTriton() as elsewhere:
        triton.faults.append(Fault(status=307, headers={"Location": f"{elsewhere.url}/v2"}))
        with client(triton) as asked, pytest.raises(ClientError, match="redirects"):
            asked.model()
        assert not elsewhere.requests


def test_a_path_before_the_protocols_own_is_kept(triton: FakeTriton) -> None:
    with GenerationClient(f"{triton.url}/serving/ft/", model="a b/c?d") as asked:
        asked.model()
    assert triton.requests[0].path == "/serving/ft/v2/models/a%20b%2Fc%3Fd/config"


def test_a_certificate_is_checked_for_the_name_that_an_ingress_routes_by(certificate: Path) -> None:
    with FakeTriton(certificate=certificate) as triton:
        for name in (CERTIFIED, f"{CERTIFIED}:443"):
            with GenerationClient(triton.url, host_header=name, ca_file=certificate) as asked:
                assert asked.generate_ids([[5]], output_length=1)
            assert triton.requests[-1].headers["host"] == name
        for host, trusted, reason in (
            (CERTIFIED, None, "self.signed certificate"),
            (None, certificate, "certificate is not valid for '127.0.0.1'"),
        ):
            with (
                GenerationClient(triton.url, host_header=host, ca_file=trusted) as asked,
                pytest.raises(ClientError, match=rf"no secure connection \(.*{reason}.*--ca-file"),
            ):
                asked.model()


def test_a_server_without_tls_is_told_as_such(triton: FakeTriton) -> None:
    with (
        GenerationClient(triton.url.replace("http", "https")) as asked,
        pytest.raises(ClientError, match="if it has no TLS, an address that starts with http://"),
    ):
        asked.model()


def test_the_protocol_may_be_named_beside_the_address(triton: FakeTriton) -> None:
    with GenerationClient(f"127.0.0.1:{triton.port}", protocol=InferenceProtocol.HTTP) as asked:
        assert asked.model().max_batch_size == 4
