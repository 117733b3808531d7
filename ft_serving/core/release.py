"""The settings that name a release of weights.

Pure, so that the program can tell the name before the release exists.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ft_serving.core.dtypes import DType
from ft_serving.core.lengths import LengthLimits

CONVERTER_VERSION = 3
"""To be raised when the same source and settings give other bytes than before."""


class ReleaseFormat(StrEnum):
    """The layout of a release's weights, which decides the engines that can serve it."""

    FASTERTRANSFORMER = "fastertransformer"
    """config.ini, tokenizer and one file a tensor and rank: for one number of GPUs."""
    HUGGINGFACE = "huggingface"
    """config.json, safetensors and tokenizer, as transformers and vLLM read them: for any number of
    GPUs."""

    @property
    def is_divided(self) -> bool:
        """True if the files are for one number of GPUs only."""
        return self is ReleaseFormat.FASTERTRANSFORMER


def is_commit(revision: str) -> bool:
    """Return whether a revision is a commit's full name, which no push moves."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseSpec:
    """Everything that decides the bytes of a release, of its weights and of its config.pbtxt.

    Attributes:
        repository: Name on the hub, or of the local folder.
        revision: Commit on the hub, or a hash of the local files; never a branch.
        dtype: Format of the stored weights.
        tensor_parallel: Ranks that the weights are divided for; decides nothing in the format
            HUGGINGFACE.
        pipeline_parallel: Groups of GPUs that share the layers; likewise.
        compute_dtype: Format that the server computes in.
        streaming: Whether the model is served decoupled.
        input_length: Tokens of the longest prompts that are served; None where only the model's
            context counts.
        output_length: Tokens of the longest answers; None likewise.
        converter: Version of the conversion.
        format: Layout of the weights.
    """

    repository: str
    revision: str
    dtype: DType
    tensor_parallel: int
    pipeline_parallel: int
    compute_dtype: DType
    streaming: bool
    input_length: int | None = None
    output_length: int | None = None
    converter: int = CONVERTER_VERSION
    format: ReleaseFormat = ReleaseFormat.FASTERTRANSFORMER

    @property
    def name(self) -> str:
        """The release's folder: a DNS label, equal for equal bytes and only for them."""
        model = re.sub(r"[^a-z0-9]+", "-", self.repository.rsplit("/", 1)[-1].lower())
        model = model[:32].strip("-") or "model"
        for_gpus = f"tp{self.tensor_parallel}" if self.format.is_divided else "hf"
        return f"{model}-{self.dtype}-{for_gpus}-{self._digest}"

    @property
    def weights(self) -> tuple[str, str, DType, ReleaseFormat, int, int]:
        """The settings of the weight files: releases that agree in them can share the files."""
        return (
            self.repository,
            self.revision,
            self.dtype,
            self.format,
            self.tensor_parallel if self.format.is_divided else 1,
            self.converter,
        )

    def limits(self, context: int) -> LengthLimits:
        """Return how long prompts and answers may be, given the model's context."""
        return LengthLimits(
            context_length=context,
            input_length=self.input_length,
            output_length=self.output_length,
        )

    def settings(self) -> dict[str, Any]:
        """Return the fields that decide bytes, by name.

        Without `format` for FASTERTRANSFORMER: its releases were named, and their manifests
        written, before there was another format.
        """
        settings = asdict(self)
        for name in (
            ("format",) if self.format.is_divided else ("tensor_parallel", "pipeline_parallel")
        ):
            del settings[name]
        return settings

    @property
    def _digest(self) -> str:
        canonical = json.dumps(self.settings(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]
