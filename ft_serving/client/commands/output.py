"""How generated text is printed: for people, or as JSON for programs."""

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft_serving.client import Chunk, Completion, Generation


class Output:
    """Prints generations; the clock runs from when it is made.

    For people a line `Output: PROMPT AND TEXT` a prompt. As JSON one object on a line for all of
    them; in a stream before it one for each piece.
    """

    def __init__(self, *, as_json: bool, ready_s: float) -> None:
        """Begin; `ready_s` are the seconds that it took until the model was ready."""
        self._as_json = as_json
        self._begin = time.perf_counter()
        self._seconds = {"ready": round(ready_s, 6)}

    def whole(self, generations: "list[Generation]") -> None:
        """Print all that was generated."""
        if self._as_json:
            _write(_line(self._document(generations)))
            return
        for generation in generations:
            _write(f"Output: {generation.prompt}{generation.text}\n")

    def chunk(self, prompt: str, chunk: "Chunk") -> None:
        """Print the next piece of what is generated behind `prompt`."""
        is_first = "first_token" not in self._seconds
        if is_first:
            self._seconds["first_token"] = self._elapsed()
        if not self._as_json:
            _write((f"Output: {prompt}" if is_first else "") + chunk.text)
            _write("\n" if chunk.generation else "")
        elif chunk.generation is None:
            _write(_line({"text": chunk.text, "output_ids": chunk.output_ids}))
        else:
            _write(_line(self._document([chunk.generation])))

    def _document(self, generations: "list[Generation]") -> dict[str, Any]:
        return {
            "results": [_result(generation) for generation in generations],
            "seconds": {**self._seconds, "generation": self._elapsed()},
        }

    def _elapsed(self) -> float:
        return round(time.perf_counter() - self._begin, 6)


def _result(generation: "Generation") -> dict[str, Any]:
    return {
        "prompt": generation.prompt,
        "prompt_ids": generation.prompt_ids,
        "prompt_length": len(generation.prompt_ids),
        "completions": [
            _completion(text, completion)
            for text, completion in zip(generation.texts, generation.completions, strict=True)
        ],
    }


def _completion(text: str, completion: "Completion") -> dict[str, Any]:
    done: dict[str, Any] = {
        "text": text,
        "finish": completion.finish,
        "output_ids": completion.output_ids,
        "output_length": len(completion.output_ids),
    }
    if completion.cum_log_prob is not None:
        done["cum_log_prob"] = _finite(completion.cum_log_prob)
    if completion.log_probs is not None:
        done["log_probs"] = [_finite(value) for value in completion.log_probs]
    return done


def _finite(value: float) -> float | None:
    # JSON has no infinity.
    return value if math.isfinite(value) else None


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value) + "\n"


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
