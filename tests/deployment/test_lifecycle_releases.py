"""Another revision of the model: made beside the served one, switched to, rolled back from."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pytest

from ft_serving.core.errors import FtServingError
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.deployment.revisions import LENGTH, Revisions, revisions
from tests.platform.cluster import Namespace

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

FIRST, SECOND, THIRD = 11, 22, 33
"""The token that each revision says."""

PROMPT = "Mary has a little lamb."


@pytest.fixture(scope="module")
def model() -> Iterator[Revisions]:
    with revisions() as model:
        yield model


@pytest.fixture(scope="module")
def first(model: Revisions) -> str:
    return model.publish(FIRST)


@pytest.fixture(scope="module")
def deployment(new_stack: Deploy, model: Revisions, first: str) -> Deployment:
    """The first revision, served."""
    made = new_stack(model.settings(first, FIRST))
    report = made.up()
    assert report.succeeded, report.messages
    return made


def test_a_new_revision_is_made_beside_the_served_one_and_switched_to_under_load(
    deployment: Deployment, model: Revisions, cluster: Namespace
) -> None:
    old = deployment.outputs()["release"]
    second = model.publish(SECOND)
    deployment.change(model.settings(second, SECOND))
    with Answers(deployment) as answers:
        report = deployment.up()
        assert report.succeeded, report.messages
        answers.until(SECOND)
    counts = answers.counts()
    print(f"{sum(counts.values())} requests during a rollout of {report.seconds:.0f} s: {counts}")
    assert set(counts) == {FIRST, SECOND}, "no request failed, or had a mixed answer"
    assert deployment.outputs()["release"] != old
    assert log(cluster, "model-download").count("was converted") == 1
    assert report.operations("storage") == ["same"] * 2, "component and claim"


def test_the_older_release_is_switched_back_to_without_a_download(
    deployment: Deployment, model: Revisions, first: str, cluster: Namespace
) -> None:
    # The hub has only the second revision: a download of the first one would fail.
    deployment.change(model.settings(first, FIRST))
    report = deployment.up()
    assert report.succeeded, report.messages
    print(f"rolled back in {report.seconds:.0f} s")
    assert deployment.ask(PROMPT, LENGTH).output_ids == (FIRST,) * LENGTH
    assert "was there and is valid" in log(cluster, "model-download")


def test_the_release_that_was_served_longest_ago_goes_when_a_third_one_is(
    deployment: Deployment, model: Revisions, cluster: Namespace
) -> None:
    rolled_back_to = deployment.outputs()["release"]
    deployment.change(model.settings(model.publish(THIRD), THIRD))
    report = deployment.up()
    assert report.succeeded, report.messages
    decisions = dict(line.split(": ") for line in log(cluster, "release-collection").splitlines())
    assert len(decisions) == 3
    assert decisions.pop(deployment.outputs()["release"]) == "kept, named"
    assert decisions.pop(rolled_back_to) == "kept, among the newest 1"
    assert set(decisions.values()) == {"deleted"}
    assert deployment.ask(PROMPT, LENGTH).output_ids == (THIRD,) * LENGTH


def log(cluster: Namespace, job: str) -> str:
    """What the pod of the stack's only Job of a kind has written."""
    (pod,) = (
        name
        for name in (it["metadata"]["name"] for it in cluster.items("v1/Pod"))
        if name.startswith(f"{job}-") and not name.startswith(f"{job}-gate-")
    )
    return cluster.log(pod)


class Answers:
    """Asks the deployed service again and again while its context is open."""

    def __init__(self, deployment: Deployment, concurrency: int = 2) -> None:
        self._client = deployment.client()
        self._seen: list[int | str] = []
        self._stopped = threading.Event()
        self._workers = [threading.Thread(target=self._work) for _ in range(concurrency)]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for worker in self._workers:
            worker.join()
        self._client.close()

    def until(self, token: int, seconds: float = 30) -> None:
        """Wait for an answer of a revision."""
        deadline = time.monotonic() + seconds
        while token not in self._seen:
            assert time.monotonic() < deadline, f"no answer has token {token}"
            time.sleep(0.2)

    def counts(self) -> "Counter[int | str]":
        """How often each answer came: the token of a pure one, else all of it, or an error."""
        return Counter(self._seen)

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                (answer,) = self._client.generate([PROMPT], output_length=LENGTH)
            except FtServingError as exc:
                self._seen.append(str(exc))
            else:
                tokens = answer.output_ids
                pure = tokens == tokens[:1] * LENGTH
                self._seen.append(tokens[0] if pure else str(tokens))
