"""Reads config.ini, in which FasterTransformer's backend keeps the model's numbers."""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from ft_serving.core.dtypes import DType
from ft_serving.core.families import FAMILIES
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import LARGEST_INTEGER, Family
from ft_serving.core.units import any_of
from ft_serving.server.errors import ServerError

FILE_NAME = "config.ini"

_TOKENS = {"start_id", "end_id"}


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsConfig:
    """The contents of a config.ini.

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
        folder: Has `config.ini` beside the weight files.
        context: Tokens of prompt and answer together, which this file does not say; by default
            those of the family's published model.

    Raises:
        ServerError: The file is missing or unreadable, or keys are missing or out of range;
            all of them are named.
    """
    path = folder / FILE_NAME
    family, section = _read_section(path)
    reader = _Reader(section)
    reader.text("model_name")
    flags = {field.name for field in fields(family.architecture) if field.type is bool}
    numbers = {
        number: reader.flag(key)
        if number in flags
        else reader.integer(key, 0 if number in _TOKENS else 1)
        for number, key in family.config_ini.items()
    }
    dtype = reader.text("weight_data_type")
    if dtype not in tuple(DType):
        reader.refuse("weight_data_type", f"must be {', '.join(DType)}; got {dtype!r}")
    architecture = family.architecture(**numbers, context=context or family.context)
    for misfit in architecture.misfits():
        reader.refuse(family.config_ini[misfit.number], f"{misfit.rule}; got {misfit.got}")
    if "num_tasks" in section and reader.integer("num_tasks", 0):
        reader.refuse("num_tasks", "must be 0: prompt learning is not supported here; got more")
    if reader.problems:
        raise ServerError(f"{path}: " + "; ".join(reader.problems.values()))
    return WeightsConfig(family=family, architecture=architecture, dtype=DType(dtype))


class _Reader:
    """Reads typed values of a section and collects what is wrong with them, by key."""

    def __init__(self, section: Mapping[str, str]) -> None:
        self.problems: dict[str, str] = {}
        self._section = section

    def refuse(self, key: str, rule: str) -> None:
        """Note that a key's value breaks a rule, unless it is known to break another."""
        self.problems.setdefault(key, f"{key}: {rule}")

    def text(self, key: str) -> str:
        value = self._section.get(key, "").strip()
        if not value:
            self.refuse(key, "is required and missing")
        return value

    def integer(self, key: str, least: int) -> int:
        """Return the value; after noting a problem, one that no other number is too large for."""
        text = self.text(key)
        try:
            value = int(text, 0)
        except ValueError:
            self.refuse(key, f"must be a whole number; got {text!r}")
            return LARGEST_INTEGER
        if value < least:
            self.refuse(key, f"must be at least {least}; got {text}")
            return LARGEST_INTEGER
        return value

    def flag(self, key: str) -> bool:
        text = self.text(key)
        if text not in ("0", "1"):
            self.refuse(key, f"must be 0 or 1; got {text!r}")
        return text == "1"


def _read_section(path: Path) -> tuple[Family, Mapping[str, str]]:
    """Return the section of a family that there is a table for."""
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
    families = {family.section: family for family in FAMILIES.values()}
    for name in parser.sections():
        if name.lower() in families:
            return families[name.lower()], parser[name]
    known = any_of([f"[{name}]" for name in families])
    found = ", ".join(f"[{name}]" for name in parser.sections()) or "none"
    raise ServerError(f"{path}: must have a section {known}; found {found}")
