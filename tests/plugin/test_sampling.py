"""A part of every benchmark with `--eval-sample`; the same question several times with `--eval-repeat`."""

from collections import Counter

from pytest_instructlab_eval.suites.mt_bench import TEMPERATURES
from tests.branch_tasks import rows, write_task
from tests.scripted_server import Body

from .conftest import MMLU_ROWS, Project, is_judgment


def test_a_sample_is_over_all_tasks_and_categories_and_said_to_be_one(project: Project) -> None:
    sample = ("--eval-sample=60", "--eval-sample-seed=3")
    finished = project.evaluate(*sample, *project.judge, *project.data, passed=57 + 8)
    assert finished.row("mmlu (sample of 60), mean over tasks")[2:] == ["60", "0", "0"]
    assert finished.row("mt_bench (sample of 60)")[2:] == ["8", "0", "0"]
    rows = [
        [sample["id"] for score in record["scores"] for sample in score["samples"]]
        for record in finished.document["results"]
        if record["benchmark"] == "mmlu"
    ]
    assert sorted(map(len, rows)) == [1] * 54 + [2] * 3
    assert {number for numbers in rows for number in numbers} == set(map(str, range(MMLU_ROWS)))
    settings = finished.document["configuration"]
    assert (settings["sample"], settings["sample_seed"]) == (60, 3)


def test_several_processes_ask_the_sample_that_one_does(project: Project) -> None:
    args = ("--eval-sample=4", *project.mt_bench_only)
    first = project.evaluate(*args, passed=4)
    requests = {str(body) for body in project.server.chats}
    project.server.requests.clear()
    second = project.evaluate(*args, "-n2", passed=4)
    assert second.results.keys() == first.results.keys()
    assert {str(body) for body in project.server.chats} == requests


def test_repeats_make_no_more_questions_and_show_the_judges_spread(project: Project) -> None:
    times_asked: Counter[str] = Counter()

    def reply(body: Body) -> str:
        times_asked[str(body["messages"])] += 1
        rating = 5 + times_asked[str(body["messages"])] % 2
        return f"[[{rating}]]" if is_judgment(body) else f"Answer {body.get('seed')}."

    project.server.reply = reply
    repeats = ("--eval-repeat=3", "--eval-judge-repeat=2", "--eval-seed=7")
    finished = project.evaluate(*repeats, *project.mt_bench_only, passed=8)
    sampled = sum(temperature > 0 for temperature in TEMPERATURES.values())
    times = 3 * sampled + (8 - sampled)
    assert len(project.server.chats) == 2 * times * (1 + 2)
    assert finished.row("mt_bench") == ["5.50 of 10", "8", "0", "0"]
    assert finished.row("judge's spread") == ["0.71", str(2 * times)]
    (summary,) = finished.document["summaries"]
    assert (summary["overall"]["n"], summary["judge_spread_n"]) == (8, 2 * times)
    seeds = [body["seed"] for body in project.server.chats if "seed" in body]
    assert len(seeds) == len(set(seeds)) == 2 * (3 * sampled + 2 * times)
    assert finished.document["configuration"]["seed"] == 7
    assert "seed" not in finished.document["fingerprint"]


def test_a_baseline_of_all_questions_is_the_control_of_a_sample(project: Project) -> None:
    for name in ("lamps", "owls"):
        records = [{**row, "document": f"Passage {number // 4}."} for number, row in enumerate(rows(40))]
        write_task(project.folder / "tasks", name, records)
    args = ("--eval-benchmark=mmlu_branch", "--eval-tasks-dir=tasks")
    project.evaluate(*args, "--eval-save-baseline=whole.json", passed=2)
    finished = project.evaluate(
        *args, "--eval-sample=30", "--eval-baseline=whole.json", "--eval-gate=mmlu_branch >= 0", passed=2
    )
    (summary,) = finished.document["summaries"]
    control, (low, high) = summary["controlled"], summary["controlled_interval"]
    shown = finished.row("with the baseline's answers as control")
    assert shown[:3] == [f"{control['value']:.4f}", f"{control['stderr']:.4f}", "30"]
    scores = [score for record in finished.document["results"] for score in record["scores"]]
    assert [score["sample_of"] for score in scores] == [40, 40]
    assert [len(score["samples"]) for score in scores] == [15, 15]
    assert all(len(sample["passage"]) == 12 for score in scores for sample in score["samples"])
    (verdict,) = [entry for entry in finished.document["verdicts"] if "as control" in entry["message"]]
    assert (verdict["value"], verdict["interval"]) == (control["value"], [low, high])
    assert low < control["value"] < high
