"""Commits, folders and files out of a Git object store, such that the repository's settings start nothing."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pytest_instructlab_eval.data.taxonomy.files import (
    TOO_LARGE,
    Kind,
    TaxonomyEntry,
    child_path,
    refuse_file,
)
from pytest_instructlab_eval.data.taxonomy.qna import MOST_BYTES
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.escaping import printable_name

if TYPE_CHECKING:
    from git import Git

MOST_TREE = 16 * 2**20  # bytes of one folder's list
MOST_REFS = 5  # in one message
KINDS: Mapping[int, Kind] = {stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFREG: "file"}
TREE_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]*)\0(.{20})", re.DOTALL)

# `cat-file`, `rev-parse`, `for-each-ref` and `merge-base` run no hook, filter or diff driver and leave the
# index alone; but an object that is missing they would fetch, which runs what the remote's settings name.
ENVIRONMENT = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
# What would make Git read another repository than the folder's.
REDIRECTIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


class Repository:
    """The repository that a folder lies in, read by `git cat-file`; `prefix` is the way to the folder."""

    def __init__(self, folder: Path, git: Git) -> None:
        self._name = printable_name(str(folder))
        self._git = git
        facts = ("--show-object-format", "--is-shallow-repository", "--absolute-git-dir", "--show-prefix")
        object_format, shallow, git_dir, *prefix = self._run("rev_parse", *facts).split("\n", 3)
        if object_format == "sha256":
            raise ConfigurationError(
                f"{self._name} is a repository of SHA-256 objects; only SHA-1 is supported"
            )
        # Files of a pull request may look like a bare repository with refs of their own.
        parents = Path(git_dir).parents
        around = next((parent for parent in parents if (parent / ".git").exists()), None)
        if around is not None and ".git" not in Path(git_dir).parts:
            raise ConfigurationError(
                f"{self._name} is a bare repository inside the repository {printable_name(str(around))}, "
                "as a stranger could have put it there; move it out of that one to read it"
            )
        self._shallow = shallow == "true"
        self.prefix = tuple(name for name in "".join(prefix).split("/") if name)

    @classmethod
    @contextlib.contextmanager
    def of(cls, folder: Path) -> Iterator[Repository]:
        """Yield the repository of a folder, whose two Git processes end with the context."""
        git = _git(folder)
        try:
            yield cls(folder, git)
        finally:
            git.clear_cache()

    def resolve(self, ref: str) -> str:
        """Return the id of a commit; raises ConfigurationError where there is none of that name."""
        if not ref.isprintable() or ref[:1] in {"", "-", ":"}:
            raise ConfigurationError(f"'{printable_name(ref)}' cannot name a branch, tag or commit")
        commit = self._id(f"{ref}^{{commit}}")
        if commit is not None:
            return commit
        listed = self._run(
            "for_each_ref", "--format=%(refname:short)", "refs/heads", "refs/remotes", "refs/tags"
        )
        names = listed.split("\n") if listed else []
        hint = f"there is {_alternatives(names)}" if names else "it has no branches or tags"
        close = [name for name in names if name.endswith(f"/{ref}")] or difflib.get_close_matches(ref, names)
        if close:
            hint = f"did you mean {_alternatives(close)}?"
        raise ConfigurationError(f"{self._name} has no branch, tag or commit {ref!r}; {hint}")

    def tree(self, commit: str) -> str:
        """Return the id of a commit's top folder."""
        return self._id(f"{commit}^{{tree}}") or self._missing(commit)

    def data(self, object_id: str, most: int) -> bytes | None:
        """Return an object's content; None where it has more than `most` bytes."""
        try:
            if self._git.get_object_header(object_id)[2] > most:
                return None
            return self._git.get_object_data(object_id)[3]
        except (ValueError, OSError):
            self._missing(object_id)

    def merge_base(self, one: str, other: str) -> str:
        """Return the best common ancestor of two commits, as a pull request is compared."""
        from git import GitCommandError

        try:
            return str(self._git.merge_base(one, other)).split("\n")[0]
        except GitCommandError:
            advice = "they have no common history"
            if self._shallow:
                advice = (
                    "this clone is shallow; fetch more history (git fetch --unshallow, or fetch-depth: 0)"
                )
            raise ConfigurationError(
                f"{self._name} has no commit that {one[:12]} and {other[:12]} both come from: {advice}"
            ) from None

    def _id(self, name: str) -> str | None:
        try:
            # These are bytes, whatever the annotation of GitPython says.
            object_id: str | bytes = self._git.get_object_header(name)[0]
        except (ValueError, OSError):
            return None
        return object_id.decode("ascii") if isinstance(object_id, bytes) else object_id

    def _missing(self, object_id: str) -> NoReturn:
        raise ConfigurationError(
            f"{self._name} lacks the object {object_id}, and nothing is fetched here; clone the repository "
            "without --filter, or check it with `git fsck`"
        )

    def _run(self, command: str, *arguments: str) -> str:
        from git.exc import CommandError

        try:
            return str(getattr(self._git, command)(*arguments))
        except CommandError as error:
            stderr = str(error.stderr)
            problem = f"cannot be read by Git: {printable_name(stderr.strip())}"
            if "not a git repository" in stderr:
                problem = "is not in a Git repository, so it has no branches; leave the branch out"
                problem += " to read it as it is"
            if owned := re.search("dubious ownership in repository at '(.*)'", stderr):
                problem = (
                    "belongs to another user, so Git does not read it; if you trust it, run: "
                    f"git config --global --add safe.directory {printable_name(owned[1])}"
                )
            raise ConfigurationError(f"{self._name} {problem}") from None


def _git(folder: Path) -> Git:
    redirected = [name for name in REDIRECTIONS if name in os.environ]
    if redirected:
        raise ConfigurationError(
            f"{redirected[0]} is set, as in a Git hook, so Git would read another repository than "
            f"{printable_name(str(folder))}; run pytest without it: env -u {redirected[0]} pytest ..."
        )
    try:
        import git
    except ImportError:
        raise ConfigurationError(
            "reading a taxonomy at a Git ref needs the git command; install Git"
        ) from None
    absolute = Path(os.path.abspath(folder))
    git_dirs = (path / ".git" for path in (absolute, *absolute.parents))
    git_dir = next(filter(Path.exists, git_dirs), absolute)
    for path in itertools.chain(*map(git_dir.glob, ("*", "info/*", "objects/info/*", "refs/**/*"))):
        if path.exists() and not (path.is_file() or path.is_dir()):  # Git would wait for ever at a pipe
            raise ConfigurationError(
                f"{printable_name(str(path))} is neither a file nor a folder, so Git cannot read the "
                "repository; remove it, or clone the taxonomy again"
            )
    command = git.Git(os.path.abspath(folder))
    command.update_environment(**ENVIRONMENT)
    return command


def _alternatives(names: list[str]) -> str:
    return " or ".join(repr(name) for name in names[:MOST_REFS])


# --- a commit ---


class CommitFiles:
    """The files of a commit, read from the object store."""

    def __init__(self, repository: Repository, commit: str) -> None:
        self.commit: str | None = commit
        self._repository = repository
        self._tree = repository.tree(commit)
        self._lists: dict[str, bytes] = {}  # by id, for the same folder may lie at any number of paths

    def root(self) -> TaxonomyEntry:
        """Return the taxonomy's own folder, perhaps inside the repository; without id where there is none."""
        folder = TaxonomyEntry("", "folder", self._tree)
        for name in self._repository.prefix:
            inside = {child.path: child.id for child in self.children(folder) if child.kind == "folder"}
            folder = TaxonomyEntry("", "folder", inside.get(name))
        return folder

    def children(self, folder: TaxonomyEntry) -> list[TaxonomyEntry]:
        """See `TaxonomySource`."""
        if folder.id is None:
            return []
        if folder.id not in self._lists:
            data = self._repository.data(folder.id, MOST_TREE)
            if data is None:
                refuse_file(folder, f"has a list of names of more than {MOST_TREE:,} bytes")
            if TREE_ENTRY.sub(b"", data):
                refuse_file(folder, "is damaged: it is not a folder in the object store")
            self._lists[folder.id] = data
        children = []
        for listed in TREE_ENTRY.finditer(self._lists[folder.id]):
            mode, raw_name, raw_id = listed.groups()
            name = raw_name.decode("utf-8", "surrogateescape")
            no_name = "/" in name or name in {"", ".", ".."}
            problem = "has a name that no file or folder can have" if no_name else None
            kind = KINDS.get(stat.S_IFMT(int(mode, 8)), "other")
            children.append(TaxonomyEntry(child_path(folder, name), kind, raw_id.hex(), problem))
        return children

    def data(self, entry: TaxonomyEntry) -> bytes:
        """See `TaxonomySource`; the size is looked at first."""
        if entry.problem:
            refuse_file(entry, entry.problem)
        data = self._repository.data(entry.id or "", MOST_BYTES)
        if data is None:
            refuse_file(entry, TOO_LARGE)
        return data

    def same(self, entry: TaxonomyEntry, committed: TaxonomyEntry | None) -> bool:
        """See `TaxonomySource`."""
        return committed is not None and entry.id == committed.id
