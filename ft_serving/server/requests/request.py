"""What a request asks for and what it gets: FasterTransformer's tensors, by their names."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ft_serving.server.arrays import AnyArray, FloatArray, TokenArray


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """The input tensors of FasterTransformer's GPT-J backend; B rows, prompts padded to S.

    Where the text says "a row", a tensor has one value, for all rows, or B; [B, 1] is read as
    [B]. Nothing is checked here: `plan_request` does that.

    Attributes:
        input_ids: [B, S], padded on the right. With S = 0 texts start from `start_id`, which
            they then do not contain.
        input_lengths: [B], the prompts' tokens without padding.
        request_output_len: Tokens to generate, a row.
        start_id: A row; the model's by default.
        end_id: Token that ends a text, a row; the model's by default.
        runtime_top_k: Draw from so many of the likeliest tokens, a row; 0 means no such limit.
            1024 at most: more is taken for 1024.
        runtime_top_p: Draw from the likeliest tokens of so much probability together, a row;
            within the top k where both are given. Clipped to 0..1. Neither: greedy.
        temperature: Divides the logits, a row; 0 is as good as greedy.
        repetition_penalty: Factor against tokens that the text has, a row; 1 is none.
        presence_penalty: Subtracted from the logits of tokens that the text has, a row. Not
            together with `repetition_penalty`.
        min_length: Tokens before which `end_id` is forbidden, a row.
        random_seed: Seed of a row's draws. One for all rows, like none at all (0), means that
            rows with the same prompt get the same text.
        beam_width: 1 samples, 2 to 64 searches with so many beams; the first value counts.
        len_penalty: Beam search divides scores by length to this power.
        beam_search_diversity_rate: Beam search adds this times a candidate's rank to its score.
        top_p_decay: Factor for `runtime_top_p` after each token, a row; for rows without top k.
            1 where outside 0..1.
        top_p_min: Least value that the decay leads to, a row; 0.5 where outside 0..1.
        top_p_reset_ids: Token that puts `runtime_top_p` back to its first value, a row.
        is_return_log_probs: Whether to return log probabilities; the first value counts.
        bad_words_list: [B, 2, n], or [2, n] for all rows; see `ft_serving.server.requests.words`.
        stop_words_list: Likewise.
        prompt_learning_task_name_ids: Refused: no model here has learned prompts.
    """

    input_ids: AnyArray
    input_lengths: AnyArray
    request_output_len: AnyArray
    start_id: AnyArray | None = None
    end_id: AnyArray | None = None
    runtime_top_k: AnyArray | None = None
    runtime_top_p: AnyArray | None = None
    temperature: AnyArray | None = None
    repetition_penalty: AnyArray | None = None
    presence_penalty: AnyArray | None = None
    min_length: AnyArray | None = None
    random_seed: AnyArray | None = None
    beam_width: AnyArray | None = None
    len_penalty: AnyArray | None = None
    beam_search_diversity_rate: AnyArray | None = None
    top_p_decay: AnyArray | None = None
    top_p_min: AnyArray | None = None
    top_p_reset_ids: AnyArray | None = None
    is_return_log_probs: AnyArray | None = None
    bad_words_list: AnyArray | None = None
    stop_words_list: AnyArray | None = None
    prompt_learning_task_name_ids: AnyArray | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationResult:
    """The output tensors; B rows, K beams, best first, N the largest `request_output_len`.

    Attributes:
        output_ids: [B, K, S + N], each the prompt without padding, the generated tokens right
            behind it, and `end_id` up to the end.
        sequence_length: [B, K], S plus the generated tokens, the one that ended the text
            included. For a prompt shorter than S that is more than the text has.
        cum_log_probs: [B, K], the sum of the generated tokens' log probabilities under the whole
            vocabulary, after temperature and penalties. None unless asked for.
        output_log_probs: [B, K, N], of each generated token, zero behind the last; None unless
            asked for. In top-k sampling a token's share of the top k: zero throughout for
            greedy texts.
        is_final: Whether generation has ended; a cancelled request's result is not final.
    """

    output_ids: TokenArray
    sequence_length: npt.NDArray[np.uint32]
    cum_log_probs: FloatArray | None
    output_log_probs: FloatArray | None
    is_final: bool
