"""Components as text, for tests: a command that shows what it was given, and typed exports."""

from __future__ import annotations

_STREAMS = """
  (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "output-stream" (type $out (sub resource)))
    (export "input-stream" (type $in (sub resource)))
    (alias outer 1 $error (type $outer-error))
    (export "error" (type $an-error (eq $outer-error)))
    (type $failed (variant (case "last-operation-failed" (own $an-error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failed)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $out)) (param "contents" (list u8))
        (result (result (error $stream-error)))))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $in)) (param "len" u64)
        (result (result (list u8) (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (alias export $streams "input-stream" (type $input-stream))
"""

_CLI = """
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $o)) (export "output-stream" (type $out (eq $o)))
    (export "get-stdout" (func (result (own $out))))))
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $output-stream (type $o)) (export "output-stream" (type $out (eq $o)))
    (export "get-stderr" (func (result (own $out))))))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input-stream (type $i)) (export "input-stream" (type $in (eq $i)))
    (export "get-stdin" (func (result (own $in))))))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))))
  (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
"""

_LIBC = """
  (core module $libc
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 8192))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
"""

_HOST = """
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory $memory) (realloc $realloc)))
  (core func $read (canon lower (func $streams "[method]input-stream.blocking-read")
    (memory $memory) (realloc $realloc)))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-stderr (canon lower (func $stderr "get-stderr")))
  (core func $get-stdin (canon lower (func $stdin "get-stdin")))
  (core func $get-environment (canon lower (func $environment "get-environment")
    (memory $memory) (realloc $realloc)))
  (core func $get-arguments (canon lower (func $environment "get-arguments")
    (memory $memory) (realloc $realloc)))
  (core func $do-exit (canon lower (func $exit "exit")))
  (core instance $host
    (export "write" (func $write)) (export "read" (func $read))
    (export "stdout" (func $get-stdout)) (export "stderr" (func $get-stderr))
    (export "stdin" (func $get-stdin)) (export "environment" (func $get-environment))
    (export "arguments" (func $get-arguments)) (export "exit" (func $do-exit)))
"""

_RUN = """
  (core instance $main (instantiate $main
    (with "host" (instance $host)) (with "libc" (instance $libc))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (component $shell
    (import "r" (func $r (result (result)))) (export "run" (func $r)))
  (instance $command (instantiate $shell (with "r" (func $run))))
  (export "wasi:cli/run@0.2.0" (instance $command))
"""


def command(body: str, data: str = "") -> str:
    """A `wasi:cli` command whose `run` is `body`, an i32 at its end: 0 for ok, 1 for err.

    It has `$say fd at len` (1 stdout, 2 stderr), `$list at` (say the strings of a list, `pairs`
    as two), and the host's functions by their names.
    """
    return f"""(component {_STREAMS} {_CLI} {_LIBC} {_HOST}
  (core module $main
    (import "libc" "memory" (memory 2))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i64 i32)))
    (import "host" "stdout" (func $stdout (result i32)))
    (import "host" "stderr" (func $stderr (result i32)))
    (import "host" "stdin" (func $stdin (result i32)))
    (import "host" "environment" (func $environment (param i32)))
    (import "host" "arguments" (func $arguments (param i32)))
    (import "host" "exit" (func $exit (param i32)))
    {data}
    (func $say (param $fd i32) (param $at i32) (param $len i32)
      (call $write
        (if (result i32) (i32.eq (local.get $fd) (i32.const 1))
          (then (call $stdout)) (else (call $stderr)))
        (local.get $at) (local.get $len) (i32.const 64)))
    (func $list (param $at i32) (param $many i32)
      (loop $more
        (if (local.get $many) (then
          (call $say (i32.const 1) (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
          (call $say (i32.const 1) (i32.const 56) (i32.const 1))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (local.set $many (i32.sub (local.get $many) (i32.const 1)))
          (br $more)))))
    (data (i32.const 56) "|")
    (func (export "run") (result i32) {body}))
  {_RUN})"""


HELLO = command(
    "(call $say (i32.const 1) (i32.const 1000) (i32.const 6)) (i32.const 0)",
    '(data (i32.const 1000) "hello\\n")',
)

SHOW = command(
    """
    (call $arguments (i32.const 16))
    (call $list (i32.load (i32.const 16)) (i32.load (i32.const 20)))
    (call $environment (i32.const 16))
    (call $list (i32.load (i32.const 16)) (i32.shl (i32.load (i32.const 20)) (i32.const 1)))
    (call $read (call $stdin) (i64.const 4096) (i32.const 32))
    (if (i32.eqz (i32.load8_u (i32.const 32))) (then
      (call $say (i32.const 1) (i32.load (i32.const 36)) (i32.load (i32.const 40)))))
    (call $say (i32.const 2) (i32.const 56) (i32.const 1))
    (i32.const 0)"""
)
"""Its arguments, its environment and its stdin, each with a bar behind it; a bar on stderr."""

EXITS = command("(call $exit (i32.const 1)) (i32.const 0)")
FAILS = command("(i32.const 1)")
SPINS = command("(loop br 0) (i32.const 0)")
TRAPS = command("unreachable")
RECURSES = command("(call $say (i32.const 1) (i32.const 0) (i32.const 0)) (call 12)")
FLOODS = command(
    "(loop (call $say (i32.const 1) (i32.const 0) (i32.const 4096)) (br 0)) (i32.const 0)"
)

_TYPED = """(component
  (core module $m
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 8192))
    (global $count (mut i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "count") (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count))
    (func (export "none"))
    (func (export "spin") (loop br 0))
    (func (export "trap") unreachable)
    %s)
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "count") (result u32) (canon lift (core func $i "count")))
  (func (export "none") (canon lift (core func $i "none")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "trap") (canon lift (core func $i "trap")))
  %s)"""


def typed(core: str, lifted: str) -> str:
    """A component with `count`, `none`, `spin`, `trap` and what is given."""
    return _TYPED % (core, lifted)


_SAME = """(func (export "same") (param i32 i32) (result i32)
    (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1))
    (i32.const 16))"""
_NAMED = ("(record", "(variant", "(enum", "(flags")


def echo(kind: str, *, flat: int = 0) -> str:
    """A component whose `same` gives back what it takes.

    flat: 1 for what is passed as one core value, 2 for strings and lists, 3 for a list of `kind`;
    4 takes it and gives nothing back.
    """
    given, types = kind, ""
    if kind.startswith(_NAMED):
        types, given = f'(type $t {kind}) (export $k "k" (type $t))', "$k"
    if flat == 3:
        given = f"(list {given})"
    result, give, core = f"(result {given})", "(memory $memory) (realloc $realloc)", _SAME
    if flat == 1:
        plain = {"f32": "f32", "f64": "f64", "u64": "i64", "s64": "i64"}.get(kind, "i32")
        core = f'(func (export "same") (param {plain}) (result {plain}) (local.get 0))'
    elif flat == 4:
        params = _FLAT.get(kind, "i32 i32" if "list" in kind or kind == "string" else "i32")
        core, result = f'(func (export "same") (param {params}))', ""
    return typed(
        core,
        f'{types} (func (export "same") (param "value" {given}) {result}'
        f' (canon lift (core func $i "same") {give}))',
    )


_FLAT = {
    "f32": "f32",
    "f64": "f64",
    "(option string)": "i32 i32 i32",
    "(tuple u8 u8)": "i32 i32",
    "(result u8 (error string))": "i32 i32 i32",
    '(variant (case "a") (case "b" u8))': "i32 i32",
}
"""Core types of what is passed in pieces."""


TYPED = typed(
    '(func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))'
    '(func (export "halve") (param i32) (result i32)'
    "  (i32.store8 (i32.const 16) (i32.and (local.get 0) (i32.const 1)))"
    "  (i32.store (i32.const 20) (i32.shr_u (local.get 0) (i32.const 1))) (i32.const 16))",
    """(func $add (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
    (export "add" (func $add))
    (func (export "halve") (param "n" u32) (result (result u32 (error u32)))
      (canon lift (core func $i "halve") (memory $memory)))
    (instance $calc (export "add" (func $add)))
    (export "acme:calc/ops@1.2.0" (instance $calc))""",
)
"""`add`, also of an interface, and `halve`, which gives a result."""
