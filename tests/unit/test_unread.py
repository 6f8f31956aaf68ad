"""Which files of a branch look like questions and are not read, and why."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.taxonomy.files import Kind, TaxonomyEntry
from pytest_instructlab_eval.data.taxonomy.unread_files import unread_reasons
from pytest_instructlab_eval.errors import DataError

SKILL = b"seed_examples:\n- question: How?\n  answer: So.\n"
FOOD = "compositional_skills/food/"


class Files:
    """Files in memory, by their paths."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.contents = contents
        self.commit: str | None = None

    def root(self) -> TaxonomyEntry:
        raise NotImplementedError

    def children(self, folder: TaxonomyEntry) -> list[TaxonomyEntry]:
        raise NotImplementedError

    def data(self, entry: TaxonomyEntry) -> bytes:
        if entry.path not in self.contents:
            raise DataError("too large")
        return self.contents[entry.path]

    def same(self, entry: TaxonomyEntry, committed: TaxonomyEntry | None) -> bool:
        raise NotImplementedError


def reasons(path: str, content: bytes = b"", kind: Kind = "file", *, alone: bool = False) -> str | None:
    return unread_reasons(Files({path: content}), [TaxonomyEntry(path, kind)], alone=alone).get(path)


@pytest.mark.parametrize(
    "path",
    [
        *(
            FOOD + name
            for name in (
                "qna.yml", "qna.txt", "Qna.yaml", "QNA.YAML", "qna.yaml.txt", "qna (1).yaml", "qna.json",
                "qna", "qna.yamil", "qna.ymal.txt", "qna2.yaml", "movie_qna.yaml", "q_n_a.txt", "q&na.yaml",
                ".qna.yaml", "qna.yaml ", "qna.yaml~", "qna.md", "\uff51\uff4e\uff41.txt", "qua.yaml",
                "gna.yml", "haiku.yaml", "tree_joke.yml",
            )
        ),
        "foundational_skills/logic/qna.yml",
        "knowledge/science/qna.yml",
        "compositional_skill/food/qna.yml",  # a folder that is misspelled, too
        "qna.yml",
    ],
)  # fmt: skip
def test_a_name_that_is_meant_for_qna_yaml_is_told(path: str) -> None:
    assert reasons(path) == "its name must be qna.yaml"


@pytest.mark.parametrize("name", ["skill", "food.txt", "food.json", "skill.yaml.bak", "gna.txt"])
def test_questions_under_any_name_are_told(name: str) -> None:
    assert reasons(FOOD + name, SKILL) == "its name must be qna.yaml"
    assert reasons(f"skills/food/{name}", SKILL) == "its name must be qna.yaml"
    assert reasons(FOOD + name, b'{"seed_examples": []}') == "its name must be qna.yaml"
    assert reasons(FOOD + name, b"Apples are red. seed_examples: none") is None


@pytest.mark.parametrize("path", ["qna.yaml", "docs/food/qna.yaml", "scripts/qna.yaml"])
def test_a_place_that_is_not_read_is_told(path: str) -> None:
    assert reasons(path, SKILL) == (
        "it must lie in a folder below compositional_skills, foundational_skills or knowledge"
    )


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        FOOD + "qna.yaml",
        "compositional_skill/food/qna.yaml",  # InstructLab reads any top-level folder
        *(
            FOOD + name
            for name in (
                "attribution.txt", "Attribution.TXT", "attributions.txt", "traffic-law-attribution.txt",
                "README.md", "readme.txt", "LICENSE", "document.md", "manual.pdf", "apple.png", "qna.png",
                "iraq_nature.md", "q_names.md", ".gitkeep", ".gitignore", ".DS_Store",
            )
        ),
        "README.md",
        "Makefile",
        "docs/template_qna.yaml",
        "scripts/check-yaml.py",
        "schema/v3/knowledge.json",
        "requirements.txt",
    ],
)  # fmt: skip
def test_what_may_lie_there_is_not_told(path: str, alone: bool) -> None:
    assert reasons(path, b'{\n "seed_examples": {}}', alone=alone) is None


def test_where_nothing_else_is_changed_whatever_the_content_folders_get_is_told() -> None:
    assert reasons(FOOD + "sources.txt") is None
    assert reasons(FOOD + "sources.txt", alone=True) == "its name must be qna.yaml"
    assert reasons(FOOD + "other", kind="link", alone=True) == (
        "it is a symbolic link; a qna.yaml must be a regular file"
    )
    submodule = reasons(FOOD + "documents", kind="other", alone=True)
    assert submodule == "it is a submodule or not a regular file; add the files themselves"


def test_a_file_that_is_too_large_for_a_qna_yaml_is_none() -> None:
    entry = TaxonomyEntry(FOOD + "book.txt", "file")
    assert unread_reasons(Files({}), [entry]) == {}


def test_an_object_that_lies_at_many_paths_is_read_once() -> None:
    read = []

    class Counted(Files):
        def data(self, entry: TaxonomyEntry) -> bytes:
            read.append(entry.path)
            return SKILL

    entries = [TaxonomyEntry(f"{FOOD}{number}.txt", "file", "1234") for number in range(100)]
    assert len(unread_reasons(Counted({}), entries)) == 100
    assert len(read) == 1


@given(st.text(max_size=20), st.binary(max_size=40), st.booleans())
def test_any_name_and_content_are_judged(name: str, content: bytes, alone: bool) -> None:
    path = FOOD + name.replace("/", "")
    assert reasons(path, content, alone=alone) is None or reasons(path, SKILL, alone=alone) is not None
