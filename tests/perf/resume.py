"""A run of 200,000 requests that goes on with the journal of all of them: seconds and memory, to its report.

    python -m tests.perf.resume [--requests 200000]

The questions are MMLU's 57 tasks with as many rows as it takes. The first run fills the journal; in it a
plugin answers in place of the server, which would take minutes. The second is an ordinary one with
--eval-resume: the server must be asked nothing but which model it is.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from pytest_instructlab_eval.records.journal_folder import journal_size
from pytest_instructlab_eval.suites.mmlu import mmlu_subjects
from tests.examples_data import write_mmlu
from tests.perf.runs import measured, pytest_command, server, server_counts

FILLING = """
from hashlib import blake2b

from pytest_instructlab_eval.models import served_model
from pytest_instructlab_eval.models.protocol import ChoiceLogprobs


async def choice_logprobs(self, prompt, choices):
    digest = blake2b(prompt.encode(), digest_size=4).digest()
    return ChoiceLogprobs([-1.0 - byte / 50 for byte in digest], "echo")


served_model.ServedModel.choice_logprobs = choice_logprobs
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="keep everything here, and fill the journal once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, server(0.0) as url:
        folder = options.folder or Path(name)
        folder.mkdir(exist_ok=True)
        run = pytest_command(
            "URL", "--eval-benchmark=mmlu", "--eval-mmlu-data=data", "--eval-gate=mmlu >= 0", "--eval-resume"
        )
        run = [part.replace("URL", url) for part in run]
        if not (folder / "data").exists():
            write_mmlu(folder / "data", rows=-(-options.requests // len(mmlu_subjects())))
            (folder / "pytest.ini").write_text("[pytest]\n")
            (folder / "filling.py").write_text(FILLING)
            first = measured([*run, "-p", "filling"], folder)
            assert first.status == 0, first.out
            print(f"first run  {first.seconds:6.1f} s, {first.peak:6.0f} MB at most")
        journalled = journal_size(folder / "eval_output/journal")
        assert journalled is not None
        again = measured(run, folder)
        assert again.status == 0, again.out
        asked = server_counts(url)["prompts"]
        print(f"in the journal {journalled.journalled:,}; asked again {asked}")
        print(
            f"resumed    {again.seconds:6.1f} s ({again.processor:.1f} s of a core), "
            f"{again.peak:6.0f} MB at most"
        )


if __name__ == "__main__":
    main()
