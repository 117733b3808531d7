"""Reads config.ini, in which FasterTransformer's backend keeps the model's numbers."""

import configparser
from dataclasses import dataclass, fields
from pathlib import Path

from ft_serving.core.dtypes import DType
from ft_serving.core.families import FAMILIES
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import LARGEST_INTEGER, Family
from ft_serving.core.units import any_of
from ft_serving.server.errors import ServerError

FILE_NAME = "config.ini"

_COUNTS = {field.name for field in fields(Architecture)} - {"start_id", "end_id"}
"""Numbers that are at least 1; what a family has besides may be 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsConfig:
    """What a folder of weights says of itself.

    Attributes:
        family: The model's.
        architecture: Its numbers.
        dtype: Format of the stored weights.
    """

    family: Family
    architecture: Architecture
    dtype: DType


def read_config(folder: Path, context: int | None = None) -> WeightsConfig:
    """Read and check `config.ini` of a folder of weights.

    FasterTransformer takes a missing file or an unknown `weight_data_type` for fp32 and serves
    noise; here everything must be said, and be consistent.

    Args:
        folder: Where `config.ini` lies, beside the weight files.
        context: Tokens of prompt and answer together, which this file does not say; by default
            those of the family's published model.

    Raises:
        ServerError: The file is missing or unreadable, or keys are missing or out of range;
            all of them are named.
    """
    path = folder / FILE_NAME
    family, section = _find_section(path, _parse(path))
    reader = _SectionReader(path, section)
    reader.text("model_name")
    numbers = {
        number: reader.integer(key, least=1 if number in _COUNTS else 0)
        for number, key in family.config_ini.items()
    }
    dtype = reader.dtype("weight_data_type")
    architecture = family.architecture(**numbers, context=context or family.context)
    for misfit in architecture.misfits():
        reader.refuse(family.config_ini[misfit.number], misfit.rule, str(misfit.got))
    if reader.has("num_tasks") and reader.integer("num_tasks", least=0):
        reader.refuse("num_tasks", "must be 0: prompt learning is not supported here", "more")
    reader.raise_problems()
    return WeightsConfig(family=family, architecture=architecture, dtype=dtype)


def _parse(path: Path) -> configparser.ConfigParser:
    # The syntax is inih's, which FasterTransformer uses: names in any case, `;` comments.
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ServerError(
            f"{path}: no such file; name the folder that directly contains config.ini "
            f"and the *.bin files"
        ) from exc
    except (OSError, UnicodeDecodeError, configparser.Error) as exc:
        raise ServerError(f"{path}: cannot be read: {exc}") from exc
    return parser


def _find_section(
    path: Path, parser: configparser.ConfigParser
) -> tuple[Family, configparser.SectionProxy]:
    families = {family.section: family for family in FAMILIES.values()}
    for name in parser.sections():
        if name.lower() in families:
            return families[name.lower()], parser[name]
    known = any_of([f"[{name}]" for name in families])
    found = ", ".join(f"[{name}]" for name in parser.sections()) or "none"
    raise ServerError(f"{path}: must have a section {known}; found {found}")


class _SectionReader:
    """Reads typed values and collects what is wrong with them."""

    def __init__(self, path: Path, section: configparser.SectionProxy) -> None:
        self._path = path
        self._section = section
        self._problems: dict[str, str] = {}

    def has(self, key: str) -> bool:
        return key in self._section

    def refuse(self, key: str, rule: str, got: str) -> None:
        """Note that a key's value breaks a rule, unless it is known to break another."""
        self._problems.setdefault(key, f"{key}: {rule}; got {got}")

    def text(self, key: str) -> str:
        value = self._section.get(key, "").strip()
        if not value:
            self._problems[key] = f"{key}: is required and missing"
        return value

    def integer(self, key: str, *, least: int) -> int:
        """Return the value; after noting a problem, one that no other number is too large for."""
        text = self.text(key)
        if not text:
            return LARGEST_INTEGER
        try:
            value = int(text, 0)
        except ValueError:
            self.refuse(key, "must be a whole number", repr(text))
            return LARGEST_INTEGER
        if value < least:
            self.refuse(key, f"must be at least {least}", text)
            return LARGEST_INTEGER
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
            raise ServerError(f"{self._path}: " + "; ".join(self._problems.values()))
