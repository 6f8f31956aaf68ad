"""A model in the same process: transformers on this machine's GPU or CPU.

One daemon thread a model owns the weights. Requests that wait together share forward passes: the
questions of a task the cache of their few-shot part, the choices of a question its context.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import gc
import importlib
import importlib.util
import inspect
import itertools
import os
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pytest_instructlab_eval.background import heavy_libraries, in_daemon_thread
from pytest_instructlab_eval.errors import ConfigurationError, ContextLengthError, EvalError, ModelError
from pytest_instructlab_eval.models.choices import last_line
from pytest_instructlab_eval.models.endpoint import Traffic
from pytest_instructlab_eval.models.protocol import Completion, Message

__all__ = ["LocalModel"]

HUB_OWNER = "instructlab"  # of a bare name
EXTRA = "pip install 'pytest-instructlab-eval[local]'"
CONTEXT_KEYS = ("n_positions", "max_position_embeddings", "n_ctx")
USUAL_CONTEXT = 2048  # where neither the model nor its tokenizer says, as lm-eval has it
NO_LIMIT = 10**18  # a tokenizer whose limit is above says that it has none
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "*.tiktoken")

TOKENS_AT_ONCE = {"cuda": 16384, "mps": 2048}  # of a forward pass; more is no faster
TOKENS_AT_ONCE_ON_CPU = 512
MOST_CHATS = {"cuda": 64, "mps": 8}
MOST_CHATS_ON_CPU = 8
PART_OF_MEMORY = 0.7  # of what is free on a GPU; the rest is for what isn't counted
NO_BATCH_SIZE = 10**6
LEAST_SHARE = 128  # tokens; to compute fewer again costs less than a batch of its own

J = TypeVar("J", bound="Job")
T = TypeVar("T")


@dataclasses.dataclass
class Job:
    """A request that waits for the thread; without a subclass it waits for the model to be loaded."""

    done: asyncio.Future[Any]

    @property
    def text(self) -> str:
        """What the model is asked, for errors."""
        return ""


@dataclasses.dataclass
class Question(Job):
    """Choices to score; the text, and the tokens of the context and of each choice, are the encoder's."""

    prompt: str | Sequence[Message]
    choices: Sequence[str]
    rendered: str = ""
    context: list[int] = dataclasses.field(default_factory=list)
    continuations: list[list[int]] = dataclasses.field(default_factory=list)

    @property
    def size(self) -> int:
        """How many tokens a row has that takes the context and all choices."""
        return len(self.context) + sum(len(tokens) - 1 for tokens in self.continuations)

    @property
    def text(self) -> str:
        """What the model is asked, for errors."""
        return self.prompt if isinstance(self.prompt, str) else _last_content(self.prompt)


@dataclasses.dataclass
class Chat(Job):
    """A chat to answer; the text and the tokens of the prompt are the encoder's."""

    messages: Sequence[Message]
    temperature: float
    max_tokens: int
    seed: int | None
    rendered: str = ""
    prompt: list[int] = dataclasses.field(default_factory=list)

    @property
    def text(self) -> str:
        """What the model is asked, for errors."""
        return _last_content(self.messages)


class LocalModel:
    """A `Model` in this process: a folder with a checkpoint, or a name on the hub.

    Where no `device` is named ("cpu", "cuda", "cuda:1", "mps"), worker number `worker` of so many
    `workers` takes the GPU of its number; on a CPU the workers share the cores. `dtype` is by default
    the checkpoint's own, on a CPU float32. `batch_size` limits the rows of a forward pass; by default
    they are as many as the device has use and memory for. Loaded at the first request, or by `load`.
    No code that comes with a checkpoint is run.
    """

    def __init__(
        self,
        name_or_path: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | None = None,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        self.traffic = Traffic()
        self._name = name_or_path
        self._wish = Wish(device, dtype, batch_size, worker, workers)
        self._queue: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        self._gathering: list[Job] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """As the user names it."""
        return self._name

    async def load(self) -> None:
        """Load the weights now; raises ConfigurationError, which says what is missing."""
        await self._ask(Job(_future()))

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """The model's answer to a chat; see `Model`. Its latency is the seconds of its batch.

        At a temperature above 0 it is drawn from the whole distribution. A prompt that leaves no room
        for `max_tokens` is refused, as vLLM does.
        """
        answer: Completion = await self._answer(Chat(_future(), messages, temperature, max_tokens, seed))
        return answer

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """The log-likelihood of each choice; see `Model`.

        Special tokens are as lm-eval's `hf` model has them: a beginning-of-text token where the
        tokenizer adds one and the prompt has none.
        """
        found: list[float] = await self._answer(Question(_future(), prompt, choices))
        return found

    async def close(self) -> None:
        """Stop within a layer of the model, and free its memory; what waits raises ModelError."""
        self._stop.set()
        self._queue.put([])
        if self._thread is not None:
            await in_daemon_thread(self._thread.join)

    async def _answer(self, job: Question | Chat) -> Any:
        try:
            return await self._ask(job)
        except ConfigurationError as error:
            raise ModelError(str(error), prompt=job.text) from None

    async def _ask(self, job: Job) -> Any:
        if self._stop.is_set():
            raise ModelError(f"{self._name} was closed", prompt=job.text)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="instructlab-eval-model", daemon=True)
            self._thread.start()
        if not self._gathering:  # those who are about to ask come along
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._gathering.append(job)
        return await job.done

    def _hand_over(self) -> None:
        jobs, self._gathering = self._gathering, []
        self._queue.put(jobs)

    # --- in the thread ---

    def _serve(self) -> None:
        self._work_until_closed()  # in frames of its own, so that nothing here holds the weights
        _free_memory()

    def _work_until_closed(self) -> None:
        waiting: collections.deque[Job] = collections.deque()
        error = self._worked_until_closed(waiting)
        _refuse(waiting, error)
        while not self._stop.is_set():
            _refuse(self._arrivals(wait=True), error)
        _refuse(self._arrivals(wait=False), ModelError(f"{self._name} was closed"))

    def _worked_until_closed(self, waiting: collections.deque[Job]) -> EvalError:
        """Load the model and work; what those who still wait are to be told."""
        try:
            worker = Worker(_loaded(self._name, self._wish), waiting, self.traffic, self._stop)
            while not self._stop.is_set():
                worker.work(self._arrivals(wait=not waiting))
        except EvalError as error:
            return type(error)(str(error))
        except Exception as error:
            return ModelError(f"{self._name} failed ({_short(error)})")
        return ModelError(f"{self._name} was closed")

    def _arrivals(self, *, wait: bool) -> list[Job]:
        """What has come since the last look; where there is nothing else to do, wait for it."""
        found: list[Job] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found += self._queue.get(block=wait and not found)
                if not found:
                    return found  # woken to be closed
        return found

    def __repr__(self) -> str:
        return f"LocalModel({self._name!r})"


# --- loading ---


@dataclasses.dataclass(frozen=True)
class Wish:
    """How a model is to be run; see `LocalModel`."""

    device: str | None
    dtype: str | None
    batch_size: int | None
    worker: int
    workers: int


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A causal language model on its device, and what there is to know of it.

    `context` is the most tokens of a prompt and its answer, `ends` the tokens that end an answer,
    `token_bytes` what the keys and values of one token take.
    """

    name: str
    network: Any
    tokenizer: Any
    device: Any
    context: int
    ends: frozenset[int]
    token_bytes: int
    batch_size: int | None

    @functools.cached_property
    def vocabulary(self) -> int:
        """How many logits there are of each token."""
        return int(self.network.config.get_text_config().vocab_size)

    @functools.cached_property
    def shares(self) -> bool:
        """Whether the keys and values of a prefix can be shared: not so with a recurrent state."""
        caches = _library("transformers.cache_utils")
        return self._cache_layers() <= {caches.DynamicLayer, caches.DynamicSlidingWindowLayer}

    @functools.cached_property
    def packs(self) -> bool:
        """Whether several choices can share a row: with a mask and positions that are ours."""
        return (
            self._cache_layers() == {_library("transformers.cache_utils").DynamicLayer}
            and "position_ids" in inspect.signature(self.network.forward).parameters
            and self.network.config._attn_implementation in ("sdpa", "eager")
        )

    def logits(self, ids: Any, columns: Sequence[int], **surroundings: Any) -> Any:
        """The logits that follow these columns of the tokens, of shape (rows, columns, vocabulary)."""
        torch = _library("torch")

        if self._takes_columns:
            surroundings["logits_to_keep"] = torch.tensor(columns, device=self.device)
            return self.network(input_ids=ids, **surroundings).logits
        return self.network(input_ids=ids, **surroundings).logits[:, columns]

    @functools.cached_property
    def _takes_columns(self) -> bool:
        return "logits_to_keep" in inspect.signature(self.network.forward).parameters

    def _cache_layers(self) -> set[Any]:
        """The kinds of layers that a cache of the model has."""
        return {
            type(layer) for layer in _library("transformers").DynamicCache(config=self.network.config).layers
        }

    def most_rows(self, tokens: int, computed: int) -> int:
        """How many rows of so many tokens, of which so many are computed, the GPU has memory for."""
        torch = _library("torch")

        if self.device.type != "cuda":
            return 10**6
        free, _ = torch.cuda.mem_get_info(self.device)
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        row = tokens * self.token_bytes + computed * self.vocabulary * 8  # logits, and once more as float32
        return int((free + kept) * PART_OF_MEMORY) // row


def _loaded(name: str, wish: Wish) -> Loaded:
    """The model on its device; raises ConfigurationError."""
    source = _source(name)
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
        raise ConfigurationError(f"{name} needs torch and transformers to run in this process: {EXTRA}")
    try:
        with heavy_libraries, _quiet():
            device = _device(wish.device, wish.worker)
            if device.type == "cpu":
                _library("torch").set_num_threads(max(1, _cores() // wish.workers))
            return _from_pretrained(name, source, device, wish)
    except EvalError:
        raise
    except Exception as error:
        raise ConfigurationError(_explained(name, source, error)) from None


def _from_pretrained(name: str, source: str, device: Any, wish: Wish) -> Loaded:
    transformers = _library("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    network, found = transformers.AutoModelForCausalLM.from_pretrained(
        source,
        dtype=wish.dtype or ("float32" if device.type == "cpu" else "auto"),
        trust_remote_code=False,
        output_loading_info=True,
    )
    missing = sorted(found["missing_keys"])
    if missing:  # transformers would go on with random ones
        raise ConfigurationError(
            f"the weights of {source} are incomplete: {len(missing)} are missing, such as {missing[0]}; get "
            "the checkpoint anew"
        )
    ends = _ends(network, tokenizer)
    # How the checkpoint would like to be sampled is left out: the request says.
    network.generation_config = transformers.GenerationConfig(
        do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=min(ends, default=0)
    )
    config = network.config.get_text_config()
    return Loaded(
        name=name,
        network=network.to(device).eval(),
        tokenizer=tokenizer,
        device=device,
        context=_context(config, tokenizer),
        ends=ends,
        token_bytes=_token_bytes(config, network.dtype.itemsize),
        batch_size=wish.batch_size,
    )


def _source(name: str) -> str:
    """The folder or hub name to load from; raises ConfigurationError where a folder is no model."""
    path = Path(name).expanduser()
    if path.is_dir():
        _check_folder(path)
        return str(path)
    if path.exists():
        raise ConfigurationError(f"{name} is a file; a model is a folder with config.json and weights")
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name:
        raise ConfigurationError(f"there is no folder {name}; give a model's folder or its name on the hub")
    return name if "/" in name else f"{HUB_OWNER}/{name}"


def _check_folder(path: Path) -> None:
    needed = {"config.json": ("config.json",), "weights (model.safetensors)": WEIGHTS}
    needed["a tokenizer (tokenizer.json)"] = TOKENIZERS
    missing = [what for what, patterns in needed.items() if not any(any(path.glob(p)) for p in patterns)]
    if missing:
        raise ConfigurationError(
            f"{path} is no model that transformers can load: it has no {', no '.join(missing)}; give a "
            "folder as `save_pretrained` writes it"
        )


def _device(asked: str | None, worker: int) -> Any:
    torch = _library("torch")

    if asked is None:
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(f"cuda:{worker % torch.cuda.device_count()}" if kind == "cuda" else kind)
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
    except Exception as error:
        raise ConfigurationError(
            f"the device {asked!r} can't be used ({_short(error)}); name cpu, cuda, cuda:N or mps"
        ) from None
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", worker % torch.cuda.device_count())
    return device


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and advice on the terminal that the tests report to."""
    logging = _library("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _explained(name: str, source: str, error: BaseException) -> str:
    """Why a model couldn't be loaded, in one sentence."""
    kinds = {type(cause).__name__ for cause in _causes(error)}
    if kinds & {"GatedRepoError", "RepositoryNotFoundError"}:
        return (
            f"the hub has no model {source}, or not for you; check the name, or log in with `hf auth login`"
        )
    if kinds & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"}:
        return (
            f"{source} is neither a folder here nor in the hub's cache, and the hub can't be reached; give a "
            "model's folder"
        )
    return f"{name} can't be loaded by transformers ({_short(error)})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _short(error: BaseException) -> str:
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return text if len(text) <= 300 else text[:300] + "…"


def _library(name: str) -> Any:
    """A library of the extra: by name, so that types are checked alike where it isn't installed."""
    return importlib.import_module(name)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _context(config: Any, tokenizer: Any) -> int:
    """The most tokens that the model takes, as lm-eval finds it."""
    for key in CONTEXT_KEYS:
        if getattr(config, key, None) is not None:
            return int(getattr(config, key))
    limit = tokenizer.model_max_length
    return int(limit) if limit < NO_LIMIT else USUAL_CONTEXT


def _token_bytes(config: Any, value_bytes: int) -> int:
    attending = getattr(config, "num_attention_heads", None)
    if not attending:  # a recurrent model keeps none
        return 0
    heads = getattr(config, "num_key_value_heads", None) or attending
    width = getattr(config, "head_dim", None) or config.hidden_size // attending
    return int(2 * config.num_hidden_layers * heads * width * value_bytes)


def _ends(network: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer, by the model and by its tokenizer."""
    ends = network.generation_config.eos_token_id
    several = [*ends] if isinstance(ends, (list, tuple)) else [ends]
    return frozenset(int(end) for end in (*several, tokenizer.eos_token_id) if end is not None)


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


# --- the thread's work ---


class Stopped(Exception):
    """The model is being closed."""


class Worker:
    """Does the jobs of `waiting`, those of a kind together, in the order they came."""

    def __init__(
        self, loaded: Loaded, waiting: collections.deque[Job], traffic: Traffic, stop: threading.Event
    ) -> None:
        self._waiting = waiting
        self._name = loaded.name
        self._traffic = traffic
        self._stop = stop
        self._encoder = Encoder(loaded)
        self._scorer = Scorer(loaded)
        self._writer = Writer(loaded)
        self._stop_between_layers(loaded.network)

    def _stop_between_layers(self, network: Any) -> None:
        """Have a closed model end within a forward pass: Ctrl-C waits for it, and one can take minutes."""
        torch = _library("torch")

        def look(*_: Any) -> None:
            if self._stop.is_set():
                raise Stopped

        for layers in network.modules():
            if isinstance(layers, torch.nn.ModuleList):
                for layer in layers:
                    layer.register_forward_pre_hook(look)

    def work(self, arrivals: Sequence[Job]) -> None:
        """Take these in, and do the first batch of chats or group of questions."""
        torch = _library("torch")

        self._waiting += self._encoded(arrivals)
        while self._waiting and self._waiting[0].done.done():
            self._waiting.popleft()
        if not self._waiting:
            return
        with torch.inference_mode():
            if isinstance(self._waiting[0], Question):
                self._score()
            elif isinstance(self._waiting[0], Chat):
                self._write()
            else:
                _settle([self._waiting.popleft()], [None])

    def _encoded(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs with their tokens, without those that are refused for them."""
        readable, found = [], []
        for job in jobs:
            with self._failing([job]):
                self._encoder.render(job)
                readable.append(job)
        for job, tokens in zip(readable, self._encoder.heads(readable), strict=True):
            with self._failing([job]):
                self._encoder.encode(job, tokens)
                found.append(job)
        return found

    def _score(self) -> None:
        questions = list(_leading(self._waiting, Question))
        group = questions[: first_group([question.context for question in questions])]
        self._leave(group)
        with self._failing(group):
            for batch, found in self._scorer.score(group):
                self._count(len(batch), sum(len(question.context) for question in batch))
                _settle(batch, found)

    def _write(self) -> None:
        chats = list(_leading(self._waiting, Chat))
        batch = chats[: self._writer.most(chats)]
        self._leave(batch)
        with self._failing(batch):
            completions = self._writer.write(batch)
            self._count(
                len(batch), sum(found.prompt_tokens + found.completion_tokens for found in completions)
            )
            _settle(batch, completions)

    def _leave(self, jobs: Sequence[Job]) -> None:
        for _ in jobs:
            self._waiting.popleft()

    def _count(self, requests: int, tokens: int) -> None:
        self._traffic.requests += requests
        self._traffic.tokens += tokens

    @contextlib.contextmanager
    def _failing(self, jobs: Sequence[Job]) -> Iterator[None]:
        """What goes wrong is the failure of those of the jobs that have no result yet."""
        try:
            yield
        except ModelError as error:
            _refuse(jobs, error)
        except Stopped:
            _refuse(jobs, ModelError(f"{self._name} was closed"))
        except Exception as error:
            _refuse(jobs, ModelError(f"{self._name} failed ({_short(error)})"))


def _leading(jobs: Iterable[Job], kind: type[J]) -> Iterator[J]:
    for job in jobs:
        if not isinstance(job, kind):
            return
        yield job


def _settle(jobs: Sequence[Job], results: Sequence[Any]) -> None:
    """Hand results over to the loops that wait for them."""
    for job, result in zip(jobs, results, strict=True):
        _in_loop(job, functools.partial(job.done.set_result, result))


def _refuse(jobs: Sequence[Job], error: EvalError) -> None:
    """Fail those of the jobs that have no result, each with an error of its own."""
    for job in jobs:
        own = type(error)(str(error))
        if isinstance(own, ModelError):
            own.prompt = job.text
        _in_loop(job, functools.partial(job.done.set_exception, own))


def _in_loop(job: Job, settle: Callable[[], None]) -> None:
    def settle_once() -> None:
        if not job.done.done():
            settle()

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        job.done.get_loop().call_soon_threadsafe(settle_once)


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _last_content(messages: Sequence[Message]) -> str:
    return messages[-1]["content"] if messages else ""


# --- tokens ---


class Encoder:
    """The tokens of questions and chats; raises ModelError where they don't fit the model."""

    def __init__(self, loaded: Loaded) -> None:
        self._name = loaded.name
        self._context = loaded.context
        self._tokenizer = loaded.tokenizer
        bos, eos = loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id
        self._first = eos if bos is None else bos
        self._first_text = None if self._first is None else loaded.tokenizer.decode([self._first])
        self._ends: dict[tuple[str, tuple[str, ...], bool], list[list[int]] | None] = {}

    def render(self, job: Job) -> None:
        """Put messages through the chat template."""
        if isinstance(job, Chat):
            job.rendered = self._rendered(job.messages)
        elif isinstance(job, Question):
            job.rendered = job.prompt if isinstance(job.prompt, str) else self._rendered(job.prompt)

    def heads(self, jobs: Sequence[Job]) -> list[list[int]]:
        """The tokens of what precedes an answer or a choice, of all jobs at once: on all cores."""
        texts = [self._head(job) for job in jobs]
        plain = [
            isinstance(job, Chat) or self._has_first(text) for job, text in zip(jobs, texts, strict=True)
        ]
        found: list[list[int]] = [[] for _ in jobs]
        for flag in set(plain):
            places = [place for place, other in enumerate(plain) if other == flag]
            encoded = self._encode([texts[place] for place in places], flag)
            for place, tokens in zip(places, encoded, strict=True):
                found[place] = tokens
        return found

    @staticmethod
    def _head(job: Job) -> str:
        if isinstance(job, Question):
            return job.rendered.rstrip()
        return job.rendered if isinstance(job, Chat) else ""

    def encode(self, job: Job, head: list[int]) -> None:
        """Keep the tokens with the job; raises ModelError where it can't be asked."""
        if isinstance(job, Chat):
            job.prompt = head
            self._check_length(len(head) + job.max_tokens, job.max_tokens)
        elif isinstance(job, Question):
            self._encode_question(job, head)

    def _encode_question(self, question: Question, head: list[int]) -> None:
        """As lm-eval's `hf` model does it: a choice is what it adds to the tokens of the context.

        White space at the end of the context belongs to the choices.
        """
        context = question.rendered.rstrip()
        choices = tuple(question.rendered[len(context) :] + choice for choice in question.choices)
        if context:
            question.context = head
            question.continuations = self._continuations(context, head, choices)
        else:
            self._encode_without_context(question, choices)
        for choice, continuation in zip(question.choices, question.continuations, strict=True):
            if not continuation or not question.context:
                raise ModelError(
                    f"the choice {choice!r} adds no token to the prompt, so it has no likelihood"
                )
            self._check_length(len(question.context) + len(continuation) - 1)  # the last is not read

    def _continuations(self, context: str, head: list[int], choices: tuple[str, ...]) -> list[list[int]]:
        """What each choice adds, by the last line alone where that tells: questions end alike."""
        plain = self._has_first(context)
        key = (last_line(context), choices, plain)
        if key not in self._ends:
            self._ends[key] = self._added(*key)
        found = self._ends[key]
        if found is not None:
            return found
        return [whole[len(head) :] for whole in self._encode([context + choice for choice in choices], plain)]

    def _added(self, text: str, choices: tuple[str, ...], plain: bool) -> list[list[int]] | None:
        """What each choice adds to the text's tokens; None where one changes them."""
        head, *wholes = self._encode([text, *(text + choice for choice in choices)], plain)
        if any(whole[: len(head)] != head for whole in wholes):
            return None
        return [whole[len(head) :] for whole in wholes]

    def _encode_without_context(self, question: Question, choices: tuple[str, ...]) -> None:
        if self._first is None:
            raise ModelError(f"{self._name} has no token to begin with: an empty prompt can't be asked")
        question.context = [self._first]
        found = self._encode(choices, plain=True)
        question.continuations = [tokens[tokens[:1] == [self._first] :] for tokens in found]

    def _has_first(self, text: str) -> bool:
        return self._first_text is not None and text.startswith(self._first_text)

    def _encode(self, texts: Sequence[str], plain: bool) -> list[list[int]]:
        options = {"add_special_tokens": False} if plain else {}
        found: list[list[int]] = self._tokenizer(list(texts), verbose=False, **options)["input_ids"]
        return found

    def _rendered(self, messages: Sequence[Message]) -> str:
        if not self._tokenizer.chat_template:
            raise ModelError(f"{self._name} has no chat template, so it can't be asked a chat")
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
                )
            )
        except Exception as error:  # the template's own
            raise ModelError(f"{self._name}'s chat template refuses the chat ({_short(error)})") from None

    def _check_length(self, count: int, asked: int = 0) -> None:
        if count > self._context:
            answer = f", {asked:,} of which are for the answer" if asked else ""
            raise ContextLengthError(
                f"the prompt has {count:,} tokens{answer} and the model's context is {self._context:,}"
            )


# --- multiple choice ---


def first_group(contexts: Sequence[Sequence[int]]) -> int:
    """How many of the contexts, from the first, to compute together: those of one task, say.

    The group ends where neighbours share less than half of what the pair before or after does.
    """
    shares = (_shared(*pair) for pair in itertools.pairwise(contexts))
    before, here = 0, next(shares, 0)
    for size, after in enumerate(itertools.chain(shares, [0]), start=1):
        if 2 * here < max(before, after) >= LEAST_SHARE:
            return size
        before, here = here, after
    return len(contexts)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


class Prefix:
    """The keys and values of the tokens that a group's questions begin with, kept for the next group."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._tokens: list[int] = []
        self._cache = _library("transformers").DynamicCache()

    def become(self, tokens: list[int]) -> None:
        """Hold just these tokens, computing those that aren't there yet."""
        torch = _library("torch")

        kept = _shared(self._tokens, tokens)
        for layer in self._cache.layers:  # one that an error has left behind may have more
            layer.keys, layer.values = layer.keys[..., :kept, :], layer.values[..., :kept, :]
        self._tokens = tokens[:kept]
        if tokens[kept:]:
            ids = torch.tensor([tokens[kept:]], device=self._loaded.device)
            self._loaded.logits(ids, [0], past_key_values=self._cache, use_cache=True)
            self._tokens = tokens

    def shared(self) -> Any:
        """A cache for one forward pass in which every row begins with the prefix."""
        shared_layer = _shared_layer()
        return _library("transformers").Cache(layers=[shared_layer(layer) for layer in self._cache.layers])


@functools.cache
def _shared_layer() -> Any:
    torch = _library("torch")
    plain: Any = _library("transformers.cache_utils").DynamicLayer

    class SharedLayer(plain):  # type: ignore[misc]
        """What precedes every row; what the rows add is read once and not kept."""

        def __init__(self, prefix: Any) -> None:
            super().__init__()
            self.lazy_initialization(prefix.keys, prefix.values)
            self.keys, self.values = prefix.keys, prefix.values

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            rows = key_states.shape[0]
            return (
                torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2),
                torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2),
            )

    return SharedLayer


@dataclasses.dataclass(frozen=True)
class Row:
    """A context and some of its choices as one row of a forward pass.

    `spans` are the columns of each choice that has several tokens, all of it but the last token;
    `reads` are (question, choice, column, token): where the log-probability of a token is read.
    """

    tokens: list[int]
    context: int
    spans: list[tuple[int, int]]
    reads: list[tuple[int, int, int, int]]


def _row(number: int, context: list[int], continuations: Iterable[tuple[int, list[int]]]) -> Row:
    tokens, spans, reads = list(context), [], []
    for choice, continuation in continuations:
        start = len(tokens)
        tokens += continuation[:-1]
        if len(tokens) > start:
            spans.append((start, len(tokens)))
        columns = (len(context) - 1, *range(start, len(tokens)))
        reads += [(number, choice, *read) for read in zip(columns, continuation, strict=True)]
    return Row(tokens, len(context), spans, reads)


class Scorer:
    """The log-likelihoods of choices, by one row a question where the model allows it."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._prefix = Prefix(loaded)
        self._fit = Fit(loaded)

    def score(self, questions: Sequence[Question]) -> Iterator[tuple[list[Question], list[list[float]]]]:
        """Batches of the questions with the log-likelihoods of their choices; longest first."""
        shared = self._share(questions)
        waiting = sorted(questions, key=lambda question: question.size, reverse=True)
        while waiting := [question for question in waiting if not question.done.done()]:
            batch = waiting[: self._most(waiting[0], shared)]
            yield batch, self._fit.run(lambda jobs: self._logprobs(jobs, shared), batch)
            waiting = waiting[len(batch) :]

    def _share(self, questions: Sequence[Question]) -> int:
        """Have the tokens ready that all begin with; how many. Each keeps one to go on from."""
        if not self._loaded.shares:
            return 0
        contexts = [question.context for question in questions]
        count = min(_shared(min(contexts), max(contexts)), min(map(len, contexts)) - 1)
        self._prefix.become(contexts[0][:count])
        return count

    def _most(self, longest: Question, shared: int) -> int:
        computed = longest.size - shared
        at_once = TOKENS_AT_ONCE.get(self._loaded.device.type, TOKENS_AT_ONCE_ON_CPU)
        return max(
            1, min(self._fit.most, at_once // computed, self._loaded.most_rows(longest.size, computed))
        )

    def _logprobs(self, questions: Sequence[Question], shared: int) -> list[list[float]]:
        torch = _library("torch")

        rows = [row for number, job in enumerate(questions) for row in self._rows(number, job, shared)]
        reads = [(place, *read) for place, row in enumerate(rows) for read in row.reads]
        columns = sorted({column for _, _, _, column, _ in reads})
        where = {column: index for index, column in enumerate(columns)}
        logits = self._loaded.logits(self._ids(rows), columns, **self._surroundings(rows, shared))
        picked = logits[[read[0] for read in reads], [where[read[3]] for read in reads]]
        tokens = torch.tensor([[read[4]] for read in reads], device=picked.device)
        values = picked.float().log_softmax(dim=-1).gather(-1, tokens)[:, 0].tolist()
        found = [[0.0] * len(question.choices) for question in questions]
        for (_, number, choice, _, _), value in zip(reads, values, strict=True):
            found[number][choice] += value
        return found

    def _rows(self, number: int, question: Question, shared: int) -> list[Row]:
        """The question as a row; as a row for each choice of several tokens where they can't be packed."""
        context, numbered = question.context[shared:], list(enumerate(question.continuations))
        if self._loaded.packs:
            return [_row(number, context, numbered)]
        short = [entry for entry in numbered if len(entry[1]) == 1]
        groups = [short] * bool(short) + [[entry] for entry in numbered if len(entry[1]) > 1]
        return [_row(number, context, group) for group in groups]

    def _ids(self, rows: Sequence[Row]) -> Any:
        """The tokens, padded on the right, where nothing that comes before sees them."""
        torch = _library("torch")

        width = max(len(row.tokens) for row in rows)
        padded = [row.tokens + [0] * (width - len(row.tokens)) for row in rows]
        return torch.tensor(padded, device=self._loaded.device)

    def _surroundings(self, rows: Sequence[Row], shared: int) -> dict[str, Any]:
        """What a forward pass must know beside the tokens."""
        cache = (
            {"past_key_values": self._prefix.shared(), "use_cache": True} if shared else {"use_cache": False}
        )
        if all(len(row.spans) < 2 for row in rows):
            return cache
        return {**cache, **_apart(rows, shared, self._loaded.network)}


def _apart(rows: Sequence[Row], shared: int, network: Any) -> dict[str, Any]:
    """The mask, 0 or the least number, and positions by which a choice follows its context alone.

    The mask has the shape (rows, 1, columns, columns with those of the prefix).
    """
    torch = _library("torch")

    width = max(len(row.tokens) for row in rows)
    seen = torch.ones(width, shared + width, dtype=torch.bool).tril(shared).repeat(len(rows), 1, 1)
    positions = torch.arange(shared, shared + width).repeat(len(rows), 1)
    for place, row in enumerate(rows):
        for start, end in row.spans:
            seen[place, start:end, shared + row.context : shared + start] = False
            positions[place, start:end] -= start - row.context
    mask = torch.zeros(seen.shape, dtype=network.dtype).masked_fill_(~seen, torch.finfo(network.dtype).min)
    return {
        "attention_mask": mask[:, None].to(network.device),
        "position_ids": positions.to(network.device),
    }


# --- chats ---


class Writer:
    """The answers to chats; each row ends and is sampled by itself, whatever it shares a batch with."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._fit = Fit(loaded)

    def most(self, chats: Sequence[Chat]) -> int:
        """How many of the chats, from the first, to answer together."""
        kind = self._loaded.device.type
        some = chats[: min(self._fit.most, MOST_CHATS.get(kind, MOST_CHATS_ON_CPU))]
        longest = max(len(chat.prompt) + chat.max_tokens for chat in some)
        return max(1, min(len(some), self._loaded.most_rows(longest, 1)))

    def write(self, chats: Sequence[Chat]) -> list[Completion]:
        """The answers, in the order of the chats."""
        return self._fit.run(self._completions, chats)

    def _completions(self, chats: Sequence[Chat]) -> list[Completion]:
        started = time.perf_counter()
        written = self._generate(chats)
        latency = time.perf_counter() - started
        return [self._completion(*pair, latency) for pair in zip(chats, written, strict=True)]

    def _generate(self, chats: Sequence[Chat]) -> list[list[int]]:
        """The tokens of each answer and what follows it."""
        torch = _library("torch")

        width = max(len(chat.prompt) for chat in chats)
        device = self._loaded.device
        gaps = [width - len(chat.prompt) for chat in chats]
        ids = [[0] * gap + chat.prompt for gap, chat in zip(gaps, chats, strict=True)]
        mask = [[0] * gap + [1] * (width - gap) for gap in gaps]
        with _quiet():
            found = self._loaded.network.generate(
                torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=max(chat.max_tokens for chat in chats),
                logits_processor=[Sampler(chats)],
                stopping_criteria=[Limits(chats, width)],
            )
        rows: list[list[int]] = found[:, width:].tolist()
        return rows

    def _completion(self, chat: Chat, written: Sequence[int], latency: float) -> Completion:
        ends = (place for place, token in enumerate(written) if token in self._loaded.ends)
        end = next(ends, len(written))
        stopped = end < min(len(written), chat.max_tokens)
        tokens = written[: min(end, chat.max_tokens)]
        return Completion(
            text=self._loaded.tokenizer.decode(tokens, skip_special_tokens=True),
            finish_reason="stop" if stopped else "length",
            prompt_tokens=len(chat.prompt),
            completion_tokens=len(tokens) + stopped,
            latency=latency,
        )


class Sampler:
    """Makes the likeliest token of a row a draw at the row's temperature, by its own seed.

    Noise of Gumbel's distribution on the logits: its greatest is a draw from their softmax
    (https://arxiv.org/abs/1611.01144, section 2).
    """

    def __init__(self, chats: Sequence[Chat]) -> None:
        torch = _library("torch")

        self._rows = [
            (place, chat.temperature, torch.Generator().manual_seed(_seed(chat)))
            for place, chat in enumerate(chats)
            if chat.temperature > 0
        ]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The scores of the next token, of shape (rows, vocabulary)."""
        torch = _library("torch")

        for place, temperature, generator in self._rows:
            noise = -torch.empty(scores.shape[1]).exponential_(generator=generator).log()
            scores[place] = scores[place].float() / temperature + noise.to(scores.device)
        return scores


def _seed(chat: Chat) -> int:
    return secrets.randbits(63) if chat.seed is None else chat.seed


class Limits:
    """Ends a row at its own limit, or when nobody waits for it any more."""

    def __init__(self, chats: Sequence[Chat], width: int) -> None:
        self._chats = chats
        self._width = width

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Whether each row is at its end."""
        torch = _library("torch")

        written = input_ids.shape[1] - self._width
        ended = [written >= chat.max_tokens or chat.done.done() for chat in self._chats]
        return torch.tensor(ended, device=input_ids.device)


# --- memory ---


class Fit:
    """Runs batches, in halves where the device has no memory for the whole, and learns from it."""

    def __init__(self, loaded: Loaded) -> None:
        self.most = loaded.batch_size or NO_BATCH_SIZE
        self._device = loaded.device

    def run(self, work: Callable[[Sequence[J]], list[T]], jobs: Sequence[J]) -> list[T]:
        """What `work` gives for the jobs; raises ModelError where one alone doesn't fit."""
        torch = _library("torch")

        with contextlib.suppress(torch.OutOfMemoryError):
            return work(jobs)
        _free_memory()
        if len(jobs) == 1:
            raise ModelError(
                f"{self._device} has too little memory for a prompt of this length; run on another device, "
                "or serve the model"
            )
        half = len(jobs) // 2
        self.most = min(self.most, half)
        return [*self.run(work, jobs[:half]), *self.run(work, jobs[half:])]
