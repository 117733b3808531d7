"""An API server that answers from a table of paths."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fake_api import Document, FakeApi, served
from tests.operations.preflight.cluster import GROUPS

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(kw_only=True)
class TableApi(FakeApi):
    """What it answers.

    Attributes:
        answers: Status and document by path; 404 for others.
        denied: Resources that nobody is allowed.
    """

    answers: dict[str, tuple[int, Document]] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()

    def answer(self, _: str, path: str, __: str, body: Document | None) -> tuple[int, Any]:
        if body is not None and path == REVIEWS and path not in self.answers:
            resource = body["spec"]["resourceAttributes"]["resource"]
            return 201, {"status": {"allowed": resource not in self.denied}}
        return self.answers.get(path, (404, {"message": "not there"}))


@contextmanager
def table_api() -> Iterator[TableApi]:
    """Serve a cluster with KServe and Knative, and nothing else."""
    groups = [
        {"name": name, "versions": [{"version": each} for each in versions]}
        for name, versions in GROUPS.items()
    ]
    answers: dict[str, tuple[int, Document]] = {
        "/version": (200, {"gitVersion": "v1.34.4"}),
        "/apis": (200, {"groups": groups}),
    }
    with served(TableApi(answers=answers)) as api:
        yield api
