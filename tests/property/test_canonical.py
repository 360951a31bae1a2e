"""One value, one spelling: what canonical form promises for every spec that can be written."""

from __future__ import annotations

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from propeller.model import quantities
from propeller.model.canonical import canonical_bytes, from_canonical
from propeller.model.parse import parse_object, stored_form
from propeller.sources import rules
from propeller.sources.documents import read_spec_file
from propeller.sources.explain import explain
from propeller.sources.fill import RefusedError, fill_for, spelled
from propeller.sources.nodes import Build
from propeller.sources.schemas import API_VERSION
from propeller.sources.yamltext import parse_yaml

durations = st.integers(10, 3_600_000).map(quantities.duration_text)
sizes = st.integers(1, 65536).map(lambda pages: quantities.size_text(pages * 65536))
labels = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
texts = st.text(st.characters(exclude_characters="\0\x85\u2028\u2029", codec="utf-8"), max_size=20)


def some(**fields):
    """A mapping with any of these fields, as an author would leave some out."""
    return st.fixed_dictionaries({}, optional=fields)


backoffs = some(base=st.just("1s"), cap=st.integers(1000, 86_400_000).map(quantities.duration_text))
selectors = st.fixed_dictionaries(
    {"matchLabels": st.dictionaries(labels, labels, min_size=1, max_size=3)},
    optional={
        "matchExpressions": st.lists(
            st.builds(lambda key: {"key": key, "operator": "Exists"}, labels),
            min_size=1,
            max_size=2,
        )
    },
)
ways = st.one_of(
    st.just({}),
    st.builds(lambda n: {"replicas": n}, st.integers(0, 10_000)),
    st.just({"perProplet": True}),
    st.builds(
        lambda names: {"proplets": names}, st.lists(labels, min_size=1, max_size=3, unique=True)
    ),
)
placements = st.builds(
    lambda way, rest: {**rest, **way},
    ways,
    some(
        selector=selectors,
        spread=labels,
        tolerations=some(offline=durations),
        onOffline=st.sampled_from(["Keep", "Reschedule"]),
    ),
)
works = {
    "placement": placements,
    "run": some(
        entrypoint=labels,
        args=st.lists(texts, max_size=4),
        env=st.lists(
            st.builds(
                lambda n, v: {"name": n, "value": v},
                labels.map(lambda s: s.replace("-", "_")),
                texts,
            ),
            max_size=3,
            unique_by=lambda row: row["name"],
        ),
        stdin=texts,
        mounts=st.lists(
            st.builds(lambda n: {"name": n}, labels), max_size=3, unique_by=lambda row: row["name"]
        ),
    ),
    "limits": some(
        memory=st.one_of(sizes, st.just("Unlimited")),
        fuel=st.one_of(st.integers(1, 2**53 - 1), st.just("Unlimited")),
        timeout=st.one_of(durations, st.just("Unlimited")),
        output=st.integers(0, 16 << 20).map(quantities.size_text),
    ),
    "prune": st.sampled_from(["Enabled", "Never"]),
    "suspend": st.fixed_dictionaries(
        {"reason": labels, "by": labels},
        optional={"until": st.integers(0, 2**41).map(quantities.timestamp_text)},
    ),
}
modules = st.one_of(
    st.builds(lambda name: {"file": f"../{name}.wat"}, labels),
    st.builds(lambda name: {"image": f"oci://registry.example/{name}:1"}, labels),
)
tasks = st.fixed_dictionaries(
    {"module": modules},
    optional={
        **works,
        "retries": some(limit=st.integers(0, 1000), backoff=backoffs),
        "runKey": st.one_of(labels, st.integers(0, 99)),
        "schedule": st.fixed_dictionaries(
            {"cron": st.sampled_from(["0 5 * * *", "*/15 * * * mon-fri"])},
            optional={"timeZone": st.sampled_from(["UTC", "Asia/Tokyo"])},
        ),
    },
)
daemons = st.fixed_dictionaries(
    {"module": modules},
    optional={
        **works,
        "restart": some(policy=st.sampled_from(["Always", "OnFailure", "Never"]), backoff=backoffs),
        "health": some(
            readyAfter=durations, maxRestarts=st.one_of(st.integers(0, 9), st.just("Unlimited"))
        ),
        "readyWhen": some(
            min=st.integers(0, 100).map(quantities.percent_text), within=st.just("6h")
        ),
    },
)
proplets = some(
    scheduling=st.sampled_from(["Enabled", "Cordon", "Drain"]),
    capacity=some(memory=sizes, tasks=st.integers(0, 10_000)),
    heartbeat=st.integers(1, 86_400).map(lambda s: f"{s}s"),
)
documents = st.one_of(
    st.tuples(st.just("Task"), tasks),
    st.tuples(st.just("Daemon"), daemons),
    st.tuples(st.just("Proplet"), proplets),
).map(
    lambda pair: {
        "apiVersion": API_VERSION,
        "kind": pair[0],
        "metadata": {"name": "x"},
        "spec": pair[1],
    }
)


def canonical(document):
    """The canonical spec of a document given as Python values."""
    kind = document["kind"]
    spec = fill_for(kind)(document)["spec"]
    assert not list(rules.problems(kind, spec))
    return rules.finish(kind, spec)


@given(documents)
def test_canonical_form_is_a_fixed_point(document):
    """Spelling a canonical spec out and reading it again changes nothing."""
    once = canonical(document)
    written = spelled(document["kind"], once)
    assert canonical({**document, "spec": written}) == once


@given(documents)
def test_canonical_bytes_come_back(document):
    """Through JSON, which is how they are stored and digested."""
    spec = canonical(document)
    assert from_canonical(canonical_bytes(spec)) == spec


@given(documents)
def test_yaml_and_json_give_the_same_spec(document):
    """However the document is written down: block or flow, either language."""
    expected = canonical(document)
    texts = [
        (yaml.safe_dump(document, allow_unicode=True), False),
        (yaml.safe_dump(document, default_flow_style=True, sort_keys=False), False),
        (json.dumps(document), True),
        (json.dumps(document, indent="\t", ensure_ascii=False), True),
    ]
    for text, is_json in texts:
        read = read_spec_file(text.encode(), json=is_json)
        assert not read.flaws
        (found,) = read.documents
        assert found.spec == expected


@given(documents)
def test_the_stored_form_gives_the_object_back(document):
    """`parse_object` and `stored_form` are inverses, through JSON."""
    meta = {"namespace": "n", "name": "x", "uid": "u", "app": "a", "file": "f", "line": 1}
    made = parse_object(document["kind"], meta, canonical(document))
    again = json.loads(json.dumps(stored_form(made)))
    assert parse_object(**again) == made


mangled = st.sampled_from(
    [None, True, 0, -1, 10**20, "", "x", "5m", "yes", "\n", [], [None], {}, {"a": 1}, {"": {}}]
)


@st.composite
def broken_documents(draw):
    """A good document with one thing replaced, added or taken away."""
    document = json.loads(json.dumps(draw(documents)))
    place, steps = document, draw(st.integers(0, 4))
    for _ in range(steps):
        inner = [value for value in place.values() if isinstance(value, dict) and value]
        if not inner:
            break
        place = draw(st.sampled_from(inner))
    key = draw(st.sampled_from([*place, "zzz"]))
    if draw(st.booleans()) and key in place:
        del place[key]
    else:
        place[key] = draw(mangled)
    return document


@given(broken_documents())
def test_the_fast_path_and_jsonschema_give_one_verdict(document):
    """A document that is filled has no fault, and one that is not has at least one."""
    build = Build()
    parse_yaml(yaml.safe_dump(document).encode(), build)
    value = build.documents[0].value
    kind = value.get("kind")
    if kind not in ("Task", "Daemon", "Proplet", "App"):
        return
    try:
        fill_for(kind)(value)
    except RefusedError:
        assert explain(kind, value, 1)
    else:
        assert not explain(kind, value, 1)


@given(st.integers(0, 2**53 - 1))
def test_quantities_are_read_back(number):
    """Every number has a spelling that means it."""
    assert quantities.duration_ms(quantities.duration_text(number)) == number
    assert quantities.size_bytes(quantities.size_text(number)) == number


@given(st.integers(0, 253_402_300_799_999))
def test_times_are_read_back(ms):
    """To the millisecond, up to the year 9999."""
    assert quantities.timestamp_ms(quantities.timestamp_text(ms)) == ms
