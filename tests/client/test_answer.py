"""Completions that are cut out of output tensors."""

import numpy as np
import pytest

from ft_serving.client.answer import Answer, Completion, Ending, Finish, completions
from ft_serving.client.errors import ClientError

END = 1
STOP = ((21, 22), (50,))
PADDING = [END] * 7
ENDING = Ending(output_length=4, end_id=END, stop_words=())


def answer(rows: list[list[list[int]]], lengths: list[list[int]]) -> Answer:
    return {"output_ids": np.array(rows, np.uint32), "sequence_length": np.array(lengths, np.int32)}


def only(row: list[int], length: int, prompt: int, end_id: int | None = END) -> Completion:
    ending = Ending(output_length=4, end_id=end_id, stop_words=STOP)
    [[completion]] = completions(answer([[row]], [[length]]), [prompt], ending)
    return completion


@pytest.mark.parametrize(
    ("row", "length", "prompt", "end_id", "ids", "finish", "ended"),
    [
        ([7, 8, 20, 21, 22, 23], 6, 2, END, (20, 21, 22, 23), Finish.LENGTH, True),
        # Behind the sequence length there is padding, which shows whether a text has ended.
        ([7, 8, 20, 1, 1, 1], 4, 2, END, (20, 1), Finish.END, True),
        ([7, 20, 9, 9, 9], 3, 1, END, (20, 9), Finish.END, True),
        ([7, 20, 21, 1, 1], 3, 1, END, (20, 21), Finish.END, False),
        ([7, 1, 1, 1, 1], 1, 1, END, (), Finish.END, False),
        # The end token as the last token asked for; whoever does not know it cannot tell.
        ([7, 20, 21, 22, 1], 5, 1, END, (20, 21, 22, 1), Finish.END, True),
        ([7, 20, 21, 22, 1], 5, 1, None, (20, 21, 22, 1), Finish.LENGTH, True),
        ([7, 20, 9, 9, 9], 3, 1, None, (20, 9), Finish.END, True),
        ([7, 20, 21, 9, 9], 3, 1, None, (20, 21), Finish.END, False),
        # A text is cut behind its first end token; one in the prompt ends nothing.
        ([7, 20, 1, 5, 6], 5, 1, END, (20, 1), Finish.END, True),
        ([1, 7, 20, 21, 22, 23], 6, 2, END, (20, 21, 22, 23), Finish.LENGTH, True),
        # A stop word stays, also as the last token asked for.
        ([7, 20, 21, 22, 1], 4, 1, END, (20, 21, 22), Finish.STOP, True),
        ([7, 20, 21, 21, 22], 5, 1, END, (20, 21, 21, 22), Finish.STOP, True),
        # NVIDIA's backend counts from the longest prompt of merged requests, here of 10 tokens.
        ([7, 8, 9, 20, 24, 22, 23, *PADDING], 14, 3, END, (20, 24, 22, 23), Finish.LENGTH, True),
        ([7, 8, 9, 20, 24, 22, 23, *PADDING], 14, 3, None, (20, 24, 22, 23), Finish.LENGTH, True),
        ([7, 8, 9, 20, 24, *PADDING, 1, 1], 13, 3, END, (20, 24, 1), Finish.END, True),
    ],
)
def test_a_text_is_cut_out_of_its_row(
    row: list[int],
    length: int,
    prompt: int,
    end_id: int | None,
    ids: tuple[int, ...],
    finish: Finish,
    ended: bool,
) -> None:
    completion = only(row, length, prompt, end_id)
    assert (completion.output_ids, completion.finish, completion.ended) == (ids, finish, ended)


def test_prompts_of_a_batch_are_padded_and_beams_keep_their_order() -> None:
    # Prompts of 3 and 1 tokens; sequence_length counts from the longer one.
    rows = [[[7, 8, 9, 20, 23], [7, 8, 9, 30, 1]], [[7, 31, 32, 1, 1], [7, 33, 1, 1, 1]]]
    got = completions(
        answer(rows, [[5, 5], [5, 4]]), [3, 1], Ending(output_length=2, end_id=END, stop_words=())
    )
    assert [[beam.output_ids for beam in beams] for beams in got] == [
        [(20, 23), (30, 1)],
        [(31, 32), (33,)],
    ]


def test_log_probabilities_are_cut_with_their_tokens() -> None:
    tensors = {
        "output_ids": np.array([[[7, 20, 21, 1, 1]]], np.uint32),
        "sequence_length": np.array([[4]], np.int32),
        "cum_log_probs": np.array([[-1.5]], np.float32),
        "output_log_probs": np.array([[[-0.5, -0.25, -0.75, 1e30]]], np.float32),
    }
    [[completion]] = completions(tensors, [1], ENDING)
    assert completion.cum_log_prob == -1.5
    assert completion.log_probs == (-0.5, -0.25, -0.75)
    assert completion.without(END).log_probs == (-0.5, -0.25)


@pytest.mark.parametrize(
    ("rows", "lengths", "prompts"),
    [
        ([[[7, 20]]], [[3]], [1]),
        ([[[7, 20]]], [[0]], [1]),
        ([[[7, 20]]], [[2]], [1, 1]),
        ([[[7, 20]], [[7, 20]]], [[2], [2]], [1]),
    ],
)
def test_an_answer_that_contradicts_itself_or_the_question_is_refused(
    rows: list[list[list[int]]], lengths: list[list[int]], prompts: list[int]
) -> None:
    with pytest.raises(ClientError, match="server's answer has"):
        completions(answer(rows, lengths), prompts, ENDING)


@pytest.mark.parametrize(
    "shapes",
    [
        {"output_ids": (1, 1, 4)},
        {"sequence_length": (1, 1)},
        {"output_ids": (1, 4), "sequence_length": (1, 1)},
        {"output_ids": (1, 1, 4), "sequence_length": (1,)},
        {"output_ids": (1, 1, 4), "sequence_length": (1, 1), "cum_log_probs": (1,)},
        {"output_ids": (1, 1, 4), "sequence_length": (1, 1), "output_log_probs": (2, 1, 3)},
    ],
)
def test_tensors_that_do_not_fit_together_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ClientError, match="not FasterTransformer's"):
        completions({name: np.zeros(shape) for name, shape in shapes.items()}, [1], ENDING)
