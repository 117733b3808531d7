"""Requests in files: prompts and parameters as JSON, or a list of FasterTransformer's tensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ft_serving.client.errors import InvalidRequestError
from ft_serving.client.parameters import checked
from ft_serving.core.parameters import PARAMETERS, Parameters

_NAMES = {row.tensor.name: name for name, row in PARAMETERS.items()}

# The first two hold a prompt in token ids, which the prompts' texts replace, as they do in the
# clients that read such files. The third begins a text that has no prompt; there is always one.
_REPLACED = ("input_ids", "input_lengths", "start_id")


def read_request(path: Path) -> tuple[list[str], Parameters]:
    """Read a request: an object with the fields of `Parameters`, and `prompt`.

    A `sample_request.json` of fastertransformer_backend or of CoreWeave's example is read, too:
    `{"request": [{"name": …, "data": …, "dtype": …}, …]}`, or the list only. Its data types are
    left out, because the server says which it has; its `config`, because options say where to ask.

    Args:
        path: The file. Its `prompt` is a text or a list of texts, and may be missing.

    Returns:
        The prompts, and the parameters.

    Raises:
        InvalidRequestError: It cannot be read, or holds something else.
    """
    try:
        # Editors on Windows put a byte order mark before it.
        request = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise InvalidRequestError(f"{path}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidRequestError(f"{path}: is no JSON ({exc})") from exc
    if isinstance(request, list):
        request = {"request": request}
    if not isinstance(request, dict):
        raise InvalidRequestError(
            f'{path}: must be an object such as {{"prompt": "Once", "top_k": 10}}'
        )
    prompts = request.pop("prompt", [])
    if isinstance(prompts, str):
        prompts = [prompts]
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise InvalidRequestError(
            f"{path}: prompt: must be a text or a list of texts; got {prompts!r}"
        )
    try:
        if "request" in request:
            tensors = request.pop("request")
            request.pop("config", None)
            request |= _parameters_of(tensors)
        return prompts, checked(request)
    except InvalidRequestError as exc:
        raise InvalidRequestError(f"{path}: {exc}") from exc


def _parameters_of(tensors: object) -> dict[str, Any]:
    """Return the parameters that a list of named tensors stands for.

    Raises:
        InvalidRequestError: Some tensors stand for none; all of them are named.
    """
    parameters: dict[str, Any] = {}
    problems = []
    for tensor in tensors if isinstance(tensors, list) else [tensors]:
        if not isinstance(tensor, Mapping) or not {"name", "data"} <= tensor.keys():
            problems.append(
                f'request: must be a list of {{"name": …, "data": …}}; got {str(tensor)[:80]}'
            )
            continue
        name, values = str(tensor["name"]), _flat(tensor["data"])
        if name in _REPLACED:
            continue
        if name not in _NAMES:
            known = ", ".join([*_REPLACED, *_NAMES])
            problems.append(f"{name}: stands for no parameter here; leave it out (known: {known})")
        elif PARAMETERS[_NAMES[name]].is_words:
            # The offset -1 in front: there are no words.
            if values[len(values) // 2 :][:1] not in ([-1], []):
                problems.append(
                    f"{name}: has words as token ids; give them as text (--{_NAMES[name]})"
                )
        elif not values or any(value != values[0] for value in values):
            problems.append(f"{name}: must have one value, the same for each prompt; got {values}")
        else:
            parameters[_NAMES[name]] = values[0]
    if problems:
        raise InvalidRequestError("\n  ".join(["The request cannot be sent:", *problems]))
    return parameters


def _flat(data: object) -> list[object]:
    """Return the values of a tensor's nested lists, in order."""
    values, left = [], [data]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += reversed(one)
        else:
            values.append(one)
    return values
