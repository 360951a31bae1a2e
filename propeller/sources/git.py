"""A git repository as a source: one commit, read from the object database.

`head` asks the remote what the ref points at and fetches nothing. `read` brings that one commit,
shallow, into a bare repository in the cache and reads its tree; there is no work tree, no hook and
no submodule. A commit never changes, so blobs are read when they are wanted. Whether a commit may
be read at all is for `trust` to say, which for that needs the history since the last accepted one.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from propeller.errors import Fault, SpecError, Unavailable
from propeller.sources.access import Access, split_secret
from propeller.sources.address import GitAddress, is_commit
from propeller.sources.directory import size_problem
from propeller.sources.explain import did_you_mean
from propeller.sources.gitcli import Git, GitFailed
from propeller.sources.gitobjects import BlobFiles, Blobs, Listing, follow, list_commit
from propeller.sources.polling import poll
from propeller.sources.select import IGNORE_FILE, Selection
from propeller.sources.tree import MAX_FILES, MAX_TOTAL_BYTES, Tree
from propeller.sources.trust import Judge, Trust

_FETCH_SECONDS: Final = 300.0
_ASK_SECONDS: Final = 30.0
_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"
_NOT_SERVED: Final = (
    "not our ref",
    "unadvertised object",
    "couldn't find remote ref",
    "does not support shallow",
)
"""What git says when a server does not give out a commit by its id, or no longer has it."""


@dataclass(frozen=True, slots=True)
class _Head:
    """What the ref points at. `label`: how the revision is named; `full`: the ref on the remote."""

    commit: str
    label: str
    full: str


class GitSource:
    """One ref of one repository. Several may share a cache: a lock keeps fetches apart."""

    def __init__(
        self,
        address: GitAddress,
        *,
        cache: Path,
        environ: Mapping[str, str],
        interval: float | None = None,
        access: Access | None = None,
        trust: Trust | None = None,
    ) -> None:
        url, login = split_secret(address.url)
        self._address = address
        self._url = url
        login = login or (access or Access()).of(url)
        self._login = None if login is None else (url, login)
        self._git = Git(cache / "home", environ=environ)
        digest = hashlib.sha256(url.encode()).hexdigest()[:24]
        self._mirror = cache / f"{digest}.git"
        ref = hashlib.sha256((address.ref or "").encode()).hexdigest()[:12]
        self._judge = Judge(
            self._git, self._mirror, cache / f"{digest}-{ref}.accepted", trust or Trust()
        )
        self._interval = interval or (0.5 if address.local else 15.0)
        self._known: dict[str, _Head] = {}
        self._last: Tree | None = None
        self._read_before: frozenset[str] = frozenset()
        where = f"?path={address.path}" if address.path else ""
        self.name = f"{address.shown}{where}"

    @property
    def address(self) -> GitAddress:
        """Which repository and ref this is."""
        return self._address

    def head(self) -> str:
        """The commit the ref points at now: 40 hex digits. Raises Unavailable."""
        return self._head().commit

    def read(self, head: str | None = None) -> Tree:
        """The tree of `head`, or of what the ref points at now.

        Raises Unavailable (network, a commit that is gone), SpecError when the commit has no such
        folder, Distrusted when it is not to be trusted.
        """
        found = self._known.get(head) if head is not None else self._head()
        if found is None:
            commit = str(head)
            found = _Head(commit, self._address.ref or "HEAD", self._address.ref or "HEAD")
        name = f"{found.label}@sha1:{found.commit}"
        if self._last is not None and self._last.name == name:
            return self._last
        self._fetch(found)
        signer = self._judge.judge(
            found.commit, name, found.label, deepen=lambda: self._deepen(found)
        )
        self._last = replace(self._tree(found, name), signed_by=signer)
        return self._last

    def trusted_from(self, revision: str) -> None:
        """The revision that was accepted last, as far as the store knows; see `trust`."""
        label, _, commit = revision.partition("@sha1:")
        if label == self._address.ref or self._address.ref is None:
            self._judge.trusted_from(commit)

    def accepted(self, tree: Tree) -> None:
        """`tree` was taken: from now on a head has to grow out of it. Raises Unavailable."""
        self._judge.accept(tree.name.partition("@sha1:")[2])

    def watch(self, on_change: Callable[[], None], stop: threading.Event) -> None:
        """Asks the remote now and then; calls `on_change` when the answer, or its lack, is new."""
        poll(self.head, on_change, stop, every=self._interval, slowest=120.0)

    # -- the remote ---------------------------------------------------------------------------

    def _head(self) -> _Head:
        ref = self._address.ref
        if ref is not None and is_commit(ref):
            return self._remember(_Head(ref, ref, ref))
        if ref is None:
            return self._remember(self._default())
        full = ref if ref.startswith("refs/") else None
        wanted = [full] if full else [_BRANCHES + ref, _TAGS + ref]
        answer = self._ask(*wanted, *(f"{one}^{{}}" for one in wanted))
        for one in wanted:
            commit = answer.get(f"{one}^{{}}", answer.get(one))
            if commit is not None:
                return self._remember(_Head(commit, ref, one))
        raise self._no_ref(ref)

    def _remember(self, head: _Head) -> _Head:
        self._known = {head.commit: head}
        return head

    def _default(self) -> _Head:
        answer = self._ls_remote("--symref", "HEAD")
        full = "HEAD"
        for line in answer.splitlines():
            left, _, right = line.partition("\t")
            if left.startswith("ref: ") and right == "HEAD":
                full = left.removeprefix("ref: ")
            elif right == "HEAD" and is_commit(left):
                return _Head(left, full.removeprefix(_BRANCHES), full)
        raise Unavailable(
            f"{self.name}: the repository has no default branch yet",
            hint="commit something, or name a branch with ref=",
        )

    def _ask(self, *patterns: str) -> dict[str, str]:
        """Full ref -> commit, for these patterns."""
        lines = (line.partition("\t") for line in self._ls_remote(*patterns).splitlines())
        return {name: commit for commit, _, name in lines if is_commit(commit)}

    def _ls_remote(self, *arguments: str) -> str:
        options = [one for one in arguments if one.startswith("--")]
        patterns = [one for one in arguments if not one.startswith("--")]
        try:
            out = self._git.run(
                "ls-remote",
                *options,
                "--",
                self._url,
                *patterns,
                timeout=_ASK_SECONDS,
                login=self._login,
            )
        except Unavailable as error:
            raise self._unavailable(error) from error
        return out.decode("utf-8", "replace")

    def _no_ref(self, ref: str) -> Unavailable:
        names = [
            name.removeprefix(_BRANCHES).removeprefix(_TAGS)
            for name in self._ask(f"{_BRANCHES}*", f"{_TAGS}*")
            if not name.endswith("^{}")
        ]
        near = did_you_mean(ref, names)
        listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        hint = f'did you mean "{near}"?' if near else f"it has {listed or 'no branches at all'}"
        return Unavailable(f'{self.name}: no branch or tag "{ref}"', hint=hint)

    def _unavailable(self, error: Unavailable) -> Unavailable:
        return Unavailable(
            f"{self.name}: {error.what}",
            hint="the last accepted revision stands; it is tried again",
        )

    # -- the mirror ---------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._mirror.parent.mkdir(parents=True, exist_ok=True)
        with self._mirror.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _fetch(self, head: _Head) -> None:
        """Makes the commit present. The exact commit first; where a server refuses, the ref."""
        with self._locked():
            self._make_mirror()
            if self._has(head.commit):
                return
            base = self._judge.base
            history = base is not None and base != head.commit
            keep = f"refs/propeller/{head.commit[:2]}"
            depth = [] if history else ["--depth=1"]
            attempts = [[*depth, f"+{head.commit}:{keep}"], self._by_ref(head)]
            for attempt in attempts:
                try:
                    self._fetch_once(attempt)
                except GitFailed as error:
                    if not any(words in error.said for words in _NOT_SERVED):
                        raise self._unavailable(error) from error
                except Unavailable as error:
                    raise self._unavailable(error) from error
                if self._has(head.commit):
                    self._git.run("gc", "--auto", "--quiet", repository=self._mirror, timeout=120)
                    return
            raise Unavailable(
                f"{self.name}: commit {head.commit} is not there (any more)",
                hint="was the branch force-pushed? the newest commit is looked at next",
            )

    def _by_ref(self, head: _Head) -> list[str]:
        """Refspecs that reach the commit, for a server that gives out none by its id."""
        if is_commit(head.full):
            return [f"+{_BRANCHES}*:{_BRANCHES}*", f"+{_TAGS}*:{_TAGS}*"]
        return [f"+{head.full}:refs/propeller/{head.commit[:2]}"]

    def _deepen(self, head: _Head) -> None:
        """Brings the history that a shallow mirror lacks. Raises Unavailable."""
        with self._locked():
            try:
                self._fetch_once(["--unshallow", *self._by_ref(head)])
            except Unavailable as error:
                raise self._unavailable(error) from error

    def _fetch_once(self, arguments: list[str]) -> None:
        options = [one for one in arguments if one.startswith("--")]
        refspecs = [one for one in arguments if not one.startswith("--")]
        self._git.run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-gc",
            "--update-shallow",
            *options,
            "--",
            self._url,
            *refspecs,
            repository=self._mirror,
            timeout=_FETCH_SECONDS,
            login=self._login,
        )

    def _make_mirror(self) -> None:
        if (self._mirror / "HEAD").is_file():
            return
        shutil.rmtree(self._mirror, ignore_errors=True)
        fresh = self._mirror.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        self._git.run("init", "--quiet", "--bare", "--template=", "--", str(fresh))
        fresh.rename(self._mirror)

    def _has(self, commit: str) -> bool:
        try:
            self._git.run("cat-file", "-e", f"{commit}^{{tree}}", repository=self._mirror)
        except GitFailed:
            return False
        return True

    # -- the tree -----------------------------------------------------------------------------

    def _tree(self, head: _Head, name: str) -> Tree:
        author, message, when = self._about(head.commit)
        listing = self._list(head, name)
        blobs = Blobs(self._git, self._mirror)
        ignore = self._ignore(listing, blobs)
        selection = Selection(ignore)
        chosen: dict[str, tuple[str, int]] = {}
        problems: dict[str, str] = {}
        for path in sorted({*listing.files, *listing.links}):
            if not (selection.is_spec(path) or selection.is_module(path)):
                continue
            found = listing.files.get(path) or follow(listing, path)
            if isinstance(found, str):
                problems[path] = found
                continue
            wrong = size_problem(path, found[1])
            if wrong:
                problems[path] = wrong
            else:
                chosen[path] = found
        if len(chosen) > MAX_FILES or sum(size for _, size in chosen.values()) > MAX_TOTAL_BYTES:
            raise SpecError([Fault(".", 0, "", f"too large: {len(chosen)} spec and module files")])
        specs = frozenset(blob for path, (blob, _) in chosen.items() if selection.is_spec(path))
        blobs.expect(specs - self._read_before, specs)
        self._read_before = specs
        return Tree(
            name=name,
            files=BlobFiles(blobs, {path: blob for path, (blob, _) in chosen.items()}, ignore),
            author=author,
            message=message,
            time=when,
            ids={path: f"git:{blob}" for path, (blob, _) in chosen.items()},
            problems=problems,
            skipped=tuple(f"{path} (submodule)" for path in listing.submodules),
        )

    def _about(self, commit: str) -> tuple[str, str, int]:
        """Author, message and commit time in ms."""
        raw = self._git.run("cat-file", "commit", commit, repository=self._mirror)
        head, _, message = raw.decode("utf-8", "replace").partition("\n\n")
        fields = dict(line.partition(" ")[::2] for line in head.splitlines())
        author = fields.get("author", "").rsplit(" ", 2)[0]
        stamp = fields.get("committer", "").rsplit(" ", 2)
        seconds = int(stamp[1]) if len(stamp) == 3 and stamp[1].isdigit() else 0
        return author[:256], message.strip()[:4096], min(seconds, 1 << 40) * 1000

    def _list(self, head: _Head, name: str) -> Listing:
        try:
            return list_commit(self._git, self._mirror, head.commit, self._address.path)
        except GitFailed as error:
            message = f"there is no such folder in {name}"
            raise SpecError([Fault(self._address.path or ".", 0, "", message)]) from error

    def _ignore(self, listing: Listing, blobs: Blobs) -> bytes:
        found = listing.files.get(IGNORE_FILE)
        return b"" if found is None or found[1] > 1 << 20 else blobs.get(found[0])
