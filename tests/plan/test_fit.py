"""Whether a proplet can run a module at all."""

from __future__ import annotations

from typing import Any

import pytest

from propeller.model.module import Import
from propeller.model.specs import Access, HttpGrant, Mount
from propeller.outgoing import parse_rules
from propeller.plan.fit import fit, memory_need, size_text
from propeller.plan.runs import run_digest

KIB, MIB = 1 << 10, 1 << 20
READ_WRITE = Access.READ_WRITE


def test_an_ordinary_module_fits_an_ordinary_proplet(w: Any) -> None:
    """WASI imports, one page, no mounts."""
    assert fit(w.task("add"), w.module(), w.facts(), 64 * MIB) is None


def test_a_proplet_that_never_said_hello_does_not_fit_yet(w: Any) -> None:
    """Nothing is known of it, so nothing is sent."""
    assert fit(w.task("add"), w.module(), None, None) == "has not said hello yet"


@pytest.mark.parametrize(
    ("module", "task", "facts", "why"),
    [
        (
            {"memory_min": 512 * KIB},
            {"memory": 256 * KIB},
            {},
            "needs 512 KiB of linear memory, limit is 256 KiB",
        ),
        (
            {"memory_min": 512 * KIB},
            {"memory": None},
            {"memory": 256 * KIB},
            "needs 512 KiB of linear memory, has 256 KiB",
        ),
        (
            {"size": 3 * MIB},
            {},
            {"max_module": 512 * KIB},
            "module is 3 MiB, takes at most 512 KiB",
        ),
        (
            {"imports": (Import("env", "laser"),)},
            {},
            {},
            "does not provide import env.laser",
        ),
        (
            {"imports": (Import("env", "b"), Import("env", "a"), Import("env", "c"))},
            {},
            {},
            "does not provide import env.a and 2 more",
        ),
        (
            {"component": True},
            {},
            {},
            "is given a component, runs only core modules",
        ),
        (
            {"component": True, "imports": (Import("wasi:cli/stdout@0.3.0", ""),)},
            {},
            {"components": True, "imports": frozenset({"wasi:cli/stdout"})},
            "does not provide import wasi:cli/stdout@0.3.0",
        ),
        (
            {},
            {"mounts": (Mount("models", "/models"),)},
            {},
            'does not offer mount "models"',
        ),
        (
            {},
            {"mounts": (Mount("data", "/data", READ_WRITE),)},
            {},
            'offers mount "data" read-only',
        ),
    ],
)
def test_what_does_not_fit_is_told_with_numbers(
    w: Any, module: dict[str, Any], task: dict[str, Any], facts: dict[str, Any], why: str
) -> None:
    """The reason names what is needed and what there is."""
    known = w.facts(**facts)
    assert fit(w.task("add", **task), w.module(**module), known, known.memory) == why


@pytest.mark.parametrize(
    ("module", "task", "facts"),
    [
        ({"imports": (Import("env", "laser"),)}, {}, {"imports": frozenset({"env.laser"})}),
        ({"imports": (Import("env", "laser"),)}, {}, {"imports": frozenset({"env"})}),
        ({"component": True}, {}, {"components": True}),
        (
            {"component": True, "imports": (Import("wasi:cli/stdout@0.2.6", ""),)},
            {},
            {"components": True, "imports": frozenset({"wasi:cli/stdout"})},
        ),
        ({"size": 3 * MIB}, {}, {"max_module": 0}),
        ({}, {"mounts": (Mount("out", "/out", READ_WRITE),)}, {}),
        ({}, {"mounts": (Mount("out", "/out"),)}, {}),
        ({}, {"mounts": (Mount("data", "/data"),)}, {}),
        ({"memory_min": 512 * KIB}, {"memory": None}, {"memory": 0}),
    ],
)
def test_what_fits_fits(
    w: Any, module: dict[str, Any], task: dict[str, Any], facts: dict[str, Any]
) -> None:
    """A whole import module or one of its names, a writable mount, no limit told."""
    known = w.facts(**facts)
    assert fit(w.task("add", **task), w.module(**module), known, known.memory or None) is None


WASI = "wasi_snapshot_preview1"
NN = Import("wasi_ephemeral_nn", "load")


@pytest.mark.parametrize(
    ("module", "imports", "why"),
    [
        ({}, {WASI, "external:wasmedge"}, None),
        ({}, {WASI}, 'has no external engine "wasmedge" (it has none)'),
        (
            {},
            {WASI, "external:wamr", "external:wamr:x"},
            'has no external engine "wasmedge" (it has wamr)',
        ),
        (
            {"imports": (NN,)},
            {WASI, "external:wasmedge"},
            "does not provide import wasi_ephemeral_nn.load",
        ),
        (
            {"imports": (NN,)},
            {WASI, "external:wasmedge", "external:wasmedge:wasi_ephemeral_nn"},
            None,
        ),
        (
            {"imports": (Import("propeller", "log"),)},
            {WASI, "propeller", "external:wasmedge"},
            "does not provide import propeller.log",
        ),
        ({"imports": (Import(WASI, "fd_read"),)}, {f"{WASI}.fd_read", "external:wasmedge"}, None),
        (
            {"component": True},
            {WASI, "external:wasmedge"},
            "is given a component, gives external engines plain core modules",
        ),
    ],
)
def test_an_external_engine_offers_what_is_said_of_it(
    w: Any, module: dict[str, Any], imports: set[str], why: str | None
) -> None:
    """WASI, and what the device's owner says besides; never what our own engine has."""
    known = w.facts(imports=frozenset(imports), components=True)
    assert fit(w.task("add", external="wasmedge"), w.module(**module), known, None) == why


def test_another_engine_is_another_run(w: Any) -> None:
    """The same bytes elsewhere may have another result."""
    ours, theirs = w.task("add"), w.task("add", external="wasmedge")
    assert run_digest(ours, w.module()) != run_digest(theirs, w.module())


@pytest.mark.parametrize(
    ("limit", "least", "most", "need"),
    [
        (4 * MIB, KIB, None, 4 * MIB),
        (4 * MIB, KIB, MIB, MIB),
        (MIB, KIB, 4 * MIB, MIB),
        (None, KIB, None, KIB),
        (None, KIB, MIB, MIB),
    ],
)
def test_the_memory_set_aside_is_no_more_than_the_module_can_use(
    w: Any, limit: int | None, least: int, most: int | None, need: int
) -> None:
    """The default limit of 64 MiB must not fill a small board with one small module."""
    module = w.module(memory_min=least, memory_max=most)
    assert memory_need(w.task("add", memory=limit), module) == need


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (64 * KIB, "64 KiB"), (1536, "1.5 KiB"), (3 << 30, "3 GiB")],
)
def test_sizes_read_well(size: int, text: str) -> None:
    """Binary units, exact where they divide."""
    assert size_text(size) == text


def asking(*allow: str) -> HttpGrant:
    return HttpGrant(allow=parse_rules(allow), requests=1, timeout=1000, body=1000)


@pytest.mark.parametrize(
    ("allow", "words", "why"),
    [
        (("https://a.example/v1",), {"propeller:http", "http:https://a.example"}, None),
        (("https://a.example",), set(), "lets no guest send HTTP requests (httpAllow)"),
        (("https://a.example",), {"http:https://a.example"}, "lets no guest send HTTP requests"),
        (
            ("https://a.example", "https://b.example"),
            {"propeller:http", "http:https://a.example", "http:nonsense"},
            "does not let out https://b.example (httpAllow)",
        ),
        ((), {"propeller:http"}, "imports wasi:http/outgoing-handler, which needs run.http"),
    ],
)
def test_requests_leave_only_where_the_owner_lets_all_of_them_out(
    w: Any, allow: tuple[str, ...], words: set[str], why: str | None
) -> None:
    """The word for the capability and a rule that covers each of the grant's; a device may list
    what is no rule."""
    sends = "wasi:http/outgoing-handler"
    facts = w.facts(components=True, imports=frozenset({sends, *words}))
    module = w.module(component=True, imports=(Import(f"{sends}@0.2.3", ""),))
    said = fit(w.task("add", http=asking(*allow) if allow else None), module, facts, 64 * MIB)
    assert said == why if why is None else why in str(said)


def test_another_grant_is_another_run(w: Any) -> None:
    """What a guest may reach is part of what is run; without one the digest is what it was."""
    module = w.module()
    digests = {
        run_digest(w.task("add", http=grant), module)
        for grant in (None, asking("https://a.example"), asking("https://b.example"))
    }
    assert len(digests) == 3
