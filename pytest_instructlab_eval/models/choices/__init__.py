"""The log-likelihood of the choices of a multiple-choice question, by the fastest way that a server has.

1. `token_ids`: every choice is one token after the prompt (MMLU's letters). One request a question, which
   asks for one token and, by vLLM's `logprob_token_ids`, for the log-probabilities of just the choices.
2. `top_logprobs`: one request a question, where all the choices are among the likeliest tokens; where one
   is not, a second that asks for many more of them.
3. `echo` with the log-probabilities of the prompt: one request a choice, of any number of tokens.

All three give what lm-eval's `local-completions` gives on the same server (tests/e2e compares them).
"""

from pytest_instructlab_eval.models.choices.choice_scorer import WAYS, ChoiceScorer
from pytest_instructlab_eval.models.choices.echo import ECHO_PROBES, TOLERANCE
from pytest_instructlab_eval.models.choices.token_ids import last_line

__all__ = ["ECHO_PROBES", "TOLERANCE", "WAYS", "ChoiceScorer", "last_line"]
