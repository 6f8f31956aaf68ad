"""`--eval-sample N`: a quick run over a part of every benchmark."""

from .conftest import MMLU_ROWS, Project


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
    args = ("--eval-sample=4", "-q", *project.judge, *project.data)
    first = project.evaluate(*args, passed=8)
    requests = {str(body) for body in project.server.chats}
    project.server.requests.clear()
    second = project.evaluate(*args, "-n2", passed=8)
    assert second.results.keys() == first.results.keys()
    assert {str(body) for body in project.server.chats} == requests
