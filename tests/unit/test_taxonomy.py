"""The taxonomy at any Git ref: what is read, what a pull request changes, what a stranger can't do."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.data.taxonomy import QnaFile, Taxonomy
from pytest_instructlab_eval.errors import ConfigurationError, DataError

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "taxonomy"
KNOTS = "compositional_skills/knots/qna.yaml"
BOATS = "foundational_skills/boats/qna.yaml"
PIERS = "knowledge/piers/qna.yaml"


def content(*questions: str) -> str:
    return "seed_examples:\n" + "".join(f"- question: {q}\n  answer: an answer\n" for q in questions)


def write(folder: Path, path: str, text: str | bytes = content("q")) -> Path:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return place


class Repository:
    """A real Git repository in a folder, made by git itself."""

    def __init__(self, folder: Path, *arguments: str, copied: Repository | None = None) -> None:
        self.folder = folder
        if copied:
            shutil.copytree(copied.folder, folder)
            self.git("update-index", "--refresh")  # the index names the files by their inodes
            return
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", "--template=", *arguments)

    def git(self, *arguments: str, given: bytes | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, input=given, capture_output=True, check=True, timeout=60
        )
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[str, str | bytes] | None = None, *, removed: tuple[str, ...] = ()) -> str:
        for path, text in (files or {}).items():
            write(self.folder, path, text)
        for path in removed:
            (self.folder / path).unlink()
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a change")
        head = (self.folder / ".git/HEAD").read_text().strip()
        name = head.removeprefix("ref: ")
        return head if name == head else (self.folder / ".git" / name).read_text().strip()

    def blob(self, text: str | bytes = content("q")) -> str:
        given = text if isinstance(text, bytes) else text.encode()
        return self.git("hash-object", "-w", "--stdin", given=given)

    def tree(self, *entries: tuple[str, str | bytes, str]) -> str:
        """A folder of (mode, name, id), also one that git itself wouldn't make."""
        raw = b"".join(
            mode.encode() + b" " + os.fsencode(name) + b"\0" + bytes.fromhex(object_id)
            for mode, name, object_id in entries
        )
        return self.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", given=raw)

    def branch(self, name: str, tree: str) -> str:
        """A branch whose only commit has this top folder."""
        commit = self.git("commit-tree", tree, "-m", "an attack")
        self.git("update-ref", f"refs/heads/{name}", commit)
        return name


def set_git_up(patch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's Git settings, and nothing of a hook that the tests run in."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        patch.delenv(name)
    patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        patch.setenv(f"GIT_{role}_NAME", "Ada")
        patch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    set_git_up(monkeypatch)


@pytest.fixture(scope="session")
def first_commit(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository to copy; made once, since four processes of git take longer than a copy."""
    with pytest.MonkeyPatch.context() as patch:
        set_git_up(patch)
        made = Repository(tmp_path_factory.mktemp("first") / "taxonomy")
        made.commit({KNOTS: content("k1", "k2"), BOATS: content("b1"), PIERS: content("p1")})
    return made


@pytest.fixture
def repository(tmp_path: Path, first_commit: Repository) -> Repository:
    """One commit on main with two skills and a file of knowledge; main is checked out and clean."""
    return Repository(tmp_path / "taxonomy", copied=first_commit)


def questions(files: list[QnaFile]) -> list[str]:
    return [pair.question for file in files for pair in file.pairs]


def read(repository: Repository, ref: str | None = None) -> list[str]:
    return questions(Taxonomy(repository.folder).read(ref))


def refusal(repository: Repository, ref: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        Taxonomy(repository.folder).read(ref)
    return str(caught.value)


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time of change and content of every file and link below a folder, the repository's own too."""
    found = {}
    for place in sorted(folder.rglob("*")):
        state = place.lstat()
        data = (
            os.readlink(place).encode()
            if place.is_symlink()
            else place.read_bytes()
            if place.is_file()
            else b""
        )
        found[str(place)] = (state.st_mode, state.st_mtime_ns, data)
    return found


# --- InstructLab's own taxonomy ---


@pytest.fixture(scope="module")
def instructlab(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Its taxonomy as two branches: main, and rc that comes from it."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there")
    made = Repository(tmp_path_factory.mktemp("instructlab"))
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
        for branch in ("main", "rc"):
            if branch != "main":
                made.git("checkout", "-q", "-b", branch)
            made.commit(
                {
                    p.relative_to(DATA / branch).as_posix(): p.read_bytes()
                    for p in (DATA / branch).rglob("*.yaml")
                }
            )
        made.git("checkout", "-q", "main")
    return made


@pytest.mark.parametrize(
    ("ref", "knowledge", "files", "pairs"),
    [("main", False, 142, 383), ("main", True, 144, 389), ("rc", False, 147, 425), ("rc", True, 151, 453)],
)
def test_every_file_of_instructlabs_taxonomy_is_read(
    instructlab: Repository, ref: str, knowledge: bool, files: int, pairs: int
) -> None:
    found = Taxonomy(instructlab.folder).read(ref, include_knowledge=knowledge)
    assert (len(found), sum(len(file.pairs) for file in found)) == (files, pairs)


def test_the_files_of_its_newest_schema_are_read() -> None:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there")
    found = Taxonomy(DATA / "2025-04").read(include_knowledge=True)
    assert len(found) == 16
    assert {file.version for file in found} == {1, 3}
    assert sum(len(file.pairs) for file in found) == 97


def test_the_seven_files_that_its_release_branch_adds_are_what_changed(instructlab: Repository) -> None:
    assert Taxonomy(instructlab.folder).changed("main", "rc") == [
        "compositional_skills/extraction/inference/quantitative/asciidoc/tables/qna.yaml",
        "compositional_skills/extraction/inference/quantitative/beancount/qna.yaml",
        "compositional_skills/linguistics/bullet_lists/qna.yaml",
        "compositional_skills/writing/freeform/emoji/qna.yaml",
        "compositional_skills/writing/freeform/riddles/qna.yaml",
        "knowledge/sports/overview/softball/qna.yaml",
        "knowledge/textbook/tonsil/qna.yaml",
    ]


def test_reading_a_branch_of_it_touches_no_byte_and_takes_no_time(instructlab: Repository) -> None:
    before = snapshot(instructlab.folder)
    begin = time.process_time()
    assert len(Taxonomy(instructlab.folder).read("rc", include_knowledge=True)) == 151
    assert time.process_time() - begin < 5  # of the processor's time; 0.15 s are usual
    assert snapshot(instructlab.folder) == before


# --- which files ---


@pytest.mark.parametrize("ref", [None, "main"])
def test_knowledge_is_left_out_unless_it_is_asked_for(repository: Repository, ref: str | None) -> None:
    taxonomy = Taxonomy(repository.folder)
    assert questions(taxonomy.read(ref)) == ["k1", "k2", "b1"]
    assert questions(taxonomy.read(ref, include_knowledge=True)) == ["k1", "k2", "b1", "p1"]


@pytest.mark.parametrize("ref", [None, "main"])
def test_as_instructlab_only_top_folders_are_left_out_by_name(
    repository: Repository, ref: str | None
) -> None:
    left_out = ("qna.yaml", "docs/a/qna.yaml", "scripts/qna.yaml", ".github/qna.yaml")
    taken = ("a/docs/qna.yaml", "a/knowledge/qna.yaml", "a/.hidden/qna.yaml", "a/scripts/qna.yaml")
    others = ("a/qna.yml", "a/QNA.yaml", "a/my-qna.yaml", "a/qna.yaml.orig")
    repository.commit({path: content(path) for path in (*left_out, *taken, *others)})
    assert [path for path in read(repository, ref) if "/" in path] == sorted(taken)


def test_what_was_read_says_where_it_came_from(repository: Repository) -> None:
    taxonomy = Taxonomy(repository.folder)
    file = taxonomy.read("main")[0]
    assert (file.path, file.commit) == (KNOTS, repository.git("rev-parse", "main"))
    assert file.blob == repository.git("rev-parse", f"main:{KNOTS}")
    assert (taxonomy.read()[0].commit, taxonomy.read()[0].blob) == (None, None)


@pytest.mark.parametrize("ref", [None, "main"])
def test_only_some_paths_can_be_read_and_a_bad_file_elsewhere_does_not_matter(
    repository: Repository, ref: str | None
) -> None:
    repository.commit({"compositional_skills/bad/qna.yaml": "no"})
    taxonomy = Taxonomy(repository.folder)
    assert questions(taxonomy.read(ref, only=[BOATS])) == ["b1"]
    assert taxonomy.read(ref, only=[]) == []


def test_a_folder_that_is_no_repository_can_be_read_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, KNOTS, content("k"))
    assert questions(Taxonomy(tmp_path).read()) == ["k"]


def test_a_folder_of_the_repository_can_be_the_taxonomy(repository: Repository) -> None:
    repository.commit({f"deep/tax/{KNOTS}": content("inner"), f"deep/{BOATS}": content("outer")})
    taxonomy = Taxonomy(repository.folder / "deep" / "tax")
    assert [(file.path, file.pairs[0].question) for file in taxonomy.read("main")] == [(KNOTS, "inner")]
    assert taxonomy.changed("main~1", "main") == [KNOTS]
    write(repository.folder, f"deep/tax/{BOATS}")
    assert taxonomy.changed("main") == [BOATS]


@pytest.mark.parametrize("ref", [None, "main"])
def test_a_taxonomy_without_a_file_is_refused(tmp_path: Path, ref: str | None) -> None:
    empty = Repository(tmp_path / "empty")
    empty.commit({PIERS: content("p")})
    assert " has no qna.yaml with questions; files in docs, " in refusal(empty, ref)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere is not a folder that can be read"):
        Taxonomy(tmp_path / "nowhere")


# --- refs ---


def test_a_ref_is_read_and_not_the_working_tree(repository: Repository) -> None:
    write(repository.folder, KNOTS, content("dirty"))
    write(repository.folder, "compositional_skills/new/qna.yaml", content("untracked"))
    assert read(repository, "main") == ["k1", "k2", "b1"]
    assert read(repository) == ["dirty", "untracked", "b1"]


@pytest.mark.parametrize(
    "ref", ["pr", "origin/pr", "light", "annotated", "main~1", "pr^{commit}", "refs/heads/pr", "ID", "SHORT"]
)
def test_anything_that_git_takes_for_a_commit_is_a_ref(repository: Repository, ref: str) -> None:
    before = repository.git("rev-parse", "HEAD")
    repository.commit({KNOTS: content("later")})
    for command in (("branch", "pr"), ("tag", "light"), ("update-ref", "refs/remotes/origin/pr")):
        repository.git(*command, before)
    repository.git("tag", "-a", "-m", "a tag", "annotated", before)
    ref = {"ID": before, "SHORT": before[:8]}.get(ref, ref)
    assert Taxonomy(repository.folder).resolve(ref) == before
    assert read(repository, ref) == ["k1", "k2", "b1"]


@pytest.mark.parametrize("packed", [True, False])
def test_a_dirty_tree_is_byte_for_byte_as_before(repository: Repository, packed: bool) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    repository.commit({KNOTS: content("changed")})
    repository.git("checkout", "-q", "--detach", "main")
    if packed:
        repository.git("gc", "-q")
    write(repository.folder, BOATS, content("staged"))
    repository.git("add", "-A")
    write(repository.folder, BOATS, content("dirty"))
    before = snapshot(repository.folder)
    taxonomy = Taxonomy(repository.folder)
    assert questions(taxonomy.read("pr")) == ["changed", "b1"]
    assert taxonomy.changed("main", "pr") == [KNOTS]
    assert taxonomy.changed("main") == [BOATS]
    assert snapshot(repository.folder) == before


@pytest.mark.parametrize("kind", ["clone", "bare", "worktree", "submodule", "shallow", "inside .git"])
def test_every_kind_of_repository_can_be_read(repository: Repository, tmp_path: Path, kind: str) -> None:
    repository.commit({KNOTS: content("second")})
    url = repository.folder.as_uri()
    place = tmp_path / "other"
    if kind == "inside .git":
        place = repository.folder / ".git"
    elif kind == "worktree":
        repository.git("worktree", "add", "-q", str(place), "main~1")
    elif kind == "submodule":
        outer = Repository(tmp_path / "outer")
        outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", url, "inner")
        place = outer.folder / "inner"
    else:
        extra = {"bare": ["--bare"], "shallow": ["--depth=1"]}.get(kind, [])
        repository.git("clone", "-q", *extra, url, str(place))
    assert questions(Taxonomy(place).read("main")) == ["second", "b1"]


def test_a_bare_repository_has_no_working_tree_to_read(repository: Repository, tmp_path: Path) -> None:
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    with pytest.raises(DataError, match="it is a bare repository, which has no working tree: name a branch"):
        Taxonomy(tmp_path / "bare").read()


@pytest.mark.parametrize(
    ("ref", "advice"),
    [
        ("mian", "did you mean 'main'?"),
        ("feature", "did you mean 'origin/feature'?"),
        ("zzz", "there is 'main' or 'origin/feature'"),
        ("0" * 40, "there is "),
        (f"main:{KNOTS}", "did you mean|there is "),
        ("main^{tree}", "there is "),
        ("a b c", "there is "),
    ],
)
def test_an_unknown_ref_is_refused_with_what_is_close(repository: Repository, ref: str, advice: str) -> None:
    repository.git("update-ref", "refs/remotes/origin/feature", "main")
    with pytest.raises(ConfigurationError, match=f"has no branch, tag or commit .*; ({advice})"):
        Taxonomy(repository.folder).read(ref)


def test_a_repository_without_a_commit_has_no_refs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="commit 'main'; it has no branches or tags"):
        Taxonomy(Repository(tmp_path / "new").folder).resolve("main")


@pytest.mark.parametrize(
    "ref",
    ["--upload-pack=x", "--output=/tmp/x", "-h", "", ":/a change", f":{KNOTS}", "a\nb", "main\0x", "\udcff"],
)
def test_a_ref_that_git_could_take_for_something_else_is_refused(repository: Repository, ref: str) -> None:
    taxonomy = Taxonomy(repository.folder)
    for call in (
        taxonomy.resolve,
        taxonomy.read,
        taxonomy.changed,
        lambda ref: taxonomy.changed("main", ref),
    ):
        with pytest.raises(ConfigurationError, match="cannot name a branch, tag or commit") as caught:
            call(ref)
        assert str(caught.value).isprintable()


# --- what a pull request changes ---


def test_new_differing_and_moved_files_have_changed_and_removed_ones_have_not(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    repository.commit(
        {BOATS: content("other"), "a/new/qna.yaml": content("n"), "docs/x/qna.yaml": content("d")}
    )
    repository.git("mv", "compositional_skills/knots", "compositional_skills/ropes")
    repository.commit(removed=(PIERS,))
    changed = Taxonomy(repository.folder).changed("main", "pr")
    assert changed == ["a/new/qna.yaml", "compositional_skills/ropes/qna.yaml", BOATS]


def test_what_the_base_did_meanwhile_is_no_change_of_the_pull_request(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    repository.commit({BOATS: content("mine")})
    repository.git("checkout", "-q", "main")
    repository.commit({KNOTS: content("theirs"), "a/new/qna.yaml": content("theirs")})
    assert Taxonomy(repository.folder).changed("main", "pr") == [BOATS]


def test_files_of_knowledge_are_among_the_changed(repository: Repository) -> None:
    repository.commit({PIERS: content("p2")})
    assert Taxonomy(repository.folder).changed("main~1", "main") == [PIERS]


def test_the_working_tree_is_compared_by_content(repository: Repository) -> None:
    write(repository.folder, KNOTS, content("k1", "k2").replace("\n", "\r\n"))  # as Git for Windows writes it
    os.utime(repository.folder / BOATS, (0, 0))
    write(repository.folder, "a/new/qna.yaml")
    assert Taxonomy(repository.folder).changed("main") == ["a/new/qna.yaml"]


def test_a_file_that_must_not_be_read_counts_as_changed(repository: Repository) -> None:
    (repository.folder / KNOTS).unlink()
    (repository.folder / KNOTS).symlink_to("/etc/passwd")
    taxonomy = Taxonomy(repository.folder)
    assert taxonomy.changed("main") == [KNOTS]
    with pytest.raises(DataError, match="is a symbolic link"):
        taxonomy.read(only=taxonomy.changed("main"))


def test_a_pull_request_that_brings_the_whole_folder_changes_all_of_it(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    repository.commit({f"sub/{KNOTS}": content("k")})
    assert Taxonomy(repository.folder / "sub").changed("main", "pr") == [KNOTS]


def test_without_a_common_history_there_is_nothing_to_compare(repository: Repository) -> None:
    repository.branch("alone", repository.git("rev-parse", "main^{tree}"))
    with pytest.raises(ConfigurationError, match="both come from: they have no common history"):
        Taxonomy(repository.folder).changed("main", "alone")


def test_a_shallow_clone_without_the_merge_base_says_what_to_fetch(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    repository.commit({BOATS: content("mine")})
    repository.git("checkout", "-q", "main")
    repository.commit({KNOTS: content("theirs")})
    url, place = repository.folder.as_uri(), tmp_path / "shallow"
    repository.git("clone", "-q", "--depth=1", "--no-single-branch", url, str(place))
    with pytest.raises(
        ConfigurationError, match=r"this clone is shallow; fetch more history \(git fetch --un"
    ):
        Taxonomy(place).changed("origin/main", "origin/pr")
    subprocess.run(["git", "fetch", "-q", "--unshallow"], cwd=place, check=True, timeout=60)
    assert Taxonomy(place).changed("origin/main", "origin/pr") == [BOATS]


# --- where Git itself refuses ---


def test_a_ref_of_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    write(tmp_path, KNOTS)
    with pytest.raises(ConfigurationError, match="is not in a Git repository, so it has no branches"):
        Taxonomy(tmp_path).read("main")


def test_a_repository_of_another_user_is_refused_with_what_to_do(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(ConfigurationError) as caught:
        Taxonomy(repository.folder).read("main")
    assert "belongs to another user" in str(caught.value)
    assert f"git config --global --add safe.directory {repository.folder}" in str(caught.value)


def test_objects_of_another_format_are_refused(tmp_path: Path) -> None:
    newer = Repository(tmp_path / "newer", "--object-format=sha256")
    newer.commit({KNOTS: content("k")})
    with pytest.raises(ConfigurationError, match="SHA-256 objects; only SHA-1 is supported"):
        Taxonomy(newer.folder).read("main")


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_OBJECT_DIRECTORY"])
def test_a_variable_that_points_git_elsewhere_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/somewhere/else")
    with pytest.raises(ConfigurationError, match=f"{name} is set, as in a Git hook"):
        Taxonomy(repository.folder).read("main")
    assert read(repository) == ["k1", "k2", "b1"]


def test_without_git_a_sentence_says_so_and_the_working_tree_is_read(repository: Repository) -> None:
    script = (
        "import sys; from pathlib import Path; from pytest_instructlab_eval.data.taxonomy import Taxonomy\n"
        "taxonomy = Taxonomy(Path(sys.argv[1])); assert len(taxonomy.read()) == 2\n"
        "try: taxonomy.read('main')\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(repository.folder)],
        env={**os.environ, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "reading a taxonomy at a Git ref needs the git command; install Git\n"


def test_an_object_that_is_missing_is_named(repository: Repository) -> None:
    blob = repository.git("rev-parse", f"main:{KNOTS}")
    (repository.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ConfigurationError, match=f"lacks the object {blob}, and nothing is fetched here"):
        Taxonomy(repository.folder).read("main")


# --- attacks: settings of the repository ---


def test_no_setting_of_the_repository_runs_anything(repository: Repository, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    attack = write(tmp_path, "attack", f"#!/bin/sh\ntouch '{trace}'\ncat\n")
    attack.chmod(0o755)
    commands = (
        "core.fsmonitor", "core.editor", "core.pager", "core.sshCommand", "core.askPass", "core.gitProxy",
        "core.alternateRefsCommand", "diff.external", "diff.x.command", "diff.x.textconv", "filter.x.smudge",
        "filter.x.clean", "filter.x.process", "merge.x.driver", "credential.helper", "gpg.program",
        "uploadpack.packObjectsHook", "pager.cat-file", "pager.merge-base", "pager.for-each-ref",
        "pager.rev-parse", "alias.cat-file", "alias.rev-parse", "sequence.editor",
    )  # fmt: skip
    repository.git("checkout", "-q", "-b", "pr")
    repository.commit({KNOTS: content("changed"), ".gitattributes": "* diff=x filter=x merge=x\n"})
    for name in commands:
        repository.git("config", name, ("!" if name.startswith("alias") else "") + str(attack))
    repository.git("config", "core.hooksPath", str(tmp_path / "hooks"))
    for hook in ("post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman"):
        write(tmp_path, f"hooks/{hook}", attack.read_bytes()).chmod(0o755)
    trace.unlink(missing_ok=True)
    taxonomy = Taxonomy(repository.folder)
    assert questions(taxonomy.read("pr")) == ["changed", "b1"]
    assert taxonomy.changed("main", "pr") == [KNOTS]
    assert taxonomy.changed("main") == [KNOTS]
    with pytest.raises(ConfigurationError):
        taxonomy.resolve("nothing")
    assert not trace.exists()


@pytest.mark.parametrize("transport", ["uploadpack", "ext", "ssh"])
def test_an_object_that_a_partial_clone_lacks_is_not_fetched(
    repository: Repository, tmp_path: Path, transport: str
) -> None:
    trace = tmp_path / "it ran"
    attack = write(tmp_path, "attack", f"#!/bin/sh\ntouch '{trace}'\n")
    attack.chmod(0o755)
    place = tmp_path / "partial"
    repository.git("config", "uploadpack.allowFilter", "true")
    url = repository.folder.as_uri()
    repository.git("clone", "-q", "--filter=blob:none", "--no-checkout", url, str(place))
    settings = {
        "uploadpack": {"remote.origin.uploadpack": str(attack)},
        "ext": {"remote.origin.url": f"ext::{attack}", "protocol.ext.allow": "always"},
        "ssh": {"remote.origin.url": "ssh://host/x", "core.sshCommand": str(attack)},
    }[transport]
    for name, value in settings.items():
        subprocess.run(["git", "config", name, value], cwd=place, check=True, timeout=60)
    with pytest.raises(
        ConfigurationError, match=r"lacks the object .*; clone the repository without --filter"
    ):
        Taxonomy(place).read("main")
    assert not trace.exists()


def test_a_bare_repository_that_a_pull_request_plants_is_not_read(repository: Repository) -> None:
    planted = repository.folder / "sub"
    repository.git("clone", "-q", "--bare", ".", str(planted))
    write(planted, KNOTS)
    with pytest.raises(ConfigurationError, match=r"is a bare repository inside the repository .*taxonomy, "):
        Taxonomy(planted).changed("main", "main")


# --- attacks: what lies in a folder ---


@pytest.mark.parametrize("name", ["config", "packed-refs", "info/grafts", "refs/heads/other"])
def test_a_pipe_in_place_of_one_of_gits_files_is_refused_and_not_waited_for(
    repository: Repository, name: str
) -> None:
    repository.commit({"compositional_skills/a/qna.yaml": content("q")})
    place = repository.folder / ".git" / name
    place.unlink(missing_ok=True)
    place.parent.mkdir(exist_ok=True)
    os.mkfifo(place)
    with pytest.raises(ConfigurationError, match=rf"\.git/{name} is neither a file nor a folder"):
        Taxonomy(repository.folder).read("main")


def test_a_link_is_refused_at_a_ref(repository: Repository) -> None:
    link = repository.tree(("120000", "qna.yaml", repository.blob("/etc/passwd")))
    ref = repository.branch("attack", repository.tree(("40000", "skills", link)))
    assert refusal(repository, ref).endswith(
        "at attack: skills/qna.yaml is a symbolic link; a qna.yaml must be a regular file"
    )


def test_a_commit_in_the_place_of_a_file_is_refused_at_a_ref(repository: Repository) -> None:
    module = repository.tree(("160000", "qna.yaml", repository.git("rev-parse", "main")))
    ref = repository.branch("attack", repository.tree(("40000", "skills", module)))
    assert refusal(repository, ref).endswith("skills/qna.yaml is not a regular file; a qna.yaml must be one")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../secret", "../../" + BOATS, "nowhere"])
def test_a_link_is_refused_in_the_working_tree(repository: Repository, target: str) -> None:
    write(repository.folder.parent, "secret", content("secret"))
    (repository.folder / KNOTS).unlink()
    (repository.folder / KNOTS).symlink_to(target)
    assert f"{KNOTS} is a symbolic link" in refusal(repository)


def test_a_linked_folder_outside_is_refused_and_one_inside_is_read_once(repository: Repository) -> None:
    skills = repository.folder / "compositional_skills"
    (skills / "again").symlink_to("knots")
    (skills / "loop").symlink_to(".")
    (skills / "broken").symlink_to("nowhere")
    assert read(repository) == ["k1", "k2", "b1"]
    write(repository.folder.parent, "outside/qna.yaml", content("secret"))
    (skills / "out").symlink_to("../../outside")
    assert "compositional_skills/out is a symbolic link to a folder outside" in refusal(repository)


def test_a_linked_taxonomy_is_followed_since_the_user_named_it(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(repository.folder)
    assert questions(Taxonomy(tmp_path / "link").read()) == questions(
        Taxonomy(tmp_path / "link").read("main")
    )


def test_a_pipe_is_refused_and_not_waited_for(repository: Repository) -> None:
    (repository.folder / KNOTS).unlink()
    os.mkfifo(repository.folder / KNOTS)
    assert refusal(repository).endswith(f"{KNOTS} is not a regular file; a qna.yaml must be one")


def test_a_branch_that_is_called_as_the_file_is_not_read(repository: Repository) -> None:
    repository.commit({f"inner/{KNOTS}": content("inner")})
    write(repository.folder, "inner/.git/refs/heads/qna.yaml", "0" * 40)
    assert read(repository) == ["k1", "k2", "b1", "inner"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines", r"two\nlines"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a" * 200, "a" * 200),
        ("a::b[c] d", "a::b[c] d"),
        (b"\xff\xfe", r"\udcff\udcfe"),
        ("\u202etxt", r"\u202etxt"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("ref", [None, "odd"])
def test_an_odd_name_is_read_and_shown_safely(
    repository: Repository, name: str | bytes, shown: str, ref: str | None
) -> None:
    place = os.fsdecode(name)
    write(repository.folder, f"odd/{place}/qna.yaml")
    repository.git("checkout", "-q", "-b", "odd")
    repository.commit()
    file = next(file for file in Taxonomy(repository.folder).read(ref) if file.path.startswith("odd/"))
    assert file.path == f"odd/{place}/qna.yaml"
    assert file.pairs[0].id == f"odd/{shown}/qna.yaml:1"


def test_a_name_of_300_bytes_that_no_file_system_holds_is_read_at_a_ref(repository: Repository) -> None:
    inner = repository.tree(("100644", "qna.yaml", repository.blob()))
    top = repository.tree(("40000", "skills", repository.tree(("40000", "n" * 300, inner))))
    file = Taxonomy(repository.folder).read(repository.branch("attack", top))[0]
    assert file.path == f"skills/{'n' * 300}/qna.yaml"


@pytest.mark.parametrize("name", ["..", ".", "a/../../b", "/etc", "docs/../x"])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_name_that_would_lead_elsewhere_is_refused(repository: Repository, name: str, depth: int) -> None:
    tree = repository.tree(("40000", name, repository.tree(("100644", "qna.yaml", repository.blob()))))
    for _ in range(depth):
        tree = repository.tree(("40000", "skills", tree))
    ref = repository.branch("attack", tree)
    path = "skills/" * depth + name
    assert refusal(repository, ref).endswith(f": {path} has a name that no file or folder can have")


def test_a_file_name_with_a_slash_is_not_taken_for_another_file(repository: Repository) -> None:
    top = repository.tree(("40000", "a", repository.tree(("100644", "b/qna.yaml", repository.blob()))))
    assert "a/b/qna.yaml has a name that no" in refusal(repository, repository.branch("attack", top))


def test_folders_that_are_nested_very_deep_are_refused(repository: Repository) -> None:
    tree = repository.tree(("100644", "qna.yaml", repository.blob()))
    for _ in range(100):
        tree = repository.tree(("40000", "d", tree))
    assert refusal(repository, repository.branch("attack", tree)).endswith("d is more than 32 folders deep")


def test_a_path_that_is_very_long_is_refused(repository: Repository) -> None:
    tree = repository.tree(("100644", "qna.yaml", repository.blob()))
    top = repository.tree(("40000", "n" * 100_000, tree))
    message = refusal(repository, repository.branch("attack", top))
    assert message.endswith("n has a path of more than 1,024 characters")
    assert len(message) < 2000


def test_a_few_objects_that_stand_for_billions_of_folders_are_refused(
    repository: Repository,
) -> None:
    full = repository.tree(("100644", "qna.yaml", repository.blob()))
    empty = repository.tree()
    for _ in range(10):
        full = repository.tree(*(("40000", f"d{number}", full) for number in range(10)))
        empty = repository.tree(*(("40000", f"d{number}", empty) for number in range(10)))
    message = refusal(repository, repository.branch("full", full))
    assert message == "the taxonomy has more than 10,000 files named qna.yaml"
    message = refusal(repository, repository.branch("empty", empty))
    assert message == "the taxonomy has more than 200,000 files and folders"


def test_a_damaged_folder_is_refused(repository: Repository) -> None:
    damaged = repository.git(
        "hash-object", "-t", "tree", "-w", "--stdin", "--literally", given=b"40000 a\0short"
    )
    ref = repository.branch("attack", repository.tree(("40000", "skills", damaged)))
    assert refusal(repository, ref) == "skills is damaged: it is not a folder in the object store"


@pytest.mark.parametrize("ref", [None, "attack"])
def test_a_file_of_100_mb_is_refused_before_it_is_read(repository: Repository, ref: str | None) -> None:
    repository.git("checkout", "-q", "-b", "attack")
    with (repository.folder / KNOTS).open("wb") as file:
        file.truncate(100 * 10**6)
    if ref:
        repository.git("config", "core.compression", "1")
        repository.commit()
    tracemalloc.start()
    try:
        message = refusal(repository, ref)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message.endswith(f"{KNOTS} is larger than 1,048,576 bytes, the limit for a qna.yaml")
    assert peak < 16 * 10**6


def test_many_large_files_are_refused(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_instructlab_eval.data.taxonomy.taxonomy_reader.MOST_TOTAL", 100)
    assert refusal(repository, "main").endswith("at main has more than 100 bytes of qna.yaml")


# --- bad files ---


def test_one_bad_file_is_one_sentence_with_the_ref_the_path_and_the_line(repository: Repository) -> None:
    repository.commit({KNOTS: content("k1") + "  answer: twice\n"})
    assert refusal(repository, "main") == (
        f"the taxonomy {repository.folder} at main: {KNOTS}, line 4: answer is there twice, first in line "
        "3; remove one of them"
    )


@pytest.mark.parametrize("ref", [None, "main"])
def test_several_bad_files_are_named_at_once_up_to_ten(repository: Repository, ref: str | None) -> None:
    repository.commit({f"bad/{number:02}/qna.yaml": "- no\n" for number in range(12)})
    lines = refusal(repository, ref).splitlines()
    assert lines[0].endswith(": 12 files cannot be read")
    assert lines[1] == "  bad/00/qna.yaml, line 1: expected a mapping with seed_examples"
    assert len(lines) == 12
    assert lines[-1] == "  and 2 more"


def test_the_same_is_read_of_a_commit_and_of_its_working_tree(repository: Repository) -> None:
    repository.commit({f"a/{n}/b/qna.yaml": content(*(f"{n}{m}" for m in range(n + 1))) for n in range(8)})
    taxonomy = Taxonomy(repository.folder)
    assert [f.pairs for f in taxonomy.read()] == [f.pairs for f in taxonomy.read("main")]
    blobs = [
        hashlib.sha1(b"blob %d\0%b" % (len(d), d)).hexdigest()
        for d in [(repository.folder / f.path).read_bytes() for f in taxonomy.read()]
    ]
    assert blobs == [file.blob for file in taxonomy.read("main")]


def test_no_process_outlives_the_reading(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr("git.cmd.safer_popen", Recorded)
    Taxonomy(repository.folder).read("main")
    with pytest.raises(ConfigurationError):
        Taxonomy(repository.folder).changed("main", "nothing")
    assert len(started) > 4
    assert [process.returncode for process in started if process.returncode is None] == []


# --- what a branch changes and is not read ---


def survey(repository: Repository) -> tuple[list[str], list[str], list[str]]:
    """What the branch checked out has changed, removed and left unread since main."""
    found = Taxonomy(repository.folder).survey("HEAD", "main")
    return list(found.files), list(found.removed), list(found.unread)


def test_a_file_that_gets_another_name_is_removed_and_not_read(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    other = KNOTS.replace(".yaml", ".yml")
    repository.git("mv", KNOTS, other)
    repository.commit()
    assert survey(repository) == ([], [KNOTS], [other])


def test_a_file_that_moves_is_asked_again(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    (repository.folder / "compositional_skills/ropes").mkdir()
    repository.git("mv", KNOTS, KNOTS.replace("knots", "ropes"))
    repository.commit()
    assert survey(repository) == ([KNOTS.replace("knots", "ropes")], [KNOTS], [])


def test_a_file_that_is_removed_or_has_another_mode_is_not_asked(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    (repository.folder / BOATS).chmod(0o755)
    repository.commit(removed=(KNOTS,))
    assert survey(repository) == ([], [KNOTS], [])


def test_names_that_differ_in_case_alone_are_two_files(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    other = KNOTS.replace("qna", "Qna")
    repository.commit({KNOTS: content("k3"), other: content("k4")})
    assert survey(repository) == ([KNOTS], [], [other])


def test_what_was_misnamed_before_is_not_the_branchs(repository: Repository) -> None:
    repository.commit({"compositional_skills/food/qna.yml": content("f")})
    repository.git("checkout", "-q", "-b", "pr")
    repository.commit({KNOTS: content("k3")})
    assert survey(repository) == ([KNOTS], [], [])
    assert list(Taxonomy(repository.folder).survey().unread) == ["compositional_skills/food/qna.yml"]


def test_a_submodule_or_link_alone_holds_nothing_that_is_read(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "-q", "-b", "pr")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},compositional_skills/ropes")
    repository.git("commit", "-q", "-m", "a submodule")
    assert survey(repository) == ([], [], ["compositional_skills/ropes"])
    repository.git("checkout", "-q", "-b", "linked", "main")
    (repository.folder / "knowledge/ropes").symlink_to("piers")
    repository.commit()
    assert survey(repository) == ([], [], ["knowledge/ropes"])


def test_an_empty_file_is_changed_and_refused_when_it_is_read(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "pr")
    repository.commit({KNOTS: ""})
    assert survey(repository) == ([KNOTS], [], [])
    assert "the file is empty" in refusal(repository, "pr")


def test_a_working_tree_is_surveyed_as_it_lies(repository: Repository) -> None:
    write(repository.folder, "compositional_skills/food/qna.txt")
    write(repository.folder, "compositional_skills/food/attribution.txt")
    found = Taxonomy(repository.folder).survey(None, "main")
    assert (found.files, list(found.unread)) == ((), ["compositional_skills/food/qna.txt"])


def test_a_taxonomy_says_where_in_its_repository_it_lies(repository: Repository, tmp_path: Path) -> None:
    inside = write(repository.folder, "data/tax/x/qna.yaml").parents[1]
    assert Taxonomy(inside).folder_in_repository() == "data/tax"
    assert Taxonomy(repository.folder).folder_in_repository() == ""
    (tmp_path / "alone").mkdir()
    assert Taxonomy(tmp_path / "alone").folder_in_repository() == ""
