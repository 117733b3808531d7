"""From token ids and parameters to FasterTransformer's input tensors.

Shapes and meanings are those of fastertransformer_backend's GPT-J configuration, which
`ft_serving.core.protocol` renders; data types are taken from the server's own.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from ft_serving.client.errors import ClientError, InvalidRequestError
from ft_serving.client.model import ModelDescription
from ft_serving.core.parameters import PARAMETERS, Parameters

Array = npt.NDArray[Any]
Tokens = Sequence[int]

LARGEST_TOKEN = 2**31 - 1
"""What servers that take token ids as INT32 and as UINT32 can both hold."""

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT32": np.dtype("<i4"),
    "UINT32": np.dtype("<u4"),
    "INT64": np.dtype("<i8"),
    "UINT64": np.dtype("<u8"),
    "FP32": np.dtype("<f4"),
}
"""The numpy type of each data type of the inference protocol that the model's tensors have."""


def token_lists(prompts: Iterable[Iterable[SupportsIndex]]) -> list[tuple[int, ...]]:
    """Return prompts' token ids as Python's integers, whatever integers and lists they are.

    Raises:
        InvalidRequestError: Some are no lists of whole numbers; all of them are named.
    """
    if not isinstance(prompts, Iterable):
        raise InvalidRequestError(f"The prompts must be lists of token ids; got {prompts!r}")
    lists, problems = [], []
    for number, prompt in enumerate(prompts, 1):
        try:
            lists.append(tuple(map(operator.index, prompt)))
        except TypeError:
            problems.append(f"prompt {number}: must be a list of token ids; got {prompt!r}")
    _refuse(problems)
    return lists


def check_prompts(prompts: Sequence[Tokens]) -> None:
    """Check what depends on no server.

    Raises:
        InvalidRequestError: Some prompts are unfit; all of them are named.
    """
    problems = [] if prompts else ["there is no prompt"]
    for number, prompt in enumerate(prompts, 1):
        if not prompt:
            problems.append(f"prompt {number}: is empty")
        wrong = [token for token in prompt if not 0 <= token <= LARGEST_TOKEN]
        if wrong:
            problems.append(
                f"prompt {number}: must be token ids from 0 to {LARGEST_TOKEN}; got {wrong[0]}"
            )
    _refuse(problems)


def encode(
    model: ModelDescription,
    prompts: Sequence[Tokens],
    parameters: Parameters,
    words: Mapping[str, Sequence[Tokens]],
) -> dict[str, Array]:
    """Return the input tensors of one request, a row a prompt.

    Args:
        model: Whose inputs and data types they are.
        prompts: B prompts' token ids, checked ones.
        parameters: Checked ones; the same for every row.
        words: The token ids of the words of `stop` and of `bad`, by these names.

    Returns:
        `input_ids` [B, S], padded on the right with 0; word lists [B, 2, n]; all others [B, 1].

    Raises:
        InvalidRequestError: There are too many prompts, they or the answers are longer than the
            server's model allows, or the server lacks an input that is asked for.
        ClientError: The model requires an input that is not known here.
    """
    problems = []
    if len(prompts) > model.max_batch_size:
        problems.append(
            f"a request may have {model.max_batch_size} prompts; got {len(prompts)}: send several"
        )
    length = parameters.get("output_length", model.default_output_length)
    problems += [
        f"prompt {number}: {problem}"
        for number, prompt in enumerate(prompts, 1)
        if (problem := model.limits.problem(len(prompt), length))
    ]
    values = _values(parameters, length)
    lists = {name: list(tokens) for name, tokens in words.items() if tokens}
    problems += [
        f"{name}: the server's model {model.name!r} has no input {tensor}"
        for name in (*values, *lists)
        if (tensor := PARAMETERS[name].tensor.name) not in model.inputs
    ]
    # FasterTransformer's check for what it may forbid is `0 < token`.
    if any(word[-1] == 0 for word in lists.get("bad", ())):
        problems.append("bad: FasterTransformer cannot forbid a word that ends in token 0")
    _refuse(problems)
    rows = len(prompts)
    inputs = {
        "input_ids": _padded(prompts, _dtype(model, "input_ids")),
        "input_lengths": np.array(
            [[len(prompt)] for prompt in prompts], _dtype(model, "input_lengths")
        ),
    }
    for name, value in values.items():
        tensor = PARAMETERS[name].tensor.name
        dtype = _dtype(model, tensor)
        _check_fit(name, value, model.inputs[tensor].dtype)
        inputs[tensor] = np.full((rows, 1), value, dtype)
    for name, tokens in lists.items():
        tensor = PARAMETERS[name].tensor.name
        one = np.array(encode_words(tokens), _dtype(model, tensor))
        inputs[tensor] = np.broadcast_to(one, (rows, *one.shape))
    missing = [n for n, i in model.inputs.items() if not i.optional and n not in inputs]
    if missing:
        raise ClientError(
            f"Model {model.name!r} requires inputs that this client does not send: "
            f"{', '.join(missing)}; declare them optional in its config.pbtxt"
        )
    return inputs


def encode_words(words: Sequence[Tokens]) -> list[list[int]]:
    """Return a list of words as FasterTransformer reads it, [2, n].

    Row 0 holds all words' tokens, row 1 the offset of each word's end, padded with -1:
    [5, 6] and [7] are [[5, 6, 7], [2, 3, -1]].
    """
    ids = [token for word in words for token in word]
    ends = np.cumsum([len(word) for word in words]).tolist()
    return [ids, ends + [-1] * (len(ids) - len(ends))]


def datatype(tensor: Array) -> str:
    """A tensor's data type in the inference protocol."""
    return next(name for name, dtype in DTYPES.items() if dtype == tensor.dtype)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise InvalidRequestError("\n  ".join(["The request cannot be sent:", *problems]))


def _values(parameters: Parameters, output_length: int) -> dict[str, float]:
    """Return what to send of the parameters but the words, by name."""
    given: dict[str, Any] = {**parameters, "output_length": output_length}
    return {
        name: given[name]
        for name, row in PARAMETERS.items()
        # A flag that is not set is the default of every server.
        if name in given and not row.is_words and given[name] is not False
    }


def _padded(prompts: Sequence[Tokens], dtype: np.dtype[Any]) -> Array:
    ids = np.zeros((len(prompts), max(map(len, prompts))), dtype)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = prompt
    return ids


def _dtype(model: ModelDescription, tensor: str) -> np.dtype[Any]:
    declared = model.inputs[tensor].dtype
    if declared not in DTYPES:
        raise ClientError(
            f"Model {model.name!r} declares {tensor} as {declared}; known are {', '.join(DTYPES)}"
        )
    return DTYPES[declared]


def _check_fit(name: str, value: float, declared: str) -> None:
    dtype = DTYPES[declared]
    if dtype.kind in "iu" and value > np.iinfo(dtype).max:
        raise InvalidRequestError(
            f"{name}: the server takes it as {declared}, at most {np.iinfo(dtype).max}; got {value}"
        )
