"""Train tiny-gptj: a GPT-J of a million parameters that knows nursery rhymes by heart.

    python -m venv venv && venv/bin/pip install --require-hashes -r requirements.txt
    venv/bin/python train.py --output DIR

It needs Python 3.10, for which the pinned torch has wheels, and takes about ten minutes. Every
random choice comes from one seed and it computes in one thread, so two runs on one kind of
processor write the same bytes; another kind may round the low bits otherwise. No automatic check
runs it: the trained files are in version control, and the tests read those.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from golden import write_golden
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import GPTJConfig, GPTJForCausalLM

if TYPE_CHECKING:
    from collections.abc import Iterator

RHYMES = Path(__file__).with_name("rhymes.txt")

# FasterTransformer pads with id 0 and cannot forbid it, so 0 is no token of the language.
PAD, END_OF_TEXT = "<|pad|>", "<|endoftext|>"
PAD_ID, END_OF_TEXT_ID = 0, 1
TOKENS = 1000
# More rows than tokens, as GPT-J has (50400 for 50257): no text holds the ids 1000..1023.
VOCABULARY = 1024

SEED = 20220621
CONTEXT = 160
BATCH = 16
STEPS = 1200
WARM_UP = 100
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.1
DROPOUT = 0.1


def read_rhymes() -> list[str]:
    """The training text: one string a rhyme, its lines joined by newlines."""
    return RHYMES.read_text(encoding="ascii").strip().split("\n\n")


def train_tokenizer(rhymes: list[str]) -> Tokenizer:
    """A byte-level BPE tokenizer, as GPT-2's and GPT-J's but with a vocabulary of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=[PAD, END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(rhymes, trainer)
    return tokenizer


def new_model() -> GPTJForCausalLM:
    """A GPT-J with random weights; four heads, so that 1, 2 and 4 GPUs can share them."""
    config = GPTJConfig(
        vocab_size=VOCABULARY,
        n_positions=512,
        n_embd=128,
        n_layer=4,
        n_head=4,
        rotary_dim=16,
        resid_pdrop=DROPOUT,
        embd_pdrop=DROPOUT,
        attn_pdrop=DROPOUT,
        bos_token_id=END_OF_TEXT_ID,
        eos_token_id=END_OF_TEXT_ID,
        pad_token_id=PAD_ID,
        architectures=["GPTJForCausalLM"],
        torch_dtype="float32",
    )
    return GPTJForCausalLM(config)


def batches(rhymes: list[str], tokenizer: Tokenizer) -> Iterator[torch.Tensor]:
    """Endless training batches, int64 [BATCH, CONTEXT].

    A row is shuffled rhymes, each followed by end-of-text, cut at CONTEXT. Half of the rows enter
    their first rhyme at a later line, so that a prompt may begin anywhere.
    """
    encoded = []
    for rhyme in rhymes:
        lines = rhyme.split("\n")
        tails = ["\n".join(lines[start:]) for start in range(len(lines))]
        encoded.append([[*tokenizer.encode(tail).ids, END_OF_TEXT_ID] for tail in tails])
    while True:
        rows = []
        for _ in range(BATCH):
            order = torch.randperm(len(encoded)).tolist()
            tails = encoded[order[0]]
            begin = 0 if torch.rand(()) < 0.5 else int(torch.randint(len(tails), ()))
            row = list(tails[begin])
            for index in order[1:]:
                if len(row) >= CONTEXT:
                    break
                row += encoded[index][0]
            rows.append(row[:CONTEXT])
        yield torch.tensor(rows)


def learning_rate(step: int, steps: int) -> float:
    """The factor on LEARNING_RATE: a linear warm-up, then half a cosine down to zero."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))


def train(model: GPTJForCausalLM, data: Iterator[torch.Tensor], steps: int) -> None:
    """AdamW on the next token's cross-entropy; only matrices are decayed."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    model.train()
    started = time.monotonic()
    for step in range(1, steps + 1):
        ids = next(data)
        logits = model(ids).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step == 1 or step % 50 == 0 or step == steps:
            seconds = time.monotonic() - started
            print(f"step {step}/{steps}  loss {loss.item():.4f}  {seconds:.0f} s", flush=True)
    model.eval()


@torch.inference_mode()
def report(model: GPTJForCausalLM, tokenizer: Tokenizer, rhymes: list[str]) -> None:
    """Print what was learnt: the loss after a rhyme's first token, and the rhymes known by heart.

    A rhyme is known by heart if its first line, as a prompt, greedily brings the others and
    end-of-text. A rhyme of one line has none to bring and is not counted.
    """
    losses, asked, known = [], 0, 0
    for rhyme in rhymes:
        ids = torch.tensor([*tokenizer.encode(rhyme).ids, END_OF_TEXT_ID])
        logits = model(ids[None]).logits[0]
        losses.append(cross_entropy(logits[:-1], ids[1:], reduction="none"))
        first_line, newline, _ = rhyme.partition("\n")
        if newline:
            asked += 1
            prompt = len(tokenizer.encode(first_line).ids)
            known += torch.equal(logits[prompt - 1 : -1].argmax(-1), ids[prompt:])
    print(f"loss on the training text: {torch.cat(losses).mean().item():.4f} nats a token")
    print(f"rhymes known by heart: {known} of {asked}")


def save(model: GPTJForCausalLM, tokenizer: Tokenizer, output: Path) -> None:
    """Write the weights, configuration and tokenizer in the Hugging Face layout."""
    model.config.save_pretrained(output)
    # Parameters only: the causal masks that this transformers keeps as buffers are no weights.
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    checkpoint = safetensors.torch.save(weights, metadata={"format": "pt"})
    (output / "model.safetensors").write_bytes(checkpoint)
    tokenizer.save(str(output / "tokenizer.json"))
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.config.n_positions,
    }
    text = json.dumps(tokenizer_config, indent=2) + "\n"
    (output / "tokenizer_config.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Train, report, and write the model's files and golden.json."""
    parser = argparse.ArgumentParser(description="Train tiny-gptj on rhymes.txt.")
    parser.add_argument("--output", type=Path, required=True, help="folder for the files")
    parser.add_argument("--steps", type=int, default=STEPS, help="default: %(default)s")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    # Several threads would make the sums depend on how many cores there are.
    torch.set_num_threads(1)

    rhymes = read_rhymes()
    tokenizer = train_tokenizer(rhymes)
    model = new_model()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(rhymes)} rhymes, {parameters} parameters", flush=True)
    train(model, batches(rhymes, tokenizer), arguments.steps)
    report(model, tokenizer, rhymes)
    save(model, tokenizer, arguments.output)
    write_golden(model, tokenizer, arguments.output / "golden.json")


if __name__ == "__main__":
    main()
