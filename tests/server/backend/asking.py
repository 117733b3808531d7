"""Asks a served model with NVIDIA's client, by the data types that the model's metadata has."""

import http.client
import queue
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray

from ft_serving.core.protocol import RUNNING_METRIC
from tests.serving import GOLDEN, NEVER_GENERATED

MODEL = "fastertransformer"

NUMPY = {
    "UINT32": np.uint32,
    "INT32": np.int32,
    "UINT64": np.uint64,
    "FP32": np.float32,
    "BOOL": np.bool_,
}

UNSIGNED = {
    **dict.fromkeys(("input_ids", "input_lengths", "request_output_len", "end_id"), "UINT32"),
    **dict.fromkeys(("beam_width", "runtime_top_k", "prompt_learning_task_name_ids"), "UINT32"),
    **dict.fromkeys(("bad_words_list", "stop_words_list", "min_length"), "INT32"),
    **dict.fromkeys(("temperature", "runtime_top_p", "repetition_penalty"), "FP32"),
    "presence_penalty": "FP32",
    "random_seed": "UINT64",
    "is_return_log_probs": "BOOL",
}
"""The types that config.pbtxt declares."""

Tensors = dict[str, NDArray[Any]]


def question(
    output_len: int = GOLDEN["request_output_len"],
    prompt: Sequence[int] = GOLDEN["input_ids"],
    **parameters: object,
) -> Tensors:
    """A request of one row; each parameter becomes a tensor [1, …]."""
    tensors = {
        "input_ids": np.array([prompt]),
        "input_lengths": np.array([[len(prompt)]]),
        "request_output_len": np.array([[output_len]]),
    }
    return tensors | {name: np.array([value]) for name, value in parameters.items()}


def endless(output_len: int = 500, rows: int = 1) -> Tensors:
    """A request that generates all the tokens it asks for; one of 400 rows takes a minute."""
    one = question(output_len, end_id=[NEVER_GENERATED])
    return {name: np.repeat(tensor, rows, axis=0) for name, tensor in one.items()}


def generated(answer: Mapping[str, NDArray[Any]], prompt_length: int = 6) -> list[int]:
    """The first row's tokens behind the prompt, up to sequence_length."""
    end = int(answer["sequence_length"][0, 0])
    tokens: list[int] = answer["output_ids"][0, 0, prompt_length:end].tolist()
    return tokens


def inputs(client: Any, tensors: Mapping[str, NDArray[Any]], types: Mapping[str, str]) -> list[Any]:
    """The tensors as inputs of one of NVIDIA's two clients."""
    made = []
    for name, tensor in tensors.items():
        one = client.InferInput(name, list(tensor.shape), types[name])
        one.set_data_from_numpy(tensor.astype(NUMPY[types[name]]))
        made.append(one)
    return made


def ask_http(
    address: str, tensors: Mapping[str, NDArray[Any]], types: Mapping[str, str] = UNSIGNED
) -> Tensors:
    with tritonclient.http.InferenceServerClient(address, network_timeout=120) as client:
        result = client.infer(MODEL, inputs(tritonclient.http, tensors, types))
        names = [output["name"] for output in result.get_response()["outputs"]]
        return {name: result.as_numpy(name) for name in names}


def ask_grpc(
    address: str, tensors: Mapping[str, NDArray[Any]], types: Mapping[str, str] = UNSIGNED
) -> Tensors:
    with tritonclient.grpc.InferenceServerClient(address) as client:
        return _grpc_tensors(client.infer(MODEL, inputs(tritonclient.grpc, tensors, types)))


def ask_grpc_together(address: str, questions: Sequence[Mapping[str, NDArray[Any]]]) -> list[Any]:
    """Ask all at once; return an answer, or an exception, for each."""
    answers: queue.Queue[tuple[int, Any]] = queue.Queue()

    def answered(place: int) -> Callable[[Any, Any], None]:
        return lambda result, error: answers.put((place, error or _grpc_tensors(result)))

    with tritonclient.grpc.InferenceServerClient(address) as client:
        prepared = [inputs(tritonclient.grpc, tensors, UNSIGNED) for tensors in questions]
        for place, one in enumerate(prepared):
            client.async_infer(MODEL, one, answered(place))
        found = dict(answers.get(timeout=120) for _ in questions)
    return [found[place] for place in range(len(questions))]


@contextmanager
def post(address: str, verb: str, body: bytes) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request over plain HTTP; its end is the end of the connection."""
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request("POST", f"/v2/models/{MODEL}/{verb}", body)
        with connection.getresponse() as response:
            yield response


class Stream:
    """A gRPC stream of requests to a decoupled model."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._responses: queue.Queue[tuple[Any, Any]] = queue.Queue()
        client.start_stream(lambda result, error: self._responses.put((result, error)))

    def send(self, tensors: Mapping[str, NDArray[Any]], identifier: str = "") -> None:
        made = inputs(tritonclient.grpc, tensors, UNSIGNED)
        self._client.async_stream_infer(MODEL, made, request_id=identifier)

    def next(self) -> tuple[str, Tensors, bool]:
        """The next response: its request, its tensors, and whether it is that request's last.

        Raises:
            InferenceServerException: It is an error.
        """
        result, error = self._responses.get(timeout=60)
        if error:
            raise error
        response = result.get_response()
        is_last = response.parameters["triton_final_response"].bool_param
        return response.id, _grpc_tensors(result), is_last

    def cancel(self) -> None:
        self._client.stop_stream(cancel_requests=True)


@contextmanager
def stream(address: str) -> Iterator[Stream]:
    with tritonclient.grpc.InferenceServerClient(address) as client:
        yield Stream(client)


def statistics(address: str) -> dict[str, int]:
    """Counts of inferred rows and of executions, while nobody else asks."""

    def ask(client: Any) -> dict[str, int]:
        (model,) = client.get_inference_statistics(MODEL).model_stats
        return {"inferences": model.inference_count, "executions": model.execution_count}

    with tritonclient.grpc.InferenceServerClient(address) as client:
        before, now = None, ask(client)
        # Triton counts an execution when it has ended, which is after its last response.
        while before != now:
            time.sleep(0.1)
            before, now = now, ask(client)
        return now


def wait_until_idle(metrics: str, running: int = 0) -> None:
    """Wait until the metrics at an address say how many run, none by default; at most 5 s."""
    deadline = time.monotonic() + 5
    text = ""
    while not re.search(rf"^{RUNNING_METRIC}{{.*}} {running}$", text, re.M):
        assert time.monotonic() < deadline, "it is computed on, for nobody"
        time.sleep(0.15)
        with closing(http.client.HTTPConnection(metrics, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()


def _grpc_tensors(result: Any) -> Tensors:
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}
