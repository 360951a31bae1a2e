"""Overlays: one base, varied for environments and groups of devices."""

from __future__ import annotations

import pytest

from propeller.sources.load import Cache

BASE = """\
apiVersion: propeller.dev/v1alpha1
kind: Daemon
metadata: {name: filter, labels: {tier: edge}}
spec:
  module: {file: add.wat}
  placement:
    replicas: 2
  run:
    entrypoint: _start
    args: []
    env:
      - {name: RATE, value: "5"}
      - {name: DEBUG, value: "1"}
  limits:
    memory: 16MiB
"""


def overlay(*lines, base="../base"):
    """An overlay.yaml whose spec has these lines."""
    head = f"apiVersion: propeller.dev/v1alpha1\nkind: Overlay\nspec:\n  base: {base}\n"
    return head + "".join(f"  {line}\n" for line in lines)


def patch(target, *lines):
    """Lines of one patch."""
    return ("patches:", f"- target: {target}", "  patch:", *(f"    {line}" for line in lines))


@pytest.fixture
def over(loading, add_wat):
    """Loads base and overlay `prod`, chosen as `--overlay` does."""

    def make(text, base=BASE, *, chosen="prod", faults=False, cache=None, **files):
        named = {name.replace("__", "/") + ".yaml": text for name, text in files.items()}
        tree = loading.tree(
            {
                "base/filter.yaml": base,
                "base/add.wat": add_wat,
                "prod/overlay.yaml": text,
                **named,
            },
            overlay=chosen,
        )
        return loading.faults(tree) if faults else loading(tree, cache=cache)

    return make


def only(revision):
    (made,) = revision.objects.values()
    return made


# -- patches ------------------------------------------------------------------------------------


def test_a_patch_is_laid_over_the_base(over):
    """What it does not mention stays; the object is still where its author looks for it."""
    made = only(over(overlay(*patch("{kind: Daemon}", "spec: {placement: {replicas: 7}}"))))
    assert made.placement.replicas == 7
    assert made.limits.memory == 16 << 20
    assert (made.meta.origin.file, made.meta.origin.line) == ("base/filter.yaml", 1)


def test_the_digest_is_over_the_result(over, loading, add_wat):
    """The same specs written out in full are the same revision."""
    made = over(overlay(*patch("{name: filter}", "spec: {placement: {replicas: 7}}")))
    plain = loading({"filter.yaml": BASE.replace("replicas: 2", "replicas: 7"), "add.wat": add_wat})
    assert made.digest == plain.digest
    assert made.digest != over(overlay()).digest


def test_lists_of_named_objects_are_merged_by_name(over):
    """Other lists are replaced."""
    made = only(
        over(
            overlay(
                *patch(
                    "{name: filter}",
                    "spec:",
                    "  run:",
                    "    env: [{name: RATE, value: '9'}, {name: LINE, value: '3'}]",
                )
            )
        )
    )
    assert list(made.run.env) == [
        ("RATE", "9"),
        ("DEBUG", "1"),
        ("LINE", "3"),
    ]


def test_a_mapping_speaks_of_named_objects_by_name(over):
    """There null removes one; elsewhere it removes a field."""
    made = only(
        over(
            overlay(
                *patch(
                    "{name: filter}",
                    "spec:",
                    "  limits: {memory: null}",
                    "  run: {env: {RATE: {value: '9'}, DEBUG: null, LINE: {value: '3'}}}",
                )
            )
        )
    )
    assert list(made.run.env) == [("RATE", "9"), ("LINE", "3")]
    assert made.limits.memory == 64 << 20


def test_lists_without_names_are_replaced(over, task):
    """Arguments are one thing."""
    base = task("filter", "run: {entrypoint: add, args: ['1', '2']}")
    text = overlay(*patch("{name: filter}", "spec: {run: {args: ['3', '4']}}"))
    assert only(over(text, base)).run.args == ("3", "4")


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        ("{labels: {tier: edge}}", True),
        ("{kind: Daemon, name: filter, labels: {tier: edge}}", True),
        ("{labels: {tier: cloud}}", False),
        ("{kind: Task}", False),
        ("{namespace: plant}", False),
    ],
)
def test_a_target_agrees_in_every_field(over, target, fits):
    """One that fits nothing is a fault: it would silently do nothing."""
    text = overlay(*patch(target, "spec: {placement: {replicas: 7}}"))
    if fits:
        assert only(over(text)).placement.replicas == 7
    else:
        (said,) = over(text, faults=True)
        assert said.startswith("prod/overlay.yaml:6: spec.patches: no spec of the base has ")


def test_patches_are_laid_one_over_the_other(over):
    """In their order."""
    one = patch("{name: filter}", "spec: {placement: {replicas: 7}}")
    two = patch("{name: filter}", "spec: {placement: {replicas: 8}}")[1:]
    assert only(over(overlay(*one, *two))).placement.replicas == 8


def test_a_fault_of_a_patch_names_both_places(over):
    """The patch, which is to be mended, and what it lies over."""
    text = overlay(*patch("{name: filter}", "spec:", "  placement: {replicas: many}"))
    (said,) = over(text, faults=True)
    assert said.startswith("prod/overlay.yaml:9: spec.placement.replicas: must be")
    assert said.endswith("(laid over base/filter.yaml:7)")


def test_an_unknown_field_of_a_patch_is_a_fault(over):
    """As it is anywhere."""
    text = overlay(*patch("{name: filter}", "spec: {replcias: 1}"))
    (said,) = over(text, faults=True)
    assert said.startswith("prod/overlay.yaml:8: spec.replcias: unknown field")
    assert "base/filter.yaml:4" in said


def test_a_null_that_removes_nothing_is_a_fault(over):
    """Unless another spec of the same patch has it."""
    text = overlay(*patch("{name: filter}", "spec: {limits: {memroy: null}}"))
    assert over(text, faults=True) == [
        "prod/overlay.yaml:8: spec.patches: spec.limits.memroy is not there to be removed"
    ]
    two = BASE + "---\n" + BASE.replace("filter", "other").replace("limits:\n    memory: 16MiB", "")
    text = overlay(*patch("{kind: Daemon}", "spec: {limits: {memory: null}}"))
    assert {one.limits.memory for one in over(text, two).objects.values()} == {64 << 20}


@pytest.mark.parametrize(
    "lines", [("metadata: {name: x}",), ("kind: Task",), ("metadata: {namespace: x}",)]
)
def test_a_patch_makes_no_other_object(over, lines):
    """What an object is called decides which one it is."""
    (said,) = over(overlay(*patch("{name: filter}", *lines)), faults=True)
    assert "must not be patched" in said


def test_the_base_is_not_changed_by_its_overlays(loading, add_wat):
    """Two Apps, two overlays, one base: each has its own."""
    files = {"base/filter.yaml": BASE, "base/add.wat": add_wat}
    for name, count in (("a", 3), ("b", 4)):
        files[f"{name}.yaml"] = (
            f"apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\n"
            f"spec: {{source: {{path: sites/{name}}}, namespace: {name}}}\n"
        )
        lines = patch("{name: filter}", f"spec: {{placement: {{replicas: {count}}}}}")
        files[f"sites/{name}/overlay.yaml"] = overlay(*lines, base="../../base")
    made = {
        one.meta.key.namespace: (one.placement.replicas, one.meta.app)
        for one in loading(files).objects.values()
        if one.meta.key.kind == "Daemon"
    }
    assert made == {"a": (3, "a"), "b": (4, "b")}


# -- variables ----------------------------------------------------------------------------------


VARIED = BASE.replace('value: "5"', 'value: "${RATE}"').replace("replicas: 2", "replicas: ${N}")


def test_variables_stand_for_values(over):
    """In text they are text, unquoted they are read as YAML reads a scalar."""
    made = only(over(overlay("variables: {RATE: '9', N: '3'}"), VARIED))
    assert made.run.env[0][1] == "9"
    assert made.placement.replicas == 3


def test_a_quoted_variable_alone_keeps_its_type(over):
    """So that a number can be given inside braces and in JSON, where it has to be quoted."""
    base = BASE.replace("replicas: 2", 'replicas: "${N}"')
    assert only(over(overlay("variables: {N: 3}"), base)).placement.replicas == 3
    (said,) = over(overlay("variables: {N: '3'}"), base, faults=True)
    assert "must be" in said
    assert "${N} is from prod/overlay.yaml:5" in said


def test_a_variable_inside_text(over):
    """With a default, and a plain dollar-brace."""
    base = BASE.replace('value: "5"', 'value: "a-${A}-${B:-b c}-$${A}-$A"')
    made = only(over(overlay("variables: {A: x}"), base))
    assert made.run.env[0][1] == "a-x-b c-${A}-$A"


def test_a_value_is_not_looked_into_again(over):
    """It is a value, no program."""
    made = only(over(overlay("variables: {RATE: '${N}', N: 1}"), VARIED))
    assert made.run.env[0][1] == "${N}"


def test_an_undefined_variable_is_a_fault(over):
    """With the line where it is used and what may have been meant."""
    assert over(overlay("variables: {N: 1, RTAE: '5'}"), VARIED, faults=True) == [
        "base/filter.yaml:12: spec.run.env[0].value: ${RATE} is not among the variables of"
        ' prod/overlay.yaml, did you mean "RTAE"?'
    ]


@pytest.mark.parametrize("text", ["${", "${1}", "${a b}", "${A", "${A:-${B}}", "${}"])
def test_what_is_no_variable_is_a_fault(over, text):
    """Rather than text by accident."""
    base = BASE.replace('value: "5"', f"value: '{text}'")
    assert any("a plain ${ is written $${" in one for one in over(overlay(), base, faults=True))


def test_a_bad_value_says_where_it_is_from(over):
    """The place that uses it, and the one that gave it."""
    (said,) = over(overlay("variables: {RATE: '9', N: many}"), VARIED, faults=True)
    assert said.startswith("base/filter.yaml:7: spec.placement.replicas: must be")
    assert said.endswith("(${N} is from prod/overlay.yaml:5)")


def test_variables_come_from_files_too(over):
    """Later ones win, and what the overlay says itself wins over all of them."""
    text = overlay("variablesFrom: [{file: ../one.yaml}, {file: two.yaml}]", "variables: {C: c}")
    base = BASE.replace('value: "5"', 'value: "${A}${B}${C}"')
    made = over(text, base, one="A: 1\nB: 1\nC: 1\n", prod__two="B: 2\nC: 2\n")
    assert only(made).run.env[0][1] == "12c"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "one mapping"),
        ("A: {x: 1}", "must be text or a number"),
        ("'a b': 1", "letters, digits"),
        ("A: [", "not YAML"),
        ("A: 1\nA: 2", "duplicate"),
    ],
)
def test_a_file_of_variables_is_read_strictly(over, text, words):
    """Its faults have its name."""
    said = over(overlay("variablesFrom: [{file: v.yaml}]"), prod__v=text, faults=True)
    assert said[0].startswith("prod/v.yaml:")
    assert words in said[0]


def test_without_an_overlay_nothing_is_replaced(loading, add_wat):
    """A dollar sign means nothing then."""
    base = BASE.replace('value: "5"', 'value: "${RATE}"')
    made = only(loading({"filter.yaml": base, "add.wat": add_wat}))
    assert made.run.env[0][1] == "${RATE}"
    assert type(made.run.env[0][1]) is str


def test_documents_of_others_are_let_be(over):
    """They are skipped, with whatever stands in them."""
    made = over(overlay(), base__foreign="apiVersion: v1\nkind: ConfigMap\ndata: {a: '${X}'}\n")
    assert len(made.objects) == 1
    assert made.skipped == ("base/foreign.yaml:1",)


# -- what belongs to what -----------------------------------------------------------------------


def test_the_files_beside_the_overlay_are_added(over, task):
    """With the modules of the base, or with one of its own in its place."""
    made = over(overlay(), prod__more=task("more"))
    assert {str(key) for key in made.objects} == {"Daemon/default/filter", "Task/default/more"}


def test_a_module_beside_the_overlay_replaces_that_of_the_base(loading, add_wat):
    """An environment may run another build."""
    other = add_wat.replace(b"i32.add", b"i32.sub")
    files = {
        "base/filter.yaml": BASE,
        "base/add.wat": add_wat,
        "prod/overlay.yaml": overlay(),
        "prod/add.wat": other,
    }
    made = only(loading(files, overlay="prod"))
    plain = only(loading({"filter.yaml": BASE, "add.wat": other}))
    assert made.module == plain.module


def test_an_overlay_of_an_overlay(over):
    """The outermost wins, patches and variables alike."""
    staging = patch("{name: filter}", "spec: {placement: {replicas: 8}}")
    made = only(
        over(
            overlay("variables: {RATE: '9', N: 3}"),
            VARIED,
            chosen="live",
            live__overlay=overlay("variables: {RATE: '7'}", *staging, base="../prod"),
        )
    )
    assert (made.run.env[0][1], made.placement.replicas) == ("7", 8)


def test_overlays_that_lead_in_a_circle(over):
    """Said with the way they go."""
    text = overlay(base="../live")
    said = over(text, live__overlay=overlay(base="../prod"), faults=True)
    assert any("prod -> live -> prod" in one for one in said)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("../../base", "leads out of the spec tree"),
        ("/base", "leads out of the spec tree"),
        ("../bsae", "there is no folder bsae"),
        ("..", "holds this overlay itself"),
        (".", "holds this overlay itself"),
    ],
)
def test_a_base_is_another_folder_of_the_tree(over, base, words):
    """And has to be there."""
    said = over(overlay(base=base), faults=True)
    assert words in said[0]


def test_an_overlay_that_is_not_there(over):
    """A typo is no empty fleet."""
    assert over(overlay(), chosen="pord", faults=True) == [
        'pord: there is no overlay.yaml in this folder of the spec tree, did you mean "prod"?'
    ]


def test_an_overlay_that_nobody_chose_is_a_fault(over):
    """Forgetting `--overlay` must not read as deleting everything."""
    assert over(overlay(), chosen="", faults=True) == [
        "prod/overlay.yaml: no App has this overlay as its source.path; choose one with --overlay"
    ]


def test_bases_and_overlays_do_not_count_by_themselves(loading, add_wat, task):
    """Only as what was chosen makes of them."""
    files = {
        "base/filter.yaml": BASE,
        "base/add.wat": add_wat,
        "prod/overlay.yaml": overlay(),
        "staging/overlay.yaml": overlay(),
        "staging/add.wat": add_wat,
        "staging/more.yaml": task("more"),
        "add.wat": add_wat,
        "plain.yaml": task("plain"),
    }
    assert [str(key) for key in loading(files, overlay="prod").objects] == ["Daemon/default/filter"]
    files["apps.yaml"] = (
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: prod}\n"
        "spec: {source: {path: prod}}\n"
    )
    assert {str(key) for key in loading(files).objects} == {
        "App/default/prod",
        "Daemon/default/filter",
        "Task/default/plain",
    }


def test_a_spec_in_the_place_of_one_of_the_base_is_a_fault(over):
    """Which of the two is meant, nobody can know."""
    (said,) = over(overlay(), prod__filter=BASE, faults=True)
    assert said.startswith("prod/filter.yaml: base/filter.yaml would lie in the same place")


def test_two_overlays_of_one_base_in_one_namespace_clash(loading, add_wat):
    """And it is said what they need."""
    files = {"base/filter.yaml": BASE, "base/add.wat": add_wat}
    for name in ("a", "b"):
        files[f"{name}.yaml"] = (
            f"apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\n"
            f"spec: {{source: {{path: sites/{name}}}}}\n"
        )
        files[f"sites/{name}/overlay.yaml"] = overlay(base="../../base")
    (said,) = loading.faults(files)
    assert "namespaces of their own" in said


def test_apps_of_a_base_own_folders_of_the_result(over, task):
    """With `--overlay` the overlay is the tree, and paths are as in the base."""
    app = (
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: line}\n"
        "spec: {source: {path: line}}\n"
    )
    text = task("more").replace("add.wat", "../add.wat")
    made = over(overlay(), base__apps=app, base__line__more=text)
    apps = {key.name: one.meta.app for key, one in made.objects.items()}
    assert apps == {"line": "default", "more": "line", "filter": "default"}


def test_a_fault_of_the_base_is_told_once_and_where_it_is(loading, add_wat):
    """However many overlays it has."""
    files = {"base/filter.yaml": BASE.replace("limits", "limtis"), "base/add.wat": add_wat}
    for name in ("a", "b"):
        files[f"{name}.yaml"] = (
            f"apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\n"
            f"spec: {{source: {{path: sites/{name}}}, namespace: {name}}}\n"
        )
        files[f"sites/{name}/overlay.yaml"] = overlay(base="../../base")
    assert loading.faults(files) == [
        'base/filter.yaml:14: spec.limtis: unknown field, did you mean "limits"?'
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "one document of kind Overlay, not 0"),
        (BASE, "must be Overlay"),
        (overlay("patches: [{target: {}, patch: {}}]"), "must name at least one of kind"),
        (overlay("patches: [{target: {name: x}}]"), "spec.patches[0].patch: required"),
        (overlay("variables: {'a b': x}"), "letters, digits"),
        (overlay("variables: {A: [x]}"), "must be text, a number, true or false"),
        (overlay("patchs: []"), 'did you mean "patches"?'),
    ],
)
def test_an_overlay_file_is_read_strictly(over, text, words):
    """As specs are."""
    said = over(text, faults=True)
    assert said[0].startswith("prod/overlay.yaml")
    assert any(words in one for one in said), said


def test_an_overlay_stands_in_its_own_file(loading, add_wat):
    """Anywhere else it would be overlooked."""
    (said,) = loading.faults({"a.yaml": overlay(), "base/add.wat": add_wat})
    assert "an Overlay stands in a file of its own, overlay.yaml" in said


def test_a_change_of_the_overlay_counts_with_a_cache(over):
    """What a file is depends on the overlay as well as on the file."""
    cache = Cache()
    for count in (3, 4, 4, 5):
        made = only(over(overlay(f"variables: {{RATE: '9', N: {count}}}"), VARIED, cache=cache))
        assert made.placement.replicas == count
