"""Without a model to evaluate, the plugin is as good as not installed."""

import re

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

FLAGS = """
    --eval-model=NAME
    --eval-checkpoints=DIR
    --eval-base-url=URL (default: the run serves the model itself)
    --eval-api-key-env=VARIABLE
    --eval-judge-model=NAME
    --eval-judge-base-url=URL (default: the same as --eval-base-url)
    --eval-judge-api-key-env=VARIABLE
    --eval-judge-repeat=K (default: 1)
    --eval-no-judge-trial, --eval-no-canaries
    --eval-benchmark=NAME (default: all whose needs are met)
    --eval-mmlu-data=DIR (default: the data set's hub)
    --eval-mt-bench-data=PATH (default: the published wheel)
    --eval-tasks-dir=DIR
    --eval-trust-tasks
    --eval-taxonomy=PATH
    --eval-branch=REF (default: the folder as it is)
    --eval-base-branch=REF
    --eval-changed-only
    --eval-include-knowledge
    --eval-few-shots=N (default: 5)
    --eval-first-n=N (default: all, or what $INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS says)
    --eval-sample=N (default: all)
    --eval-sample-seed=N (default: 0)
    --eval-repeat=K (default: 1)
    --eval-seed=N (default: 0)
    --eval-max-concurrency=N (default: 64)
    --eval-request-timeout=SECONDS (default: 600)
    --eval-max-reply=MIB (default: 16)
    --eval-wait=SECONDS (default: 0)
    --eval-system-prompt=TEXT_OR_@FILE
    --eval-merge-model-system-message (default: where its server refuses one)
    --eval-add-bos
    --eval-merge-system-user-message (default: as InstructLab decides by the judge's name)
    --eval-output-dir=DIR (default: eval_output)
    --eval-stage=STAGE
    --eval-serve=HOW (default: auto)
    --eval-vllm-python=PYTHON (default: the one that runs pytest)
    --eval-vllm-args=ARGS
    --eval-gpus=N (default: all that are left)
    --eval-judge-gpus=N (default: they share the GPUs, one after the other)
    --eval-serve-timeout=SECONDS (default: 1800)
    --eval-shard=K/N
    --eval-base-model=NAME
    --eval-base-model-url=URL (default: the same as --eval-base-url)
    --eval-base-model-api-key-env=VARIABLE (default: as --eval-api-key-env, where it is the same server)
    --eval-base-questions=WHICH (default: same)
    --eval-gate=EXPR
    --eval-baseline=FILE
    --eval-save-baseline=FILE
    --eval-allow-mismatch
    --eval-inconclusive=VERDICT (default: warn)
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


def test_help_tells_every_option_with_its_default_and_its_ini_twin(project: Project) -> None:
    text = project.run("--help").out
    _, found, rest = text.partition("evaluation of language models (instructlab-eval):\n")
    assert found
    group, _, after = rest.partition("\n\n")
    flags = []
    for option in re.split(r"\n(?=  --)", group):
        flag, *words = option.split()
        if flag.endswith(","):
            flag = f"{flag} {words.pop(0)}"  # another name of it
        default = re.search(r"\(?(default: [^;)]+)\)", " ".join(words))
        flags.append(f"{flag} ({default[1]})" if default else flag)
    assert flags == [line.strip() for line in FLAGS.strip().splitlines()]
    names = [re.split(r"[=, ]", flag)[0] for flag in flags]
    assert [name for name in names if f"as {name}" not in " ".join(after.split())] == []
    for name in names:
        twin = {"--eval-gate": "eval_gates"}.get(name, name[2:].replace("-", "_"))
        assert f"  {twin} (" in after
