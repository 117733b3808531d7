"""Models for tests: a scripted one, and blocks of the numpy one; and requests to them."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ft_serving.core.arrays import FloatArray, IndexArray, TokenArray
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.parameters import ROW_PARAMETERS, RowParameters
from ft_serving.server.engine.numpy_block import NumpyBatch, NumpyBlock
from ft_serving.server.engine.numpy_model import Load, NumpyModel
from ft_serving.server.requests.plan import RowPlan
from ft_serving.server.requests.request import GenerationRequest
from ft_serving.server.requests.words import Word

Script = Callable[[tuple[int, ...]], Sequence[float]]
"""The logits that follow a text."""

END = 9
"""The end id of scripted models."""


class ScriptedBlock(NumpyBlock):
    """Stands for a block; a prompt has a piece a token."""

    def __init__(self, model: "ScriptedModel", rows: int) -> None:
        self.rows = rows
        self.texts: list[tuple[int, ...]] = [()] * rows
        self._model = model

    def prefill(self, row: int, prompt: TokenArray) -> Iterator[None]:
        self.texts[row] = tuple(prompt.tolist())
        for _ in prompt:
            self._model.now += 1
            yield

    def select(self, rows: IndexArray) -> None:
        self.texts = [self.texts[row] for row in rows]
        self.rows = len(rows)

    def logits(self) -> FloatArray:
        return self._model.logits(self.texts)


class ScriptedBatch(NumpyBatch):
    """Stands for a batch."""

    def __init__(self, model: "ScriptedModel", blocks: Sequence[NumpyBlock]) -> None:
        self._model = model
        self._blocks = cast("Sequence[ScriptedBlock]", blocks)

    def step(self, tokens: TokenArray) -> FloatArray:
        self._model.now += 1
        left = iter(tokens.tolist())
        for block in self._blocks:
            block.texts = [(*text, next(left)) for text in block.texts]
        return self._model.logits([text for block in self._blocks for text in block.texts])


class ScriptedModel(NumpyModel):
    """Stands for a model; its logits are a function of the text.

    Attributes:
        computed: The texts of all rows, for each step.
        now: A clock that ticks once a piece and once a step.
        memory: Tokens that all rows together may grow to.
    """

    def __init__(self, script: Script, vocabulary: int = 10, memory: int = 1_000_000) -> None:
        self.memory = memory
        self.script = script
        self.computed: list[list[tuple[int, ...]]] = []
        self.now = 0.0
        self.architecture = Architecture(
            heads=1,
            head_size=2,
            inner=1,
            layers=1,
            vocabulary=vocabulary,
            rotary=2,
            start_id=0,
            end_id=min(END, vocabulary - 1),
            context=2048,
        )

    def free_bytes(self) -> int:
        return self.memory

    def needed_bytes(self, load: Load) -> int:
        return load.tokens

    def new_block(self, rows: int, capacity: int) -> ScriptedBlock:
        return ScriptedBlock(self, rows)

    def new_batch(self, blocks: Sequence[NumpyBlock]) -> ScriptedBatch:
        return ScriptedBatch(self, blocks)

    def logits(self, texts: Sequence[tuple[int, ...]]) -> FloatArray:
        self.computed.append(list(texts))
        return np.array([self.script(text) for text in texts], np.float32)


def row_plan(
    *, padded_length: int = 1, bad_words: tuple[Word, ...] = (), **parameters: object
) -> RowPlan:
    """A row's parameters: FasterTransformer's defaults but for those given."""
    defaults = {name: row.default for name, row in ROW_PARAMETERS.items()}
    values = {**defaults, "output_length": 1, "end_id": END, **parameters}
    return RowPlan(
        prompt=np.array([1], np.uint32),
        padded_length=padded_length,
        parameters=cast("RowParameters", values),
        bad_words=bad_words,
        stop_words=(),
    )


def peak(token: int, vocabulary: int = 10) -> list[float]:
    """Logits whose largest is `token`'s: 1 among zeros."""
    return [float(place == token) for place in range(vocabulary)]


def count_up(text: tuple[int, ...]) -> list[float]:
    """Continues 3 by 4, 4 by 5 and so on, 9 by 0."""
    return peak((text[-1] + 1) % 10)


def always(logits: Sequence[float]) -> Script:
    """The same logits everywhere."""
    return lambda _: logits


def request(
    prompts: Sequence[Sequence[int]], output_len: int | Sequence[int], **parameters: object
) -> GenerationRequest:
    """A request with right-padded prompts; parameters become arrays.

    Floats become fp32, booleans bool, seeds uint64 and other integers int32.
    """
    longest = max(len(prompt) for prompt in prompts)
    ids = [[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts]
    lengths = np.broadcast_to(np.array(output_len, np.uint32), len(prompts))
    return {
        "input_ids": np.array(ids, np.uint32).reshape(len(prompts), longest),
        "input_lengths": np.array([len(prompt) for prompt in prompts], np.uint32),
        "request_output_len": lengths,
        **{name: _array(name, value) for name, value in parameters.items()},
    }


def _array(name: str, value: object) -> NDArray[np.generic]:
    if isinstance(value, np.ndarray):
        return value
    array = np.atleast_1d(np.array(value))
    if name == "random_seed":
        return array.astype(np.uint64)
    return array.astype({"f": np.float32, "b": np.bool_}.get(array.dtype.kind, np.int32))


def prefilled(
    model: NumpyModel, prompts: Sequence[TokenArray], capacity: int, rows: int | None = None
) -> NumpyBlock:
    """A block with the prompts in its first rows; as many rows, unless said."""
    block = model.new_block(rows or len(prompts), capacity)
    for row, prompt in enumerate(prompts):
        for _ in block.prefill(row, prompt):
            pass
    return block


def logits_of(model: NumpyModel, text: TokenArray, prompt: int) -> FloatArray:
    """Logits behind the prompt and behind each further token."""
    block = prefilled(model, [text[:prompt]], len(text))
    rows, batch = [block.logits()], model.new_batch([block])
    rows += [batch.step(text[place : place + 1]) for place in range(prompt, len(text))]
    return np.concatenate(rows)
