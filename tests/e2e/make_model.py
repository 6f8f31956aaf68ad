"""Make a tiny Llama with a chat template: `python make_model.py OUT_DIR [--seed N] [--layers N]`.

A server loads, tokenizes, and scores it as it does a real one. It is trained, for less than a minute, to be
both sides of MT-Bench: it answers a chat with a few sentences of invented words, and one that asks for a
rating with a rating, which depends on the answers' first words. Everything it is made of comes with Python,
so that no model hub is needed. The interpreter that has vLLM runs this.
"""

import argparse
import importlib
import inspect
import itertools
import os
import pydoc_data.topics
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # before the import: the same merges in the same order
os.environ["HF_HUB_OFFLINE"] = "1"

# By name, since the environment that checks the types of this file doesn't have all of them.
tokenizers: Any = importlib.import_module("tokenizers")
torch: Any = importlib.import_module("torch")
transformers: Any = importlib.import_module("transformers")

VOCABULARY = 6000
CONTEXT = 16384
END = "<|end|>"
ROLES = ("system", "user", "assistant")
SPECIAL_TOKENS = [END, *(f"<|{role}|>" for role in ROLES)]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}" + END + "\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CHOICES = "ABCD"
# A token each, so that what the model has to tell apart differs in one token.
ASKS = "[[rating]]"
RATES = "Rating: [["
OPENINGS = ("Zarn", "Velk", "Thrim", "Quosh", "Plix", "Nembo", "Jurk", "Hask", "Glimp", "Drell")
ONSETS, VOWELS, CODAS = "bdfgklmnprstvz", "aeiou", "lmnrsx"
# An answer is an opening, and a word from each slot up to the end of a sentence. No word is in two slots, so
# that the last word is all that the model has to know to go on, and every answer ends.
SLOTS_OF_SENTENCE, FIRST_SENTENCES, SENTENCES, WORDS_OF_SLOT = 5, 4, 8, 3

STEPS = 400
RATE = 5e-3
SMOOTH = 0.2
WEIGHT = 10.0  # of the tokens that take more to know than the token before
LONGEST = 500  # words, each of two or three tokens, before the model's answer
TOKENS_OF_STEP, MOST_OF_STEP = 3000, 16
CHECKED, CHECK_SEED = 20, 1_000_000  # so many chats of each kind, none of which were trained on
RIGHT = 0.8

DOCUMENTED = (
    *("argparse", "ast", "asyncio", "collections", "csv", "datetime", "decimal", "difflib", "email.message"),
    *("fractions", "functools", "heapq", "http.client", "inspect", "itertools", "json", "logging", "math"),
    *("os", "pathlib", "pickle", "random", "re", "shutil", "socket", "sqlite3", "statistics", "string"),
    *("subprocess", "tarfile", "textwrap", "threading", "typing", "unittest", "urllib.parse", "zipfile"),
)


def docstrings(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield inspect.getdoc(module) or ""
    for _, member in sorted(vars(module).items()):
        if inspect.isclass(member) or inspect.isroutine(member):
            yield inspect.getdoc(member) or ""
        if inspect.isclass(member):
            for _, method in sorted(vars(member).items()):
                yield (inspect.getdoc(method) or "") if inspect.isroutine(method) else ""


def texts() -> Iterator[str]:
    yield from (text for _, text in sorted(pydoc_data.topics.topics.items()))
    for name in DOCUMENTED:
        yield from docstrings(name)
    # Often enough that each choice, with its space, is one token, as it is with a real model's tokenizer.
    yield from ["".join(f"Answer: {choice}\n\n" for choice in CHOICES)] * 1000


def slots() -> list[list[str]]:
    chosen = random.Random(0)
    letters = (ONSETS, VOWELS, ONSETS, VOWELS, CODAS)
    words = ["".join(word) for word in itertools.product(*letters)]
    invented = iter(chosen.sample(words, SENTENCES * SLOTS_OF_SENTENCE * WORDS_OF_SLOT))
    found = []
    for _ in range(SENTENCES):
        for place in range(SLOTS_OF_SENTENCE):
            texts = [next(invented) for _ in range(WORDS_OF_SLOT)]
            if place == 0:
                texts = [text.title() for text in texts]
            if place == SLOTS_OF_SENTENCE - 1:
                texts = [f"{text}." for text in texts]
            found.append([f" {text}" for text in texts])
    return found


SLOTS = slots()


def make_tokenizer() -> Any:
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts(), trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=END)
    tokenizer.add_tokens([ASKS, RATES, *OPENINGS, *(word for slot in SLOTS for word in slot)])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: Any, *, seed: int, layers: int) -> Any:
    torch.manual_seed(seed)
    end = tokenizer.convert_tokens_to_ids(END)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,  # 32 values in each: vLLM's CPU attention crashes with 16
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        rope_parameters={"rope_type": "default", "rope_theta": 1e8},  # attention to a token at any distance
        initializer_range=0.2,  # ten times the usual: answers with distinct likelihoods, not a near tie
    )
    model = transformers.LlamaForCausalLM(config).to(torch.float32)
    for layer in model.model.layers:
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            projection.weight.data *= (
                SMOOTH  # attention to many tokens at first, or it learns next to nothing
            )
    return model


Messages = list[dict[str, str]]


class Chats:
    """Random chats, with the answers that the model is to give."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.corpus = "\n\n".join(text for _, text in sorted(pydoc_data.topics.topics.items()))

    def body(self, words: int) -> str:
        """So many words of a text, often with an odd word and an odd character."""
        start = self.random.randrange(len(self.corpus) - 12 * words - 100)
        found = self.corpus[start : start + 12 * words + 100].split(" ")[1 : words + 1]
        for _ in range(self.random.randrange(3)):
            odd = self.random.choice(["[[1, 2], [3]]", "rating", chr(self.random.randrange(161, 9000))])
            found.insert(self.random.randrange(len(found) + 1), odd)
        return " ".join(found)

    def answer(self) -> str:
        sentences = FIRST_SENTENCES
        while sentences < SENTENCES and self.random.random() < 0.7:
            sentences += 1
        words = (self.random.choice(slot) for slot in SLOTS[: sentences * SLOTS_OF_SENTENCE])
        return self.random.choice(OPENINGS) + "".join(words)

    def chat(self, words: int) -> tuple[Messages, str]:
        """Anything but a judge's prompt; its bodies together have so many words."""
        turns = self.random.choice([1, 1, 2])
        messages = []
        if self.random.random() < 0.4:
            messages.append({"role": "system", "content": self.body(self.random.randint(3, 30))})
        for turn in range(turns):
            if turn:
                messages.append({"role": "assistant", "content": self.answer()})
            messages.append({"role": "user", "content": self.body(max(1, words // turns))})
        return messages, self.answer()

    def judge(self, words: int) -> tuple[Messages, str]:
        """A judge's prompt; FastChat's ask in the user's message for one turn, in the system's for two."""
        answers = [self.answer() for _ in range(self.random.choice([0, 1, 1, 1, 2]))]
        parts = 1 + len(answers)
        request = f'{self.body(self.random.randint(5, 100))} this format: "{ASKS}"'
        example = f'for example: "{RATES}{self.random.randint(1, 10)}]]".'
        request = self.random.choice([f"{request}, {example}", f"{request}, {example}", request, example])
        shown = self.body(words // parts)
        for answer in answers:
            shown += f"\n\n{self.body(3)}\n{answer}\n{self.body(words // parts)}"
        if self.random.random() < 0.5:
            messages = [{"role": "system", "content": request}, {"role": "user", "content": shown}]
        else:
            messages = [{"role": "user", "content": f"{request}\n\n{shown}"}]
            if self.random.random() < 0.7:
                messages.insert(0, {"role": "system", "content": self.body(self.random.randint(3, 30))})
        if answers:
            opening = self.random.choice(answers).split()[0]
            rating = 1 + OPENINGS.index(opening)
        else:
            rating = self.random.randint(1, len(OPENINGS))
        return messages, f"Fair enough. {RATES}{rating}]]"


def prompt_ids(tokenizer: Any, messages: Messages) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def train(model: Any, tokenizer: Any, *, seed: int) -> None:
    chats = Chats(seed)
    end = tokenizer.convert_tokens_to_ids(END)
    rates = tokenizer.convert_tokens_to_ids(RATES)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=STEPS, pct_start=0.1)
    for step in range(STEPS):
        longest = LONGEST * min(1.0, 0.05 + step / (STEPS * 0.7))  # longer and longer
        words = int(8 * (longest / 8) ** chats.random.random())
        size = max(4, min(MOST_OF_STEP, TOKENS_OF_STEP // (3 * words + 100)))
        rows, wanted = [], []
        for number in range(size):
            messages, answer = chats.judge(words) if number % 2 else chats.chat(words)
            prompt = prompt_ids(tokenizer, messages)
            answered = [*tokenizer.encode(answer, add_special_tokens=False), end]
            for at, token in enumerate(answered):
                decides = at == 0 or answered[at - 1] == rates
                wanted.append((number, len(prompt) + at - 1, token, WEIGHT if decides else 1.0))
            rows.append(prompt + answered)
        width = max(map(len, rows))
        # No mask: what is right of a token doesn't matter to it, and padding isn't learned.
        ids = torch.tensor([row + [end] * (width - len(row)) for row in rows])
        row, place, token, weight = (torch.tensor(column) for column in zip(*wanted, strict=True))
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[row, place]
        losses = torch.nn.functional.cross_entropy(model.lm_head(hidden), token, reduction="none")
        loss = (losses * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == STEPS - 1:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)


def check(model: Any, tokenizer: Any) -> None:
    """That it has learned: most chats are answered as they should be, those longer than the learned too."""
    chats = Chats(CHECK_SEED)
    model.eval()
    for kind, chat in (("chat", chats.chat), ("judge", chats.judge)):
        right = 0
        for number in range(CHECKED):
            messages, _ = chat(25 * 2 ** (number % 7))
            ids = torch.tensor([prompt_ids(tokenizer, messages)])
            given = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=150, do_sample=False
            )
            new = given[0, ids.shape[1] :]
            text = tokenizer.decode(new)
            if kind == "judge":
                is_right = re.search(r"Rating: \[\[(10|[1-9])]]" + re.escape(END) + "$", text) is not None
            else:
                is_right = len(new) >= 20 and text.endswith(END) and "[[" not in text
            if not is_right:
                print(f"{kind} of {ids.shape[1]} tokens: {text!r}")
            right += is_right
        print(f"{kind}: {right} of {CHECKED} right")
        assert right >= RIGHT * CHECKED, (
            f"badly trained: {right} of {CHECKED} answers to a {kind} prompt are right"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--trained", action="store_true", help="to answer and judge chats")
    arguments = parser.parse_args()

    tokenizer = make_tokenizer()
    for choice in CHOICES:
        for text in (choice, f" {choice}"):
            ids = tokenizer.encode(text, add_special_tokens=False)
            assert len(ids) == 1, f"{text!r} is {len(ids)} tokens, not one"
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(arguments.out)
    torch.set_num_threads(1)  # on two busy cores, it's twice as fast as two are
    model = make_model(tokenizer, seed=arguments.seed, layers=arguments.layers)
    if arguments.trained:
        train(model, tokenizer, seed=arguments.seed)
        check(model, tokenizer)
    model.save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
