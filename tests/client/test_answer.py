"""What is cut out of the output tensors."""

import numpy as np
import pytest

from ft_serving.client.answer import Answer, Ending, Finish, completions
from ft_serving.client.errors import ClientError

END = 1


def ending(
    length: int = 4, *, end_id: int | None = END, stop: tuple[tuple[int, ...], ...] = ()
) -> Ending:
    return Ending(output_length=length, end_id=end_id, stop_words=stop)


def answer(rows: list[list[list[int]]], lengths: list[list[int]]) -> Answer:
    return Answer.from_tensors(
        {
            "output_ids": np.array(rows, np.uint32),
            "sequence_length": np.array(lengths, np.int32),
        }
    )


def only(rows: list[int], length: int, prompt: int, end: Ending) -> tuple[tuple[int, ...], Finish]:
    [[completion]] = completions(answer([[rows]], [[length]]), [prompt], end)
    return completion.output_ids, completion.finish


def test_a_text_that_is_as_long_as_asked_ends_by_its_length() -> None:
    assert only([7, 8, 20, 21, 22, 23], 6, 2, ending()) == ((20, 21, 22, 23), Finish.LENGTH)


def test_what_lies_behind_the_sequence_length_is_cut_off() -> None:
    assert only([7, 8, 20, 1, 1, 1], 4, 2, ending()) == ((20, 1), Finish.END)


def test_a_text_that_ends_with_the_last_token_asked_for_has_ended() -> None:
    assert only([7, 20, 21, 22, 1], 5, 1, ending()) == ((20, 21, 22, 1), Finish.END)
    unknown = only([7, 20, 21, 22, 1], 5, 1, ending(end_id=None))
    assert unknown[1] is Finish.LENGTH, "whoever does not know the end token cannot tell"


def test_a_shorter_text_has_ended_even_if_the_end_token_is_unknown() -> None:
    assert only([7, 20, 9, 9, 9], 3, 1, ending(end_id=None)) == ((20, 9), Finish.END)


def test_a_text_is_cut_behind_its_first_end_token() -> None:
    assert only([7, 20, 1, 5, 6], 5, 1, ending()) == ((20, 1), Finish.END)


def test_an_end_token_in_the_prompt_ends_nothing() -> None:
    assert only([1, 7, 20, 21, 22, 23], 6, 2, ending()) == ((20, 21, 22, 23), Finish.LENGTH)


def test_a_stop_word_stays_and_is_the_reason() -> None:
    stop = ((21, 22), (50,))
    assert only([7, 20, 21, 22, 1], 4, 1, ending(stop=stop)) == ((20, 21, 22), Finish.STOP)
    whole = only([7, 20, 21, 21, 22], 5, 1, ending(stop=stop))
    assert whole == ((20, 21, 21, 22), Finish.STOP), "even where it is the last token asked for"


def test_a_padded_prompt_does_not_count_its_padding_as_text() -> None:
    # Two prompts of 3 and 1 tokens: sequence_length is the longer prompt's plus what came.
    got = completions(
        answer([[[7, 8, 9, 20, 21, 1, 1]], [[7, 30, 31, 32, 1, 1, 1]]], [[5], [6]]),
        [3, 1],
        ending(),
    )
    assert [row[0].output_ids for row in got] == [(20, 21), (30, 31, 32)]


@pytest.mark.parametrize(
    ("row", "length", "end_id", "ended"),
    [
        ([7, 20, 21, 22, 23], 5, END, True),
        ([7, 20, END, END, END], 3, END, True),
        ([7, 20, 9, 9, 9], 3, END, True),
        ([7, 20, 30, END, END], 3, END, True),
        ([7, 20, 21, END, END], 3, END, False),
        ([7, 20, 21, 9, 9], 3, None, False),
        ([7, END, END, END, END], 1, END, False),
    ],
    ids=[
        *("as long as asked", "the end token", "the server's end token", "a stop word", "growing"),
        *("growing, with an unknown end token", "nothing yet"),
    ],
)
def test_a_text_has_ended_by_its_length_a_word_or_the_token_that_fills_its_row(
    row: list[int], length: int, end_id: int | None, ended: bool
) -> None:
    end = ending(end_id=end_id, stop=((30,),))
    [[completion]] = completions(answer([[row]], [[length]]), [1], end)
    assert completion.ended is ended


@pytest.mark.parametrize("end_id", [END, None])
def test_a_prompt_merged_with_another_requests_longer_one_has_the_tokens_it_asked_for(
    end_id: int | None,
) -> None:
    # NVIDIA's backend counts from the longest prompt of all, here of 10 tokens.
    row = [7, 8, 9, 20, 21, 22, 23, *[END] * 7]
    end = ending(end_id=end_id)
    assert only(row, 10 + 4, 3, end) == ((20, 21, 22, 23), Finish.LENGTH)


def test_a_merged_text_that_ended_early_is_cut_behind_its_end() -> None:
    row = [7, 8, 9, 20, 21, *[END] * 9]
    assert only(row, 10 + 3, 3, ending()) == ((20, 21, END), Finish.END)


def test_beams_keep_their_order() -> None:
    [beams] = completions(answer([[[7, 20, 21], [7, 30, 1]]], [[3, 3]]), [1], ending(2))
    assert [(beam.output_ids, beam.finish) for beam in beams] == [
        ((20, 21), Finish.LENGTH),
        ((30, 1), Finish.END),
    ]


def test_log_probabilities_are_cut_with_their_tokens() -> None:
    tensors = {
        "output_ids": np.array([[[7, 20, 21, 1, 1]]], np.uint32),
        "sequence_length": np.array([[4]], np.int32),
        "cum_log_probs": np.array([[-1.5]], np.float32),
        "output_log_probs": np.array([[[-0.5, -0.25, -0.75, 1e30]]], np.float32),
    }
    [[completion]] = completions(Answer.from_tensors(tensors), [1], ending())
    assert completion.cum_log_prob == -1.5
    assert completion.log_probs == (-0.5, -0.25, -0.75)


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
        completions(answer(rows, lengths), prompts, ending())


@pytest.mark.parametrize(
    "shapes",
    [
        {"output_ids": (1, 1, 4)},
        {"sequence_length": (1, 1)},
        {"output_ids": (1, 4), "sequence_length": (1, 1)},
        {"output_ids": (1, 1, 4), "sequence_length": (1,)},
        {"output_ids": (1, 2, 4), "sequence_length": (1, 1)},
        {"output_ids": (1, 1, 4), "sequence_length": (1, 1), "cum_log_probs": (1,)},
        {"output_ids": (1, 1, 4), "sequence_length": (1, 1), "output_log_probs": (2, 1, 3)},
    ],
)
def test_tensors_that_do_not_fit_together_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ClientError, match="not FasterTransformer's"):
        Answer.from_tensors({name: np.zeros(shape) for name, shape in shapes.items()})


def test_flat_values_get_their_dimensions_back() -> None:
    one = Answer.from_flat({"output_ids": [7, 20, 21], "sequence_length": 3})
    assert (one.output_ids.tolist(), one.sequence_length.tolist()) == ([[[7, 20, 21]]], [[3]])
    two = Answer.from_flat(
        {
            "output_ids": [7, 20, 7, 30],
            "sequence_length": [2, 2],
            "cum_log_probs": [-1.0, -2.0],
            "output_log_probs": [-1.0, -2.0],
        }
    )
    assert two.output_ids.tolist() == [[[7, 20], [7, 30]]]
    assert two.output_log_probs is not None
    assert two.output_log_probs.tolist() == [[[-1.0], [-2.0]]]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"output_ids": [1, 2, 3], "sequence_length": [2, 2]},
        {"output_ids": "text", "sequence_length": 2},
        {"output_ids": [1], "sequence_length": None},
    ],
)
def test_flat_values_of_another_kind_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ClientError, match="not FasterTransformer's"):
        Answer.from_flat(values)
