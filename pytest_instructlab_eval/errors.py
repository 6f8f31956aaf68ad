"""The exceptions of this package.

EvalError
├── ConfigurationError        an option, file or server is not usable; no request was sent
│   ├── DataError             a benchmark's data is missing or malformed
│   ├── OutputInUseError      another run writes to the output folder
│   ├── IncompleteRunError    a finished run lacks results, so that its gates cannot be decided
│   └── JudgeTrialError       a judge failed its trial
├── GateError                 a gate failed; its test shows the message
└── ModelError                a request to a model or judge failed
    ├── ContextLengthError    the prompt is longer than the model's context
    ├── NoAnswerError         the model wrote only reasoning
    ├── UnreachableError      its server cannot be reached or does not answer in time
    └── ItemError             shown by a failing test: the reason, the question, the answer, the judgment

Only plugin.py and session/ turn them into a pytest.UsageError or a failing test.
"""

from __future__ import annotations


class EvalError(Exception):
    """The base class of this package's exceptions."""


class ConfigurationError(EvalError):
    """An option, a file or a server cannot be used; the message says which, and what to do."""


class DataError(ConfigurationError):
    """A benchmark's data is missing or malformed; the message names the file and line."""


class OutputInUseError(ConfigurationError):
    """Another run writes to the output folder; the message names its process and host."""


class IncompleteRunError(ConfigurationError):
    """A finished run lacks results, so that its gates cannot be decided; the message says which."""


class JudgeTrialError(ConfigurationError):
    """A judge failed its trial; the message has its ratings.

    `texts` are what it was sent and what it said, each with a title.
    """

    def __init__(self, message: str, texts: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.texts = texts


class GateError(EvalError):
    """A gate failed; the message has the limit, the value and the questions behind it."""


class ModelError(EvalError):
    """A request to a model or judge failed.

    `prompt` is the prompt of the request, `status` the HTTP status of the server's refusal.
    """

    def __init__(self, message: str, *, prompt: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.prompt = prompt
        self.status = status


class ContextLengthError(ModelError):
    """The prompt has more tokens than the model's context."""


class NoAnswerError(ModelError):
    """The model wrote no answer, for example because all its tokens went into reasoning.

    `reasoning` is what it wrote instead, `finish_reason` why the reply ended.
    """

    def __init__(
        self, message: str, *, prompt: str = "", reasoning: str = "", finish_reason: str = "length"
    ) -> None:
        super().__init__(message, prompt=prompt)
        self.reasoning = reasoning
        self.finish_reason = finish_reason


class UnreachableError(ModelError):
    """The server cannot be reached, or does not answer in time."""


class ItemError(ModelError):
    """The error that a failing eval test shows instead of a traceback through this package."""
