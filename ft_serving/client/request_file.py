"""Reads requests from JSON files: prompts and parameters, or FasterTransformer's tensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ft_serving.client.errors import InvalidRequestError, refuse
from ft_serving.client.parameters import checked
from ft_serving.core.parameters import PARAMETERS, Parameters

_NAMES = {row.tensor.name: name for name, row in PARAMETERS.items()}

# The first two hold a prompt in token ids; this client sends those of the prompts' texts instead,
# as other clients of such files do. The third begins a text that has no prompt.
_REPLACED = ("input_ids", "input_lengths", "start_id")


def read_request(path: Path) -> tuple[list[str], Parameters]:
    """Return the prompts and the parameters in a file.

    The file holds an object with the fields of `Parameters`, and `prompt`: a text, a list of texts,
    or nothing. Or it is a `sample_request.json` of fastertransformer_backend or of CoreWeave's
    example: `{"request": [{"name": …, "data": …, "dtype": …}, …]}`, or only the list. Its data
    types are ignored, because the server says which it has; its `config` is, because options say
    where to ask.

    Raises:
        InvalidRequestError: The file cannot be read, or holds something else.
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
    """Return the parameters in a list of named tensors."""
    parameters: dict[str, Any] = {}
    problems = []
    for tensor in tensors if isinstance(tensors, list) else [tensors]:
        if not isinstance(tensor, Mapping) or not {"name", "data"} <= tensor.keys():
            problems.append(
                f'request: must be a list of {{"name": …, "data": …}}; got {str(tensor)[:80]}'
            )
            continue
        name, values = str(tensor["name"]), np.array(tensor["data"], object).ravel().tolist()
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
    refuse(problems)
    return parameters
