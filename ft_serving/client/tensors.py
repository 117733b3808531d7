"""Makes FasterTransformer's input tensors from token ids and parameters.

Shapes and meanings are those of fastertransformer_backend's GPT-J configuration, which
`ft_serving.core.protocol` renders; data types are taken from the server's own.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from ft_serving.client.errors import ClientError, InvalidRequestError, refuse
from ft_serving.client.model import ModelDescription
from ft_serving.core.parameters import PARAMETERS, Parameters

Array = npt.NDArray[Any]
Tokens = Sequence[int]

LARGEST_TOKEN = 2**31 - 1
"""The largest that fits both INT32 and UINT32, of which a server takes one."""

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT32": np.dtype("<i4"),
    "UINT32": np.dtype("<u4"),
    "INT64": np.dtype("<i8"),
    "UINT64": np.dtype("<u8"),
    "FP32": np.dtype("<f4"),
}
"""The numpy type of each data type of the inference protocol that the model's tensors have."""

_MOST = {dtype: int(np.iinfo(dtype).max) for dtype in DTYPES.values() if dtype.kind in "iu"}


def token_lists(prompts: Iterable[Iterable[SupportsIndex]]) -> list[tuple[int, ...]]:
    """Return token ids of Python or numpy, in lists or arrays, as Python's integers.

    Raises:
        InvalidRequestError: Names all that are no lists of whole numbers.
    """
    if not isinstance(prompts, Iterable):
        raise InvalidRequestError(f"The prompts must be lists of token ids; got {prompts!r}")
    lists, problems = [], []
    for number, prompt in enumerate(prompts, 1):
        try:
            lists.append(tuple(map(operator.index, prompt)))
        except TypeError:
            problems.append(f"prompt {number}: must be a list of token ids; got {prompt!r}")
    refuse(problems)
    return lists


def check_prompts(prompts: Sequence[Tokens]) -> None:
    """Check the rules for prompts that are the same for every server.

    Raises:
        InvalidRequestError: Names all prompts that break one.
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
    refuse(problems)


def encode(
    model: ModelDescription,
    prompts: Sequence[Tokens],
    parameters: Parameters,
    words: Mapping[str, Sequence[Tokens]],
) -> dict[str, Array]:
    """Return the input tensors of one request; see `rows`."""
    values = rows(model, prompts, parameters, words)
    return {name: np.array(value, _dtype(model, name)) for name, value in values.items()}


def rows(
    model: ModelDescription,
    prompts: Sequence[Tokens],
    parameters: Parameters,
    words: Mapping[str, Sequence[Tokens]],
) -> dict[str, list[Any]]:
    """Return the values of the input tensors of one request, a row a prompt.

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
    length = parameters.get("output_length", model.default_output_length)
    given: dict[str, Any] = {**parameters, "output_length": length}
    values: dict[str, Any] = {
        name: given[name]
        for name, row in PARAMETERS.items()
        # A flag that is not set is the default of every server.
        if name in given and not row.is_words and given[name] is not False
    }
    values |= {name: encode_words(tokens) for name, tokens in words.items() if tokens}
    refuse(list(_problems(model, prompts, length, values, words.get("bad", ()))))
    longest = max(map(len, prompts))
    inputs: dict[str, list[Any]] = {
        "input_ids": [[*ids, *[0] * (longest - len(ids))] for ids in prompts],
        "input_lengths": [[len(ids)] for ids in prompts],
    }
    for name, value in values.items():
        one = value if PARAMETERS[name].is_words else [value]
        inputs[PARAMETERS[name].tensor.name] = [one] * len(prompts)
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
    ends = list(accumulate(map(len, words)))
    return [ids, ends + [-1] * (len(ids) - len(ends))]


def datatype(tensor: Array) -> str:
    """Return a tensor's data type in the inference protocol."""
    return next(name for name, dtype in DTYPES.items() if dtype == tensor.dtype)


def _problems(
    model: ModelDescription,
    prompts: Sequence[Tokens],
    length: int,
    values: Mapping[str, Any],
    bad: Sequence[Tokens],
) -> Iterator[str]:
    if len(prompts) > model.max_batch_size:
        yield f"a request may have {model.max_batch_size} prompts; got {len(prompts)}: send several"
    for number, prompt in enumerate(prompts, 1):
        if problem := model.limits.problem(len(prompt), length):
            yield f"prompt {number}: {problem}"
    for name, value in values.items():
        tensor = PARAMETERS[name].tensor.name
        if tensor not in model.inputs:
            yield f"{name}: the server's model {model.name!r} has no input {tensor}"
            continue
        most = _MOST.get(_dtype(model, tensor))
        if most is not None and isinstance(value, int) and value > most:
            yield (
                f"{name}: the server takes it as {model.inputs[tensor].dtype}, at most {most}; "
                f"got {value}"
            )
    # FasterTransformer's check for what it may forbid is `0 < token`.
    if any(word[-1] == 0 for word in bad):
        yield "bad: FasterTransformer cannot forbid a word that ends in token 0"


def _dtype(model: ModelDescription, tensor: str) -> np.dtype[Any]:
    declared = model.inputs[tensor].dtype
    if declared not in DTYPES:
        raise ClientError(
            f"Model {model.name!r} declares {tensor} as {declared}; known are {', '.join(DTYPES)}"
        )
    return DTYPES[declared]
