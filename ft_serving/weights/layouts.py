"""The files of a release of each format, besides config.pbtxt and the manifest."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from ft_serving.core.dtypes import DType
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import Family
from ft_serving.core.files import LFS_POINTER
from ft_serving.core.manifest import CONFIG_INI_PATH, ReleaseFile
from ft_serving.core.progress import Task
from ft_serving.core.release import ReleaseFormat, ReleaseSpec
from ft_serving.weights.checkpoint import Checkpoint
from ft_serving.weights.checkpoint.tensor import MAX_JSON_BYTES
from ft_serving.weights.convert import convert
from ft_serving.weights.errors import DOWNLOAD_AGAIN, refusal
from ft_serving.weights.folders import CONFIG_JSON
from ft_serving.weights.match import Match
from ft_serving.weights.plan import file_jobs, total_bytes
from ft_serving.weights.shards import (
    INDEX_NAME,
    is_finished,
    plan_shards,
    render_index,
    write_shards,
)

_DTYPE_WORDS = {DType.FP32: "float32", DType.FP16: "float16", DType.BF16: "bfloat16"}

SourceCheck = Callable[[], object]
"""Raises if the source is not what it was when it was opened."""


class Layout:
    """The files of FasterTransformer for one model; other formats override what differs.

    config.ini, a headerless array for each tensor and rank, and the tokenizer.

    Attributes:
        companions: Files of the repository that the release has as they are, if they are there.
            Nothing among them is code or a pickle, which the repository may have, too.
        is_compiled: Whether servers compile code for the release, and keep it in a cache.
        size: Bytes of the weights.
    """

    # Those that the client library reads a tokenizer from.
    companions: ClassVar[tuple[str, ...]] = (
        "tokenizer.json",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
    )
    is_compiled: ClassVar[bool] = False

    def __init__(self, family: Family, architecture: Architecture, spec: ReleaseSpec) -> None:
        self.family = family
        self.architecture = architecture
        self.spec = spec
        self._jobs = file_jobs(family, architecture, spec.tensor_parallel)
        self.size = total_bytes(self._jobs, spec.dtype)

    def texts(self, source: Path, names: Collection[str]) -> Mapping[str, bytes]:
        """Return the content of every small file beside the weights, by its name.

        Args:
            source: The checkpoint's folder.
            names: Its files.

        Raises:
            CheckpointError: A file of the source cannot be used.
        """
        found = [name for name in self.companions if name in names]
        return self._settings(source) | {name: _companion(source / name) for name in found}

    def _settings(self, _source: Path) -> dict[str, bytes]:
        """Return the content of the files that tell a server how to read the weights."""
        spec = self.spec
        text = render_config_ini(self.family, self.architecture, spec.dtype, spec.repository)
        return {CONFIG_INI_PATH.name: text.encode()}

    def write(
        self, checkpoint: Checkpoint, match: Match, folder: Path, task: Task, _check: SourceCheck
    ) -> list[ReleaseFile]:
        """Write the weights and keep them on the disk.

        Args:
            checkpoint: The source.
            match: The names of the model's tensors in it.
            folder: The folder to write into; may hold what a killed process finished.
            task: Is advanced by the bytes written.
            _check: Checks the source.

        Raises:
            WeightsError: A value does not fit the release's format; names the tensor.
        """
        return convert(checkpoint, match.jobs(self._jobs), self.spec.dtype, folder, task)

    def finished(self, _folder: Path) -> list[Path]:
        """Return the files of weights that a killed process finished in a folder.

        None here: a file has its name from its first byte on.
        """
        return []


class HuggingFaceLayout(Layout):
    """config.json, tokenizer and safetensors with Hugging Face's names, for any number of GPUs."""

    is_compiled = True
    companions = (
        "generation_config.json",
        *Layout.companions,
        "tokenizer_config.json",
        "special_tokens_map.json",
    )

    def __init__(self, family: Family, architecture: Architecture, spec: ReleaseSpec) -> None:
        super().__init__(family, architecture, spec)
        self._shards = plan_shards(family, architecture, spec.dtype)
        self.size = sum(shard.size for shard in self._shards)

    def write(
        self, checkpoint: Checkpoint, match: Match, folder: Path, task: Task, check: SourceCheck
    ) -> list[ReleaseFile]:
        """Write the shards that are not finished."""
        shards = [replace(shard, jobs=match.jobs(shard.jobs)) for shard in self._shards]
        return write_shards(checkpoint, shards, self.spec.dtype, folder, task, check)

    def finished(self, folder: Path) -> list[Path]:
        """Return the shards that are whole."""
        return [folder / s.name for s in self._shards if is_finished(s, folder / s.name)]

    def _settings(self, source: Path) -> dict[str, bytes]:
        """Return config.json, and the index of several shards."""
        texts = {CONFIG_JSON: self._config_json((source / CONFIG_JSON).read_bytes())}
        if len(self._shards) > 1:
            texts[INDEX_NAME] = render_index(self._shards, self.spec.dtype).encode()
        return texts

    def _config_json(self, content: bytes) -> bytes:
        """Return config.json for what is stored: as it was read, and without code to load."""
        word = _DTYPE_WORDS[self.spec.dtype]
        config = {
            **json.loads(content),
            **self.family.hugging_face(self.architecture),
            # Its name before transformers 4.56, and since.
            "torch_dtype": word,
            "dtype": word,
        }
        # auto_map names Python files of the repository; an empty quantization_config stands for
        # no method, but makes transformers look for one.
        for key in ("auto_map", "quantization_config"):
            config.pop(key, None)
        try:
            return f"{json.dumps(config, indent=2, sort_keys=True)}\n".encode()
        except RecursionError as exc:
            raise refusal(CONFIG_JSON, ["it nests too deeply"], DOWNLOAD_AGAIN) from exc


def _companion(path: Path) -> bytes:
    """Return the content of a file that a release has as it is, unless no server can read it."""
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise refusal(path, [f"it has {size} bytes"], f"Such a file has at most {MAX_JSON_BYTES}.")
    content = path.read_bytes()
    if content.startswith(LFS_POINTER):
        raise refusal(path, ["it is a Git LFS pointer to the file"], "Run `git lfs pull`.")
    try:
        text = content.decode()
        value = json.loads(text) if path.suffix == ".json" else {}
    except (ValueError, RecursionError) as exc:
        raise refusal(path, [f"it is broken: {exc}"], DOWNLOAD_AGAIN) from exc
    if not isinstance(value, dict):
        raise refusal(path, ["it is not a JSON object"], DOWNLOAD_AGAIN)
    return content


def render_config_ini(
    family: Family, architecture: Architecture, dtype: DType, model_name: str
) -> str:
    """Return the text of config.ini.

    A key that FasterTransformer reads and does not find ends the whole server.

    Args:
        family: Names the section and its keys.
        architecture: The model's numbers.
        dtype: Format of the stored weights.
        model_name: For people; nothing depends on it.
    """
    # A flag is 0 or 1.
    numbers = {key: int(getattr(architecture, name)) for name, key in family.config_ini.items()}
    values = {"model_name": model_name, **numbers, "weight_data_type": dtype.value}
    lines = [f"[{family.section}]", *(f"{key} = {value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


LAYOUTS: Mapping[ReleaseFormat, type[Layout]] = {
    ReleaseFormat.FASTERTRANSFORMER: Layout,
    ReleaseFormat.HUGGINGFACE: HuggingFaceLayout,
}
