"""An API server that answers from a recorded snapshot."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from ft_serving.cluster.diagnosis import Kind, NamespaceSnapshot
from tests.fake_api import Document, FakeApi, served

_LOG = re.compile(r"/api/v1/namespaces/[^/]+/pods/([^/]+)/log")
_LIST = re.compile(r"/apis?/(?P<group>.+?)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>\w+)")


@dataclass(kw_only=True)
class RecordedApi(FakeApi):
    """What it answers.

    Attributes:
        snapshot: What there is.
        refusals: The status of answers to paths that end with one of these words.
        deleted: The objects that were deleted.
    """

    snapshot: NamespaceSnapshot
    refusals: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, query: str, _: Document | None) -> tuple[int, Any]:
        for ending, status in self.refusals.items():
            if path.endswith(ending):
                return status, {"kind": "Status", "message": f"no {ending} for you"}
        if method == "DELETE":
            self.deleted.append(path.rpartition("/")[2])
            return 200, {}
        if match := _LOG.fullmatch(path):
            log = self.snapshot.logs.get((match[1], parse_qs(query)["container"][0]))
            return (200, log.encode()) if log is not None else (400, b"not available")
        match = _LIST.fullmatch(path)
        assert match, path
        knative = (
            match["group"].startswith("serving.knative.dev") and match["resource"] == "services"
        )
        kind = Kind.KNATIVE_SERVICES if knative else Kind(match["resource"])
        return 200, {"items": self.snapshot.all(kind)}


@contextmanager
def recorded_api(snapshot: NamespaceSnapshot) -> Iterator[RecordedApi]:
    """Serve a snapshot."""
    with served(RecordedApi(snapshot=snapshot, namespace=snapshot.namespace)) as api:
        yield api
