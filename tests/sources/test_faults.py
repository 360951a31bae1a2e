"""Bad specs and exactly what is said about them, with the line."""

from __future__ import annotations

import json

import pytest

HEAD = "apiVersion: propeller.dev/v1alpha1\n"
TASK = HEAD + "kind: Task\nmetadata: {name: add}\nspec:\n  module: {file: add.wat}\n"
APP = HEAD + "kind: App\nmetadata: {name: a}\nspec:\n"
PROPLET = HEAD + "kind: Proplet\nmetadata: {name: gw}\nspec:\n"
DURATION = 'a duration such as "90s", "5m" or "24h"'
LABEL = "a DNS label: 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"
DIGEST = '"sha256:" and 64 lowercase hex digits'

FIELDS = [
    (TASK + "  replcias: 2\n", 'a.yaml:6: spec.replcias: unknown field, did you mean "replicas"? It belongs in spec.placement'),
    (TASK + "  placement: {replcias: 2}\n", 'a.yaml:6: spec.placement.replcias: unknown field, did you mean "replicas"?'),
    (TASK + "  replicas: 2\n", 'a.yaml:6: spec.replicas: unknown field here; "replicas" belongs in spec.placement'),
    (TASK + "  zzz: 2\n", "a.yaml:6: spec.zzz: unknown field; allowed here: module, placement, run, limits, retries, runKey, schedule, prune, suspend"),
    (TASK + "status: {}\n", "a.yaml:6: status: unknown field: nobody writes status, Propeller does"),
    (TASK + "  placement: {perProplet: yes}\n", 'a.yaml:6: spec.placement.perProplet: must be true or false, not "yes": yes, no, on and off are text in YAML 1.2'),
    (TASK + "  placement: {perProplet: On}\n", 'a.yaml:6: spec.placement.perProplet: must be true or false, not "On": yes, no, on and off are text in YAML 1.2'),
    (TASK + "  placement: {replicas: 010}\n", "a.yaml:6: spec.placement.replicas: must be a whole number in plain decimal digits, not 010"),
    (TASK + "  placement: {replicas: 1_0}\n", "a.yaml:6: spec.placement.replicas: must be a whole number in plain decimal digits, not 1_0"),
    (TASK + "  placement: {replicas: 1.0}\n", "a.yaml:6: spec.placement.replicas: must be a whole number in plain decimal digits, not 1.0"),
    (TASK + '  placement: {replicas: "2"}\n', 'a.yaml:6: spec.placement.replicas: must be a whole number, not "2"'),
    (TASK + "  placement: {replicas: -1}\n", "a.yaml:6: spec.placement.replicas: must be at least 0, not -1"),
    (TASK + "  placement: {replicas: 10001}\n", "a.yaml:6: spec.placement.replicas: must be at most 10000, not 10001"),
    (TASK + "  placement: {selector: {}}\n", "a.yaml:6: spec.placement.selector: must name at least one of matchLabels, matchExpressions; leave selector out to mean any proplet"),
    (TASK + "  placement: {selector: {matchLabels: null}}\n", "a.yaml:6: spec.placement.selector: must name at least one of matchLabels, matchExpressions; leave selector out to mean any proplet"),
    (TASK + "  placement: {selector: {matchLabels: {}}}\n", "a.yaml:6: spec.placement.selector.matchLabels: must not be empty; leave it out"),
    (TASK + "  placement: {selector: {matchLabels: {a: null, b: c}}}\n", "a.yaml:6: spec.placement.selector.matchLabels.a: must be a label value: at most 63 of letters, digits, '-', '_' and '.', or empty, not null"),
    (TASK + "  placement: {selector: {matchExpressions: [{key: a, operator: In}]}}\n", "a.yaml:6: spec.placement.selector.matchExpressions[0].values: required with In"),
    (TASK + "  placement: {selector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}\n", "a.yaml:6: spec.placement.selector.matchExpressions[0].values: must not stand beside Exists, which takes none"),
    (TASK + "  placement: {perProplet: true, replicas: 2}\n", "a.yaml:6: spec.placement.perProplet: must not stand beside replicas: at most one of replicas, perProplet, proplets"),
    (TASK + "  placement: {proplets: [a, a]}\n", 'a.yaml:6: spec.placement.proplets[1]: "a" is named twice'),
    (TASK + "  placement: {onOffline: keep}\n", 'a.yaml:6: spec.placement.onOffline: must be one of Keep, Reschedule, not "keep", did you mean "Keep"?'),
    (TASK + "  placement: {tolerations: {offline: 5 minutes}}\n", f'a.yaml:6: spec.placement.tolerations.offline: must be {DURATION}, not "5 minutes"'),
    (TASK + "  placement: {tolerations: {offline: 1:30:00}}\n", f'a.yaml:6: spec.placement.tolerations.offline: must be {DURATION}, not "1:30:00"'),
    (TASK + "  placement: {tolerations: {offline: 300}}\n", f"a.yaml:6: spec.placement.tolerations.offline: must be {DURATION}, not 300"),
    (TASK + "  limits: {memory: 64MB}\n", 'a.yaml:6: spec.limits.memory: must be a size such as "64KiB" or "16MiB", or Unlimited, not "64MB"'),
    (TASK + "  limits: {memory: 1KiB}\n", 'a.yaml:6: spec.limits.memory: must be at least 64KiB, not "1KiB"'),
    (TASK + "  limits: {memory: 5GiB}\n", 'a.yaml:6: spec.limits.memory: must be at most 4GiB, not "5GiB"'),
    (TASK + "  limits: {memory: 9999999999999999TiB}\n", "a.yaml:6: spec.limits.memory: '9999999999999999TiB' is beyond what can be counted"),
    (TASK + "  limits: {output: Unlimited}\n", 'a.yaml:6: spec.limits.output: must be a size such as "64KiB" or "16MiB", not "Unlimited"'),
    (TASK + "  limits: {fuel: lots}\n", 'a.yaml:6: spec.limits.fuel: must be a whole number of at least 1, or Unlimited, not "lots"'),
    (TASK + "  limits: {fuel: 0}\n", "a.yaml:6: spec.limits.fuel: must be at least 1, not 0"),
    (TASK + "  limits:\n    - memory\n", "a.yaml:6: spec.limits: must be a mapping, not a list"),
    (TASK + "  run: {args: [1, true]}\n", 'a.yaml:6: spec.run.args[1]: must be text, not true; text goes in quotes: "true"'),
    (TASK + "  run: {args: [null]}\n", "a.yaml:6: spec.run.args[0]: must be text, not null"),
    (TASK + '  run: {args: ["a\\0b"]}\n', 'a.yaml:6: spec.run.args[0]: must be text, not "a\\u0000b"'),
    (TASK + "  run: {env: [{value: 1}]}\n", "a.yaml:6: spec.run.env[0].name: required, for example RATE"),
    (TASK + "  run:\n    env:\n      - {name: A}\n      - {name: A}\n", 'a.yaml:9: spec.run.env[1].name: the variable "A" is given twice'),
    (TASK + "  run: {mounts: [{name: a, path: /x}, {name: b, path: /x}]}\n", 'a.yaml:6: spec.run.mounts[1].path: the path "/x" is given twice'),
    (TASK + "  run: {mounts: [{name: a, path: /x/../y}]}\n", "a.yaml:6: spec.run.mounts[0].path: must not contain . or .."),
    (TASK + "  retries: {backoff: {base: 1m, cap: 1s}}\n", "a.yaml:6: spec.retries.backoff.cap: must not be below base"),
    (TASK + "  schedule: {}\n", "a.yaml:6: spec.schedule.cron: required, for example */15 * * * *"),
    (TASK + '  schedule: {cron: "* * * *"}\n', 'a.yaml:6: spec.schedule.cron: must be five cron fields such as "*/15 * * * *" (minute hour day month weekday)'),
    (TASK + '  schedule: {cron: "61 * * * *"}\n', 'a.yaml:6: spec.schedule.cron: must be five cron fields such as "*/15 * * * *": bad minute'),
    (TASK + '  schedule: {cron: "0 0 30 2 *"}\n', 'a.yaml:6: spec.schedule.cron: must be five cron fields such as "*/15 * * * *": bad day-of-month'),
    (TASK + '  schedule: {cron: "0 0 * * *", timeZone: Europe/Belgrad}\n', 'a.yaml:6: spec.schedule.timeZone: must be an IANA time zone such as Europe/Belgrade, not "Europe/Belgrad", did you mean "Europe/Belgrade"?'),
    (TASK + '  schedule: {cron: "0 0 * * *", timeZone: ../../etc/passwd}\n', 'a.yaml:6: spec.schedule.timeZone: must be an IANA time zone such as Europe/Belgrade, not "../../etc/passwd"'),
    (TASK + '  schedule: {cron: "0 0 * * *", timeZone: "/etc/zone"}\n', 'a.yaml:6: spec.schedule.timeZone: must be an IANA time zone such as Europe/Belgrade, not "/etc/zone"'),
    (TASK + "  suspend: {reason: r}\n", "a.yaml:6: spec.suspend.by: required, for example ana@example.org"),
    (TASK + "  suspend: {reason: r, by: b, until: 2027-01-15}\n", 'a.yaml:6: spec.suspend.until: must be a time such as 2027-01-15T06:00:00Z, not "2027-01-15"'),
    (TASK + "  suspend: {reason: r, by: b, until: 2027-02-30T00:00:00Z}\n", "a.yaml:6: spec.suspend.until: '2027-02-30T00:00:00Z' is not a time: day is out of range for month"),
    (TASK + "  prune: Off\n", 'a.yaml:6: spec.prune: must be one of Enabled, Never, not "Off"'),
    (HEAD + "kind: Task\nmetadata: {name: a}\n", "a.yaml:1: spec: required, for example {module: {file: add.wat}, run: {entrypoint: add, args: [40, 2]}}"),
    (HEAD + "kind: Task\nmetadata: {name: a}\nspec: {}\n", "a.yaml:4: spec.module: required, for example {file: add.wat}"),
    (HEAD + "kind: Task\nmetadata: {name: a}\nspec: {module: {}}\n", "a.yaml:4: spec.module: must have exactly one of file, image, url; it has none"),
    (HEAD + "kind: Task\nmetadata: {name: a}\nspec: {module: {file: a.wat, image: b}}\n", "a.yaml:4: spec.module: must have exactly one of file, image, url; it has file and image"),
    (HEAD + "kind: Task\nmetadata: {name: a}\nspec: {module: {url: 'https://x/y.wasm'}}\n", f"a.yaml:4: spec.module.digest: required with url: {DIGEST}"),
    (HEAD + "kind: Task\nmetadata: {name: a}\nspec: {module: {url: 'ftp://x/y.wasm', digest: x}}\n", f'a.yaml:4: spec.module.digest: must be {DIGEST}, not "x"'),
    (HEAD + "kind: Task\nmetadata: {name: a}\nspec: {module: {file: a.txt}}\n", 'a.yaml:4: spec.module.file: must be a path that ends in .wasm or .wat, with / between folders, not "a.txt"'),
    (HEAD + "kind: Task\nmetadata: {name: Add}\nspec: {module: {file: add.wat}}\n", f'a.yaml:3: metadata.name: must be {LABEL}, not "Add"'),
    (HEAD + 'kind: Task\nmetadata: {name: "a\\n"}\nspec: {module: {file: add.wat}}\n', f'a.yaml:3: metadata.name: must be {LABEL}, not "a\\n"'),
    (HEAD + "kind: Task\nmetadata: {name: 12}\nspec: {module: {file: add.wat}}\n", f'a.yaml:3: metadata.name: must be {LABEL}, not 12; text goes in quotes: "12"'),
    (HEAD + "kind: Task\nmetadata: {name: a, uid: b}\nspec: {module: {file: add.wat}}\n", 'a.yaml:3: metadata.uid: must be a UUID such as 6f0ad6a5-4a53-5f0e-9a4e-0d9f6c2b7f11, not "b"'),
    (HEAD + "kind: Tsk\nmetadata: {name: a}\n", 'a.yaml:2: kind: must be one of App, Daemon, Proplet, Task, not "Tsk", did you mean "Task"?'),
    (HEAD + "metadata: {name: a}\n", "a.yaml:1: kind: required: one of App, Daemon, Proplet, Task"),
    ("apiVersion: propeller.dev/v2\nkind: Task\n", 'a.yaml:1: apiVersion: must be "propeller.dev/v1alpha1", not "propeller.dev/v2"'),
    ("apiVersion: propeler.dev/v1alpha1\nkind: Task\n", 'a.yaml:1: apiVersion: must be "propeller.dev/v1alpha1", not "propeler.dev/v1alpha1"'),
    ("kind: Task\napiVerison: propeller.dev/v1alpha1\n", 'a.yaml:2: apiVerison: unknown field, did you mean "apiVersion"?'),
    (APP + "  source: {path: ../b}\n", "a.yaml:5: spec.source.path: must be inside the spec tree, relative to its root"),
    (APP + "  source: {path: .git}\n", "a.yaml:5: spec.source.path: must not lie in a folder that begins with a dot: those are skipped"),
    (APP + "  source: {path: nosuch}\n", "a.yaml:5: spec.source.path: there is no folder nosuch in the spec tree"),
    (PROPLET + "  heartbeat: 100ms\n", 'a.yaml:5: spec.heartbeat: must be at least 1s, not "100ms"'),
    (PROPLET + "  publicKey: ed25519:abc\n", 'a.yaml:5: spec.publicKey: must be "ed25519:" or "p256:" and a key in base64, not "ed25519:abc"'),
]  # fmt: skip

SYNTAX = [
    (TASK + "  run: {}\n  run: {}\n", "a.yaml:7: spec.run: duplicate key, first given in line 6"),
    (TASK + "  run: {args: [!!binary aGk=]}\n", "a.yaml:6: spec.run.args[0]: tags such as !!binary are not allowed"),
    (TASK + "  run: !mine {}\n", "a.yaml:6: spec.run: tags such as !mine are not allowed"),
    (TASK + "  ? [a]\n  : b\n", "a.yaml:6: a key must be text, not a mapping or list"),
    (TASK + "\trun: {}\n", "a.yaml:6: a tab may not indent YAML; use spaces"),
    (TASK + "  run: {\n", "a.yaml:6: not YAML: while parsing a flow node, did not find expected node content"),
    (TASK + "  run: *nothing\n", "a.yaml:6: the alias *nothing has no anchor &nothing that is complete before it"),
    (TASK + "  run: &a {args: *a}\n", "a.yaml:6: the alias *a has no anchor &a that is complete before it"),
    (TASK.encode() + b"  runKey: caf\xe9\n", "a.yaml:6: must be UTF-8; byte 0xe9 is not"),
    (TASK.encode("utf-16"), "a.yaml:1: must be UTF-8, not UTF-16"),
    (TASK + "  runKey: a\x07b\n", "a.yaml:6: a control character may not stand in YAML"),
    ("a: " * 3 + "\n", "a.yaml:1: not YAML: mapping values are not allowed in this context"),
    ("[" * 40 + "]" * 40, "a.yaml:1: more than 32 levels deep; nothing needs that"),
    ("---\n{}\n" * 10_001, "a.yaml:20001: more than 10000 documents in one file; split it"),
    (b"#" * ((1 << 20) + 1), "a.yaml: a spec file must be at most 1048576 bytes, this one has 1048577; split it"),
]  # fmt: skip

JSON = [
    ('{"a": 1, "a": 2', "a.json:1: not JSON: \",\" expected"),
    ('{"a": tru}', "a.json:1: not JSON: 'tru' is no value"),
    ('{"a": 01}', 'a.json:1: not JSON: "," expected'),
    ("{}\n{}", "a.json:2: not JSON: something follows the value; one file holds one value"),
    ('["\\ud800"]', "a.json:1: not JSON: a string holds an escape that is no character"),
    ("[1,\n]", "a.json:2: not JSON: a value expected after the comma"),
    ("[" * 5000, "a.json:1: more than 32 levels deep; nothing needs that"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), FIELDS)
def test_a_bad_field_is_named_with_its_line_and_what_is_allowed(loading, text, fault):
    """One fault in, one message out."""
    assert loading.faults_of(text)[0] == fault


@pytest.mark.parametrize(("text", "fault"), SYNTAX)
def test_bad_yaml_is_named_with_its_line(loading, text, fault):
    """Nothing is guessed, converted or silently dropped."""
    assert loading.faults_of(text) == [fault]


@pytest.mark.parametrize(("text", "fault"), JSON)
def test_bad_json_is_named_with_its_line(loading, text, fault):
    """JSON files are as strict, and know their lines too."""
    assert loading.faults_of(text, "a.json") == [fault]


def test_a_merge_key_is_refused_in_words(loading):
    """`<<` is YAML 1.1."""
    text = TASK + "  run: {<<: {args: []}}\n"
    assert 'a.yaml:6: spec.run.<<: merge keys ("<<") are not YAML 1.2; write the fields out' in (
        loading.faults_of(text)
    )


def test_an_alias_bomb_stops_early(loading):
    """Nine levels of nine aliases would be 387 million values."""
    levels = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    (fault,) = loading.faults_of(TASK + "  a0: &a0 [x]\n" + levels)
    assert fault.startswith("a.yaml:11: more than 100000 values, aliases followed")


def test_all_faults_of_all_files_come_at_once(loading):
    """Sorted by file and line, so an author mends them in one go."""
    faults = loading.faults(
        {
            "b/two.yaml": TASK + "  replica: 1\n---\n" + TASK + "  prune: x\n  limits: {fuel: 0}\n",
            "a.yaml": "x: [",
            "c.json": json.dumps({"apiVersion": "propeller.dev/v1alpha1", "kind": "Pod"}, indent=1),
        }
    )
    assert [fault.split(": ")[0] for fault in faults] == [
        "a.yaml:1",
        "b/two.yaml:6",
        "b/two.yaml:13",
        "b/two.yaml:14",
        "c.json:3",
    ]


def test_a_flood_of_faults_ends(loading):
    """One document shows the first fifty and says that there are more."""
    text = TASK + "".join(f"  x{number}: 1\n" for number in range(200))
    faults = loading.faults_of(text)
    assert len(faults) == 51
    assert "a.yaml:1: and more; these first" in faults
