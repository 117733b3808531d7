"""A checkpoint, a storage for its releases, and the command line: tests of `prepare` share them."""

import io
from pathlib import Path
from typing import Any

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.errors import FtServingError
from ft_serving.core.manifest import WEIGHTS_PATH
from ft_serving.core.progress import Progress
from ft_serving.core.release import ReleaseFormat, ReleaseSpec
from ft_serving.core.storage import Storage
from ft_serving.weights.layouts import LAYOUTS
from ft_serving.weights.prepare import Prepared, prepare
from ft_serving.weights.source import LocalSource, Source
from tests.command_line import Done, run_here
from tests.weights.models import SETTINGS, random_checkpoint


def prepare_source(
    source: Source, storage: Storage, progress: Progress, **changes: Any
) -> Prepared:
    """Prepare a release with SETTINGS, but for the changes."""
    spec = ReleaseSpec(
        repository=source.repository, revision=source.revision, **{**SETTINGS, **changes}
    )
    return prepare(source, spec, storage, progress)


def prepare_folder(checkpoint: Path, root: Path, **changes: Any) -> Prepared:
    """Prepare a release of a folder, in a storage that is created if need be."""
    storage, progress = Storage(root), Progress(io.StringIO())
    storage.create()
    return prepare_source(LocalSource(checkpoint, (), progress), storage, progress, **changes)


def converted_folder(
    checkpoint: Path, root: Path, dtype: DType = DType.FP32, tensor_parallel: int = 1
) -> Path:
    """Prepare a release to be computed in fp32; return the folder of its weights."""
    settings = {"dtype": dtype, "compute_dtype": DType.FP32, "tensor_parallel": tensor_parallel}
    return prepare_folder(checkpoint, root, **settings).folder / WEIGHTS_PATH


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


def ft_serving(*arguments: object, **environment: str) -> Done:
    """Run `ft-serving weights …` in this process."""
    return run_here("weights", *arguments, **environment)
