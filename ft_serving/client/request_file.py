"""Requests in files: prompts and parameters as JSON."""

import json
from pathlib import Path

from ft_serving.client.errors import RequestError
from ft_serving.client.parameters import Parameters, checked


def read_request(path: Path) -> tuple[list[str], Parameters]:
    """Read a request: an object with the fields of `Parameters`, and `prompt`.

    Args:
        path: The file. Its `prompt` is a text or a list of texts, and may be missing.

    Returns:
        The prompts, and the parameters.

    Raises:
        RequestError: It cannot be read, or holds something else.
    """
    try:
        request = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise RequestError(f"{path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise RequestError(f"{path}: is no JSON ({exc})") from exc
    if not isinstance(request, dict):
        raise RequestError(f'{path}: must be an object such as {{"prompt": "Once", "top_k": 10}}')
    prompts = request.pop("prompt", [])
    if isinstance(prompts, str):
        prompts = [prompts]
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise RequestError(f"{path}: prompt: must be a text or a list of texts; got {prompts!r}")
    try:
        return prompts, checked(request)
    except RequestError as exc:
        raise RequestError(f"{path}: {exc}") from exc
