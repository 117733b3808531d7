"""The settings of the engine for GPUs, in environment variables of the server's container.

They are not in the release's config.pbtxt: one release serves any number and type of GPUs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ft_serving.core.dtypes import Precision
from ft_serving.server.errors import ServerError

KNOWN_VERSIONS = ("0.26.0",)
"""The versions of vLLM with which this project's GPU tests have run, the newest last."""

PREFIX = "FT_SERVING_"

CACHE = f"{PREFIX}CACHE"
"""The variable that names the folder for what is compiled (`compile_cache`)."""


_FEWEST_TOKENS = 1024
"""Prompts of some hundred tokens join a step whole, and do not delay the rows of others much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """The engine's use of its GPUs.

    Attributes:
        tensor_parallel: GPUs that share each layer.
        batch: Rows that are computed together; more wait.
        cache_bytes: Keys and values on each GPU; None takes what is left of nine tenths of it.
        precision: The format to compute in.
    """

    tensor_parallel: int = 1
    batch: int = 64
    cache_bytes: int | None = None
    precision: Precision = Precision.FP16

    @property
    def batched_tokens(self) -> int:
        """Tokens of one step: of each running row one, and of prompts that are admitted.

        With many rows, a step that admits few prompts costs as much as one that admits many.
        """
        return max(_FEWEST_TOKENS, 8 * self.batch)

    @property
    def graph_sizes(self) -> list[int]:
        """Numbers of tokens that a CUDA graph is captured for.

        A step is padded to the next of them. A larger step has no graph, which costs nothing: the
        GPU computes longer than the CPU takes to launch it. Each graph takes about 60 ms of a
        start, so they are further apart where padding costs less in proportion.
        """
        sizes = [1, 2, 4, *range(8, 64, 8), *range(64, 256, 16), *range(256, 512, 32)]
        sizes += range(512, max(_FEWEST_TOKENS, 2 * self.batch) + 1, 64)
        return sizes

    def to_environment(self) -> dict[str, str]:
        """Return the variables that `from_environment` reads."""
        values = {
            "TENSOR_PARALLEL": str(self.tensor_parallel),
            "BATCH": str(self.batch),
            "PRECISION": self.precision.value,
        }
        if self.cache_bytes is not None:
            values["CACHE_BYTES"] = str(self.cache_bytes)
        return {PREFIX + name: value for name, value in values.items()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "EngineSettings":
        """Read the settings; what is not set has its default.

        Raises:
            ServerError: Values make no sense; all of them are named.
        """
        problems: list[str] = []
        defaults = cls()

        def whole(name: str) -> int | None:
            text = environment.get(PREFIX + name)
            if text is None or (text.isdecimal() and int(text) > 0):
                return None if text is None else int(text)
            problems.append(f"{PREFIX}{name}: must be a whole number above 0; got {text!r}")
            return None

        precision = environment.get(PREFIX + "PRECISION", defaults.precision)
        if precision not in list(Precision):
            known = ", ".join(Precision)
            problems.append(f"{PREFIX}PRECISION: must be one of {known}; got {precision!r}")
            precision = defaults.precision
        settings = cls(
            tensor_parallel=whole("TENSOR_PARALLEL") or defaults.tensor_parallel,
            batch=whole("BATCH") or defaults.batch,
            cache_bytes=whole("CACHE_BYTES"),
            precision=Precision(precision),
        )
        if problems:
            raise ServerError("; ".join(problems))
        return settings
