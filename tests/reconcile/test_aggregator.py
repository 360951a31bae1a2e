"""Aggregator modules in their process: the example equals the built-in rule; hostile ones end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from wasmtime import wat2wasm

from propeller.fl.errors import Refusal
from propeller.fl.fold import Contribution, Held
from propeller.fl.strategies.base import Round
from propeller.fl.strategies.registry import strategy
from propeller.reconcile.aggregator import aggregate
from propeller.reconcile.running import Running

EXAMPLE = Path(__file__).parents[2] / "examples" / "fl" / "aggregator" / "trimmed.wat"

TYPES = {
    "begin": "(param i32 i32) (result i32)",
    "update": "(param f64)",
    "finish": "(result i32)",
}


def module(head: str = '(memory (export "memory") 1)', **bodies: str) -> bytes:
    """A module whose functions do what `bodies` say; the rest gives address 0, or nothing."""
    rows = [head]
    for name, types in TYPES.items():
        body = bodies.get(name, "" if name == "update" else "(i32.const 0)")
        rows.append(f'(func (export "{name}") {types} {body})')
    return bytes(wat2wasm(f"(module {' '.join(rows)})"))


def updates(count: int, size: int, *, samples: int = 1) -> tuple[Contribution, ...]:
    draw = np.random.default_rng(7)
    return tuple(
        Contribution(
            proplet=f"p{index:03}",
            samples=samples + index,
            deltas=Held(draw.normal(size=size).astype(np.float32)),
        )
        for index in range(count)
    )


def base(size: int) -> np.ndarray:
    return np.random.default_rng(8).normal(size=size).astype(np.float32)


@pytest.mark.parametrize(
    ("count", "cut", "beta"), [(3, None, "0.34"), (5, "1", "0.2"), (6, "2", "0.4"), (1, "0", "0")]
)
def test_the_example_gives_the_bytes_of_the_built_in_trimmed_mean(
    count: int, cut: str | None, beta: str
) -> None:
    """Over more numbers than one tile has, and whatever is cut."""
    start, given = base(70_001), updates(count, 70_001)
    built_in = strategy("TrimmedMean", {"beta": beta}).step(Round(base=start, contributions=given))
    parameters = {} if cut is None else {"cut": float(cut)}
    made = aggregate(bytes(wat2wasm(EXAMPLE.read_text())), start, given, parameters)
    assert made.tobytes() == built_in.model.tobytes()


def test_the_example_says_why_it_refuses() -> None:
    """Its own words reach whoever reads why the round failed."""
    with pytest.raises(Refusal, match="the aggregator says: cut leaves no update"):
        aggregate(bytes(wat2wasm(EXAMPLE.read_text())), base(2), updates(2, 2), {})


def test_samples_come_with_their_update_and_the_base_at_last() -> None:
    """base + sum of samples times delta, of one number, in f64 until the end."""
    wasm = module(
        '(memory (export "memory") 1) (global $sum (mut f64) (f64.const 0))',
        update="(global.set $sum (f64.add (global.get $sum) (f64.mul (local.get 0)"
        " (f64.promote_f32 (f32.load (i32.const 0))))))",
        finish="(f32.store (i32.const 0) (f32.demote_f64 (f64.add (global.get $sum)"
        " (f64.promote_f32 (f32.load (i32.const 0)))))) (i32.const 0)",
    )
    given = tuple(
        Contribution(proplet=f"p{n}", samples=n, deltas=Held(np.array([n], np.float32)))
        for n in (1, 2, 3)
    )
    assert aggregate(wasm, np.array([0.5], np.float32), given, {}).tolist() == [14.5]


def test_what_a_nan_looks_like_does_not_depend_on_the_processor() -> None:
    """0/0 is 7fc00000 for a module that looks at the bits; x86 by itself gives ffc00000."""
    nan = "(i32.reinterpret_f32 (f32.div (f32.load (i32.const 0)) (f32.load (i32.const 0))))"
    wasm = module(
        finish=f"(f32.store (i32.const 0) (f32.convert_i32_u (i32.shr_u {nan} (i32.const 16))))"
        " (i32.const 0)"
    )
    assert aggregate(wasm, np.zeros(1, np.float32), updates(1, 1), {}).tolist() == [0x7FC0]


SPIN = "(loop (br 0)) unreachable"
GROW = (
    "(loop (if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable)) (br 0))"
    " unreachable"
)
HOSTILE = {
    "a loop": (module(begin=SPIN), "used up its fuel"),
    "a loop in an update": (module(update="(loop (br 0))"), "used up its fuel"),
    "a loop at its start": (
        module('(memory (export "memory") 1) (func $s (loop (br 0))) (start $s)'),
        "used up its fuel",
    ),
    "endless growth": (module(begin=GROW), "unreachable"),
    "a huge memory": (module('(memory (export "memory") 60000)'), "memory minimum size"),
    "a huge table": (module('(memory (export "memory") 1) (table 9000000 funcref)'), "table"),
    "a trap": (module(finish="unreachable"), "unreachable"),
    "a division by zero": (
        module(begin="(i32.div_u (i32.const 1) (i32.const 0))"),
        "division by zero",
    ),
    "endless recursion": (
        module('(memory (export "memory") 1) (func $r call $r) (start $r)'),
        "stack overflow",
    ),
    "a write outside": (
        module(update="(i32.store (i32.const -8) (i32.const 1))"),
        "access outside of its memory",
    ),
    "a buffer outside": (module(begin="(i32.const 65533)"), "8 bytes at 65533 are not inside"),
    "a buffer at the end of the world": (module(begin="(i32.const -1)"), "at 4294967295"),
    "a model outside": (module(finish="(i32.const -16)"), "not inside its memory"),
    "no memory": (module('(memory 1)'), "exports no memory"),
    "a clock": (
        module('(import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32)'
               ' (result i32))) (memory (export "memory") 1)'),
        "unknown import",
    ),
    "words outside": (
        module('(import "propeller" "refuse" (func $r (param i32 i32))) '
               '(memory (export "memory") 1)',
               update="(call $r (i32.const 65530) (i32.const 100))"),
        "text it hands out is not inside",
    ),
    "no module": (b"\0asm nonsense", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_module_is_a_refusal_with_its_reason(name: str) -> None:
    """It ends by itself, by its fuel or by its memory; nothing but words comes back."""
    wasm, words = HOSTILE[name]
    with pytest.raises(Refusal) as refused:
        aggregate(wasm, base(2), updates(2, 2), {})
    assert "the aggregator" in str(refused.value)
    assert words in str(refused.value), refused.value


def test_a_clock_ends_what_fuel_does_not() -> None:
    """With fuel for years the module ends when its seconds are over."""
    with pytest.raises(Refusal, match="was not done after 1 s"):
        aggregate(module(begin=SPIN), base(2), updates(2, 2), {}, seconds=1, fuel=1 << 60)


def test_a_module_that_ends_early_is_not_fed_on() -> None:
    """With 40 MB still to come its reason is told, and no pipe is left behind."""
    with pytest.raises(Refusal, match="unreachable"):
        aggregate(module(begin="unreachable"), base(1_000_000), updates(10, 1_000_000), {})


def test_whoever_ends_ends_the_modules_under_way() -> None:
    """A manager that stops waits for no module, and starts none."""
    running = Running()
    forever = partial(
        aggregate, module(begin=SPIN), base(2), updates(2, 2), {}, fuel=1 << 60, running=running
    )
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(forever)
        while not running.count:
            time.sleep(0.01)
        running.stop()
        with pytest.raises(Refusal, match="was stopped: its process ended by SIGKILL"):
            under_way.result()
    with pytest.raises(Refusal, match="SIGKILL"):
        forever()
    assert running.count == 0


def test_words_of_a_module_are_bounded_and_printable() -> None:
    """A terminal that shows them cannot be steered."""
    wasm = module(
        '(import "propeller" "refuse" (func $r (param i32 i32))) (memory (export "memory") 1)'
        ' (data (i32.const 64) "\\1b[2Jgone")',
        update="(call $r (i32.const 64) (i32.const 60000))",
    )
    with pytest.raises(Refusal) as refused:
        aggregate(wasm, base(2), updates(2, 2), {})
    assert "?[2Jgone" in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400
