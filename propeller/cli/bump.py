"""`propeller bump [PATH]`: newer modules into the specs, by the policy beside each image.

    image: registry.example/plant/filter:1.4.0  # propeller: {policy: semver, range: "1.x"}

Looks up what the policy wants, writes tag and digest into the marked place and changes nothing else
of the file. The whole tree is checked before anything is written: all of it, or nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.bumpgit import add_commit
from propeller.cli.context import add_state, state_dir
from propeller.cli.output import add_data, add_dry_run, print_data, say
from propeller.cli.settings import add_config, fleet_of, registries_of
from propeller.cli.table import printable
from propeller.errors import Fault, PropellerError, SpecError, Unavailable, UsageError

if TYPE_CHECKING:
    from propeller.cli.bumpgit import Made
    from propeller.registry.reference import Reference
    from propeller.registry.registries import Place, Registries
    from propeller.sources.markers import Mark, MarkedText, Span
    from propeller.sources.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Bump:
    """One marked image. edits: what is written, nothing where all stays. note: why it stays."""

    file: str
    line: int
    path: str
    policy: str
    image: str
    before: str
    tag: str
    digest: str
    edits: Mapping[Span, str]
    note: str = ""

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "path": self.path,
            "policy": self.policy,
            "image": self.image,
            "tagBefore": self.before,
            "tag": self.tag,
            "digest": self.digest,
            "changed": bool(self.edits),
            "note": self.note or None,
        }

    @property
    def words(self) -> str:
        """For a person: what moves."""
        if not self.edits:
            return f"{self.image} stays at {self.before}" + (f": {self.note}" if self.note else "")
        moved = f"{self.before} -> {self.tag}" if self.before != self.tag else self.tag
        return f"{self.image} {moved} ({self.digest[:19]}...)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `bump`."""
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default=".", help="the spec tree (default: this folder)"
    )
    add_commit(parser)
    add_config(parser)
    add_state(parser)
    add_dry_run(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Look up, check, write; returns the exit code."""
    from propeller.cli.push import validate_tree
    from propeller.sources.directory import DirectorySource

    if args.push and not (args.commit or args.branch):
        raise UsageError("--push goes with --commit or --branch NAME")
    path = Path(args.path)
    if not path.is_dir():
        raise UsageError(f"{path}: no such directory of specs")
    tree = DirectorySource(path, exclude=(state_dir(args).path,)).read()
    fleet = fleet_of(args, tree=path)
    texts = _marked(tree, path)
    with registries_of(fleet, state_dir(args)) as registries:
        bumps = _look_up(texts, registries, path)
    files = _edited(texts, bumps)
    made = None
    if files:
        validate_tree(with_files(tree, files), fleet, state_dir(args), path=path)
    if not args.dry_run:
        made = keep(args, path, files, bumps)
    _tell(args, bumps, made, written=bool(files) and not args.dry_run and not args.branch)
    return 0


# -- reading --------------------------------------------------------------------------------------


def _marked(tree: Tree, path: Path) -> dict[str, MarkedText]:
    """The spec files that have markers. Raises SpecError with every fault."""
    from propeller.sources.markers import MARK, MarkedText
    from propeller.sources.select import IGNORE_FILE, Selection

    selection = Selection(tree.files.get(IGNORE_FILE, b""))
    found: dict[str, MarkedText] = {}
    faults: list[Fault] = []
    for name in sorted(tree.files):
        if not selection.is_spec(name) or name.endswith(".json"):
            continue
        data = tree.files[name]
        if MARK not in data:
            continue
        if (path / name).resolve() != path.resolve() / name:
            words = "is a link, or below one: a marker in it cannot be edited"
            faults.append(Fault(str(path / name), 0, "", words))
            continue
        try:
            found[name] = MarkedText(str(path / name), data)
        except SpecError as error:
            faults += error.faults
    if faults:
        raise SpecError(faults)
    return found


def _look_up(
    texts: Mapping[str, MarkedText], registries: Registries, path: Path
) -> tuple[Bump, ...]:
    """What every marker wants now. Raises SpecError with every fault, Unavailable."""
    bumps: list[Bump] = []
    faults: list[Fault] = []
    shelf = _Shelf(registries)
    for name, text in texts.items():
        for mark in text.marks:
            try:
                bumps.append(_one(name, mark, shelf))
            except Unavailable:
                raise
            except PropellerError as error:
                words = f"{error.what}; {error.hint}" if error.hint else error.what
                faults.append(Fault(str(path / name), mark.line, mark.path, words))
    if faults:
        raise SpecError(faults)
    return tuple(bumps)


class _Shelf:
    """Asks registries, each thing once."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._tags: dict[str, tuple[str, ...]] = {}
        self._manifests: dict[Reference, str] = {}
        self._modules: dict[Reference, str] = {}

    def tags(self, ref: Reference) -> tuple[str, ...]:
        """Of its repository."""
        if ref.name not in self._tags:
            place = self._registries.place(ref)
            self._tags[ref.name] = place.artifacts.list_tags(place.reference)
        return self._tags[ref.name]

    def manifest(self, ref: Reference, *, specs: bool) -> str:
        """The digest of the manifest under the tag. specs: it holds specs and no module."""
        from propeller.model.ids import sha256_digest

        if ref not in self._manifests:
            place = self._registries.place(ref)
            self._manifests[ref] = (
                sha256_digest(place.artifacts.read_manifest(place.reference))
                if specs
                else place.artifacts.resolve(place.reference).manifest
            )
        return self._manifests[ref]

    def module(self, ref: Reference) -> str:
        """The digest of the module's own bytes, unpacked where they lie in an archive."""
        if ref not in self._modules:
            self._modules[ref] = _module_digest(self._registries.place(ref))
        return self._modules[ref]


def _module_digest(place: Place) -> str:
    from propeller.registry.blobs import BlobStore

    pinned = place.artifacts.resolve(place.reference)
    if not pinned.packed:
        return pinned.digest
    with tempfile.TemporaryDirectory(prefix="propeller-bump-") as folder:
        return place.artifacts.pull_pinned(pinned, BlobStore(Path(folder))).digest


def _one(file: str, mark: Mark, shelf: _Shelf) -> Bump:
    from propeller.registry.reference import Reference
    from propeller.registry.tags import Policy, choose

    policy = Policy.parse(dict(mark.fields))
    text = mark.image.value
    ref = Reference.parse(text)
    if ref.tag is None:
        raise UsageError(f"{text} has no tag", hint="write NAME:TAG@sha256:...")
    plain = replace(ref, digest=None)
    choice = choose(policy, ref.tag, lambda: shelf.tags(plain))
    chosen = replace(plain, tag=choice.tag)
    scheme = "oci://" if text.startswith("oci://") else ""
    specs = mark.path.endswith("source.oci.image")
    edits: dict[Span, str] = {}
    if mark.digest is not None:
        digest = shelf.module(chosen)
        pinned = f"@{shelf.manifest(chosen, specs=specs)}" if ref.digest else ""
        edits[mark.digest] = digest
    else:
        digest = shelf.manifest(chosen, specs=specs)
        pinned = f"@{digest}"
    edits[mark.image] = f"{scheme}{chosen}{pinned}"
    return Bump(
        file=file,
        line=mark.line,
        path=mark.path,
        policy=policy.text,
        image=ref.name,
        before=ref.tag,
        tag=choice.tag,
        digest=digest,
        edits={span: new for span, new in edits.items() if new != span.value},
        note=choice.why,
    )


# -- writing --------------------------------------------------------------------------------------


def _edited(texts: Mapping[str, MarkedText], bumps: tuple[Bump, ...]) -> dict[str, bytes]:
    """The new bytes of the files that change."""
    edits: dict[str, dict[Span, str]] = {}
    for bump in bumps:
        if bump.edits:
            edits.setdefault(bump.file, {}).update(bump.edits)
    return {name: texts[name].replaced(spans) for name, spans in edits.items()}


class _Over(Mapping[str, bytes]):
    """Files, some of them with other bytes."""

    def __init__(self, files: Mapping[str, bytes], edited: Mapping[str, bytes]) -> None:
        self._files, self._edited = files, edited

    def __getitem__(self, name: str) -> bytes:
        return self._edited[name] if name in self._edited else self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def with_files(tree: Tree, files: Mapping[str, bytes]) -> Tree:
    ids = {name: known for name, known in tree.ids.items() if name not in files}
    return replace(tree, files=_Over(tree.files, files), ids=ids)


def keep(
    args: argparse.Namespace, path: Path, files: Mapping[str, bytes], bumps: tuple[Bump, ...]
) -> Made | None:
    """Write, commit and push as asked."""
    if not (args.commit or args.branch):
        _write(path, files)
        return None
    from propeller.cli.bumpgit import Repository

    if not files:
        return None
    repository = Repository(path)
    repository.refuse_edits(files)
    message = args.message or _message(bumps)
    if args.push and not args.branch and not repository.branch:
        raise UsageError("no branch is checked out", hint="say --branch NAME")
    if args.branch:
        made = repository.commit_apart(files, message, args.branch)
    else:
        _write(path, files)
        made = repository.commit_here(files, message)
    return repository.push(made, args.remote) if args.push else made


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    import shutil

    for name, data in files.items():
        target = path / name
        temporary = target.with_name(f".{target.name}.new")
        try:
            temporary.write_bytes(data)
            shutil.copymode(target, temporary)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UsageError(f"{target}: {error.strerror}") from error


def _message(bumps: tuple[Bump, ...]) -> str:
    lines = (f"{one.image} {one.before} -> {one.tag}" for one in bumps if one.edits)
    moved = list(dict.fromkeys(lines))
    if len(moved) == 1:
        return f"Bump {moved[0]}"
    return "\n".join([f"Bump {len(moved)} modules", "", *moved])


def _tell(
    args: argparse.Namespace, bumps: tuple[Bump, ...], made: Made | None, *, written: bool
) -> None:
    changed = [one for one in bumps if one.edits]
    if args.output != "text":
        document: dict[str, Any] = {
            "kind": "Bump",
            "changes": [one.data() for one in bumps],
            "written": written,
            "branch": made.branch if made else None,
            "commit": made.commit if made else None,
            "pushed": made.pushed if made else False,
        }
        print_data(args.output, document)
        return
    for one in bumps:
        if one.edits or one.note:
            print(printable(f"{one.file}:{one.line}: {one.words}"))
    if not bumps:
        say("no image is marked; write `# propeller: {policy: tag}` behind one")
    elif not changed:
        say(f"{len(bumps)} marked, nothing newer")
    elif args.dry_run:
        say("nothing was written")
    if made is not None:
        where = f" and pushed to {args.remote}" if made.pushed else ""
        say(f"committed {made.commit[:12]} on {made.branch or 'no branch'}{where}")
