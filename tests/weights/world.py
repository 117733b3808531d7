"""A checkpoint, and a storage for its releases."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.errors import FtServingError
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.weights.layouts import LAYOUTS
from ft_serving.weights.prepare import Prepared, PrepareSettings, prepare
from ft_serving.weights.source import LocalSource
from tests.weights.models import random_checkpoint

SETTINGS = PrepareSettings(
    dtype=DType.FP16,
    compute_dtype=DType.FP16,
    tensor_parallel=2,
    pipeline_parallel=1,
    streaming=False,
)


class World:
    """A checkpoint, a storage, and what was said."""

    def __init__(self, root: Path) -> None:
        self.checkpoint = random_checkpoint(root / "tiny-model")
        self.storage = Storage(root / "storage")
        self.storage.create()
        self.said = io.StringIO()

    def prepare(self, settings: PrepareSettings = SETTINGS, **changes: Any) -> Prepared:
        progress = Progress(self.said)
        settings = replace(settings, **changes)
        companions = LAYOUTS[settings.format].companions
        source = LocalSource(self.checkpoint, (), progress, companions)
        return prepare(source, settings, self.storage, progress)

    def refused(self, error: type[FtServingError], **changes: Any) -> str:
        """Prepare in vain; check that nothing is left that could be taken for a release."""
        before = self.storage.release_names()
        with pytest.raises(error) as caught:
            self.prepare(**changes)
        assert self.storage.release_names() == before
        assert self.storage.leftovers() == []
        return str(caught.value)
