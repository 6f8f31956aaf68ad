"""Every exception this package raises on purpose.

EvalError
├── ConfigurationError        an option, file or server is not usable; nothing was asked of a model
│   ├── DataError             a benchmark's data is missing or malformed
│   └── OutputInUseError      another run writes to the output folder
├── GateError                 a gate failed: what its test shows
└── ModelError                a model or judge could not be asked one question
    ├── ContextLengthError    the prompt is longer than the model's context
    ├── NoAnswerError         all that the model wrote was reasoning
    ├── UnreachableError      its server can't be reached or doesn't answer in time
    └── ItemError             what a failing test shows: the reason, the question, the answer, the judgment

They are turned into pytest.UsageError, or into a failing test, only at the edge (plugin.py, hooks.py,
session.py).
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


class GateError(EvalError):
    """A gate failed; the message says the figure, the limit and the questions behind it."""


class ModelError(EvalError):
    """A model or judge could not be asked.

    `prompt` is what it should have been asked, `status` the HTTP status of the server's refusal.
    """

    def __init__(self, message: str, *, prompt: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.prompt = prompt
        self.status = status


class ContextLengthError(ModelError):
    """The prompt has more tokens than the model's context."""


class NoAnswerError(ModelError):
    """The model wrote no answer, be it that all its tokens went into reasoning.

    `reasoning` is what it wrote instead, `finish_reason` why it ended.
    """

    def __init__(
        self, message: str, *, prompt: str = "", reasoning: str = "", finish_reason: str = "length"
    ) -> None:
        super().__init__(message, prompt=prompt)
        self.reasoning = reasoning
        self.finish_reason = finish_reason


class UnreachableError(ModelError):
    """The server can't be reached, or doesn't answer in time."""


class ItemError(ModelError):
    """What a failing eval test shows instead of a traceback through this package."""
