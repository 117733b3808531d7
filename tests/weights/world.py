"""A checkpoint, and a storage for its releases."""

import io
from pathlib import Path
from typing import Any

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.errors import FtServingError
from ft_serving.core.progress import Progress
from ft_serving.core.release import ReleaseFormat, ReleaseSpec
from ft_serving.core.storage import Storage
from ft_serving.weights.layouts import LAYOUTS
from ft_serving.weights.prepare import Prepared, prepare
from ft_serving.weights.source import LocalSource, Source
from tests.weights.models import random_checkpoint

SETTINGS: dict[str, Any] = {
    "dtype": DType.FP16,
    "compute_dtype": DType.FP16,
    "tensor_parallel": 2,
    "pipeline_parallel": 1,
    "streaming": False,
}


def prepare_source(
    source: Source, storage: Storage, progress: Progress, **changes: Any
) -> Prepared:
    """Prepare a release with SETTINGS, but for the changes."""
    spec = ReleaseSpec(
        repository=source.repository, revision=source.revision, **{**SETTINGS, **changes}
    )
    return prepare(source, spec, storage, progress)


class World:
    """A checkpoint, a storage, and what was said."""

    def __init__(self, root: Path) -> None:
        self.checkpoint = random_checkpoint(root / "tiny-model")
        self.storage = Storage(root / "storage")
        self.storage.create()
        self.said = io.StringIO()

    def prepare(self, **changes: Any) -> Prepared:
        progress = Progress(self.said)
        companions = LAYOUTS[changes.get("format", ReleaseFormat.FASTERTRANSFORMER)].companions
        source = LocalSource(self.checkpoint, (), progress, companions)
        return prepare_source(source, self.storage, progress, **changes)

    def refused(self, error: type[FtServingError], **changes: Any) -> str:
        """Prepare in vain; check that nothing is left that could be taken for a release."""
        before = self.storage.release_names()
        with pytest.raises(error) as caught:
            self.prepare(**changes)
        assert self.storage.release_names() == before
        assert self.storage.leftovers() == []
        return str(caught.value)
