"""Mistakes in the commands for scripts: compare, merge, best and tasks."""

from __future__ import annotations

from tests.plugin.conftest import Project

from .baselines import FILES, earlier
from .mistake import Mistake
from .servers import a_key, nothing
from .taxonomies import KNOTS, KNOWLEDGE, LAMPS, SKILL, a_pull_request

TASKS = "$SCRIPT tasks --base-url $URL --model tiny --out tasks --taxonomy taxonomy"
READABLE = {f"taxonomy/{LAMPS}": KNOWLEDGE}


def two_runs(project: Project) -> None:
    earlier(project, "--eval-output-dir=before")
    earlier(project, "--eval-output-dir=after")


def of_another_system_prompt(project: Project) -> None:
    earlier(project, "--eval-output-dir=before", "--eval-system-prompt=Be brief.")
    earlier(project, "--eval-output-dir=after")


def a_broken_run(project: Project) -> None:
    two_runs(project)
    file = project.folder / "after/results.json"
    file.write_text(file.read_text("utf-8")[:500], "utf-8")


def the_teacher_says_nothing(project: Project) -> None:
    project.server.reply = lambda body: "I'd rather not."


def script(name: str, meant: str, arguments: str, gets: str, status: int = 2, **more: object) -> Mistake:
    return Mistake(name, meant, f"$SCRIPT {arguments}".rstrip(), gets, status, **more)  # type: ignore[arg-type]


MISTAKES = [
    script("an unknown command", "a command is misspelt", "mrge part1 part2",
           r"No such command 'mrge'"),
    script("no command", "no command is given", "", r"^ +merge +Join the parts"),
    script("best of nothing", "the folder of the run is misspelt", "best eval_ouput",
           r"Path 'eval_ouput' does not exist"),
    script("best without a folder", "the folder of the run is forgotten", "best",
           r"Missing argument 'OUTPUT'"),
    script("best of another folder", "another folder than a run's is given", "best notes",
           r"notes/results\.json cannot be read", 1, files={"notes/a.txt": "mine\n"}),
    script("best of one file", "another file than a run's is given", "best notes.txt",
           r"notes\.txt is not a results\.json", 1, files={"notes.txt": "mine\n"}),
    script("compare with one run", "the second run is forgotten", "compare before",
           r"Missing argument 'AFTER'", files={"before/results.json": "{}"}),
    script("compare with a missing run", "the second run is misspelt", "compare before aftr",
           r"Path 'aftr' does not exist", files={"before/results.json": "{}"}),
    script("compare empty files", "the files of both runs are empty", "compare before.json after.json",
           r"(before|after)\.json is (empty|neither)", 1, files={"before.json": "", "after.json": ""}),
    script("compare a broken run", "a run's file was not copied to its end", "compare before after",
           r"after/results\.json is (damaged|neither a baseline nor a results\.json)", 1, files=FILES,
           given=a_broken_run),
    script("compare other configurations", "the runs have different system prompts", "compare before after",
           r"before has another configuration: system_prompt .*--allow-mismatch", 1, files=FILES,
           given=of_another_system_prompt, never="--eval-save-baseline"),
    script("compare with a wrong gate", "a gate of the comparison has =", "compare before after --gate 'own = 1'",
           r"gate 'own = 1': column 5: expected one of >=", 1, files=FILES, given=two_runs),
    script("compare with an unknown gate", "a gate's benchmark is misspelt",
           "compare before after --gate 'onw.drop <= 1%'",
           r"onw\.drop <= 1%: this run has no result of onw", 7, files=FILES, given=two_runs),
    script("an option of pytest", "an option of pytest is given to merge", "merge part1 --eval-gate 'own >= 1'",
           r"No such option.*--eval-gate", files={"part1/a": ""}),
    script("tasks without a teacher", "the teacher is forgotten",
           "tasks --taxonomy taxonomy --base-url $URL --out tasks", r"Missing option '--model'", files=READABLE),
    script("tasks without a taxonomy", "the taxonomy is misspelt",
           "tasks --taxonomy taxonmy --base-url $URL --model tiny --out tasks",
           r"taxonmy is not a folder.* give the taxonomy's folder", 1),
    Mistake("tasks without knowledge", "the taxonomy has no knowledge", TASKS,
            r"the taxonomy \S*taxonomy has no knowledge file", 1, files={f"taxonomy/{KNOTS}": SKILL}),
    Mistake("tasks without a change", "the branch changes no knowledge", f"{TASKS} --branch pr --base-branch main",
            r"the taxonomy \S*taxonomy at pr has no knowledge file .*main", 1, given=a_pull_request({})),
    Mistake("tasks of an unknown branch", "the branch is misspelt", f"{TASKS} --branch rp",
            r"taxonomy has no branch, tag or commit 'rp'", 1, given=a_pull_request({LAMPS: KNOWLEDGE})),
    Mistake("tasks with the server down", "the teacher's server was not started", TASKS,
            r"the server at http://\S+ cannot be reached.*--wait", 1, files=READABLE, server=nothing),
    Mistake("tasks of a misspelt teacher", "the teacher's name is misspelt", TASKS.replace("tiny", "tinny"),
            r"has no model 'tinny'; it has: tiny", 1, files=READABLE),
    Mistake("tasks without a key", "the teacher's server wants a key", TASKS,
            r"the server at \S+ asks for a key \(401\).*--api-key-env", 1, files=READABLE, given=a_key),
    Mistake("tasks with the key itself", "the key is given, and not the name of its variable",
            f"{TASKS} --api-key-env $SECRET", r"--api-key-env'?: expected the name of an environment variable", 2,
            files=READABLE),
    Mistake("tasks with a wrong number", "0 questions are asked for", f"{TASKS} --questions 0",
            r"--questions'?: expected a whole number from 1 to 50 \(got '0'\)", 2, files=READABLE),
    Mistake("tasks of a silent teacher", "the teacher writes no questions", TASKS,
            r"no task was written: ", 1, files=READABLE, given=the_teacher_says_nothing, asks=True),
    Mistake("tasks into a file", "the folder of the tasks is a file", TASKS.replace("--out tasks", "--out notes.txt"),
            r"--out: \S*notes\.txt", 1, files={**READABLE, "notes.txt": "mine\n"}),
]  # fmt: skip
