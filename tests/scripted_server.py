"""A scripted OpenAI-compatible model server, which tests and benchmarks run instead of a model.

It answers like vLLM 0.32, from one thread with one event loop, so that thousands of requests at the same time
cost little. A test scripts the chat replies (`reply`) and the failures (`fault`), and reads what arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate, count
from types import TracebackType
from typing import Any

from aiohttp import web

from pytest_instructlab_eval.models.identity import PROMPTS

Body = dict[str, Any]
Condition = Callable[[Body], bool]

CHATS = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
GENERATION = frozenset({CHATS, COMPLETIONS})

ALL_FEATURES = frozenset({"tokenize", "logprob_token_ids", "top_logprobs", "echo"})
CANDIDATES = (" A", " B", " C", " D", "A", "B", "C", "D", " the", " a", " yes", " no")
MOST_KNOWN = 50_000  # steps that a server remembers
JUDGE_MARKS = ("[The Start of Assistant's Answer]", "Assistant A's Conversation", "[[rating]]")

ERROR_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
}
LARGEST_BODY = 256 * 2**20
BACKLOG = 4096  # connections that may wait to be accepted
AT_EXIT = 0.01  # seconds for requests in flight when the server stops; 0 would be no limit to aiohttp


# What a test scripts


@dataclass(frozen=True)
class Reply:
    """What the model says in a chat."""

    text: str
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Status:
    """An error status with OpenAI's error JSON."""

    code: int
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drop:
    """The connection is closed without an answer."""


@dataclass(frozen=True)
class NotJSON:
    """A success whose body is something else, such as a proxy's page."""

    text: str = "<html>busy</html>"
    content_type: str = "text/html"


@dataclass(frozen=True)
class BrokenJSON:
    """A success that claims to be JSON, but breaks off."""


@dataclass(frozen=True)
class NullContent:
    """The usual reply, whose text is null."""


@dataclass(frozen=True)
class Finish:
    """The usual reply with this finish_reason."""

    reason: str


@dataclass(frozen=True)
class Hang:
    """The usual answer, after so many seconds more."""

    seconds: float


@dataclass(frozen=True)
class Until:
    """The usual answer, once the condition holds; after a minute without it."""

    condition: Callable[[], bool]


@dataclass(frozen=True)
class NoChoices:
    """The usual reply, whose list of choices is empty."""


@dataclass(frozen=True)
class Altered:
    """The usual answer, changed by a function."""

    change: Callable[[Body], Body]


Fault = Status | Drop | NotJSON | BrokenJSON | NullContent | Finish | Hang | Until | NoChoices | Altered


@dataclass
class Rule:
    """Which requests get a fault, and how many more of them."""

    fault: Fault
    path: str
    left: int | None
    when: Condition | None

    def fits(self, path: str, body: Body) -> bool:
        return path == self.path and self.left != 0 and (self.when is None or self.when(body))


class Rules:
    """The faults to come: the first rule that fits a request is used."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()  # the test adds, the server's thread takes

    def add(self, rule: Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def take(self, path: str, body: Body) -> Fault | None:
        with self._lock:
            rule = next((rule for rule in self._rules if rule.fits(path, body)), None)
            if rule is None:
                return None
            if rule.left is not None:
                rule.left -= 1
            return rule.fault


# What arrived


@dataclass(frozen=True)
class Received:
    """One request as it arrived; the names of its headers are in lower case."""

    path: str
    body: Body
    headers: dict[str, str]
    time: float


class Ledger:
    """What arrived, and how much of it was in flight at the same time."""

    def __init__(self, keep: bool) -> None:
        self.requests: list[Received] = []
        self.generations = 0
        self.prompts = 0
        self.duplicates = 0
        self.peak = 0
        self._keep = keep
        self._in_flight = 0
        self._seen: set[bytes] = set()

    def arrive(self, path: str, body: Body, headers: Mapping[str, str]) -> None:
        if self._keep:
            names = {name.lower(): value for name, value in headers.items()}
            self.requests.append(Received(path, body, names, time.monotonic()))
        if path in GENERATION:
            self._count(path, body)

    def _count(self, path: str, body: Body) -> None:
        digest = blake2b(encoded(json.dumps([path, body], sort_keys=True)), digest_size=16).digest()
        self.generations += 1
        prompts = body.get("prompt")
        listed = prompts if isinstance(prompts, list) else [prompts]
        if not all(prompt in PROMPTS for prompt in listed):  # these only look which model it is
            self.prompts += load_of(path, body)
        self.duplicates += digest in self._seen
        self._seen.add(digest)

    @contextmanager
    def running(self, load: int) -> Iterator[None]:
        self._in_flight += load
        self.peak = max(self.peak, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= load


def load_of(path: str, body: Body) -> int:
    """How many generations a request asks for."""
    prompt = body.get("prompt")
    if path == COMPLETIONS and isinstance(prompt, list) and not is_token_ids(prompt):
        return len(prompt)
    return int(path in GENERATION)


def is_token_ids(prompt: object) -> bool:
    """Whether a prompt is one list of token ids; `type` because True and False are no ids."""
    return isinstance(prompt, list) and bool(prompt) and all(type(part) is int for part in prompt)


# The model


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON can hold half of a surrogate pair


class Tokenizer:
    """Cuts text into tokens without loss; a new token gets its id when it is first seen."""

    _TOKEN = re.compile(r" ?[^\s\w]| ?\w+|\s")

    def __init__(self) -> None:
        self._ids = {token: number for number, token in enumerate(CANDIDATES)}
        self._texts = list(CANDIDATES)

    def split(self, text: str) -> list[str]:
        return self._TOKEN.findall(text)

    def id(self, token: str) -> int:
        if token not in self._ids:
            self._ids[token] = len(self._texts)
            self._texts.append(token)
        return self._ids[token]

    def tokens(self, prompt: str | Sequence[int]) -> list[str]:
        """The tokens of a prompt, which is a text or their ids."""
        return self.split(prompt) if isinstance(prompt, str) else [self.text(token_id) for token_id in prompt]

    def text(self, token_id: object) -> str:
        if not isinstance(token_id, int) or not 0 <= token_id < len(self._texts):
            raise ApiError(400, f"Token id {token_id!r} is not in the vocabulary.")
        return self._texts[token_id]


class Context:
    """The text so far, and how likely each token is to come next.

    A token's log-probability is a hash of the context and the token. The candidates are more likely than
    every other token, so that the model generates the most likely candidate.
    """

    def __init__(self, text: str = "") -> None:
        self._hash = blake2b(encoded(text), digest_size=8)

    def extend(self, token: str) -> None:
        self._hash.update(encoded(token))

    def logprob(self, token: str) -> float:
        digest = self._hash.copy()
        digest.update(b"\0" + encoded(token))
        share = (int.from_bytes(digest.digest(), "big") >> 11) / 2**53
        return -(0.1 if token in CANDIDATES else 10.1) - 10 * share

    def likeliest(self, count: int) -> list[str]:
        return sorted(CANDIDATES, key=self.logprob, reverse=True)[:count]

    @property
    def digest(self) -> bytes:
        """What tells the text from every other."""
        return self._hash.digest()


def rendered(messages: Sequence[Body], generation_prompt: bool = True) -> str:
    """The text of a chat by the model's chat template."""
    turns = (f"<|{message.get('role')}|>\n{content_text(message)}<|end|>\n" for message in messages)
    return "".join(turns) + ("<|assistant|>\n" if generation_prompt else "")


def content_text(message: Body) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return "" if content is None else str(content)


def rating_of(prompt: str) -> int:
    """The rating, 1 to 10, which the default reply gives for this judge prompt."""
    return 1 + int.from_bytes(blake2b(encoded(prompt), digest_size=8).digest(), "big") % 10


def default_reply(body: Body) -> str:
    prompt = content_text(body["messages"][-1])
    if any(mark in prompt for mark in JUDGE_MARKS):
        return f"Fair. Rating: [[{rating_of(prompt)}]]"
    return f"Answer to: {prompt[:40]}"


# Requests and responses


class ApiError(Exception):
    """An error answer in OpenAI's format."""

    def __init__(self, code: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def response(self) -> web.Response:
        return error_response(self.code, str(self), param=self.param)


def error_response(
    code: int, message: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> web.Response:
    kind = ERROR_TYPES.get(code, "InternalServerError")
    error = {"message": message, "type": kind, **more, "code": code}
    return web.json_response({"error": error}, status=code, headers=headers)


def parsed(raw: bytes) -> Body | None:
    """A request's JSON object, {} when it has no body, None when it has something else."""
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def broken_response(fault: Fault | None) -> web.Response | None:
    """The answer of a fault that leaves nothing of the usual answer."""
    match fault:
        case Status(code, message, headers):
            return error_response(code, message, headers=headers)
        case NotJSON(text, content_type):
            return web.Response(text=text, content_type=content_type)
        case BrokenJSON():
            return web.Response(text='{"id": "broken", "choices": [{"ind', content_type="application/json")
        case _:
            return None


def damaged(payload: Body, fault: Fault | None) -> Body:
    """The usual answer to a generation request, changed by a fault."""
    match fault:
        case Altered(change):
            return change(payload)
        case NoChoices():
            return {**payload, "choices": []}
        case Finish(reason):
            return with_choices(payload, finish_reason=reason)
        case NullContent() if payload["object"] == "chat.completion":
            return with_choices(payload, message={"role": "assistant", "content": None})
        case NullContent():
            return with_choices(payload, text=None)
        case _:
            return payload


def with_choices(payload: Body, **changes: object) -> Body:
    return {**payload, "choices": [{**choice, **changes} for choice in payload["choices"]]}


def usage(prompt_tokens: int, completion_tokens: int) -> Body:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
    }


def messages_of(body: Body) -> list[Body]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise ApiError(400, "messages must be a list of messages.", "messages")
    return messages


def prompts_of(body: Body) -> list[str | list[int]]:
    """The prompts of a completion request, each a text or the ids of its tokens."""
    prompt = body.get("prompt")
    several = isinstance(prompt, list) and not is_token_ids(prompt)
    prompts: list[Any] = prompt if isinstance(prompt, list) and several else [prompt]
    texts, ids = (all(fits(part) for part in prompts) for fits in (is_text, is_token_ids))
    if not prompts or not (texts or ids):
        raise ApiError(400, "prompt must be a text, token ids, or a list of either.", "prompt")
    return prompts


def text_of(body: Body) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        raise ApiError(400, "prompt must be a text.", "prompt")
    return prompt


def is_text(prompt: object) -> bool:
    return isinstance(prompt, str)


@dataclass(frozen=True)
class Asked:
    """What a completion request asks for beside the text."""

    echo: bool
    top: int | None  # how many of the most likely tokens; None for no log-probabilities
    token_ids: tuple[int, ...]  # tokens whose log-probabilities are wanted whatever they are
    names_as_ids: bool


def asked(body: Body, features: frozenset[str]) -> Asked:
    echo = bool(body.get("echo"))
    top = body.get("logprobs")
    token_ids = body.get("logprob_token_ids") if "logprob_token_ids" in features else None
    if echo and "echo" not in features:
        raise ApiError(400, "echo is not supported.", "echo")
    if token_ids is not None and top is None:
        raise ApiError(400, "when using `logprob_token_ids`, `logprobs` must be set.", "logprob_token_ids")
    if body.get("max_tokens") == 0 and not echo:
        raise ApiError(400, "max_tokens must be at least 1, got 0.", "max_tokens")
    if "top_logprobs" not in features and not echo and token_ids is None:
        top = None
    return Asked(echo, top, tuple(token_ids or ()), bool(body.get("return_tokens_as_token_ids")))


@dataclass(frozen=True)
class Step:
    """One token of a completion, with the log-probabilities of what could have been there."""

    token: str
    top: dict[str, float] | None  # None for the first token, which nothing precedes

    @property
    def logprob(self) -> float | None:
        return None if self.top is None else self.top[self.token]


class Completer:
    """Computes the choices of completion requests."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.weights = ""
        self.noise = 0.0
        self._tokenizer = tokenizer
        self._measured = count()
        self._known: dict[tuple[bytes, str, int], Step] = {}

    def choice(self, index: int, prompt: Sequence[str], asked: Asked) -> Body:
        """The completion of a prompt of tokens."""
        steps = self._steps(prompt, asked)
        return {
            "index": index,
            "text": "".join(step.token for step in steps),
            "logprobs": None if asked.top is None else self._logprobs(steps, asked),
            "finish_reason": "length",
            "stop_reason": None,
        }

    def _steps(self, prompt: Sequence[str], asked: Asked) -> list[Step]:
        top = asked.top or 0
        context = Context(self.weights + ("" if asked.echo else "".join(prompt)))
        steps: list[Step] = []
        for token in prompt if asked.echo else []:
            steps.append(self._step(context, token, top) if steps else Step(token, None))
            context.extend(token)
        extra = [self._tokenizer.text(token_id) for token_id in asked.token_ids]
        wanted = [*context.likeliest(max(top, 1)), *extra]
        return [*steps, Step(wanted[0], self._measure(context, wanted))]

    def _measure(self, context: Context, tokens: Sequence[str]) -> dict[str, float]:
        """The log-probabilities of tokens, each off by up to `noise`."""
        spread = (2 * math.modf(next(self._measured) * 0.618)[0] - 1 for _ in tokens)
        return {
            text: min(context.logprob(text) + self.noise * off, 0.0)
            for text, off in zip(tokens, spread, strict=True)
        }

    def _step(self, context: Context, token: str, top: int) -> Step:
        """The token after a text. Prompts begin alike, by their examples, and each step costs many hashes."""
        key = (context.digest, token, top)
        if self.noise:
            return Step(token, self._measure(context, [token, *context.likeliest(top)]))
        if key not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            wanted = [token, *context.likeliest(top)]
            self._known[key] = Step(token, {text: context.logprob(text) for text in wanted})
        return self._known[key]

    def _logprobs(self, steps: Sequence[Step], asked: Asked) -> Body:
        def name(token: str) -> str:
            return f"token_id:{self._tokenizer.id(token)}" if asked.names_as_ids else token

        return {
            "text_offset": list(accumulate((len(step.token) for step in steps[:-1]), initial=0)),
            "token_logprobs": [step.logprob for step in steps],
            "tokens": [name(step.token) for step in steps],
            "top_logprobs": [step.top and {name(text): p for text, p in step.top.items()} for step in steps],
        }


class ScriptedServer:
    """The server, which runs inside `with`; see the module."""

    def __init__(
        self,
        *,
        models: Sequence[str] = ("tiny",),
        max_model_len: int = 4096,
        latency: float = 0.0,
        api_key: str | None = None,
        features: frozenset[str] = ALL_FEATURES,
        port: int = 0,
        keep_requests: bool = True,
    ) -> None:
        self.models = tuple(models)
        self.max_model_len = max_model_len
        self.latency = latency
        self.api_key = api_key
        self.key_header = "Authorization"  # it wants the key in this one, and as it is in any other
        self.features = features
        self.listed: Body = {}
        self.reply: Callable[[Body], str | Reply] = default_reply  # runs in the server's event loop
        self.root: str | None = None  # where the weights are, as it lists them; the model's name by default
        self.url = ""
        self._port = port
        self._ledger = Ledger(keep_requests)
        self._rules = Rules()
        self._tokenizer = Tokenizer()
        self._completer = Completer(self._tokenizer)
        self._endpoints = self._routes()
        self._thread = threading.Thread(target=self._run, name="scripted-server", daemon=True)
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()

    # What a test uses

    def change_model(self, weights: str, *, noise: float = 0.0) -> None:
        """Serve other weights under the same name; `noise` (nats) is how well log-probabilities repeat.

        What is listed of the model (`listed`) and what it says in chats (`reply`) do not change by it.
        """
        self._completer.weights, self._completer.noise = weights, noise

    def fault(
        self, fault: Fault, *, path: str = CHATS, times: int | None = 1, when: Condition | None = None
    ) -> None:
        """The next `times` requests to the path, for which `when` is true, get the fault."""
        if isinstance(fault, NullContent | Finish | NoChoices) and path not in GENERATION:
            raise ValueError(f"{fault} changes a model's reply, but {path} has none")
        self._rules.add(Rule(fault, path, times, when))

    @staticmethod
    def logprob(context: str, token: str) -> float:
        """The log-probability of a token after a text."""
        return Context(context).logprob(token)

    @property
    def requests(self) -> list[Received]:
        return self._ledger.requests

    @property
    def chats(self) -> list[Body]:
        return self._bodies(CHATS)

    @property
    def completions(self) -> list[Body]:
        return self._bodies(COMPLETIONS)

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts of all completion requests, in the order they came."""
        return [prompt for body in self.completions for prompt in prompts_of(body)]

    @property
    def in_flight_peak(self) -> int:
        return self._ledger.peak

    @property
    def duplicates(self) -> int:
        """How many generations were asked for again with the very same body."""
        return self._ledger.duplicates

    def count(self, path: str) -> int:
        """How many requests to a path arrived."""
        return sum(received.path == path for received in self.requests)

    def _bodies(self, path: str) -> list[Body]:
        return [received.body for received in self.requests if received.path == path]

    # Start and stop

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        _, _, port = self._started.result()
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, stop, _ = self._started.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=AT_EXIT)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port, backlog=BACKLOG).start()
            self._started.set_result((asyncio.get_running_loop(), stop, runner.addresses[0][1]))
            await stop.wait()
        finally:
            await runner.cleanup()

    # How a request is answered

    async def _handle(self, request: web.Request) -> web.Response:
        body = parsed(await request.read())
        self._ledger.arrive(request.path, body or {}, request.headers)
        try:
            if body is None:
                raise ApiError(400, "The body is not a JSON object.")
            with self._ledger.running(load_of(request.path, body)):
                return await self._respond(request, body, self._rules.take(request.path, body))
        except ApiError as error:
            return error.response()

    async def _respond(self, request: web.Request, body: Body, fault: Fault | None) -> web.Response:
        broken = broken_response(fault)
        if broken is not None:
            return broken
        if isinstance(fault, Drop):
            return self._drop(request)
        if isinstance(fault, Hang):
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, Until):
            deadline = time.monotonic() + 60
            while not fault.condition() and time.monotonic() < deadline:  # noqa: ASYNC110  (of any kind)
                await asyncio.sleep(0.01)
        if not self._authorized(request):
            return web.json_response({"error": "Unauthorized"}, status=401)  # as vLLM says it
        endpoint = self._endpoints.get(f"{request.method} {request.path}")
        if endpoint is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        payload = endpoint(body)
        if request.path in GENERATION:
            await asyncio.sleep(self.latency)
        return web.json_response(damaged(payload, fault))

    def _drop(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.close()
        return web.Response()  # goes nowhere

    def _authorized(self, request: web.Request) -> bool:
        needed = self.api_key is not None and request.path.startswith("/v1/")
        bearer = "Bearer " if self.key_header == "Authorization" else ""
        return not needed or request.headers.get(self.key_header) == f"{bearer}{self.api_key}"

    def _routes(self) -> dict[str, Callable[[Body], Body]]:
        routes: dict[str, Callable[[Body], Body]] = {
            "GET /health": lambda body: {},
            "GET /stats": self._stats,
            "GET /v1/models": self._models,
            f"POST {CHATS}": self._chat,
            f"POST {COMPLETIONS}": self._complete,
        }
        if "tokenize" in self.features:
            routes |= {"POST /tokenize": self._tokenize, "POST /detokenize": self._detokenize}
        return routes

    def _stats(self, body: Body) -> Body:
        ledger = self._ledger
        return {
            "requests": ledger.generations,
            "prompts": ledger.prompts,
            "in_flight_peak": ledger.peak,
            "duplicates": ledger.duplicates,
        }

    def _models(self, body: Body) -> Body:
        return {"object": "list", "data": [self._card(name) for name in self.models]}

    def _card(self, name: str) -> Body:
        return {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "vllm",
            "root": self.root or name,
            "parent": None,
            "max_model_len": self.max_model_len,
            **self.listed,
        }

    def _tokenize(self, body: Body) -> Body:
        self._check_model(body)
        if "messages" in body:
            text = rendered(messages_of(body), bool(body.get("add_generation_prompt", True)))
        else:
            text = text_of(body)
        ids = [self._tokenizer.id(token) for token in self._tokenizer.split(text)]
        return {"count": len(ids), "max_model_len": self.max_model_len, "tokens": ids, "token_strs": None}

    def _detokenize(self, body: Body) -> Body:
        self._check_model(body)
        return {"prompt": "".join(self._tokenizer.text(token_id) for token_id in body.get("tokens", []))}

    def _chat(self, body: Body) -> Body:
        self._check_model(body)
        prompt_tokens = self._checked_length(self._tokenizer.split(rendered(messages_of(body))))
        said = self.reply(body)
        reply = said if isinstance(said, Reply) else Reply(said)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": reply.text},
            "logprobs": None,
            "finish_reason": reply.finish_reason,
        }
        counts = usage(prompt_tokens, len(self._tokenizer.split(reply.text)))
        return self._generated(body, "chat.completion", [choice], counts)

    def _complete(self, body: Body) -> Body:
        self._check_model(body)
        wanted = asked(body, self.features)
        prompts = [self._tokenizer.tokens(prompt) for prompt in prompts_of(body)]
        prompt_tokens = sum([self._checked_length(prompt) for prompt in prompts])
        choices = [self._completer.choice(index, prompt, wanted) for index, prompt in enumerate(prompts)]
        return self._generated(body, "text_completion", choices, usage(prompt_tokens, len(prompts)))

    def _generated(self, body: Body, kind: str, choices: list[Body], counts: Body) -> Body:
        return {
            "id": f"{kind}-{self._ledger.generations}",
            "object": kind,
            "created": int(time.time()),
            "model": body.get("model", self.models[0]),
            "choices": choices,
            "usage": counts,
        }

    def _check_model(self, body: Body) -> None:
        model = body.get("model", self.models[0])
        if model not in self.models:
            aliases = ", ".join(self.models)
            raise ApiError(404, f"The model `{model}` does not exist. Valid aliases: {aliases}.", "model")

    def _checked_length(self, prompt: Sequence[str]) -> int:
        """How many tokens a prompt has, when the model can read so many."""
        limit = self.max_model_len
        count = len(prompt)
        if count <= limit:
            return count
        # vLLM stops counting one token past the limit.
        raise ApiError(
            400,
            f"This model's maximum context length is {limit} tokens. However, your prompt contains at least "
            f"{limit + 1} input tokens, which exceeds this limit even without any output tokens. Please "
            f"reduce the length of the input prompt. (parameter=input_tokens, value={limit + 1})",
            "input_tokens",
        )


# As a process


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.scripted_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one (default)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each generation takes")
    parser.add_argument("--model", action="append", help="a served model's name; may be repeated")
    parser.add_argument("--max-model-len", type=int, default=4096)
    parser.add_argument("--api-key")
    return parser.parse_args()


def stop_by_signal(number: int, frame: object) -> None:
    sys.exit(0)


def main() -> None:
    """Prints the server's URL and serves until SIGTERM, Ctrl-C or the end of stdin."""
    chosen = options()
    server = ScriptedServer(
        models=chosen.model or ("tiny",),
        max_model_len=chosen.max_model_len,
        latency=chosen.latency,
        api_key=chosen.api_key,
        port=chosen.port,
        keep_requests=False,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_by_signal)
    with server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
