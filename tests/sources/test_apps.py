"""Which App owns what, and what Apps may not do."""

from __future__ import annotations

import pytest

from propeller.model.ids import Key
from propeller.model.specs import App, Discovery


def app(name, path, *rest):
    more = "".join(f", {line}" for line in rest)
    return (
        f"apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\n"
        f"spec: {{source: {{path: {path}}}{more}}}\n"
    )


def owners(revision):
    return {str(key): one.meta.app for key, one in revision.objects.items()}


def test_files_under_a_path_belong_to_its_app_and_to_no_other(loading, task, add_wat):
    """The innermost App counts; the file that declares an App belongs to the one around it."""
    files = {
        "a.yaml": app("outer", "plants", "namespace: plants"),
        "plants/add.wat": add_wat,
        "plants/in.yaml": app("inner", "./plants/a/", "namespace: plant-a"),
        "plants/x.yaml": task("x"),
        "plants/a/y.yaml": task("y").replace("add.wat", "../add.wat"),
        "plants/ab/z.yaml": task("z").replace("add.wat", "../add.wat"),
    }
    assert owners(loading(files)) == {
        "App/default/outer": "default",
        "App/plants/inner": "outer",
        "Task/plants/x": "outer",
        "Task/plants/z": "outer",
        "Task/plant-a/y": "inner",
    }


def test_a_written_namespace_wins_over_the_app_s(loading, task, add_wat):
    """The App's is a default."""
    files = {
        "a.yaml": app("a", "p", "namespace: n"),
        "p/x.yaml": task("x", namespace="m"),
        "p/add.wat": add_wat,
    }
    assert "Task/m/x" in owners(loading(files))


def test_an_app_says_what_its_spec_says(loading, task, add_wat):
    """A declared App denies discovery unless it allows it."""
    files = {
        "a.yaml": app("a", "p") + "---\n" + app("b", "q", "discovery: Allow"),
        "p/x.yaml": "",
        "q/x.yaml": "",
    }
    found = loading(files).objects
    first, second = found[Key("App", "default", "a")], found[Key("App", "default", "b")]
    assert isinstance(first, App) and isinstance(second, App)
    assert (first.path, first.namespace, first.discovery) == ("p", "default", Discovery.DENY)
    assert second.discovery is Discovery.ALLOW


def test_moving_an_object_into_an_app_keeps_its_uid(loading, task, add_wat):
    """The App is no part of the identity: nothing is run again."""
    alone = loading({"p/x.yaml": task("x", namespace="n"), "p/add.wat": add_wat})
    owned = loading(
        {"a.yaml": app("a", "p"), "p/x.yaml": task("x", namespace="n"), "p/add.wat": add_wat}
    )
    key = Key("Task", "n", "x")
    assert alone.objects[key].meta.uid == owned.objects[key].meta.uid
    assert alone.objects[key].meta.spec_digest == owned.objects[key].meta.spec_digest
    assert alone.digest != owned.digest


ITSELF = "spec.source.path: an App cannot own the file that declares it; move it out of this folder"
WRONG = [
    (
        {"p/a.yaml": app("a", "p")},
        f"p/a.yaml:4: {ITSELF}",
    ),
    (
        {"a.yaml": app("a", ".")},
        f"a.yaml:4: {ITSELF}",
    ),
    (
        {"p/a.yaml": app("a", "q"), "q/b.yaml": app("b", "p")},
        "p/a.yaml:4: spec.source.path: Apps own each other in a circle: a -> b -> a",
    ),
    (
        {"a.yaml": app("a", "q")},
        "a.yaml:4: spec.source.path: there is no folder q in the spec tree",
    ),
    (
        {"a.yaml": app("default", "p"), "p/x.yaml": ""},
        'a.yaml:3: metadata.name: "default" is the implicit App around all others; choose another',
    ),
    (
        {"a.yaml": app("a", "p"), "b.yaml": app("b", "p"), "p/x.yaml": ""},
        'b.yaml:4: spec.source.path: p belongs to the App "a" of a.yaml already',
    ),
]


@pytest.mark.parametrize(("files", "fault"), WRONG)
def test_an_app_that_cannot_be_is_refused(loading, files, fault):
    """Circles, missing folders, one folder for two, and the name of the implicit App."""
    assert fault in loading.faults(files)


def test_names_of_apps_are_unique_whatever_their_namespace(loading):
    """Objects name their App by its name alone."""
    second = app("a", "q").replace("{name: a}", "{name: a, namespace: n}")
    files = {"a.yaml": app("a", "p"), "b.yaml": second, "p/x.yaml": "", "q/x.yaml": ""}
    assert "b.yaml:3: metadata.name: an App of this name is declared in a.yaml already" in (
        loading.faults(files)
    )


def test_apps_nest_to_a_limit(loading):
    """Deeper than anyone needs is a mistake."""
    files = {"a0.yaml": app("a0", "d")}
    folder = "d"
    for level in range(1, 12):
        files[f"{folder}/a.yaml"] = app(f"a{level}", f"{folder}/d")
        folder += "/d"
    files[f"{folder}/x.yaml"] = ""
    assert any("Apps may be nested 8 deep, not more" in fault for fault in loading.faults(files))
