"""A tree becomes one revision, whole or not at all."""

from __future__ import annotations

import uuid

import pytest

from propeller.errors import SpecError
from propeller.model.ids import Key, sha256_digest
from propeller.model.specs import ModuleRef, Origin, Prune, Task
from propeller.registry.wasm import inspect
from propeller.sources.load import Cache, load
from propeller.sources.tree import Tree


def test_an_object_has_a_name_a_uid_an_app_and_a_place(loading, task, add_wat):
    """All that follows from the tree and the domain, and nothing else."""
    revision = loading({"x/a.yaml": "# hello\n" + task("add"), "x/add.wat": add_wat})
    (made,) = revision.objects.values()
    space = uuid.uuid5(uuid.NAMESPACE_DNS, "propeller.dev")
    assert made.meta.key == Key("Task", "default", "add")
    assert made.meta.uid == str(uuid.uuid5(space, "plant\0Task\0default\0add"))
    assert made.meta.app == "default"
    assert made.meta.origin == Origin("x/a.yaml", 2)


def test_a_given_uid_is_kept(loading, task, add_wat):
    """It outlives a rename."""
    given = "6F0AD6A5-4A53-5F0E-9A4E-0D9F6C2B7F11"
    text = task("add").replace("{name: add}", f"{{name: renamed, uid: {given}}}")
    (made,) = loading({"a.yaml": text, "add.wat": add_wat}).objects.values()
    assert made.meta.uid == given.lower()


def test_unquoted_numbers_reach_the_guest_as_written(loading, task, add_wat):
    """1.10 is not 1.1, and 007 is not 7."""
    text = task("add", "run: {args: [1.10, 007, -3], env: [{name: A, value: 1e3}]}")
    (made,) = loading({"a.yaml": text, "add.wat": add_wat}).objects.values()
    assert isinstance(made, Task)
    assert made.run.args == ("1.10", "007", "-3")
    assert made.run.env == (("A", "1e3"),)


def test_a_mount_lies_at_its_name_by_default(loading, task, add_wat):
    """`/<name>`, which the schema alone could not say."""
    text = task("add", "run: {mounts: [{name: data}, {name: log, path: /var/log}]}")
    (made,) = loading({"a.yaml": text, "add.wat": add_wat}).objects.values()
    assert isinstance(made, Task)
    assert [mount.path for mount in made.run.mounts] == ["/data", "/var/log"]


def test_a_module_file_is_kept_and_described(loading, task, add_wat):
    """The text's digest is the identity, the binary is what is kept."""
    revision = loading({"a.yaml": task("add"), "add.wat": add_wat})
    (made,) = revision.objects.values()
    assert isinstance(made, Task)
    assert made.module == ModuleRef(file="add.wat", digest=sha256_digest(add_wat))
    module = revision.modules[made.module]
    assert module.identity == sha256_digest(add_wat)
    assert loading.kept[module.digest][:4] == b"\0asm"
    assert module.size == len(loading.kept[module.digest])
    assert module.memory_min == 65536
    assert [export.name for export in module.exports] == ["add", "scale", "_start"]


def test_new_bytes_of_a_module_are_a_change_of_its_objects(loading, task, add_wat):
    """The digest is part of the canonical spec, so the generation moves."""
    before = loading({"a.yaml": task("add"), "add.wat": add_wat})
    after = loading({"a.yaml": task("add"), "add.wat": add_wat + b"\n"})
    key = Key("Task", "default", "add")
    assert before.digest != after.digest
    assert before.objects[key].meta.spec_digest != after.objects[key].meta.spec_digest


def test_moving_or_reformatting_a_file_changes_nothing(loading, task, add_wat):
    """The digest is over what is wanted, not over how it was written."""
    before = loading({"a.yaml": task("add", "limits: {timeout: 10m}"), "add.wat": add_wat})
    after = loading(
        {"deep/b.yml": "\n\n" + task("add", "placement: {replicas: 1}"), "deep/add.wat": add_wat}
    )
    assert before.digest == after.digest


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_every_suffix_is_read(loading, suffix):
    """YAML and JSON alike."""
    text = (
        '{"apiVersion": "propeller.dev/v1alpha1", "kind": "Proplet", "metadata": {"name": "gw-1"}}'
    )
    assert list(loading({"fleet" + suffix: text}).objects) == [Key("Proplet", "default", "gw-1")]


def test_documents_of_others_are_skipped_and_counted(loading, task, add_wat):
    """Their files may share the tree, with tags and keys that would not pass here."""
    others = (
        "apiVersion: v1\nkind: ConfigMap\ndata: !tag {a: 1, a: 2}\n"
        "---\njust text\n---\n# nothing\n---\n- a\n---\n"
    )
    files = {"a.yaml": others + task("add"), "package.json": '{"name": "x"}', "add.wat": add_wat}
    revision = loading(files)
    assert revision.skipped == ("a.yaml:1", "a.yaml:4", "a.yaml:9", "package.json:1")
    assert list(revision.objects) == [Key("Task", "default", "add")]


def test_what_is_not_a_spec_is_not_read(loading):
    """Names with a dot in front, the configuration, and other suffixes."""
    broken = ": ["
    names = [".a.yaml", ".git/a.yaml", "x/.y/a.yaml", "propeller.yaml", "x/propeller.yaml", "a.txt"]
    assert loading(dict.fromkeys(names, broken)).objects == {}


def test_the_same_object_twice_names_both_places(loading, task, add_wat):
    """Across files and inside one."""
    assert loading.faults(
        {"a.yaml": task("add"), "b.yaml": task("x") + "---\n" + task("add"), "add.wat": add_wat}
    ) == ["b.yaml:9: metadata.name: Task/default/add is declared in a.yaml:1 already"]


def test_a_kind_or_namespace_of_its_own_is_another_object(loading, task, add_wat):
    """kind, namespace and name together are the identity."""
    text = "---\n".join((task("a"), task("a", namespace="b"), task("a", kind="Daemon")))
    assert len(loading({"a.yaml": text, "add.wat": add_wat}).objects) == 3


def test_two_proplets_of_one_name_are_one_device(loading):
    """Their name is their id on the wire, whatever the namespace."""
    one = "apiVersion: propeller.dev/v1alpha1\nkind: Proplet\nmetadata: {name: gw, namespace: %s}\n"
    assert loading.faults({"a.yaml": one % "a" + "---\n" + one % "b"}) == [
        "a.yaml:7: metadata.name: Proplet/a/gw in a.yaml:1 is the same device: names are ids"
    ]


def test_one_uid_is_one_object(loading, task, add_wat):
    """A copied file with its uid left in would be two objects with one history."""
    given = "metadata: {uid: 6f0ad6a5-4a53-5f0e-9a4e-0d9f6c2b7f11, "
    text = "---\n".join((task("a"), task("b"))).replace("metadata: {", given)
    assert loading.faults({"a.yaml": text, "add.wat": add_wat}) == [
        "a.yaml:9: metadata.uid: Task/default/a in a.yaml:1 has the same uid"
    ]


def test_a_file_that_could_not_be_taken_is_a_fault(loading, task, add_wat):
    """A spec too large or out of the tree is not a spec that was deleted."""
    tree = loading.tree(
        {"a.yaml": task("a"), "add.wat": add_wat},
        problems={"b.yaml": "is a symlink that leaves the spec tree", "c.txt": "whatever"},
    )
    assert loading.faults(tree) == ["b.yaml: is a symlink that leaves the spec tree"]


def test_a_file_asked_for_by_name_is_the_only_spec(loading, task, add_wat):
    """Its neighbours give modules and nothing else."""
    files = {"a.yaml": task("a"), "b.yaml": ": [", "add.wat": add_wat}
    assert list(loading(files, only="a.yaml").objects) == [Key("Task", "default", "a")]


def test_a_bad_revision_leaves_the_cache_alone(loading, task, add_wat):
    """The last good one is still cheap and still right afterwards."""
    cache = Cache()
    good = {"a.yaml": task("a"), "add.wat": add_wat}
    before = loading(good, cache=cache)
    with pytest.raises(SpecError):
        loading({**good, "b.yaml": ": ["}, cache=cache)
    assert loading(good, cache=cache) == before


def test_what_did_not_change_is_not_read_again(task, add_wat, loading):
    """Files whose content is known are not asked for; their objects are the same ones."""
    asked = []

    class Counting(dict):
        def __getitem__(self, path):
            asked.append(path)
            return super().__getitem__(path)

    def tree(files):
        ids = {path: str(hash(data)) for path, data in files.items()}
        return Tree("t", Counting(files), ids=ids)

    cache = Cache()
    files = {f"{n}.yaml": task(f"t{n}").encode() for n in range(3)} | {"add.wat": add_wat}

    def take(files):
        asked.clear()
        return load(tree(files), domain="d", keep=loading.keep, inspect=inspect, cache=cache)

    first = take(files)
    assert sorted(asked) == ["0.yaml", "1.yaml", "2.yaml", "add.wat"]
    second = take({**files, "1.yaml": task("t1", "runKey: 2").encode()})
    assert asked == ["1.yaml"]
    untouched = Key("Task", "default", "t0")
    assert second.objects[untouched] is first.objects[untouched]
    assert second.digest != first.digest


def test_the_commit_comes_along(loading):
    """Name, author, message and time are the tree's."""
    revision = loading(
        Tree("main@sha1:ab", {}, author="Ana", message="hi", time=5, skipped=("lib (submodule)",))
    )
    assert (revision.name, revision.author, revision.message, revision.time) == (
        "main@sha1:ab", "Ana", "hi", 5,
    )  # fmt: skip
    assert revision.skipped == ("lib (submodule)",)


def test_objects_are_sorted(loading, task, add_wat):
    """Same inputs, same order, whatever the files are called."""
    text = "---\n".join(task(name) for name in ("c", "a", "b"))
    revision = loading({"z.yaml": text, "add.wat": add_wat})
    assert list(revision.objects) == sorted(revision.objects)


def test_prune_comes_from_the_app_unless_it_is_written(loading, task, add_wat):
    """An App that never prunes keeps what does not say otherwise."""
    app = (
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: a}\n"
        "spec: {source: {path: p}, prune: Never}\n"
    )
    text = task("mine", "prune: Enabled") + "---\n" + task("theirs")
    found = loading({"app.yaml": app, "p/x.yaml": text, "p/add.wat": add_wat}).objects
    assert found[Key("Task", "default", "mine")].prune is Prune.ENABLED
    assert found[Key("Task", "default", "theirs")].prune is Prune.NEVER
    assert found[Key("Task", "default", "theirs")].meta.spec["prune"] == "Never"
