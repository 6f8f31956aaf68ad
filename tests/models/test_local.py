"""A model in the same process: its figures are those of a plain forward pass and of lm-eval."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ConfigurationError, ContextLengthError, ModelError
from pytest_instructlab_eval.models import Completion, Message, Model
from pytest_instructlab_eval.models.background import in_daemon_thread
from pytest_instructlab_eval.models.local import LocalModel
from pytest_instructlab_eval.models.local.grouping import first_group
from pytest_instructlab_eval.models.local.jobs import ChatJob
from pytest_instructlab_eval.serving import LOCAL, Rotation, plan_launches
from pytest_instructlab_eval.serving.rotation import ServingState, write_serving_state
from pytest_instructlab_eval.session.engine import Engine
from pytest_instructlab_eval.session.run_models import RunModels
from pytest_instructlab_eval.settings import Settings

WHY = "install the extra `local`"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)
tokenizers = pytest.importorskip("tokenizers", reason=WHY)

# Only now, since they import torch.
from pytest_instructlab_eval.models.local import chat_writer, row_scorer  # noqa: E402
from pytest_instructlab_eval.models.local.loaded_model import LoadedModel  # noqa: E402

T = TypeVar("T")

CONTEXT = 512
LETTERS = (" A", " B", " C", " D")
EXAMPLES = "".join(
    f"Question {number}: which word is right?\nAnswer: {'ABCD'[number % 4]}\n\n" for number in range(9)
)
TASK = [f"{EXAMPLES}Question: {'very ' * (number % 5)}short {number}?\nAnswer:" for number in range(12)]
OTHER_TASK = [f"Other rules. {EXAMPLES[::2]}Question: {number * 'x'}?\nAnswer:" for number in range(5)]
LONG_CHOICES = (" the red boat", " a blue boat is here", " it", " none")
HELLO: list[Message] = [{"role": "user", "content": "Say hello to the boat."}]
BYE: list[Message] = [{"role": "user", "content": "Bye, and tell the keeper that the question is late."}]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CLOSE = 1e-4


def make_tokenizer() -> Any:
    """A tokenizer that begins every text with a token of its own, and has one for each letter."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator([*TASK, *LETTERS * 100, *LONG_CHOICES * 3], trainer)
    bpe.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>")
    made.chat_template = CHAT_TEMPLATE
    return made


def make_network(vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,  # likelihoods that differ
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random Llama; to be read, not changed."""
    folder = tmp_path_factory.mktemp("local") / "tiny"
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    make_network(len(tokenizer)).save_pretrained(folder)
    return folder


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """The same model; a test may damage it."""
    return shutil.copytree(checkpoint, tmp_path / "copy")


def with_model(folder: Path | str, use: Callable[[LocalModel], Awaitable[T]], **options: Any) -> T:
    """What `use` gives for the model in the folder."""

    async def run() -> T:
        model = LocalModel(str(folder), device="cpu", workers=2, **options)
        try:
            return await use(model)
        finally:
            await model.close()

    return asyncio.run(run())


async def score_together(
    model: Model, prompts: Sequence[str | Sequence[Message]], choices: Sequence[str] = LETTERS
) -> list[list[float]]:
    return list(await asyncio.gather(*(model.choice_logprobs(prompt, choices) for prompt in prompts)))


def scores(
    folder: Path,
    prompts: Sequence[str | Sequence[Message]],
    choices: Sequence[str] = LETTERS,
    **options: Any,
) -> list[list[float]]:
    return with_model(folder, lambda model: score_together(model, prompts, choices), **options)


def chat_together(folder: Path, chats: Sequence[str | Sequence[Message]], **options: Any) -> list[Completion]:
    async def use(model: LocalModel) -> list[Completion]:
        return list(await asyncio.gather(*(model.chat(messages, **options) for messages in chats)))

    return with_model(folder, use)


@functools.cache
def plain(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the network as transformers gives them."""
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    return transformers.AutoTokenizer.from_pretrained(folder), network


@functools.cache
def peer(folder: Path) -> Any:
    """lm-eval's model."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="needs lm-eval's extra `hf`")
    return huggingface.HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=1)


def by_definition(folder: Path, prompt: str, choices: Sequence[str] = LETTERS) -> list[float]:
    """A forward pass over the whole text for each choice, and the sum of its tokens' log-probabilities."""
    tokenizer, network = plain(folder)
    head = len(tokenizer(prompt)["input_ids"])
    found = []
    for choice in choices:
        ids = torch.tensor([tokenizer(prompt + choice)["input_ids"]])
        with torch.no_grad():
            logprobs = network(ids).logits[0].log_softmax(-1)
        places = range(head, ids.shape[1])
        found.append(sum(logprobs[place - 1, ids[0, place]].item() for place in places))
    return found


def by_lm_eval(folder: Path, prompt: str, choices: Sequence[str]) -> list[float]:
    model = peer(folder)
    instance = importlib.import_module("lm_eval.api.instance").Instance
    requests = [instance("loglikelihood", {}, (prompt, choice), 0) for choice in choices]
    return [value for value, _ in model.loglikelihood(requests, disable_tqdm=True)]


def rows(
    folder: Path, action: Callable[[], T], monkeypatch: pytest.MonkeyPatch
) -> tuple[T, list[tuple[int, int]]]:
    """What the action gives, and the shape of what each forward pass has computed."""
    shapes: list[tuple[int, int]] = []
    inner = LoadedModel.logits

    def spy(self: Any, ids: Any, *rest: Any, **options: Any) -> Any:
        shapes.append(tuple(ids.shape))
        return inner(self, ids, *rest, **options)

    monkeypatch.setattr(LoadedModel, "logits", spy)
    return action(), shapes


# --- multiple choice ---


@pytest.mark.parametrize(
    "choices", [LETTERS, LONG_CHOICES, (" A", " the red boat")], ids=["letters", "texts", "mixed"]
)
def test_choices_score_as_by_definition(checkpoint: Path, choices: Sequence[str]) -> None:
    prompts = [*TASK[:4], *OTHER_TASK[:2]]
    expected = [pytest.approx(by_definition(checkpoint, prompt, choices), abs=CLOSE) for prompt in prompts]
    assert scores(checkpoint, prompts, choices) == expected


@pytest.mark.parametrize(
    "prompt",
    [TASK[0], TASK[0] + " ", "Say:\n\n", "<s>Question?\nAnswer:", "", "Bo"],
    ids=["text", "space at the end", "lines at the end", "its own beginning", "nothing", "choice in a word"],
)
@pytest.mark.parametrize("choices", [LETTERS, ("at is red", "at it")], ids=["letters", "ends of words"])
def test_choices_score_as_in_lm_eval(checkpoint: Path, prompt: str, choices: Sequence[str]) -> None:
    [found] = scores(checkpoint, [prompt], choices)
    assert found == pytest.approx(by_lm_eval(checkpoint, prompt, choices), abs=1e-3)


@pytest.mark.parametrize("choices", [LETTERS, LONG_CHOICES], ids=["letters", "texts"])
def test_the_figures_are_the_same_alone_and_in_a_batch(checkpoint: Path, choices: Sequence[str]) -> None:
    prompts = [*TASK, *OTHER_TASK]

    async def one_by_one(model: LocalModel) -> list[list[float]]:
        return [await model.choice_logprobs(prompt, choices) for prompt in prompts]

    alone = with_model(checkpoint, one_by_one)
    for batch_size in (None, 3, 1):
        together = scores(checkpoint, prompts, choices, batch_size=batch_size)
        assert together == [pytest.approx(row, abs=CLOSE) for row in alone]


def test_the_examples_of_a_task_are_computed_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice(model: LocalModel) -> list[list[float]]:
        return [*await score_together(model, TASK[:8]), *await score_together(model, TASK[8:])]

    found, shapes = rows(checkpoint, lambda: with_model(checkpoint, twice), monkeypatch)
    first, second, third = shapes
    assert first[0] == 1
    assert first[1] > 100
    assert (second[0], third[0]) == (8, 4)
    assert max(second[1], third[1]) < 40
    assert found == [pytest.approx(by_definition(checkpoint, prompt), abs=CLOSE) for prompt in TASK]


def test_a_question_of_long_choices_is_one_row(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, shapes = rows(checkpoint, lambda: scores(checkpoint, TASK[:5], LONG_CHOICES), monkeypatch)
    assert [count for count, _ in shapes] == [1, 5]


@pytest.mark.parametrize("choices", [LETTERS, LONG_CHOICES], ids=["letters", "texts"])
def test_a_recurrent_model_shares_nothing_and_scores_alike(tmp_path: Path, choices: Sequence[str]) -> None:
    folder = tmp_path / "mamba"
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.MambaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, state_size=8, eos_token_id=1
    )
    transformers.MambaForCausalLM(config).save_pretrained(folder)
    expected = [pytest.approx(by_definition(folder, prompt, choices), abs=CLOSE) for prompt in TASK[:3]]
    assert scores(folder, TASK[:3], choices) == expected


def test_a_chat_is_scored_through_the_chat_template(checkpoint: Path) -> None:
    [found] = scores(checkpoint, [HELLO])
    text = f"<user>{HELLO[0]['content']}\n<assistant>"  # the tokenizer adds the beginning
    assert found == pytest.approx(by_definition(checkpoint, text), abs=CLOSE)


def test_a_prompt_that_is_too_long_fails_alone(checkpoint: Path) -> None:
    async def use(model: LocalModel) -> list[Any]:
        prompts = [TASK[0], "word " * 2 * CONTEXT, TASK[1]]
        questions = (model.choice_logprobs(prompt, LETTERS) for prompt in prompts)
        return list(await asyncio.gather(*questions, return_exceptions=True))

    first, error, last = with_model(checkpoint, use)
    assert isinstance(error, ContextLengthError)
    assert f"the model's context has {CONTEXT}" in str(error)
    assert error.prompt.startswith("word")
    assert [len(first), len(last)] == [4, 4]


@pytest.mark.parametrize(("prompt", "choice"), [("half \ud800 pair", "a"), ("whole", "\udfff")])
def test_half_of_a_character_fails_its_question_alone(checkpoint: Path, prompt: str, choice: str) -> None:
    async def use(model: LocalModel) -> list[Any]:
        asked = [model.choice_logprobs("fine", LETTERS), model.choice_logprobs(prompt, [choice, "b"]),
                 model.chat("fine", max_tokens=1)]  # fmt: skip
        return list(await asyncio.gather(*asked, return_exceptions=True))

    first, odd, chat = with_model(checkpoint, use)
    assert len(first) == len(LETTERS)
    assert isinstance(odd, ModelError)
    assert isinstance(chat, Completion)


def test_a_prompt_may_fill_the_context_up_to_the_choice(checkpoint: Path) -> None:
    tokenizer, _ = plain(checkpoint)
    prompt = "x" * (CONTEXT - 1)
    assert len(tokenizer(prompt)["input_ids"]) == CONTEXT
    [found] = scores(checkpoint, [prompt])
    assert found == pytest.approx(by_definition(checkpoint, prompt), abs=CLOSE)
    with pytest.raises(ContextLengthError, match="513 tokens"):
        scores(checkpoint, [prompt + "x"])


def test_a_choice_without_a_token_has_no_likelihood(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="the choice '' adds no token"):
        scores(checkpoint, [TASK[0]], ["A", ""])


def test_a_batch_without_memory_is_halved(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = scores(checkpoint, TASK)
    inner = LoadedModel.logits

    def small(self: Any, ids: Any, *rest: Any, **options: Any) -> Any:
        if ids.shape[0] > 2:
            raise torch.OutOfMemoryError
        return inner(self, ids, *rest, **options)

    monkeypatch.setattr(LoadedModel, "logits", small)
    assert scores(checkpoint, TASK) == [pytest.approx(row, abs=CLOSE) for row in expected]


def test_a_question_without_memory_for_itself_says_so(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(row_scorer.RowScorer, "_logprobs", none)
    with pytest.raises(ModelError, match="cpu has too little memory for a prompt of this length"):
        scores(checkpoint, TASK[:3])


# --- which questions are computed together ---

EASY, HARD = [1] * 300, [2] * 300


@pytest.mark.parametrize(
    ("contexts", "size"),
    [
        ([], 0),
        ([EASY], 1),
        ([[*EASY, 3], [*EASY, 4], [*EASY, 5]], 3),
        ([[*EASY, 3], [*EASY, 4], [*HARD, 5], [*HARD, 6]], 2),
        ([[*EASY, 3], [*HARD, 5], [*HARD, 6]], 1),
        ([[1, 2, 3], [1, 2, 4], [5, 6, 7], [5, 6, 8]], 4),  # too little shared to be worth a batch of its own
    ],
    ids=["none", "one", "a task", "two tasks", "the last of a task", "no examples"],
)
def test_the_questions_of_a_task_are_a_group(contexts: list[list[int]], size: int) -> None:
    assert first_group(contexts) == size


@given(st.lists(st.lists(st.integers(0, 1), min_size=1), min_size=1))
def test_a_group_is_never_empty_and_never_more_than_there_is(contexts: list[list[int]]) -> None:
    assert 1 <= first_group(contexts) <= len(contexts)


# --- chats ---


def test_a_chat_is_answered_to_its_limit(checkpoint: Path) -> None:
    [answer] = chat_together(checkpoint, [HELLO], max_tokens=5)
    assert (answer.finish_reason, answer.completion_tokens) == ("length", 5)
    tokenizer, _ = plain(checkpoint)
    prompt = tokenizer(f"<user>{HELLO[0]['content']}\n<assistant>")["input_ids"]  # one beginning, not two
    assert answer.prompt_tokens == len(prompt)
    assert answer.latency > 0


def greedy(folder: Path, messages: Sequence[Message], count: int) -> list[int]:
    """By definition: the likeliest token, again and again."""
    tokenizer, network = plain(folder)
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    for _ in range(count):
        with torch.no_grad():
            ids = [*ids, int(network(torch.tensor([ids])).logits[0, -1].argmax())]
    return list(ids[-count:])


def test_without_a_temperature_the_likeliest_tokens_are_taken(checkpoint: Path) -> None:
    tokenizer, _ = plain(checkpoint)
    expected = [tokenizer.decode(greedy(checkpoint, chat, 8)) for chat in (HELLO, BYE)]
    assert [answer.text for answer in chat_together(checkpoint, [HELLO, BYE], max_tokens=8)] == expected


def test_an_answer_stops_at_the_models_end(copy: Path) -> None:
    tokens = greedy(copy, HELLO, 8)
    end = next(token for token in tokens if tokens.index(token) > 0)
    settings = copy / "generation_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "eos_token_id": [1, end]}))
    answer, cut = chat_together(copy, [HELLO, HELLO], max_tokens=8)[0], tokens.index(end)
    tokenizer, _ = plain(copy)
    assert answer.finish_reason == "stop"
    assert answer.completion_tokens == cut + 1
    assert answer.text == tokenizer.decode(tokens[:cut])


def test_a_text_is_answered_as_its_message_is(checkpoint: Path) -> None:
    text, messages = chat_together(
        checkpoint, ["Hello", [{"role": "user", "content": "Hello"}]], max_tokens=4
    )
    assert text.text == messages.text


def test_each_chat_of_a_batch_has_its_own_limit_and_temperature(checkpoint: Path) -> None:
    async def use(model: LocalModel) -> list[Completion]:
        chats = (model.chat(HELLO, max_tokens=3), model.chat(BYE, max_tokens=9, temperature=1.0, seed=7))
        return list(await asyncio.gather(*chats))

    short, drawn = with_model(checkpoint, use)
    assert (short.completion_tokens, drawn.completion_tokens) == (3, 9)
    assert short.text == chat_together(checkpoint, [HELLO], max_tokens=3)[0].text
    assert drawn.text == chat_together(checkpoint, [BYE], max_tokens=9, temperature=1.0, seed=7)[0].text


def test_a_seed_draws_the_same_answer_again(checkpoint: Path) -> None:
    options = {"max_tokens": 12, "temperature": 1.5}
    first, again, other = (
        chat_together(checkpoint, [HELLO], seed=seed, **options)[0].text for seed in (3, 3, 4)
    )
    assert first == again != other


def test_without_a_seed_answers_differ(checkpoint: Path) -> None:
    answers = chat_together(checkpoint, [HELLO] * 4, max_tokens=12, temperature=1.5)
    assert len({answer.text for answer in answers}) > 1


def test_draws_follow_the_models_probabilities() -> None:
    async def sampler() -> chat_writer.TokenSampler:
        done = asyncio.get_running_loop().create_future()
        return chat_writer.TokenSampler([ChatJob(done, HELLO, 0.5, 1, seed=0)], "tiny")

    draw = asyncio.run(sampler())
    scores = torch.tensor([0.0, 0.5, 1.0]) * 0.5
    drawn = [int(draw(None, scores[None].clone()).argmax()) for _ in range(4000)]
    shares = torch.bincount(torch.tensor(drawn), minlength=3) / len(drawn)
    assert shares.tolist() == pytest.approx((scores / 0.5).softmax(-1).tolist(), abs=0.03)


def test_a_chat_that_leaves_no_room_for_its_answer_is_refused(checkpoint: Path) -> None:
    with pytest.raises(
        ContextLengthError, match="512 of which are for the answer, and the model's context has 512"
    ):
        chat_together(checkpoint, [HELLO], max_tokens=CONTEXT)


def test_a_model_without_a_chat_template_is_asked_no_chat(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        chat_together(copy, [HELLO])


def test_a_chat_that_the_template_refuses_says_why(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"chat template refuses the chat .*no tools"):
        chat_together(checkpoint, [[{"role": "tool", "content": "x"}]])


# --- waiting, cancelling, closing ---


class Passes(threading.Event):
    """Set once a forward pass has begun; counts them."""

    count = 0


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """The forward passes, each of which takes a while."""
    begun = Passes()
    inner = chat_writer.AnswerLimits.__call__

    def late(self: Any, *arguments: Any, **options: Any) -> Any:
        begun.set()
        begun.count += 1
        time.sleep(0.02)
        return inner(self, *arguments, **options)

    monkeypatch.setattr(chat_writer.AnswerLimits, "__call__", late)
    return begun


async def until(event: threading.Event) -> None:
    assert await in_daemon_thread(lambda: event.wait(30))


def test_the_event_loop_runs_on_while_the_model_writes(checkpoint: Path, slow: Passes) -> None:
    async def use(model: LocalModel) -> int:
        answer, turns = asyncio.ensure_future(model.chat(HELLO, max_tokens=20)), 0
        await until(slow)
        while not answer.done():
            await asyncio.sleep(0.005)
            turns += 1
        return turns

    assert with_model(checkpoint, use) > 2


def test_an_answer_that_nobody_waits_for_makes_way(checkpoint: Path, slow: Passes) -> None:
    async def use(model: LocalModel) -> int:
        long = asyncio.ensure_future(model.chat(HELLO, max_tokens=CONTEXT - 100))
        await until(slow)
        long.cancel()
        before = slow.count
        await model.chat(BYE, max_tokens=1)
        return slow.count - before

    assert with_model(checkpoint, use) < (CONTEXT - 100) / 4  # the whole answer would take all of them


def test_closing_waits_for_no_answer(checkpoint: Path, slow: Passes) -> None:
    async def use() -> tuple[int, BaseException | None]:
        model = LocalModel(str(checkpoint), device="cpu", workers=2)
        long = asyncio.ensure_future(model.chat(HELLO, max_tokens=CONTEXT - 100))
        await until(slow)
        before = slow.count
        await model.close()
        await asyncio.wait([long])
        return slow.count - before, long.exception()

    later, error = asyncio.run(use())
    assert later < (CONTEXT - 100) / 4
    assert isinstance(error, ModelError)
    assert "was closed" in str(error)


def test_a_closed_model_has_no_thread_and_no_weights(checkpoint: Path) -> None:
    async def use() -> int:
        model = LocalModel(str(checkpoint), device="cpu", workers=2)
        await model.load()
        assert networks() == before + 1
        await model.close()
        with pytest.raises(ModelError, match="was closed"):
            await model.chat(HELLO)
        return networks()

    before = networks()
    assert asyncio.run(use()) == before
    assert not any(thread.name == "instructlab-eval-model" for thread in threading.enumerate())


def networks() -> int:
    return sum(type(thing).__name__ == "LlamaForCausalLM" for thing in gc.get_objects())


def test_a_model_that_was_never_asked_closes(checkpoint: Path) -> None:
    with_model(checkpoint, lambda _: asyncio.sleep(0))


def test_what_was_asked_is_counted(checkpoint: Path) -> None:
    async def use(model: LocalModel) -> tuple[int, int]:
        await score_together(model, TASK)
        return model.traffic.requests, model.traffic.tokens

    requests, tokens = with_model(checkpoint, use)
    assert requests == len(TASK)
    assert tokens > 1000


def test_what_a_run_asks_a_model_of_its_own_process_is_part_of_its_progress(
    checkpoint: Path, tmp_path: Path
) -> None:
    name = str(checkpoint)
    write_serving_state(tmp_path, ServingState(up={name: LOCAL}))
    engine = Engine()
    models = RunModels(
        Settings((name,), serve="local"), engine, budget=1, rotation=lambda: Rotation(tmp_path)
    )
    try:
        engine.call(score_together(models.candidate(), TASK))
        assert sum(traffic.requests for traffic in models.traffic) == len(TASK)
    finally:
        engine.close(5.0)


def test_a_model_whose_turn_comes_again_is_loaded_again(checkpoint: Path, copy: Path, tmp_path: Path) -> None:
    one, other = str(checkpoint), str(copy)
    engine = Engine()
    settings = Settings((one, other), serve="local")
    models = RunModels(settings, engine, budget=1, rotation=lambda: Rotation(tmp_path))
    by_name = {name: models.candidate(label) for label, name in settings.labels.items()}
    launches = plan_launches(settings)
    try:
        for name in (one, other, one):
            url = launches[name].launcher.start(lambda _: None, lambda: False).url
            write_serving_state(tmp_path, ServingState(up={name: url}))
            assert engine.call(by_name[name].choice_logprobs(TASK[0], LETTERS))
    finally:
        engine.close(5.0)


# --- what is no model ---


def refusal(name: Path | str, **options: Any) -> str:
    """Why the model can't be loaded; a question to it fails with the same words."""

    async def use(model: LocalModel) -> str:
        with pytest.raises(ConfigurationError) as loading:
            await model.load()
        with pytest.raises(ModelError) as asking:
            await model.choice_logprobs("Question?", LETTERS)
        assert str(asking.value) == str(loading.value)
        return str(loading.value)

    return with_model(name, use, **options)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path / "none")
        == f"there is no folder {tmp_path / 'none'}; give a model's folder or its name on the hub"
    )


def test_a_file_is_no_model(checkpoint: Path) -> None:
    assert "config.json is a file; expected a folder" in refusal(checkpoint / "config.json")


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["config.json"], "it has no config.json; give"),
        (["model.safetensors"], "it has no weights (model.safetensors); give"),
        (["tokenizer.json", "tokenizer_config.json"], "it has no tokenizer (tokenizer.json); give"),
    ],
)
def test_what_a_folder_lacks_is_named(copy: Path, gone: Sequence[str], said: str) -> None:
    for name in gone:
        (copy / name).unlink()
    assert said in refusal(copy)


def test_weights_that_are_missing_are_not_made_up(copy: Path) -> None:
    safetensors = importlib.import_module("safetensors.torch")
    weights = safetensors.load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    safetensors.save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert "1 are missing, such as model.layers.1.mlp.up_proj.weight" in refusal(copy)


def test_broken_weights_are_named(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"no weights")
    assert f"{copy} cannot be loaded by transformers (" in refusal(copy)


def configured(folder: Path, **values: object) -> Path:
    """The folder of a model whose configuration has these values too."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder


def without_a_beginning(folder: Path, *, no_token: bool = False) -> Path:
    """The model, with a tokenizer that adds no token before a text."""
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.ByteLevel()
    if no_token:
        tokenizer.bos_token = None
    tokenizer.save_pretrained(folder)
    return folder


def test_with_bos_a_prompt_begins_with_the_token_also_where_the_tokenizer_adds_none(
    checkpoint: Path, copy: Path
) -> None:
    begun = with_model(checkpoint, lambda model: score_together(model, TASK[:3]))
    plain = with_model(without_a_beginning(copy), lambda model: score_together(model, TASK[:3]))
    added = with_model(copy, lambda model: score_together(model, TASK[:3]), add_bos=True)
    again = with_model(checkpoint, lambda model: score_together(model, TASK[:3]), add_bos=True)
    for ours, theirs, other in zip(added, begun, plain, strict=True):
        assert ours == pytest.approx(theirs, abs=CLOSE)
        assert ours != pytest.approx(other, abs=CLOSE)
    assert again == begun


def test_a_tokenizer_that_has_no_beginning_token_is_refused(copy: Path) -> None:
    without_a_beginning(copy, no_token=True)
    with pytest.raises(
        ModelError, match=r"--eval-add-bos: the tokenizer of .* has no beginning-of-text token"
    ):
        with_model(copy, lambda model: score_together(model, TASK[:1]), add_bos=True)


def damage(folder: Path, value: float, *, row: int | None = None) -> None:
    """Overwrite the embedding of one token, or the weights that make the logits."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    if row is None:
        weights["lm_head.weight"][:] = value
    else:
        weights["model.embed_tokens.weight"][row] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


NO_NUMBER = (
    r"expected finite log-probabilities of .* \(got nan\); check its weights, or use a higher precision"
)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_where_weights_are_broken_each_question_and_chat_is_an_error(copy: Path, value: float) -> None:
    damage(copy, value)

    async def use(model: LocalModel) -> list[Any]:
        asked: list[Awaitable[Any]] = [model.choice_logprobs(prompt, LETTERS) for prompt in TASK]
        return await asyncio.gather(*asked, model.chat(HELLO, max_tokens=3), return_exceptions=True)

    for error in with_model(copy, use):
        assert isinstance(error, ModelError)
        assert re.match(NO_NUMBER, str(error))


def test_a_broken_token_is_an_error_on_the_questions_that_have_it_alone(copy: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(copy)
    (token,) = tokenizer("~", add_special_tokens=False)["input_ids"]
    damage(copy, float("nan"), row=token)
    with_token = [prompt.replace("short", "~") for prompt in TASK[::2]]

    async def use(model: LocalModel) -> list[Any]:
        asked = (model.choice_logprobs(prompt, LETTERS) for prompt in [*TASK, *with_token])
        return list(await asyncio.gather(*asked, return_exceptions=True))

    found = with_model(copy, use)
    assert all(isinstance(error, ModelError) for error in found[len(TASK) :])
    alone = with_model(copy, lambda model: score_together(model, TASK))
    for ours, theirs in zip(found, alone, strict=False):
        assert ours == pytest.approx(theirs, abs=CLOSE)


def test_code_in_a_checkpoint_is_not_run(copy: Path) -> None:
    own = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
    configured(copy, model_type="own", auto_map=own)
    (copy / "own.py").write_text(f"open({str(copy / 'ran')!r}, 'w')")
    assert refusal(copy) == (
        f"{copy} needs code of its own, which is not run; serve it yourself, and give the URL with "
        "--eval-base-url"
    )
    assert not (copy / "ran").exists()


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "experts_implementation"])
def test_code_on_the_hub_that_a_checkpoint_names_is_not_fetched(copy: Path, key: str) -> None:
    async def use(model: LocalModel) -> str:
        return (await model.chat(HELLO, temperature=0.0, max_tokens=4)).text

    plain = with_model(copy, use)
    assert with_model(configured(copy, **{key: "somebody/kernel"}), use) == plain


def test_weights_that_could_run_code_are_refused_with_advice_of_ours(copy: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (copy / "ran",)

    (copy / "model.safetensors").unlink()
    torch.save({"weight": Attack()}, copy / "pytorch_model.bin")
    assert refusal(copy) == (
        f"the weights of {copy} are a pickle that could run code, so they are not loaded; convert them to "
        "safetensors"
    )
    assert not (copy / "ran").exists()


def test_an_adapter_which_can_name_modules_to_import_is_refused(copy: Path) -> None:
    adapter = {"peft_type": "LORA", "megatron_core": "own", "megatron_config": {}}
    (copy / "adapter_config.json").write_text(json.dumps(adapter))
    assert "has an adapter (adapter_config.json), which is not loaded; merge it" in refusal(copy)


def test_a_device_that_is_not_there_is_named(checkpoint: Path) -> None:
    async def use() -> None:
        model = LocalModel(str(checkpoint), device="abacus")
        with pytest.raises(ConfigurationError, match="the device 'abacus' cannot be used"):
            await model.load()
        await model.close()

    asyncio.run(use())


def test_without_torch_the_extra_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for part in ("loading", "job_runner"):
        monkeypatch.delitem(sys.modules, f"pytest_instructlab_eval.models.local.{part}")
    said = refusal(checkpoint)
    assert "needs torch and transformers to run in this process" in said
    assert said.endswith("pip install 'pytest-instructlab-eval[local]'")


def test_a_hub_that_is_not_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "instructlab/no-such-model is neither a folder here nor in the hub's cache" in refusal(
        "no-such-model"
    )


def test_the_workers_share_the_cores(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    inner = LoadedModel.logits

    def spy(*arguments: Any, **options: Any) -> Any:
        found.append(torch.get_num_threads())
        return inner(*arguments, **options)

    monkeypatch.setattr(LoadedModel, "logits", spy)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(6), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    scores(checkpoint, TASK)
    assert set(found) == {3}
