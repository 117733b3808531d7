"""tritonserver with vLLM, asked by clients in processes of their own."""

import itertools
import multiprocessing
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.load import (
    AT_ONCE,
    MIXED,
    NEVER,
    ROUNDS,
    Answered,
    Question,
    Results,
    equal_questions,
    figures,
    mixed_questions,
)
from benchmarks.vllm_start import parts_of_start
from ft_serving.client.client import GenerationClient
from tests.serving import Served, served

PROCESSES = 8


def run(part: str, storage: Path, release: str, results: Results) -> None:
    """Time the start with warm caches, and clients over HTTP and gRPC."""
    begun = time.monotonic()
    with served(storage, release, options=["--verbose"]) as server:
        results.add(part, "ready_s", round(time.monotonic() - begun, 1))
        for url in (f"http://{server.http}", f"grpc://{server.grpc}"):
            _measure(part, url, results)
        results.add(part, "start", parts_of_start(server.errors.read_text()))
        _keep_metrics(part, server, results)


def _measure(part: str, url: str, results: Results) -> None:
    scheme = url.partition(":")[0]
    seeds = itertools.count(2000 if scheme == "http" else 3000)
    # The first request of a client, and of a shape, is slower than all others.
    _ask_all(url, equal_questions(AT_ONCE, seed=next(seeds)), AT_ONCE)
    for clients in (1, AT_ONCE):
        questions = equal_questions(clients * ROUNDS, seed=next(seeds))
        name = f"{scheme}, {clients} clients"
        results.add(part, name, figures(_ask_all(url, questions, clients)))
    mixed = _ask_all(url, mixed_questions(MIXED, seed=next(seeds)), AT_ONCE)
    results.add(part, f"{scheme}, mixed", figures(mixed))


def _keep_metrics(part: str, server: Served, results: Results) -> None:
    import urllib.request

    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    results.add(part, "metrics", [line for line in lines if line.startswith("vllm:")])


def _ask_all(url: str, questions: Sequence[Question], clients: int) -> list[Answered]:
    """Ask with so many threads, in at most `PROCESSES` processes; return all answers."""
    processes = min(PROCESSES, clients)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    shares = [questions[place::processes] for place in range(processes)]
    with context.Pool(processes, _prepare, (barrier,)) as pool:
        tasks = [
            pool.apply_async(_ask, (url, share, clients // processes), error_callback=print)
            for share in shares
        ]
        return [answer for task in tasks for answer in task.get(300)]


_barrier: "threading.Barrier"


def _prepare(barrier: "threading.Barrier") -> None:
    global _barrier
    _barrier = barrier


def _ask(url: str, questions: Sequence[Question], threads: int) -> list[Answered]:
    answers: list[Answered] = []
    waiting = iter(questions)
    lock = threading.Lock()
    with GenerationClient(url, timeout_s=120) as client:
        client.model()
        _barrier.wait(60)

        def work() -> None:
            while True:
                with lock:
                    question = next(waiting, None)
                if question is None:
                    return
                begun, first, tokens = time.monotonic(), 0.0, 0
                for new in client.stream_ids(
                    question.prompt, output_length=question.answer, end_id=NEVER
                ):
                    first = first or time.monotonic()
                    tokens += len(new)
                answers.append(Answered(begun, first, time.monotonic(), tokens))

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return answers
