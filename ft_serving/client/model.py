"""Reads the description of a model from its server."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from ft_serving.client.errors import ClientError
from ft_serving.client.parameters import DEFAULT_OUTPUT_LENGTH
from ft_serving.core.families import family_by_triton_type
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.protocol import (
    END_PARAMETER,
    FAMILY_PARAMETER,
    SOURCE_PARAMETER,
    VOCABULARY_PARAMETER,
)

NEEDED_INPUTS = ("input_ids", "input_lengths", "request_output_len")
NEEDED_OUTPUTS = ("output_ids", "sequence_length")


@dataclass(frozen=True, kw_only=True, slots=True)
class InputDescription:
    """An input as the server declares it, with its data type in the inference protocol."""

    dtype: str
    optional: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDescription:
    """A served model.

    Attributes:
        name: The model's name.
        inputs: Its inputs by name. NVIDIA's configurations declare token ids as UINT32, older
            ones as INT32, and Triton refuses a request with the other one.
        max_batch_size: Prompts that one request may have.
        decoupled: Whether a request gets a response a token.
        vocabulary: How many tokens the model has, where the server says so.
        end_id: The token that ends a text, where the server says so.
        source: What the weights were made from, where the server says so: `OWNER/NAME@REVISION`
            on a hub, or a folder's name with a hash of its files.
        limits: How long prompts and answers may be.
    """

    name: str
    inputs: Mapping[str, InputDescription]
    max_batch_size: int
    decoupled: bool
    limits: LengthLimits
    vocabulary: int | None = None
    end_id: int | None = None
    source: str | None = None

    @property
    def default_output_length(self) -> int:
        """The tokens to ask for where a request does not say how many."""
        return min(DEFAULT_OUTPUT_LENGTH, self.limits.output_length or DEFAULT_OUTPUT_LENGTH)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the description in Triton's `ModelConfig` message in its JSON form.

        Raises:
            ClientError: It is no such message, or FasterTransformer's tensors do not fit the model.
        """
        try:
            said = {
                name: str(value.get("string_value", ""))
                for name, value in config.get("parameters", {}).items()
            }
            limits, source = LengthLimits.from_parameters(said), said.get(SOURCE_PARAMETER)
            family = family_by_triton_type(said.get(FAMILY_PARAMETER))
            description = cls(
                name=str(config["name"]),
                inputs={
                    tensor["name"]: InputDescription(
                        dtype=str(tensor["data_type"]).removeprefix("TYPE_"),
                        optional=bool(tensor.get("optional", False)),
                    )
                    for tensor in config.get("input", ())
                },
                max_batch_size=int(config.get("max_batch_size", 0)),
                decoupled=bool(config.get("model_transaction_policy", {}).get("decoupled", False)),
                vocabulary=_number(said.get(VOCABULARY_PARAMETER, "")),
                end_id=_number(said.get(END_PARAMETER, "")),
                # It goes into messages, to a terminal.
                source=source if source and source.isprintable() else None,
                # FasterTransformer does not check it: what it generates beyond is noise.
                limits=replace(limits, context_length=limits.context_length or family.context),
            )
            outputs = {tensor["name"] for tensor in config.get("output", ())}
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise ClientError(
                f"The server's answer is no configuration of a model ({exc!r}); is the address "
                "that of a Triton server?"
            ) from exc
        lacks = [f"input {name}" for name in NEEDED_INPUTS if name not in description.inputs]
        lacks += [f"output {name}" for name in NEEDED_OUTPUTS if name not in outputs]
        if description.max_batch_size < 1:
            lacks.append("a batch dimension (max_batch_size)")
        if lacks:
            raise ClientError(
                f"Model {description.name!r} is not one that FasterTransformer's tensors fit: it "
                f"lacks {', '.join(lacks)}; name another model"
            )
        return description


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
