"""MMLU as its authors published it: the rows of its CSV files."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from pytest_instructlab_eval.data.text_files import read_data_file
from pytest_instructlab_eval.errors import DataError

LETTERS = "ABCD"
MMLU_TEST_ROWS = {
    "abstract_algebra": 100, "anatomy": 135, "astronomy": 152, "business_ethics": 100,
    "clinical_knowledge": 265, "college_biology": 144, "college_chemistry": 100,
    "college_computer_science": 100, "college_mathematics": 100, "college_medicine": 173,
    "college_physics": 102, "computer_security": 100, "conceptual_physics": 235, "econometrics": 114,
    "electrical_engineering": 145, "elementary_mathematics": 378, "formal_logic": 126,
    "global_facts": 100, "high_school_biology": 310, "high_school_chemistry": 203,
    "high_school_computer_science": 100, "high_school_european_history": 165,
    "high_school_geography": 198, "high_school_government_and_politics": 193,
    "high_school_macroeconomics": 390, "high_school_mathematics": 270, "high_school_microeconomics": 238,
    "high_school_physics": 151, "high_school_psychology": 545, "high_school_statistics": 216,
    "high_school_us_history": 204, "high_school_world_history": 237, "human_aging": 223,
    "human_sexuality": 131, "international_law": 121, "jurisprudence": 108, "logical_fallacies": 163,
    "machine_learning": 112, "management": 103, "marketing": 234, "medical_genetics": 100,
    "miscellaneous": 783, "moral_disputes": 346, "moral_scenarios": 895, "nutrition": 306,
    "philosophy": 311, "prehistory": 324, "professional_accounting": 282, "professional_law": 1534,
    "professional_medicine": 272, "professional_psychology": 612, "public_relations": 110,
    "security_studies": 245, "sociology": 201, "us_foreign_policy": 100, "virology": 166,
    "world_religions": 171,
}  # fmt: skip
"""How many test questions were published for each subject; the hub isn't asked for 57 files to count them."""


@dataclass(frozen=True)
class MMLURow:
    """One question: its text, four choices and the index (0 to 3) of the right one."""

    question: str
    choices: tuple[str, str, str, str]
    answer: int


def mmlu_file(folder: Path, split: str, subject: str) -> Path:
    """Return the file of a subject's test questions ("test") or solved examples ("dev")."""
    return folder / split / f"{subject}_{split}.csv"


def read_mmlu(folder: Path, split: str, subject: str) -> tuple[MMLURow, ...]:
    """Return the rows of `folder/SPLIT/SUBJECT_SPLIT.csv`, without a header: question, A, B, C, D, letter.

    Raises DataError with the file and line of the first row that is not so.
    """
    path = mmlu_file(folder, split, subject)
    text = read_data_file(path, f"MMLU's {split} questions on {subject}")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[MMLURow] = []
    begin = 1
    try:
        for row in reader:
            location = f"{path}, line {begin}"
            begin = reader.line_num + 1
            if not row:
                continue
            if len(row) != 6:
                raise DataError(f"{location}: expected 6 columns, question,A,B,C,D,answer (got {len(row)})")
            question, a, b, c, d, letter = row
            if letter.strip() not in tuple(LETTERS):
                raise DataError(f"{location}: expected the answer A, B, C or D (got {letter!r})")
            rows.append(MMLURow(question, (a, b, c, d), LETTERS.index(letter.strip())))
    except csv.Error as error:
        raise DataError(f"{path}, line {begin}: not CSV: {error}") from None
    if not rows:
        raise DataError(f"{path} has no questions")
    return tuple(rows)
