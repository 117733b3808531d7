"""Times Hugging Face's `generate` on command; needs only torch and transformers.

Arguments: the checkpoint's folder, threads. Each line on standard input is a JSON object with
`input_ids` (rows of equal length) and `tokens` to generate greedily; each line on standard output
has the seconds that it took and the generated ids.
"""

import json
import sys
import time


def main() -> None:
    """Answer until standard input ends."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    torch.set_num_threads(int(sys.argv[2]))
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], torch_dtype=torch.float32).eval()
    # No token ends a text, so that both sides generate as many; where the request's configuration
    # names none, greedy search falls back on the model's.
    model.generation_config.eos_token_id = None
    for line in sys.stdin:
        asked = json.loads(line)
        config = GenerationConfig(
            max_new_tokens=asked["tokens"], do_sample=False, eos_token_id=None, pad_token_id=0
        )
        input_ids = torch.tensor(asked["input_ids"])
        began = time.perf_counter()
        with torch.inference_mode():
            found = model.generate(
                input_ids, attention_mask=torch.ones_like(input_ids), generation_config=config
            )
        seconds = time.perf_counter() - began
        output_ids = found[:, input_ids.shape[1] :].tolist()
        print(json.dumps({"seconds": seconds, "output_ids": output_ids}), flush=True)


if __name__ == "__main__":
    main()
