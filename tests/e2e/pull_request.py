"""A pull request of five pairs, and what a gated run says of a candidate's answers to it.

The models are real, and so are their servers. The judge is scripted, since no judge that is worth asking fits
into a test: it gives the share of the reference's words that the answer has, on its scale, with noise.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from tests.scripted_server import Body, ScriptedServer, content_text

from . import smollm2
from .reseeding import reseeding
from .vllm_environment import Server, VLLMServer

FILE = "compositional_skills/facts/qna.yaml"
HEAD = "version: 3\ncreated_by: tester\ntask_description: facts in a sentence\nseed_examples:\n"
# Five of 40 such questions, of different kinds: the base model's ratings of eight answers to each differed by
# less than 1 of 10. They were chosen by that alone, before any verdict.
PAIRS = {
    "What is the capital of France? Answer in one sentence.": "The capital of France is Paris.",
    "What is the chemical symbol for gold? Answer in one sentence.": "The chemical symbol for gold is Au.",
    "What is the largest ocean on Earth? Answer in one sentence.": (
        "The largest ocean on Earth is the Pacific Ocean."
    ),
    "What is the longest river in the world? Answer in one sentence.": (
        "The longest river in the world is the Nile River."
    ),
    "What is the fastest land animal? Answer in one sentence.": "The fastest land animal is the cheetah.",
}
LIMIT = 1.0  # of 10
GATE = f"mt_bench_branch.drop <= {LIMIT}"
BASE = "smollm2"
NOISE_OF = {"worse": 0.17, "alike": 0.01}  # the candidates, and the noise in their weights
TOKENS = 16  # at most, of an answer: a model with much noise does not end by itself
NOISE = 0.5  # standard deviation of the judge's ratings, of 10
WORDS = re.compile(r"\w+")
PROMPT = re.compile(
    r"\[The Start of Reference Answer]\n(?P<reference>.*)\n\[The End of Reference Answer].*"
    r"\[The Start of Assistant's Answer]\n(?P<answer>.*)\n\[The End of Assistant's Answer]",
    re.DOTALL,
)


@dataclass(frozen=True)
class Outcome:
    """What one run said: its exit status, the gate's verdict, both models' mean ratings, and why."""

    status: int
    verdict: str
    base: float
    candidate: float
    answers: int  # to each question, by each model: the fewest
    message: str

    @property
    def red(self) -> bool:
        return self.status == 1 and self.verdict == "failed"

    @property
    def green(self) -> bool:
        return self.status == 0 and self.verdict == "passed"


class PullRequest:
    """A taxonomy in a folder, whose branch `pr` adds a file of five pairs, and runs at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taxonomy = folder / "taxonomy"
        self.taxonomy.mkdir(parents=True)
        self._git("init", "--quiet", "-b", "main")
        self._git("commit", "--quiet", "--allow-empty", "-m", "main")
        self._git("checkout", "--quiet", "-b", "pr")
        file = self.taxonomy / FILE
        file.parent.mkdir(parents=True)
        pairs = (f"  - question: {question}\n    answer: {answer}\n" for question, answer in PAIRS.items())
        file.write_text(HEAD + "".join(pairs))
        self._git("add", ".")
        self._git("commit", "--quiet", "-m", "pr")

    def _git(self, *arguments: str) -> None:
        who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
        subprocess.run(["git", *who, *arguments], cwd=self.taxonomy, check=True, capture_output=True)

    def evaluate(self, candidate: Server, base: Server, *options: str, seed: int) -> Outcome:
        """One run of both models; the seed is that of the answers and of the judge's noise."""
        output = self.folder / f"{candidate.name}-{seed}"
        with judge(seed) as url:
            command = [
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-q"),
                *("--eval-benchmark", "mt_bench_branch", f"--eval-taxonomy={self.taxonomy}"),
                *("--eval-branch", "pr", "--eval-base-branch", "main", "--eval-changed-only"),
                *("--eval-model", candidate.name, "--eval-base-url", candidate.url),
                *("--eval-base-model", base.name, "--eval-base-model-url", base.url),
                *("--eval-judge-model", "judge", "--eval-judge-base-url", url),
                *("--eval-gate", GATE, "--eval-seed", str(seed), f"--eval-output-dir={output}", *options),
            ]
            done = subprocess.run(
                command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=1200
            )
        results = output / "results.json"
        assert results.exists(), done.stdout + done.stderr
        return outcome(done.returncode, json.loads(results.read_text("utf-8")), candidate.name, base.name)


def outcome(status: int, document: dict[str, object], candidate: str, base: str) -> Outcome:
    verdicts, results = document["verdicts"], document["results"]
    assert isinstance(verdicts, list)
    assert isinstance(results, list)
    (verdict,) = [each for each in verdicts if each["gate"]["text"] == GATE]
    ratings: dict[str, list[float]] = {candidate: [], base: []}
    answers: list[int] = []
    for result in results:
        for score in result["scores"]:
            assert score["value"] is not None, result
            ratings[result["model"]].append(score["value"])
            answers.append(len(score["metadata"].get("answers", [None])))
    assert len(ratings[candidate]) == len(ratings[base]) == len(PAIRS)
    means = (mean(ratings[base]), mean(ratings[candidate]))
    return Outcome(status, verdict["verdict"], *means, min(answers), verdict["message"])


@contextmanager
def judge(seed: int) -> Iterator[str]:
    """The URL of a judge whose noise is that of the seed and the answer."""

    def reply(body: Body) -> str:
        return f"Rating: [[{rating(content_text(body['messages'][-1]), seed)}]]"

    with ScriptedServer(models=("judge",)) as server:
        server.reply = reply
        yield server.url


def rating(prompt: str, seed: int) -> int:
    """From 1 to 10: the share of the reference's words that the answer has, with noise."""
    found = PROMPT.search(prompt)
    assert found is not None, prompt
    wanted, given = (set(WORDS.findall(found[name].lower())) for name in ("reference", "answer"))
    noise = random.Random(f"{seed} {found['answer']}").gauss(0, NOISE)
    return min(10, max(1, round(1 + 9 * len(wanted & given) / len(wanted) + noise)))


@contextmanager
def served(folder: Path, noise: Mapping[str, float] = NOISE_OF) -> Iterator[tuple[Server, list[Server]]]:
    """The base model and the candidates, which have so much noise, on one vLLM.

    A candidate is an adapter of the base model, as a fine-tuned one often is: so one server is started. It
    draws its answers by other seeds than the base model. That is an adapter without noise, too: in a batch
    with adapters, vLLM 0.32 on the CPU answers a request of the model itself by the last of them.
    """
    adapters = {name: smollm2.adapter(much) for name, much in {BASE: 0.0, **noise}.items()}
    # fmt: off
    options = (
        # In parts, vLLM 0.32 on the CPU dies of a prompt with a seed.
        "--no-enable-chunked-prefill",
        # Else no prompt is as long as a block, and what all prompts begin with is computed for each.
        "--block-size", "32",
        "--override-generation-config", json.dumps({"max_new_tokens": TOKENS}),
        "--enable-lora", "--max-loras", str(len(adapters)), "--max-lora-rank", str(smollm2.RANK),
        "--lora-modules", *(f"{name}={path}" for name, path in adapters.items()),
    )
    # fmt: on
    log = folder / "server.log"
    with (
        VLLMServer(smollm2.folder(), log=log, name="no-adapter", options=options) as server,
        reseeding(server.url.removesuffix("/v1")) as other,
    ):
        yield (
            Server(server.url, BASE, adapters[BASE]),
            [Server(f"{other}/v1", name, adapters[name]) for name in noise],
        )
