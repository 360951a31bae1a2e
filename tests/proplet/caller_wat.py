"""Components that send HTTP requests, as text: handlers, commands and typed exports."""

from __future__ import annotations

from proplet_handler_wat import FUNCTIONS, TYPES

_MORE = """
    (alias outer 1 $error (type $x)) (export "io-error" (type $io-error (eq $x)))
    (alias outer 1 $pollable (type $q)) (export "pollable" (type $pollable (eq $q)))
    (export "outgoing-request" (type $asking (sub resource)))
    (export "request-options" (type $options (sub resource)))
    (export "incoming-response" (type $answer (sub resource)))
    (export "future-incoming-response" (type $future (sub resource)))
    (type $ways (variant (case "get") (case "head") (case "post") (case "put") (case "delete")
      (case "connect") (case "options") (case "trace") (case "patch") (case "other" string)))
    (export "method" (type $method (eq $ways)))
    (type $kinds (variant (case "HTTP") (case "HTTPS") (case "other" string)))
    (export "scheme" (type $scheme (eq $kinds)))
    (export "[constructor]outgoing-request"
      (func (param "headers" (own $fields)) (result (own $asking))))
    (export "[method]outgoing-request.set-method"
      (func (param "self" (borrow $asking)) (param "method" $method) (result (result))))
    (export "[method]outgoing-request.set-path-with-query"
      (func (param "self" (borrow $asking)) (param "path-with-query" (option string))
        (result (result))))
    (export "[method]outgoing-request.set-scheme"
      (func (param "self" (borrow $asking)) (param "scheme" (option $scheme)) (result (result))))
    (export "[method]outgoing-request.set-authority"
      (func (param "self" (borrow $asking)) (param "authority" (option string))
        (result (result))))
    (export "[method]outgoing-request.body"
      (func (param "self" (borrow $asking)) (result (result (own $body)))))
    (export "[constructor]request-options" (func (result (own $options))))
    (export "[method]request-options.set-first-byte-timeout"
      (func (param "self" (borrow $options)) (param "duration" (option u64)) (result (result))))
    (export "[method]future-incoming-response.subscribe"
      (func (param "self" (borrow $future)) (result (own $pollable))))
    (export "[method]future-incoming-response.get"
      (func (param "self" (borrow $future))
        (result (option (result (result (own $answer) (error $error-code)))))))
    (export "[method]incoming-response.status"
      (func (param "self" (borrow $answer)) (result u16)))
    (export "[method]incoming-response.consume"
      (func (param "self" (borrow $answer)) (result (result (own $incoming-body)))))
    (export "http-error-code"
      (func (param "err" (borrow $io-error)) (result (option $error-code))))
"""

_HANDLER = """
  (alias export $http "outgoing-request" (type $asking))
  (alias export $http "request-options" (type $options))
  (alias export $http "future-incoming-response" (type $future))
  (alias export $http "error-code" (type $error-code))
  (import "wasi:http/outgoing-handler@0.2.3" (instance $outgoing
    (alias outer 1 $asking (type $a)) (export "outgoing-request" (type $asking (eq $a)))
    (alias outer 1 $options (type $o)) (export "request-options" (type $options (eq $o)))
    (alias outer 1 $future (type $f)) (export "future-incoming-response" (type $future (eq $f)))
    (alias outer 1 $error-code (type $e)) (export "error-code" (type $error-code (eq $e)))
    (export "handle"
      (func (param "request" (own $asking)) (param "options" (option (own $options)))
        (result (result (own $future) (error $error-code)))))))
  (import "wasi:cli/stdout@0.2.3" (instance $stdout
    (alias outer 1 $output-stream (type $o)) (export "output-stream" (type $out (eq $o)))
    (export "get-stdout" (func (result (own $out))))))
"""

_ASKING = "[method]outgoing-request"
_CALLS = {
    "stdout": ("stdout", "get-stdout", "", "i32"),
    "ask": ("http", "[constructor]outgoing-request", "i32", "i32"),
    "set-method": ("http", f"{_ASKING}.set-method", "i32 i32 i32 i32", "i32"),
    "set-path": ("http", f"{_ASKING}.set-path-with-query", "i32 i32 i32 i32", "i32"),
    "set-scheme": ("http", f"{_ASKING}.set-scheme", "i32 i32 i32 i32 i32", "i32"),
    "set-authority": ("http", f"{_ASKING}.set-authority", "i32 i32 i32 i32", "i32"),
    "ask-body": ("http", f"{_ASKING}.body", "i32 i32", ""),
    "options": ("http", "[constructor]request-options", "", "i32"),
    "first-byte": (
        "http",
        "[method]request-options.set-first-byte-timeout",
        "i32 i32 i64",
        "i32",
    ),
    "send": ("outgoing", "handle", "i32 i32 i32 i32", ""),
    "subscribe": ("http", "[method]future-incoming-response.subscribe", "i32", "i32"),
    "got": ("http", "[method]future-incoming-response.get", "i32 i32", ""),
    "code": ("http", "[method]incoming-response.status", "i32", "i32"),
    "take": ("http", "[method]incoming-response.consume", "i32 i32", ""),
    "why": ("http", "http-error-code", "i32 i32", ""),
}

_FETCH = """
    (global $end (mut i32) (i32.const 16384))
    (func $say (param $at i32) (param $len i32)
      (memory.copy (global.get $end) (local.get $at) (local.get $len))
      (global.set $end (i32.add (global.get $end) (local.get $len))))
    (func $digits (param $number i32)
      (if (i32.ge_u (local.get $number) (i32.const 10)) (then
        (call $digits (i32.div_u (local.get $number) (i32.const 10)))))
      (i32.store8 (i32.const 900)
        (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (call $say (i32.const 900) (i32.const 1)))
    (func $print (result i32)
      (call $write (call $stdout) (i32.const 16384)
        (i32.sub (global.get $end) (i32.const 16384)) (i32.const 1024))
      (i32.load8_u (i32.const 1024)))

    ;; A request to what stands at $a, path at $p; its handle.
    (func $make (param $a i32) (param $al i32) (param $p i32) (param $pl i32) (result i32)
      (local $r i32)
      (local.set $r (call $ask (call $fields)))
      (drop (call $set-authority (local.get $r) (i32.const 1) (local.get $a) (local.get $al)))
      (drop (call $set-path (local.get $r) (i32.const 1) (local.get $p) (local.get $pl)))
      (drop (call $set-scheme
        (local.get $r) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
      (local.get $r))

    ;; Sends it; the status, or 1000 and the number of the error code. $say has the body.
    (func $do (param $r i32) (result i32) (local $f i32) (local $s i32)
      (call $send (local.get $r) (i32.const 0) (i32.const 0) (i32.const 1024))
      (if (i32.load8_u (i32.const 1024)) (then
        (return (i32.add (i32.const 1000) (i32.load8_u (i32.const 1032))))))
      (call $wait-for (i32.load (i32.const 1032))))

    (func $wait-for (param $f i32) (result i32) (local $s i32) (local $r i32)
      (call $block (call $subscribe (local.get $f)))
      (call $got (local.get $f) (i32.const 1024))
      (if (i32.eqz (i32.load8_u (i32.const 1024))) (then unreachable))
      (if (i32.load8_u (i32.const 1032)) (then unreachable))
      (if (i32.load8_u (i32.const 1040)) (then
        (return (i32.add (i32.const 1000) (i32.load8_u (i32.const 1048))))))
      (local.set $r (i32.load (i32.const 1048)))
      (call $got (local.get $f) (i32.const 1024))
      (if (i32.eqz (i32.load8_u (i32.const 1032))) (then unreachable)) ;; a second time is an error
      (call $take (local.get $r) (i32.const 1024))
      (call $stream (i32.load (i32.const 1028)) (i32.const 1024))
      (local.set $s (i32.load (i32.const 1028)))
      (loop $more
        (call $read (local.get $s) (i64.const 1000) (i32.const 1024))
        (if (i32.eqz (i32.load8_u (i32.const 1024))) (then
          (call $say (i32.load (i32.const 1028)) (i32.load (i32.const 1032)))
          (br $more))))
      (if (i32.eqz (i32.load8_u (i32.const 1028))) (then
        (call $why (i32.load (i32.const 1032)) (i32.const 1040))
        (return (i32.add (i32.const 2000) (i32.load8_u (i32.const 1048))))))
      (call $code (local.get $r)))
"""

_HANDLE = """
    (func $answer (param $out i32) (param $status i32) (local $response i32) (local $body i32)
      (local.set $response (call $response (call $fields)))
      (drop (call $status (local.get $response) (local.get $status)))
      (call $body (local.get $response) (i32.const 8))
      (local.set $body (i32.load (i32.const 12)))
      (call $output (local.get $body) (i32.const 8))
      (call $set (local.get $out) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $write (i32.load (i32.const 12)) (i32.const 16384)
        (i32.sub (global.get $end) (i32.const 16384)) (i32.const 8))
      (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 32)))
"""

_EXPORTS = {
    "handler": """
  (func $main (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $main "main")))
  (component $shell
    (import "request" (type $r (sub resource))) (import "outparam" (type $o (sub resource)))
    (import "h" (func $h (param "request" (own $r)) (param "response-out" (own $o))))
    (export "handle" (func $h)))
  (instance $made (instantiate $shell (with "request" (type $request))
    (with "outparam" (type $outparam)) (with "h" (func $main))))
  (export "wasi:http/incoming-handler@0.2.3" (instance $made))""",
    "command": """
  (func $main (result (result)) (canon lift (core func $main "main")))
  (component $shell (import "r" (func $r (result (result)))) (export "run" (func $r)))
  (instance $made (instantiate $shell (with "r" (func $main))))
  (export "wasi:cli/run@0.2.0" (instance $made))""",
    "typed": """
  (func $main (result u32) (canon lift (core func $main "main")))
  (export "fetch" (func $main))""",
}
_SIGNED = {
    "handler": "(param $request i32) (param $out i32)",
    "command": "(result i32)",
    "typed": "(result i32)",
}


def caller(kind: str, body: str, data: str = "") -> str:
    """kind: handler, command, or typed: `fetch: func() -> u32`. Locals $a to $d are free.

    `(call $fetch)` is a GET of what `to` put there; see `_FETCH` for the rest.
    """
    functions = FUNCTIONS | _CALLS
    types = TYPES.replace("\n    ))\n", f"{_MORE}))\n", 1)
    lowered = "".join(
        f'(core func ${name} (canon lower (func ${where} "{what}")'
        " (memory $memory) (realloc $realloc)))"
        for name, (where, what, _, _) in functions.items()
    )
    given = " ".join(f'(export "{name}" (func ${name}))' for name in functions)
    taken = "".join(
        f'(import "host" "{name}" (func ${name} (param {params})'
        f" {f'(result {result})' if result else ''}))"
        for name, (_, _, params, result) in functions.items()
    )
    return f"""(component {types} {_HANDLER}
  (core module $libc (memory (export "memory") 4) (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  {lowered}
  (core instance $host {given})
  (core module $main
    (import "libc" "memory" (memory 4))
    {taken}
    {data}
    {_FETCH} {_HANDLE}
    (func (export "main") {_SIGNED[kind]}
      (local $a i32) (local $b i32) (local $c i32) (local $d i32)
      {body}))
  (core instance $main (instantiate $main
    (with "host" (instance $host)) (with "libc" (instance $libc))))
  {_EXPORTS[kind]})"""


def to(authority: str, path: str) -> tuple[str, str]:
    """(an expression that makes a GET request there, its data)."""
    made = (
        f"(call $make (i32.const 2048) (i32.const {len(authority)})"
        f" (i32.const 2560) (i32.const {len(path)}))"
    )
    return made, f'(data (i32.const 2048) "{authority}") (data (i32.const 2560) "{path}")'


def fetches(kind: str, authority: str, path: str) -> str:
    """It GETs that and says the status, a space, and the body; a handler as its response."""
    made, data = to(authority, path)
    tell = f"""
      (global.set $end (i32.const 16400))
      (local.set $a (call $do {made}))
      (local.set $b (global.get $end))
      (global.set $end (i32.const 16384))
      (call $digits (local.get $a))
      (call $say (i32.const 904) (i32.const 1))
      (call $say (i32.const 16400) (i32.sub (local.get $b) (i32.const 16400)))"""
    ends = {
        "handler": "(call $answer (local.get $out) (i32.const 200))",
        "command": "(call $print)",
        "typed": "(local.get $a)",
    }
    return caller(kind, tell + ends[kind], data + ' (data (i32.const 904) " ")')
