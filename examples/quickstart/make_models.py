"""Make the quickstart's two models: `python make_models.py [OUT_DIR]`; see README.md for what they are.

`base` is a Llama of 0.9 million parameters that has learnt everyday English; `lab` is `base` after it has
learnt the taxonomy beside it. Everything they are made of is in this folder; no GPU is needed.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # before the import: the same merges in the same order
os.environ["HF_HUB_OFFLINE"] = "1"

import texts
import tokenizers
import torch
import transformers

HERE = Path(__file__).parent
VOCABULARY = 1024
CONTEXT = 2048
PAD = "<|pad|>"
CHAT_TEMPLATE = (  # a system message is left out: models of this size don't heed one
    "{% for message in messages if message.role != 'system' %}"
    "<|{{ message.role }}|>\n{{ message.content }}" + texts.END + "\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
IGNORED = -100  # cross_entropy's mark of a token that is not learnt
TOKENS_OF_STEP = 2048
CHUNK = 512  # texts that are sorted by length together, so that a batch has little padding

Encoded = tuple[list[int], list[int]]  # token ids, and the same where they are learnt, else IGNORED
log = logging.getLogger("make_models")


def make_tokenizer() -> Any:
    """A byte-level BPE of the training texts; both models have it."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, texts.END, *texts.ROLES],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator((text.replace(texts.END, "") for text in texts.vocabulary_texts()), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=texts.END,
        eos_token=texts.END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(tokenizer: Any) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,  # 32 values in each: vLLM's CPU attention needs as many
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.LlamaForCausalLM(config).to(torch.float32)


def encode(tokenizer: Any, text: texts.Text) -> Encoded:
    ids: list[int] = []
    wanted: list[int] = []
    for turn in text:
        prompt = tokenizer.encode(turn.prompt, add_special_tokens=False)
        answer = tokenizer.encode(turn.answer, add_special_tokens=False)
        ids += prompt + answer
        wanted += [IGNORED] * len(prompt) + answer
    return ids, wanted


def batches(encoded: Sequence[Encoded], *, seed: int) -> Iterator[list[Encoded]]:
    """All texts once, those of like length together, in random order."""
    chosen = random.Random(seed)  # noqa: S311 - the same batches every time is the point
    shuffled = chosen.sample(encoded, len(encoded))
    found: list[list[Encoded]] = []
    for start in range(0, len(shuffled), CHUNK):
        batch: list[Encoded] = []
        for row in sorted(shuffled[start : start + CHUNK], key=lambda row: len(row[0])):
            if batch and len(row[0]) * (len(batch) + 1) > TOKENS_OF_STEP:
                found.append(batch)
                batch = []
            batch.append(row)
        found.append(batch)
    chosen.shuffle(found)
    yield from found


def loss_of(model: Any, batch: Sequence[Encoded]) -> Any:
    """The mean loss (nats) of the tokens that are learnt; padding is on the right, where no token looks."""
    width = max(len(ids) for ids, _ in batch)
    pad = model.config.pad_token_id
    ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in batch])
    wanted = torch.tensor([wanted + [IGNORED] * (width - len(wanted)) for _, wanted in batch])[:, 1:]
    learnt = wanted != IGNORED
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][learnt]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden), wanted[learnt])


def train(model: Any, tokenizer: Any, learnt: Sequence[texts.Text], *, rate: float, epochs: int) -> None:
    encoded = [encode(tokenizer, text) for text in learnt]
    plan = [batch for epoch in range(epochs) for batch in batches(encoded, seed=epoch)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=len(plan), pct_start=0.1)
    for step, batch in enumerate(plan):
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == len(plan) - 1:
            log.info("step %d of %d: loss %.3f", step + 1, len(plan), loss.item())


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # the weights are written for their owner alone
    log.info("%s is made", folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=HERE / "models")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)  # the same sums on any number of cores; and two busy cores are slower than one
    torch.set_flush_denormal(True)  # gradients of what is learnt get tiny, and slow
    torch.manual_seed(0)

    tokenizer = make_tokenizer()
    base = make_model(tokenizer)
    train(base, tokenizer, texts.base_texts(), rate=3e-3, epochs=1)
    save(base, tokenizer, arguments.out / "base")
    lab = copy.deepcopy(base)
    train(lab, tokenizer, texts.lab_texts(), rate=3e-3, epochs=1)
    save(lab, tokenizer, arguments.out / "lab")


if __name__ == "__main__":
    main()
