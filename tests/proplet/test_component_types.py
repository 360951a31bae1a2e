"""What of a component is told before it runs: its types, its values, why it is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import wasmtime
from proplet_component_wat import TYPED, command, echo, typed
from wasmtime import Store, WasiConfig

from propeller.wire.messages import Entry, WireModule
from proplet.runtime.component import Loaded
from proplet.runtime.component_values import Misfit, read_body, write
from proplet.runtime.engine import engine
from proplet.runtime.fit import facts_from, why_unfit
from proplet.runtime.prepare import prepare


def looked(
    place: Path, module: str, entrypoint: str, deny: tuple[str, ...] = ()
) -> dict[str, object]:
    """What a worker finds that looks into it."""
    wasm = place / "module.wasm"
    wasm.write_bytes(bytes(wasmtime.wat2wasm(module)))
    job = {
        "wasm": str(wasm),
        "native": str(place / "native" / "one"),
        "entrypoint": entrypoint,
        "fuel": False,
        "exact": False,
        "deny": deny,
    }
    return json.loads(json.dumps(prepare(job)))


def why(place: Path, module: str, entrypoint: str = "_start", *, deny: tuple[str, ...] = ()) -> str:
    """Why an entry for it is unfit, "" when it is fit."""
    entry = Entry(
        uid="u",
        ref="Task/default/test",
        run="r",
        cause="once",
        mode="once",
        digest="",
        module=WireModule(digest="", size=0),
        entrypoint=entrypoint,
        memory=64 << 20,
        timeout=20_000,
    )
    return why_unfit(facts_from(looked(place, module, entrypoint, deny)), entry)


def load(place: Path, module: str) -> Loaded:
    """Compiled and loaded, to call `same`."""
    told = looked(place, module, "same")
    assert "trouble" not in told
    return Loaded(engine(fuel=False), place / "native" / "one", "same")


READ = {
    # type: what is not one, and the words
    "bool": ("1", "value must be true or false, not 1"),
    "u8": ("256", "value must be a whole number from 0 to 255, not 256"),
    "s8": ('"-129"', "from -128 to 127"),
    "f32": ("1e39", "which does not fit f32"),
    "f64": ('"much"', 'value must be a number, not "much"'),
    "char": ('"ab"', 'value must be one character, not "ab"'),
    "string": ('"\\ud800"', "half of a surrogate pair"),
    "(list u8)": ("[256]", "value must be bytes"),
    "(list u16)": ("[1, null]", "value[1] must be a whole number"),
    "(option string)": ("7", "value.some must be text, not 7"),
    "(tuple u8 u8)": ("[1]", "value must be a list of 2, has 1"),
    "(result u8 (error string))": ('{"ok": 1, "err": ""}', 'value must be {"ok": ...} or {"err"'),
    '(record (field "a" u8))': ('{"b": 1}', "value lacks 'a'"),
    '(variant (case "a") (case "b" u8))': ('"b"', 'value must be "a" or {"b": ...}, not "b"'),
    '(enum "a" "b")': ('"c"', 'value must be one of a, b, not "c"'),
    '(flags "a" "b")': ('["c"]', 'value must be a list of a, b, not of "c"'),
}


@pytest.mark.parametrize("kind", READ)
def test_a_value_that_is_none_of_its_type_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    """wasmtime's package would cut it, or end the process."""
    given, words = READ[kind]
    loaded = load(tmp_path, echo(kind, flat=4))
    with pytest.raises(Misfit, match=re.escape(words)):
        read_body(loaded.signature.params, f"[{given}]".encode())


def test_no_body_makes_its_reader_fail(tmp_path: Path) -> None:
    """Nested as deep as a body can be, or a number of a hundred thousand digits."""
    loaded = load(tmp_path, echo("bool", flat=4))
    for body in (b"[" * 65_000 + b"]" * 65_000, b"[" * 700 + b"]" * 700, b"9" * 100_000):
        with pytest.raises(Misfit):
            read_body(loaded.signature.params, body)


@pytest.mark.parametrize(
    ("kind", "flat", "given"),
    [
        ("bool", 1, "true"),
        ("s8", 1, "-128"),
        ("u16", 1, "65535"),
        ("s64", 1, "-9223372036854775808"),
        ("u64", 1, "18446744073709551615"),
        ("f32", 1, "0.1"),
        ("f64", 1, '"inf"'),
        ("char", 1, '"ö"'),
        ("string", 2, '"a\\n\\"ö"'),
        ("(list u8)", 2, '"aGk="'),
        ("(list u32)", 2, "[1,2,4294967295]"),
        ("(list string)", 2, '["a","","b"]'),
        ("(list (tuple string bool))", 2, '[["a",true]]'),
        ("(list (option u32))", 2, "[null,7]"),
        ("(list (option (option u32)))", 2, '[null,{"some":null},{"some":7}]'),
        ("(list (result u32 (error string)))", 2, '[{"ok":1},{"err":"no"}]'),
        ("(list (result))", 2, '[{"ok":null},{"err":null}]'),
        ("(list (tuple f32 f64))", 2, "[[1.5,2.5],[0.1,0.1]]"),
        ('(record (field "a-b" u32) (field "c" string))', 3, '[{"a-b":1,"c":"x"}]'),
        ('(variant (case "a") (case "b" u32) (case "c" u32))', 3, '["a",{"b":1},{"c":1}]'),
        ('(variant (case "n" u32) (case "t" string))', 3, '[{"n":1},{"t":"x"}]'),
        ('(enum "red" "green")', 3, '["green","red"]'),
        ('(flags "r" "w" "x")', 3, '[["r","x"],[]]'),
    ],
)
def test_a_value_of_every_type_goes_in_and_comes_out(
    tmp_path: Path, kind: str, flat: int, given: str
) -> None:
    """JSON in, the same JSON out."""
    loaded = load(tmp_path, echo(kind, flat=flat))
    store = Store(loaded.engine)
    store.set_epoch_deadline(1)
    store.set_wasi(WasiConfig())
    values = read_body(loaded.signature.params, f"[{given}]".encode())
    returned = loaded.start(store)(store, *values)
    assert loaded.signature.result is not None
    assert write(loaded.signature.result, returned) == given


RESOURCE = """(component
  (type $r (resource (rep i32)))
  (core module $m (func (export "take") (param i32)))
  (core instance $i (instantiate $m))
  (export $e "thing" (type $r))
  (func (export "take") (param "it" (own $e)) (canon lift (core func $i "take"))))"""
ALIKE = typed(
    '(func (export "either") (param i32 i32))',
    """(type $v (variant (case "a" u32) (case "b" bool))) (export $x "v" (type $v))
    (func (export "either") (param "x" $x) (canon lift (core func $i "either")))""",
)
WIDE = typed(
    '(func (export "wide") (param i32))',
    "".join(f"(type $t{n} (tuple {f'$t{n - 1} ' * 4 if n else 'u8 u8'}))" for n in range(6))
    + '(func (export "wide") (param "x" $t5)'
    ' (canon lift (core func $i "wide") (memory $memory) (realloc $realloc)))',
)
ASYNC = """(component
  (core module $m (func (export "f") (result i32) (i32.const 0)) (func (export "c")
    (param i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "f") async (canon lift (core func $i "f") async (callback (core func $i "c")))))"""
HANDLER = """(component (instance $x) (export "wasi:http/incoming-handler@0.2.0" (instance $x)))"""


def importing(name: str) -> str:
    return f'(component (import "{name}" (instance)))'


@pytest.mark.parametrize(
    ("module", "entrypoint", "words"),
    [
        (
            importing("wasi:sockets/tcp@0.2.0"),
            "_start",
            "ComponentImport: it imports wasi:sockets/t",
        ),
        (
            importing("wasi:http/outgoing-handler@0.2.0"),
            "_start",
            "ComponentExport: it is no command",
        ),
        (importing("wasi:http/types@0.2.9"), "_start", "ComponentHttp: it imports wasi:http/types"),
        (importing("acme:door/lock@1.0.0"), "_start", "nobody provides to a component"),
        (importing("wasi:cli/stdout@0.3.0"), "_start", "nobody provides to a component"),
        (HANDLER, "_start", "ComponentHttp: it handles requests (wasi:http/incoming-handler)"),
        (TYPED, "_start", "ComponentExport: it is no command"),
        (TYPED, "sub", "ComponentExport: it exports no 'sub'"),
        (TYPED, "acme:calc/ops#sub", "exports no function 'acme:calc/ops#sub'; it exports: acme"),
        (RESOURCE, "take", "ComponentType: it takes or gives a resource"),
        (ALIKE, "either", "ComponentType: it takes a variant whose cases"),
        (WIDE, "wide", "ComponentType: its types have more than 1000 parts"),
        (ASYNC, "f", "ComponentType: it is async"),
        (TYPED, "add", "add takes 2 arguments (s32, s32), 0 given"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(
    tmp_path: Path, module: str, entrypoint: str, words: str
) -> None:
    """With a code for whoever reads it by program, before anything is started."""
    assert words in why(tmp_path, module, entrypoint)


CLOCK = """(component
  (import "wasi:clocks/wall-clock@0.2.0" (instance))
  (import "wasi:random/insecure@0.2.0" (instance)))"""


@pytest.mark.parametrize(
    ("denied", "missing"),
    [(("Clock",), "wall-clock@0.2.0"), (("Random",), "insecure@0.2.0"), (("Sleep",), "")],
)
def test_what_the_device_denies_is_not_there(
    tmp_path: Path, denied: tuple[str, ...], missing: str
) -> None:
    """A capability stands for interfaces of preview 2 as it does for functions of preview 1."""
    module = command("(i32.const 0)").replace("(component ", CLOCK[:-1] + " ", 1)
    words = why(tmp_path, module, deny=denied)
    assert (missing in words) if missing else words == ""
