"""A component that handles HTTP requests, as text, with the types of `wasi:http` as they are."""

from __future__ import annotations

_ERRORS = """
    (type $dns (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns-error (eq $dns)))
    (type $tls (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls-alert (eq $tls)))
    (type $size (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $field-size (eq $size)))
    (type $codes (variant (case "DNS-timeout") (case "DNS-error" $dns-error)
      (case "destination-not-found") (case "destination-unavailable")
      (case "destination-IP-prohibited") (case "destination-IP-unroutable")
      (case "connection-refused") (case "connection-terminated") (case "connection-timeout")
      (case "connection-read-timeout") (case "connection-write-timeout")
      (case "connection-limit-reached") (case "TLS-protocol-error") (case "TLS-certificate-error")
      (case "TLS-alert-received" $tls-alert) (case "HTTP-request-denied")
      (case "HTTP-request-length-required") (case "HTTP-request-body-size" (option u64))
      (case "HTTP-request-method-invalid") (case "HTTP-request-URI-invalid")
      (case "HTTP-request-URI-too-long") (case "HTTP-request-header-section-size" (option u32))
      (case "HTTP-request-header-size" (option $field-size))
      (case "HTTP-request-trailer-section-size" (option u32))
      (case "HTTP-request-trailer-size" $field-size) (case "HTTP-response-incomplete")
      (case "HTTP-response-header-section-size" (option u32))
      (case "HTTP-response-header-size" $field-size)
      (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32))
      (case "HTTP-response-trailer-size" $field-size)
      (case "HTTP-response-transfer-coding" (option string))
      (case "HTTP-response-content-coding" (option string)) (case "HTTP-response-timeout")
      (case "HTTP-upgrade-failed") (case "HTTP-protocol-error") (case "loop-detected")
      (case "configuration-error") (case "internal-error" (option string))))
    (export "error-code" (type $error-code (eq $codes)))
"""

TYPES = f"""
  (import "wasi:io/error@0.2.3" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/poll@0.2.3" (instance $poll (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))
    (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock
    (alias outer 1 $pollable (type $outer)) (export "pollable" (type $p (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
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
  (import "wasi:cli/stderr@0.2.3" (instance $stderr
    (alias outer 1 $output-stream (type $o)) (export "output-stream" (type $out (eq $o)))
    (export "get-stderr" (func (result (own $out))))))
  (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit" (func (param "status" (result))))))
  (import "wasi:cli/environment@0.2.3" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  (import "wasi:http/types@0.2.3" (instance $http
    (alias outer 1 $output-stream (type $o)) (export "output-stream" (type $out (eq $o)))
    (alias outer 1 $input-stream (type $i)) (export "input-stream" (type $in (eq $i)))
    (export "fields" (type $fields (sub resource)))
    (export "incoming-request" (type $request (sub resource)))
    (export "incoming-body" (type $incoming-body (sub resource)))
    (export "response-outparam" (type $outparam (sub resource)))
    (export "outgoing-response" (type $response (sub resource)))
    (export "outgoing-body" (type $body (sub resource)))
    {_ERRORS}
    (type $wrong (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $header-error (eq $wrong)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]fields.append"
      (func (param "self" (borrow $fields)) (param "name" string) (param "value" (list u8))
        (result (result (error $header-error)))))
    (export "[method]fields.get" (func (param "self" (borrow $fields)) (param "name" string)
      (result (list (list u8)))))
    (export "[method]incoming-request.path-with-query"
      (func (param "self" (borrow $request)) (result (option string))))
    (export "[method]incoming-request.headers"
      (func (param "self" (borrow $request)) (result (own $fields))))
    (export "[method]incoming-request.consume"
      (func (param "self" (borrow $request)) (result (result (own $incoming-body)))))
    (export "[method]incoming-body.stream"
      (func (param "self" (borrow $incoming-body)) (result (result (own $in)))))
    (export "[constructor]outgoing-response"
      (func (param "headers" (own $fields)) (result (own $response))))
    (export "[method]outgoing-response.set-status-code"
      (func (param "self" (borrow $response)) (param "status-code" u16) (result (result))))
    (export "[method]outgoing-response.body"
      (func (param "self" (borrow $response)) (result (result (own $body)))))
    (export "[method]outgoing-body.write"
      (func (param "self" (borrow $body)) (result (result (own $out)))))
    (export "[static]outgoing-body.finish"
      (func (param "this" (own $body)) (param "trailers" (option (own $fields)))
        (result (result (error $error-code)))))
    (export "[static]response-outparam.set"
      (func (param "param" (own $outparam))
        (param "response" (result (own $response) (error $error-code)))))
    ))
  (alias export $http "incoming-request" (type $request))
  (alias export $http "response-outparam" (type $outparam))
  (alias export $http "fields" (type $fields))
"""

FUNCTIONS = {
    # name: (instance, function, parameters of the lowered one, its result)
    "block": ("poll", "[method]pollable.block", "i32", ""),
    "poll": ("poll", "poll", "i32 i32 i32", ""),
    "wait": ("clock", "subscribe-duration", "i64", "i32"),
    "write": ("streams", "[method]output-stream.blocking-write-and-flush", "i32 i32 i32 i32", ""),
    "read": ("streams", "[method]input-stream.blocking-read", "i32 i64 i32", ""),
    "stderr": ("stderr", "get-stderr", "", "i32"),
    "exit": ("exit", "exit", "i32", ""),
    "environment": ("environment", "get-environment", "i32", ""),
    "fields": ("http", "[constructor]fields", "", "i32"),
    "append": ("http", "[method]fields.append", "i32 i32 i32 i32 i32 i32", ""),
    "get": ("http", "[method]fields.get", "i32 i32 i32 i32", ""),
    "path": ("http", "[method]incoming-request.path-with-query", "i32 i32", ""),
    "headers": ("http", "[method]incoming-request.headers", "i32", "i32"),
    "consume": ("http", "[method]incoming-request.consume", "i32 i32", ""),
    "stream": ("http", "[method]incoming-body.stream", "i32 i32", ""),
    "response": ("http", "[constructor]outgoing-response", "i32", "i32"),
    "status": ("http", "[method]outgoing-response.set-status-code", "i32 i32", "i32"),
    "body": ("http", "[method]outgoing-response.body", "i32 i32", ""),
    "output": ("http", "[method]outgoing-body.write", "i32 i32", ""),
    "finish": ("http", "[static]outgoing-body.finish", "i32 i32 i32 i32", ""),
    "set": (
        "http",
        "[static]response-outparam.set",
        "i32 i32 i32 i32 i64 i32 i32 i32 i32",
        "",
    ),
}


def handler(body: str, data: str = "") -> str:
    """Its `handle` is `body`: $request and $out are the handles it gets, locals $a to $d are free.

    `(call $answer HANDLE STATUS)` makes a response of what `$say at len` wrote before.
    """
    lowered = "".join(
        f'(core func ${name} (canon lower (func ${where} "{what}")'
        " (memory $memory) (realloc $realloc)))"
        for name, (where, what, _, _) in FUNCTIONS.items()
    )
    given = " ".join(f'(export "{name}" (func ${name}))' for name in FUNCTIONS)
    taken = "".join(
        f'(import "host" "{name}" (func ${name} (param {params})'
        f" {f'(result {result})' if result else ''}))"
        for name, (_, _, params, result) in FUNCTIONS.items()
    )
    return f"""(component {TYPES}
  (core module $libc (memory (export "memory") 4) (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  {lowered}
  (core func $drop (canon resource.drop $request))
  (core instance $host {given} (export "drop" (func $drop)))
  (core module $main
    (import "libc" "memory" (memory 4))
    {taken}
    (import "host" "drop" (func $drop (param i32)))
    {data}
    (global $end (mut i32) (i32.const 16384))
    (func $say (param $at i32) (param $len i32)
      (memory.copy (global.get $end) (local.get $at) (local.get $len))
      (global.set $end (i32.add (global.get $end) (local.get $len))))
    (func $answer (param $out i32) (param $fields i32) (param $status i32)
      (local $response i32) (local $body i32)
      (local.set $response (call $response (local.get $fields)))
      (if (call $status (local.get $response) (local.get $status)) (then unreachable))
      (call $body (local.get $response) (i32.const 8))
      (if (i32.load8_u (i32.const 8)) (then unreachable))
      (local.set $body (i32.load (i32.const 12)))
      (call $output (local.get $body) (i32.const 8))
      (if (i32.load8_u (i32.const 8)) (then unreachable))
      (call $set (local.get $out) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $write (i32.load (i32.const 12)) (i32.const 16384)
        (i32.sub (global.get $end) (i32.const 16384)) (i32.const 8))
      (if (i32.load8_u (i32.const 8)) (then unreachable))
      (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 32)))
    (func (export "handle") (param $request i32) (param $out i32)
      (local $a i32) (local $b i32) (local $c i32) (local $d i32)
      {body}))
  (core instance $main (instantiate $main
    (with "host" (instance $host)) (with "libc" (instance $libc))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $main "handle")))
  (component $shell
    (import "request" (type $r (sub resource))) (import "outparam" (type $o (sub resource)))
    (import "h" (func $h (param "request" (own $r)) (param "response-out" (own $o))))
    (export "handle" (func $h)))
  (instance $proxy (instantiate $shell (with "request" (type $request))
    (with "outparam" (type $outparam)) (with "h" (func $handle))))
  (export "wasi:http/incoming-handler@0.2.3" (instance $proxy)))"""


ECHO = handler(
    """
    (call $path (local.get $request) (i32.const 16))
    (call $say (i32.load (i32.const 20)) (i32.load (i32.const 24)))
    (call $get (call $headers (local.get $request)) (i32.const 512) (i32.const 5) (i32.const 16))
    (local.set $a (i32.load (i32.const 16)))
    (call $say (i32.load (local.get $a)) (i32.load offset=4 (local.get $a)))
    (call $environment (i32.const 16))
    (local.set $a (i32.load (i32.const 16)))
    (call $say (i32.load offset=8 (local.get $a)) (i32.load offset=12 (local.get $a)))
    (call $consume (local.get $request) (i32.const 16))
    (call $stream (i32.load (i32.const 20)) (i32.const 24))
    (local.set $b (i32.load (i32.const 28)))
    (loop $more
      (call $read (local.get $b) (i64.const 1000) (i32.const 16))
      (if (i32.eqz (i32.load8_u (i32.const 16))) (then
        (call $say (i32.load (i32.const 20)) (i32.load (i32.const 24)))
        (br $more))))
    (call $block (call $wait (i64.const 1000000)))
    (local.set $c (call $fields))
    (call $append (local.get $c) (i32.const 520) (i32.const 6) (i32.const 530) (i32.const 3)
      (i32.const 16))
    (call $append (local.get $c) (i32.const 540) (i32.const 10) (i32.const 530) (i32.const 3)
      (i32.const 16))
    (call $append (local.get $c) (i32.const 560) (i32.const 1) (i32.const 530) (i32.const 3)
      (i32.const 16))
    (call $write (call $stderr) (i32.const 530) (i32.const 3) (i32.const 32))
    (if (i32.eqz (i32.load8_u (i32.const 16))) (then unreachable)) ;; a space is no header
    (call $answer (local.get $out) (local.get $c) (i32.const 201))
    (call $drop (local.get $request))""",
    '(data (i32.const 512) "X-Who") (data (i32.const 520) "X-Mine") (data (i32.const 530) "yes")'
    ' (data (i32.const 540) "Connection") (data (i32.const 560) " ")',
)
"""201 with the path, the header x-who, the first variable and the body; x-mine; yes on stderr."""
