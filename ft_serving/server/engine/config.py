"""Reads config.ini, in which FasterTransformer's backend keeps the model's numbers."""

import configparser
from dataclasses import dataclass
from pathlib import Path

from ft_serving.core.dtypes import DType
from ft_serving.server.engine.errors import ModelFilesError

FILE_NAME = "config.ini"
SECTION = "gptj"


@dataclass(frozen=True, kw_only=True, slots=True)
class GptJConfig:
    """The numbers of a GPT-J, by the names that FasterTransformer gives them.

    Attributes:
        model_name: For people; nothing depends on it.
        head_num: Attention heads.
        size_per_head: Values a head.
        inter_size: Width of the feed-forward layer.
        num_layer: Layers.
        vocab_size: Rows of the embedding and of the output head.
        rotary_embedding: Leading values of each head that carry the position; even.
        start_id: Token that a request without prompt and `start_id` starts from.
        end_id: Token that ends a text where a request has no `end_id`.
        weight_data_type: Format of the stored weights.
    """

    model_name: str
    head_num: int
    size_per_head: int
    inter_size: int
    num_layer: int
    vocab_size: int
    rotary_embedding: int
    start_id: int
    end_id: int
    weight_data_type: DType

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self.head_num * self.size_per_head


def read_config(folder: Path) -> GptJConfig:
    """Read and check `config.ini` of a folder of weights.

    FasterTransformer takes a missing file or an unknown `weight_data_type` for fp32 and serves
    noise; here everything must be said, and be consistent.

    Args:
        folder: Where `config.ini` lies, beside the weight files.

    Raises:
        ModelFilesError: The file is missing or unreadable, or keys are missing or out of range;
            all of them are named.
    """
    path = folder / FILE_NAME
    reader = _SectionReader(path, _parse(path))
    model_name = reader.text("model_name")
    head_num = reader.integer("head_num", least=1)
    size_per_head = reader.integer("size_per_head", least=1)
    inter_size = reader.integer("inter_size", least=1)
    num_layer = reader.integer("num_layer", least=1)
    vocab_size = reader.integer("vocab_size", least=1)
    rotary_embedding = reader.integer("rotary_embedding", least=2, most=size_per_head)
    start_id = reader.integer("start_id", least=0, most=vocab_size - 1)
    end_id = reader.integer("end_id", least=0, most=vocab_size - 1)
    weight_data_type = reader.dtype("weight_data_type")
    if rotary_embedding % 2:
        reader.refuse("rotary_embedding", "must be even", str(rotary_embedding))
    if reader.has("num_tasks") and reader.integer("num_tasks", least=0):
        reader.refuse("num_tasks", "must be 0: prompt learning is not supported here", "more")
    reader.raise_problems()
    return GptJConfig(
        model_name=model_name,
        head_num=head_num,
        size_per_head=size_per_head,
        inter_size=inter_size,
        num_layer=num_layer,
        vocab_size=vocab_size,
        rotary_embedding=rotary_embedding,
        start_id=start_id,
        end_id=end_id,
        weight_data_type=weight_data_type,
    )


def _parse(path: Path) -> configparser.SectionProxy:
    # The syntax is inih's, which FasterTransformer uses: names in any case, `;` comments.
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ModelFilesError(
            f"{path}: no such file; name the folder that directly contains config.ini "
            f"and the *.bin files"
        ) from exc
    except (OSError, UnicodeDecodeError, configparser.Error) as exc:
        raise ModelFilesError(f"{path}: cannot be read: {exc}") from exc
    for name in parser.sections():
        if name.lower() == SECTION:
            return parser[name]
    found = ", ".join(f"[{name}]" for name in parser.sections()) or "none"
    raise ModelFilesError(f"{path}: must have a section [{SECTION}]; found {found}")


class _SectionReader:
    """Reads typed values and collects what is wrong with them."""

    def __init__(self, path: Path, section: configparser.SectionProxy) -> None:
        self._path = path
        self._section = section
        self._problems: list[str] = []

    def has(self, key: str) -> bool:
        return key in self._section

    def refuse(self, key: str, rule: str, got: str) -> None:
        self._problems.append(f"{key}: {rule}; got {got}")

    def text(self, key: str) -> str:
        value = self._section.get(key, "").strip()
        if not value:
            self._problems.append(f"{key}: is required and missing")
        return value

    def integer(self, key: str, *, least: int, most: int | None = None) -> int:
        """Return the value, or `least` after noting a problem."""
        text = self.text(key)
        if not text:
            return least
        try:
            value = int(text, 0)
        except ValueError:
            self.refuse(key, "must be a whole number", repr(text))
            return least
        # A limit below the least comes from another key that is itself refused.
        if value < least or (most is not None and value > max(most, least)):
            limit = f"from {least} to {most}" if most is not None else f"at least {least}"
            self.refuse(key, f"must be {limit}", text)
            return least
        return value

    def dtype(self, key: str) -> DType:
        text = self.text(key)
        if text in tuple(DType):
            return DType(text)
        if text:
            self.refuse(key, f"must be {', '.join(DType)}", repr(text))
        return DType.FP32

    def raise_problems(self) -> None:
        if self._problems:
            raise ModelFilesError(f"{self._path}: " + "; ".join(self._problems))
