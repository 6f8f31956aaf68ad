"""The settings of one run: one frozen record."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

REFERENCE_JUDGE = "reference"  # compares with the reference answer, without a language model
STAGES = ("answer", "judge")
SERVE = ("auto", "never", "vllm", "local")
BASE_QUESTIONS = ("same", "base")
EXPORTS = ("inspect", "eee", "csv", "parquet")
ANNOTATIONS = ("none", "github", "gitlab")
INCONCLUSIVE = ("warn", "fail", "pass")
AUTO = "auto"  # as many repeats as the gates need
GateAbout = Literal["these", "like-these"]
"""What the verdict on a drop is about: the questions of the run alone, or questions like them."""
FIRST_N_VARIABLE = "INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS"
MIN_TASKS_VARIABLE = "INSTRUCTLAB_EVAL_MMLU_MIN_TASKS"
MIN_TASKS = 4  # of MMLU's 57, as in `ilab model evaluate` where the variable is set


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of one run; every path is absolute.

    `own` are the values of the options of installed benchmarks, by name.
    """

    model: tuple[str, ...]
    base_url: tuple[str, ...] = ()
    checkpoints: Path | None = None
    api_key_env: str | None = None
    api_key_header: str | None = None
    judge_model: tuple[str, ...] = ()
    judge_base_url: tuple[str, ...] = ()
    judge_api_key_env: str | None = None
    judge_api_key_header: str | None = None
    judge_repeat: int = 1
    no_judge_trial: bool = False
    benchmark: tuple[str, ...] = ()
    mmlu_data: Path | None = None
    mmlu_subject: tuple[str, ...] = ()
    mt_bench_data: Path | None = None
    tasks_dir: Path | None = None
    trust_tasks: bool = False
    taxonomy: Path | None = None
    branch: str | None = None
    base_branch: str | None = None
    changed_only: bool = False
    include_knowledge: bool = False
    few_shots: int = 5
    first_n: int | None = None
    min_tasks: bool = False
    sample: int | None = None
    sample_seed: int | None = None
    repeat: int | Literal["auto"] = 1
    seed: int = 0
    max_concurrency: int = 64
    request_timeout: float = 600.0
    max_reply: int = 16
    wait: float = 0.0
    system_prompt: str | None = None
    merge_model_system_message: bool = False
    add_bos: bool = False
    merge_system_user_message: bool = False
    output_dir: Path = Path("eval_output")
    resume: bool = False
    report: Path | Literal["none"] | None = None
    price_in: tuple[str, ...] = ()
    price_out: tuple[str, ...] = ()
    keep_previous: int = 5
    export: tuple[str, ...] = ()
    annotations: str = "none"
    reuse_verdict: bool = False
    stage: str | None = None
    serve: str = "auto"
    vllm_python: str | None = None
    vllm_args: str | None = None
    gpus: int | None = None
    judge_gpus: int | None = None
    serve_timeout: float = 1800.0
    shard: tuple[int, int] | None = None
    gate: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    baseline: Path | None = None
    save_baseline: Path | None = None
    allow_mismatch: bool = False
    base_model: str | None = None
    base_model_url: tuple[str, ...] = ()
    base_model_api_key_env: str | None = None
    base_model_api_key_header: str | None = None
    base_questions: str = "same"
    inconclusive: str = "warn"
    plan: bool = False
    require_power: tuple[str, ...] = ()
    gate_about: GateAbout | None = None
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def value(self, name: str) -> object:
        """Return a setting by its name, which may be one of an installed benchmark."""
        return self.own[name] if name in self.own else getattr(self, name)

    def asks_part_of(self, benchmark: str) -> bool:
        """Return whether the run asks only some questions of a benchmark, and perhaps only some groups."""
        few_tasks = benchmark == "mmlu" and bool(self.min_tasks or self.mmlu_subject)
        return few_tasks or (self.sample, self.first_n) != (None, None)

    @property
    def report_file(self) -> Path | None:
        """The file that the user named for the page, None where there is none."""
        return self.report if isinstance(self.report, Path) else None

    @property
    def judges(self) -> dict[str, str]:
        """The judges by their labels in tests and tables."""
        names = tuple(dict.fromkeys((*self.evaluated, *self.judge_model)))
        short = dict(zip(names, short_names(names), strict=True))
        labels = {name: label for label, name in self.labels.items()}
        return {labels.get(name, short[name]): name for name in self.judge_model}

    @property
    def judge(self) -> str | None:
        """The label of the judge, or of the panel of judges; None where there is none."""
        return ", ".join(self.judges) or None

    @property
    def judging_models(self) -> tuple[str, ...]:
        """The judges that are language models and are used in this run."""
        return (
            ()
            if self.stage == "answer"
            else tuple(name for name in self.judge_model if name != REFERENCE_JUDGE)
        )

    @property
    def judgments(self) -> int:
        """The number of judgments of an answer by language models."""
        return self.judge_repeat * len(self.judging_models)

    def judge_urls(self, judge: str) -> tuple[str, ...]:
        """Return the URLs of a judge: its own, else those of the candidates.

        Several judges have one URL each, or share all; several URLs of one judge are replicas.
        """
        judges, urls = self.judging_models, self.judge_base_url or self.base_url
        return (urls[judges.index(judge)],) if len(judges) == len(self.judge_base_url) > 1 else urls

    @property
    def self_judged(self) -> tuple[str, ...]:
        """The models that judge their own answers, at the same server."""
        return tuple(
            label
            for label, name in self.labels.items()
            if name in self.judging_models
            and (
                not {*self.judge_urls(name)}.isdisjoint(self.base_url)
                or not (self.judge_urls(name) or self.base_url)
            )
        )

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The evaluated models: the candidates, and the base model."""
        return self.model if self.base_model is None else (*self.model, self.base_model)

    @functools.cached_property  # it looks at the disk
    def labels(self) -> dict[str, str]:
        """The evaluated models by their labels in tests and tables: names, or the ends of paths."""
        return dict(zip(short_names(self.evaluated), self.evaluated, strict=True))

    @property
    def candidates(self) -> tuple[str, ...]:
        """The labels of the evaluated models without the base model."""
        return tuple(label for label in self.labels if label != self.base_label)

    @property
    def base_label(self) -> str | None:
        """The label of the base model, None where there is none."""
        return None if self.base_model is None else list(self.labels)[-1]

    def urls(self, name: str) -> tuple[str, ...]:
        """Return the URLs of an evaluated model, empty where the run serves it."""
        return self.base_model_url or self.base_url if name == self.base_model else self.base_url

    def label(self, name: str) -> str:
        """Return the unique label of a model or judge in tests, tables and files."""
        labels = {other: label for label, other in {**self.judges, **self.labels}.items()}
        return labels.get(name, name)

    @property
    def hosted(self) -> tuple[str, ...]:
        """The models without a URL, which this run serves: candidates, then judges."""
        candidates = [name for name in self.evaluated if not self.urls(name) and self.stage != "judge"]
        judges = [name for name in self.judging_models if not self.judge_urls(name)]
        return tuple(dict.fromkeys((*candidates, *judges)))

    @property
    def rotates_models(self) -> bool:
        """True if the models that this run serves cannot all be served at once."""
        judges = len([name for name in self.hosted if name not in self.evaluated])
        others = len(self.hosted) - judges
        return max(judges, others) > 1 if self.judge_gpus is not None else judges + others > 1

    @property
    def fixed_repeat(self) -> int:
        """How often a question is asked where the options give a number, else 1."""
        return 1 if self.repeat == "auto" else self.repeat

    @property
    def swaps_judges(self) -> bool:
        """True if a judge that this run serves is not served all the time, but in turn with other models."""
        served = [name for name in self.judging_models if name in self.hosted]
        beside = self.judge_gpus is not None and len(served) == 1 and served[0] not in self.evaluated
        return bool(served) and self.rotates_models and not beside

    def seed_of(self, *names: object, repeat: int) -> int:
        """Return the seed of one repeat, from 0, of a question of an own benchmark, given by its name.

        It depends on `--eval-seed`, and differs between questions.
        """
        from pytest_instructlab_eval.seeds import seed_of

        return seed_of(self.seed, "own", *names, repeat=repeat)


def short_names(names: Sequence[str]) -> list[str]:
    """Return the labels of models in tests and tables: for a path, as much of its end as makes it unique.

    A name on a hub or a server stays whole.
    """
    parts = []
    for name in names:
        is_path = name.startswith((".", "/", "~")) or os.path.isdir(os.path.expanduser(name))
        parts.append(Path(os.path.abspath(name)).parts if is_path else (name,))
    for depth in range(1, max(map(len, parts), default=1) + 1):
        short = ["/".join(part[-depth:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return list(names)
