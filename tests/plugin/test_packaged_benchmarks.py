"""A benchmark of an installed package has what the built-in ones have; none is imported unasked."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.scripted_server import Body

from .conftest import Finished, Project

EXAMPLE = Path(__file__).parents[2] / "examples/own-benchmark/countries_benchmark"
COUNTRIES = ("--eval-benchmark=countries",)


class Packaged:
    """A project beside which the example's package is installed, so far as metadata goes."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.site = project.folder.parent / "site"
        shutil.copytree(EXAMPLE, self.site / EXAMPLE.name, ignore=shutil.ignore_patterns("__pycache__"))
        self.name("countries", "countries_benchmark.countries:BENCHMARK")
        project.server.reply = knows_two_capitals

    def name(self, benchmark: str, value: str) -> None:
        """Write the package's metadata, with its entry point."""
        metadata = self.site / "countries_benchmark-1.0.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: countries-benchmark\nVersion: 1.0\n")
        group = "[pytest_instructlab_eval.benchmarks]"
        (metadata / "entry_points.txt").write_text(f"{group}\n{benchmark} = {value}\n")

    def change(self, old: str, new: str) -> None:
        """Change the benchmark's source."""
        path = self.site / EXAMPLE.name / "countries.py"
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    @property
    def env(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"}  # its source is changed

    def run(self, *args: str, **expected: Any) -> Finished:
        return self.project.run(*args, env=self.env, **expected)

    def evaluate(self, *args: str, **expected: Any) -> Finished:
        return self.project.evaluate(*args, env=self.env, **expected)


def knows_two_capitals(body: Body) -> str:
    text = str(body["messages"])
    return next(
        (city for country, city in (("Egypt", "Cairo"), ("Poland", "Warsaw")) if country in text), "?"
    )


@pytest.fixture
def packaged(project: Project) -> Packaged:
    return Packaged(project)


@pytest.mark.parametrize("processes", ["0", "1"])
def test_it_is_asked_and_told_as_a_built_in_one_is(packaged: Packaged, processes: str) -> None:
    run = packaged.evaluate(*COUNTRIES, "-n", processes, fresh=processes == "1", passed=6)
    run.shows("benchmarks: countries", "countries *", "  Africa *", "  Europe *")
    assert run.row("countries")[0] == "0.3333"
    assert set(run.results) == {
        f"test_countries[{name}]" for name in ("Egypt", "Kenya", "Senegal", "Norway", "Portugal", "Poland")
    }
    assert all(record["nodeid"].startswith("test_countries.py::") for record in run.document["results"])


def test_it_has_options_of_its_own_and_a_sample(packaged: Packaged) -> None:
    run = packaged.evaluate(*COUNTRIES, "--eval-continent=Africa", "--eval-sample=2", passed=2)
    assert run.row("countries (sample of 2)")[2] == "2"
    assert run.document["configuration"]["own"] == {"continent": "Africa"}
    wrong = packaged.evaluate(*COUNTRIES, "--eval-continent=Atlantis", ret=4)
    assert "--eval-continent: expected one of Africa, Europe (got 'Atlantis')" in wrong.out + wrong.err
    near = packaged.evaluate(*COUNTRIES, "--eval-continen=Africa", ret=4)
    assert "unknown option --eval-continen; did you mean --eval-continent?" in near.out + near.err
    helped = packaged.run("--help")
    assert "Countries: of this continent alone" in helped.out


def test_its_option_may_stand_in_the_ini_file(packaged: Packaged) -> None:
    packaged.project.write("pytest.ini", "[pytest]\neval_continent = Europe\n")
    packaged.evaluate(*COUNTRIES, passed=3)


def test_it_is_gated_and_its_metrics_and_scale_are_known_before_anything_is_asked(packaged: Packaged) -> None:
    run = packaged.evaluate(*COUNTRIES, "--eval-gate=countries[Africa] >= 0.9", ret=1, passed=6)
    assert run.gates["failed"] == 1
    asked = len(packaged.project.server.chats)
    for gate in ("countries >= 5", "countries.found >= 0.5", "countries[Asia] >= 0.5"):
        packaged.evaluate(*COUNTRIES, f"--eval-gate={gate}", ret=4)
    assert len(packaged.project.server.chats) == asked


def test_it_has_a_baseline_that_knows_its_version_and_data(packaged: Packaged) -> None:
    packaged.evaluate(*COUNTRIES, "--eval-save-baseline=main.json", passed=6)
    drop = ("--eval-baseline=main.json", "--eval-gate=countries.drop <= 0")
    packaged.evaluate(*COUNTRIES, *drop, passed=6)
    packaged.change('    name="countries",\n', '    name="countries",\n    version=2,\n')
    refused = packaged.evaluate(*COUNTRIES, *drop, ret=4)
    assert "version of countries is 2 here and 1 in the baseline" in refused.out + refused.err
    packaged.change("version=2", "version=1")
    packaged.change('"Nairobi"', '"Mombasa"')
    refused = packaged.evaluate(*COUNTRIES, *drop, ret=4)
    assert "data" in refused.out + refused.err


JUDGED = """
    import pytest

    from countries_benchmark.countries import Country


    @pytest.mark.eval("countries")
    async def test_countries(countries_question: Country, served_model, judge, record_score) -> None:
        reply = await served_model.chat(countries_question.id)
        reference = countries_question.capital
        record_score(await judge.grade(countries_question.id, reply.text, reference=reference))
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_it_is_answered_and_judged_in_two_runs(packaged: Packaged, processes: str) -> None:
    packaged.change('    title="Countries",\n', '    title="Countries",\n    judged=True,\n')
    packaged.change('metrics={"named": 1.0}', 'metrics={"rating": 10.0}')
    (packaged.site / EXAMPLE.name / "test_countries.py").write_text(dedent(JUDGED), "utf-8")
    judge = ("--eval-judge-model=reference", "-n", processes)
    answering = packaged.evaluate(*COUNTRIES, *judge, "--eval-stage=answer")
    assert "6 answered" in answering.lines[-1]
    assert len(packaged.project.server.chats) == 6
    judging = packaged.evaluate(*COUNTRIES, *judge, "--eval-stage=judge", passed=6)
    assert len(packaged.project.server.chats) == 6
    assert judging.row("countries")[0] == "4.00 of 10"
    assert judging.row("countries") == packaged.evaluate(*COUNTRIES, *judge, passed=6).row("countries")


def test_one_of_its_tests_can_be_named(packaged: Packaged) -> None:
    packaged.evaluate("test_countries.py::test_countries[Egypt]", passed=1)
    unknown = packaged.evaluate("test_countries.py::test_countries[Egipt]", ret=4)
    assert "there is no such test; did you mean test_countries[Egypt]" in unknown.out + unknown.err


PLAIN = "def test_plain(): pass\n\n\nasync def test_countries(countries_question, served_model): ...\n"


def test_a_run_without_a_model_imports_none_and_skips_what_asks_for_it(packaged: Packaged) -> None:
    packaged.change('"""What is asked', 'raise RuntimeError("imported")\n"""What is asked')
    packaged.project.write("test_own.py", PLAIN)
    run = packaged.run("test_own.py", "-rs", passed=1, skipped=1)
    run.shows("SKIPPED *countries_question needs a model to evaluate; name one with --eval-model")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("CAPITALS = {", "raise RuntimeError('no network')\nCAPITALS = {", "RuntimeError: no network"),
        ('name="countries"', 'name="other"', "must be a Benchmark called countries"),
        ("BENCHMARK = ", "OTHER = ", "AttributeError: "),
        ('"continent", "NAME"', '"taxonomy", "NAME"', "--eval-taxonomy, which there is already"),
        ("test_countries", "tests", "must be a module called test_countries (got countries_benchmark.tests)"),
    ],
)  # fmt: skip
def test_a_package_that_is_not_usable_is_named(packaged: Packaged, old: str, new: str, says: str) -> None:
    packaged.change(old, new)
    refused = packaged.evaluate(*COUNTRIES, ret=4)
    assert says in refused.out + refused.err
    assert "correct or uninstall its package" in refused.out + refused.err


def test_a_package_cannot_take_the_name_of_a_built_in_benchmark(packaged: Packaged) -> None:
    packaged.name("mmlu", "countries_benchmark.countries:BENCHMARK")
    refused = packaged.evaluate("--eval-benchmark=mmlu", ret=4)
    assert (
        "must have a Python name that no built-in benchmark has, such as capitals"
        in refused.out + refused.err
    )


def be_judged(packaged: Packaged, how: str) -> None:
    """Have the package's benchmark judged, with these arguments."""
    packaged.change('    title="Countries",\n', f'    title="Countries",\n    judged=True,\n{how}')
    packaged.change('metrics={"named": 1.0}', 'metrics={"rating": 10.0}')
    (packaged.site / EXAMPLE.name / "test_countries.py").write_text(dedent(JUDGED), "utf-8")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("7", "(TypeError: 'int' object is not callable)"),
        ("lambda judge, text, reference, answer: None", "(TypeError: "),
        ("lambda *four: __import__('asyncio').sleep(0)", "(got None)"),
        ("lambda judge: None", "(TypeError: "),
        ("1 / 0", "(ZeroDivisionError: division by zero)"),
    ],
)
def test_a_trial_by_a_function_of_another_kind_ends_in_a_sentence(
    packaged: Packaged, made: str, says: str
) -> None:
    be_judged(packaged, f"    judged_like=lambda question: {made},\n")
    gate = ("--eval-gate=countries >= 1", *packaged.project.judge)
    refused = packaged.evaluate(*COUNTRIES, *gate, ret=4)
    assert "judged_like of the benchmark countries must return an `async def` function that " in refused.err
    assert says in refused.err
    assert packaged.project.server.chats == []


LIKE = """


def like(country):
    async def put(judge, question, reference, answer):
        return await judge.grade("PUT " + question, answer, reference=reference)

    return put


BENCHMARK ="""


def test_the_trial_is_put_as_judged_like_says(packaged: Packaged) -> None:
    be_judged(packaged, "    judged_like=like,\n")
    packaged.change("\n\nBENCHMARK =", LIKE)
    gate = ("--eval-gate=countries >= 1", *packaged.project.judge)
    packaged.project.server.reply = lambda body: "[[5]]"
    refused = packaged.evaluate(*COUNTRIES, *gate, ret=4)
    assert "does not rate every good answer" in refused.err
    chats = packaged.project.server.chats
    assert len(chats) == 6
    assert all("PUT " in str(body["messages"]) for body in chats)


def test_a_need_that_is_declared_twice_is_told_once(packaged: Packaged) -> None:
    be_judged(packaged, '    needs=(Need("judge_model"),),\n')
    packaged.change("import Benchmark,", "import Benchmark, Need,")
    refused = packaged.evaluate(*COUNTRIES, ret=4)
    assert "--eval-benchmark countries needs --eval-judge-model\n" in refused.err


def test_its_parser_may_raise_either_error_and_a_list_may_be_empty(packaged: Packaged) -> None:
    packaged.change("import Benchmark,", "import Benchmark, ConfigurationError,")
    packaged.change("raise ValueError(f", "raise ConfigurationError(f")
    refused = packaged.evaluate(*COUNTRIES, "--eval-continent=Atlantis", ret=4)
    assert "--eval-continent: expected one of Africa, Europe (got 'Atlantis')" in refused.err
    packaged.change("parse_continent),)", "parse_continent, repeatable=True),)")
    packaged.change("if wanted in (None, continent)", "if wanted == () or continent in wanted")
    packaged.evaluate(*COUNTRIES, passed=6)
    packaged.evaluate(*COUNTRIES, "--eval-continent=Africa", passed=3)
