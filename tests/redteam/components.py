"""Components that mean harm, as text: one tries every path, the others one limit each."""

from __future__ import annotations

from collections.abc import Sequence

_NAMES = """
access would-block already bad-descriptor busy deadlock quota exist file-too-large
illegal-byte-sequence in-progress interrupted invalid io is-directory loop too-many-links
message-size name-too-long no-device no-entry no-lock insufficient-memory insufficient-space
not-directory not-empty not-recoverable unsupported no-tty no-such-device overflow not-permitted
pipe read-only invalid-seek text-file-busy cross-device
"""
_CODES = " ".join(f'"{name}"' for name in _NAMES.split())

_LIBC = """
  (core module $libc (memory (export "memory") 2) (global $next (mut i32) (i32.const 16384))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
"""


def burglar(paths: Sequence[str]) -> str:
    """`tried` gives text: for each path whether it could be opened to read, to write, and through a
    link made to it (1 or 0 each); then how many directories and variables there are."""
    data, calls, at = [], [], 4096
    for path in paths:
        size = len(path.encode())
        data.append(f'(data (i32.const {at}) "{path}")')
        calls.append(f"(call $try (i32.const {at}) (i32.const {size}))")
        at += size + 1
    return f"""(component
  (import "wasi:filesystem/types@0.2.0" (instance $files
    (export "descriptor" (type $d (sub resource)))
    (type $code (enum {_CODES})) (export "error-code" (type $e (eq $code)))
    (type $pf (flags "symlink-follow")) (export "path-flags" (type $path-flags (eq $pf)))
    (type $of (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $of)))
    (type $df (flags "read" "write" "file-integrity-sync" "data-integrity-sync"
      "requested-write-sync" "mutate-directory"))
    (export "descriptor-flags" (type $flags (eq $df)))
    (export "[method]descriptor.open-at"
      (func (param "self" (borrow $d)) (param "path-flags" $path-flags) (param "path" string)
        (param "open-flags" $open-flags) (param "flags" $flags)
        (result (result (own $d) (error $e)))))
    (export "[method]descriptor.symlink-at"
      (func (param "self" (borrow $d)) (param "old-path" string) (param "new-path" string)
        (result (result (error $e)))))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $outer)) (export "descriptor" (type $d (eq $outer)))
    (export "get-directories" (func (result (list (tuple (own $d) string)))))))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  {_LIBC}
  (core func $open (canon lower (func $files "[method]descriptor.open-at")
    (memory $memory) (realloc $realloc)))
  (core func $symlink (canon lower (func $files "[method]descriptor.symlink-at")
    (memory $memory) (realloc $realloc)))
  (core func $directories (canon lower (func $preopens "get-directories")
    (memory $memory) (realloc $realloc)))
  (core func $variables (canon lower (func $environment "get-environment")
    (memory $memory) (realloc $realloc)))
  (core instance $host (export "open" (func $open)) (export "symlink" (func $symlink))
    (export "directories" (func $directories))
    (export "variables" (func $variables)))
  (core module $main
    (import "libc" "memory" (memory 2))
    (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "symlink" (func $symlink (param i32 i32 i32 i32 i32 i32)))
    (import "host" "directories" (func $directories (param i32)))
    (import "host" "variables" (func $variables (param i32)))
    (global $folder (mut i32) (i32.const 0))
    (global $end (mut i32) (i32.const 1024))
    (data (i32.const 520) "linked")
    {"".join(data)}
    (func $say (param $char i32)
      (i32.store8 (global.get $end) (local.get $char))
      (global.set $end (i32.add (global.get $end) (i32.const 1))))
    (func $worked (call $say (i32.sub (i32.const 49) (i32.load8_u (i32.const 64)))))
    (func $try (param $at i32) (param $len i32)
      (call $open (global.get $folder) (i32.const 1) (local.get $at) (local.get $len)
        (i32.const 0) (i32.const 1) (i32.const 64))
      (call $worked)
      (call $open (global.get $folder) (i32.const 1) (local.get $at) (local.get $len)
        (i32.const 1) (i32.const 2) (i32.const 64))
      (call $worked)
      (call $symlink (global.get $folder) (local.get $at) (local.get $len)
        (i32.const 520) (i32.const 6) (i32.const 64))
      ;; A relative link may be made; what counts is whether it can be followed.
      (call $open (global.get $folder) (i32.const 1) (i32.const 520) (i32.const 6)
        (i32.const 0) (i32.const 1) (i32.const 64))
      (call $worked)
      (call $say (i32.const 32)))
    (func (export "tried") (result i32)
      (call $directories (i32.const 0))
      (global.set $folder (i32.load (i32.load (i32.const 0))))
      {"".join(calls)}
      (call $say (i32.add (i32.const 48) (i32.load (i32.const 4))))
      (call $variables (i32.const 8))
      (call $say (i32.add (i32.const 48) (i32.load (i32.const 12))))
      (i32.store (i32.const 16) (i32.const 1024))
      (i32.store (i32.const 20) (i32.sub (global.get $end) (i32.const 1024)))
      (i32.const 16)))
  (core instance $main (instantiate $main
    (with "host" (instance $host)) (with "libc" (instance $libc))))
  (func (export "tried") (result string)
    (canon lift (core func $main "tried") (memory $memory) (realloc $realloc))))"""


def _export(core: str, kind: str = "", more: str = "") -> str:
    """A component whose `go` is the core module's."""
    give = "(memory $memory)" if kind else ""
    return f"""(component {more}
  (core module $m (memory (export "memory") 1) {core})
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (func (export "go") {kind} (canon lift (core func $i "go") {give})))"""


_SLEEP = """(component
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer)) (export "pollable" (type $p (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $wait (canon lower (func $clock "subscribe-duration")))
  (core instance $host (export "block" (func $block)) (export "wait" (func $wait)))
  (core module $m
    (import "host" "block" (func $block (param i32)))
    (import "host" "wait" (func $wait (param i64) (result i32)))
    (func (export "go") (call $block (call $wait (i64.const 31536000000000000)))))
  (core instance $i (instantiate $m (with "host" (instance $host))))
  (func (export "go") (canon lift (core func $i "go"))))"""

LIMITS = {
    # name: (its text, the state it ends in, words)
    "sleeps-a-year": (_SLEEP, "Failed", "ran longer than its limit"),
    "spins-in-realloc": (
        """(component
  (import "wasi:cli/environment@0.2.0" (instance $e
    (export "get-environment" (func (result (list (tuple string string)))))))
  (core module $libc (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop br 0) (i32.const 0)))
  (core instance $l (instantiate $libc))
  (alias core export $l "memory" (core memory $memory))
  (alias core export $l "realloc" (core func $realloc))
  (core func $v (canon lower (func $e "get-environment") (memory $memory) (realloc $realloc)))
  (core instance $host (export "v" (func $v)))
  (core module $m (import "host" "v" (func $v (param i32)))
    (func (export "go") (call $v (i32.const 0))))
  (core instance $i (instantiate $m (with "host" (instance $host))))
  (func (export "go") (canon lift (core func $i "go"))))""",
        "Failed",
        "ran longer than its limit",
    ),
    "recurses": (_export('(func $f (export "go") (call $f))'), "Failed", "stack"),
    "grows": (
        _export(
            '(func (export "go") (loop $more'
            " (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)"
        ),
        "Failed",
        "unreachable",
    ),
    "two-memories": (
        _export(
            '(func (export "go"))',
            more="(core module $n (memory 1)) (core instance (instantiate $n))",
        ),
        "Failed",
        "memory count too high",
    ),
    "claims-a-long-list": (
        _export(
            '(func (export "go") (result i32) (i32.store (i32.const 4) (i32.const -1))'
            " (i32.const 0))",
            "(result (list u8))",
        ),
        "Failed",
        "",
    ),
    "many-lists-in-one-place": (
        _export(
            """(func (export "go") (result i32) (local $at i32)
      (loop $more
        (i32.store (i32.add (i32.const 8) (local.get $at)) (i32.const 8))
        (i32.store (i32.add (i32.const 12) (local.get $at)) (i32.const 8000))
        (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8)))
          (i32.const 65520))))
      (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 8000))
      (i32.const 0))""",
            "(result (list (list (list u32))))",
        ),
        "Failed",
        "",
    ),
    "opens-a-socket": (
        '(component (import "wasi:sockets/tcp-create-socket@0.2.0" (instance)))',
        "Refused",
        "no guest gets a socket",
    ),
}
