;; A store of keys and values over HTTP: a component of WASI preview 2, called as in CGI.
;;
;;   GET /fn/default/kv/KEY      200 with the value, or 404
;;   PUT /fn/default/kv/KEY      204; the body is the value
;;   DELETE /fn/default/kv/KEY   204, or 404
;;
;; A value is a file of the first mounted directory, named by its key. A new one is written beside
;; the old one and then takes its place, so that a reader never sees half of it.
(component
  (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
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
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $o)) (export "output-stream" (type $out (eq $o)))
    (export "get-stdout" (func (result (own $out))))))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input-stream (type $i)) (export "input-stream" (type $in (eq $i)))
    (export "get-stdin" (func (result (own $in))))))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  (import "wasi:filesystem/types@0.2.0" (instance $files
    (export "descriptor" (type $d (sub resource)))
    (type $code (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota"
      "exist" "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io"
      "is-directory" "loop" "too-many-links" "message-size" "name-too-long" "no-device" "no-entry"
      "no-lock" "insufficient-memory" "insufficient-space" "not-directory" "not-empty"
      "not-recoverable" "unsupported" "no-tty" "no-such-device" "overflow" "not-permitted" "pipe"
      "read-only" "invalid-seek" "text-file-busy" "cross-device"))
    (export "error-code" (type $error-code (eq $code)))
    (type $pf (flags "symlink-follow")) (export "path-flags" (type $path-flags (eq $pf)))
    (type $of (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $of)))
    (type $df (flags "read" "write" "file-integrity-sync" "data-integrity-sync"
      "requested-write-sync" "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $df)))
    (export "[method]descriptor.open-at"
      (func (param "self" (borrow $d)) (param "path-flags" $path-flags) (param "path" string)
        (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
        (result (result (own $d) (error $error-code)))))
    (export "[method]descriptor.read"
      (func (param "self" (borrow $d)) (param "length" u64) (param "offset" u64)
        (result (result (tuple (list u8) bool) (error $error-code)))))
    (export "[method]descriptor.write"
      (func (param "self" (borrow $d)) (param "buffer" (list u8)) (param "offset" u64)
        (result (result u64 (error $error-code)))))
    (export "[method]descriptor.unlink-file-at"
      (func (param "self" (borrow $d)) (param "path" string)
        (result (result (error $error-code)))))
    (export "[method]descriptor.rename-at"
      (func (param "self" (borrow $d)) (param "old-path" string)
        (param "new-descriptor" (borrow $d)) (param "new-path" string)
        (result (result (error $error-code)))))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $outer)) (export "descriptor" (type $d (eq $outer)))
    (export "get-directories" (func (result (list (tuple (own $d) string)))))))

  ;; Memory, and memory for what the host gives: never given back, for a call has its own instance.
  (core module $libc
    (memory (export "memory") 8)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (block $enough
        (br_if $enough (i32.le_u (global.get $next) (i32.shl (memory.size) (i32.const 16))))
        (br_if $enough (i32.ne (i32.const -1)
          (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1)))))
        unreachable)
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))

  (core func $say (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory $memory) (realloc $realloc)))
  (core func $hear (canon lower (func $streams "[method]input-stream.blocking-read")
    (memory $memory) (realloc $realloc)))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-stdin (canon lower (func $stdin "get-stdin")))
  (core func $variables (canon lower (func $environment "get-environment")
    (memory $memory) (realloc $realloc)))
  (core func $directories (canon lower (func $preopens "get-directories")
    (memory $memory) (realloc $realloc)))
  (core func $open (canon lower (func $files "[method]descriptor.open-at")
    (memory $memory) (realloc $realloc)))
  (core func $read (canon lower (func $files "[method]descriptor.read")
    (memory $memory) (realloc $realloc)))
  (core func $write (canon lower (func $files "[method]descriptor.write")
    (memory $memory) (realloc $realloc)))
  (core func $unlink (canon lower (func $files "[method]descriptor.unlink-file-at")
    (memory $memory) (realloc $realloc)))
  (core func $rename (canon lower (func $files "[method]descriptor.rename-at")
    (memory $memory) (realloc $realloc)))
  (core instance $host
    (export "say" (func $say)) (export "hear" (func $hear))
    (export "stdout" (func $get-stdout)) (export "stdin" (func $get-stdin))
    (export "variables" (func $variables)) (export "directories" (func $directories))
    (export "open" (func $open)) (export "read" (func $read)) (export "write" (func $write))
    (export "unlink" (func $unlink)) (export "rename" (func $rename)))

  (core module $main
    (import "libc" "memory" (memory 8))
    (import "host" "say" (func $host-say (param i32 i32 i32 i32)))
    (import "host" "hear" (func $hear (param i32 i64 i32)))
    (import "host" "stdout" (func $stdout (result i32)))
    (import "host" "stdin" (func $stdin (result i32)))
    (import "host" "variables" (func $variables (param i32)))
    (import "host" "directories" (func $directories (param i32)))
    (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i64 i64 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i64 i32)))
    (import "host" "unlink" (func $unlink (param i32 i32 i32 i32)))
    (import "host" "rename" (func $rename (param i32 i32 i32 i32 i32 i32 i32)))

    ;; 0 to 255: what the host answers. 256: texts.
    (data (i32.const 256) "REQUEST_METHOD")
    (data (i32.const 272) "PATH_INFO")
    (data (i32.const 288) "GET")
    (data (i32.const 296) "PUT")
    (data (i32.const 304) "DELETE")
    (data (i32.const 512) "Status: 200 OK\0aContent-Type: application/octet-stream\0a\0a")
    (data (i32.const 600) "Status: 204 No Content\0a\0a")
    (data (i32.const 640) "Status: 400 Bad Request\0a\0aa key is a name without a slash\0a")
    (data (i32.const 704) "Status: 404 Not Found\0a\0athere is no such key\0a")
    (data (i32.const 768) "Status: 405 Method Not Allowed\0a\0aGET, PUT or DELETE\0a")
    (data (i32.const 832) "Status: 507 Insufficient Storage\0a\0ait cannot be kept\0a")

    (global $method (mut i32) (i32.const 0))
    (global $method-len (mut i32) (i32.const 0))
    (global $key (mut i32) (i32.const 0))
    (global $key-len (mut i32) (i32.const 0))
    (global $folder (mut i32) (i32.const 0))
    (global $out (mut i32) (i32.const 0))

    (func $same (param $a i32) (param $a-len i32) (param $b i32) (param $b-len i32) (result i32)
      (if (i32.ne (local.get $a-len) (local.get $b-len)) (then (return (i32.const 0))))
      (loop $more
        (if (local.get $a-len) (then
          (if (i32.ne (i32.load8_u (local.get $a)) (i32.load8_u (local.get $b)))
            (then (return (i32.const 0))))
          (local.set $a (i32.add (local.get $a) (i32.const 1)))
          (local.set $b (i32.add (local.get $b) (i32.const 1)))
          (local.set $a-len (i32.sub (local.get $a-len) (i32.const 1)))
          (br $more))))
      (i32.const 1))

    ;; At most 4,096 bytes go to a stream at a time.
    (func $say (param $at i32) (param $len i32) (local $piece i32)
      (loop $more
        (local.set $piece (select (i32.const 4096) (local.get $len)
          (i32.gt_u (local.get $len) (i32.const 4096))))
        (call $host-say (global.get $out) (local.get $at) (local.get $piece) (i32.const 16))
        (local.set $at (i32.add (local.get $at) (local.get $piece)))
        (local.set $len (i32.sub (local.get $len) (local.get $piece)))
        (br_if $more (local.get $len))))

    (func $ask (local $row i32) (local $many i32) (local $at i32)
      (call $variables (i32.const 0))
      (local.set $row (i32.load (i32.const 0)))
      (local.set $many (i32.load (i32.const 4)))
      (loop $more
        (if (local.get $many) (then
          (if (call $same (i32.load (local.get $row)) (i32.load offset=4 (local.get $row))
                (i32.const 256) (i32.const 14))
            (then
              (global.set $method (i32.load offset=8 (local.get $row)))
              (global.set $method-len (i32.load offset=12 (local.get $row)))))
          (if (i32.and
                (call $same (i32.load (local.get $row)) (i32.load offset=4 (local.get $row))
                  (i32.const 272) (i32.const 9))
                (i32.ne (i32.load offset=12 (local.get $row)) (i32.const 0)))
            (then ;; without the slash in front
              (global.set $key (i32.add (i32.load offset=8 (local.get $row)) (i32.const 1)))
              (global.set $key-len (i32.sub (i32.load offset=12 (local.get $row)) (i32.const 1)))))
          (local.set $row (i32.add (local.get $row) (i32.const 16)))
          (local.set $many (i32.sub (local.get $many) (i32.const 1)))
          (br $more)))))

    ;; A name of 1 to 200 bytes, no slash, no dot in front: those are the files not yet whole.
    (func $is-key (result i32) (local $left i32)
      (local.set $left (global.get $key-len))
      (if (i32.or (i32.eqz (local.get $left)) (i32.gt_u (local.get $left) (i32.const 200)))
        (then (return (i32.const 0))))
      (if (i32.eq (i32.load8_u (global.get $key)) (i32.const 46)) (then (return (i32.const 0))))
      (loop $more
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (if (i32.eq (i32.const 47) (i32.load8_u (i32.add (global.get $key) (local.get $left))))
          (then (return (i32.const 0))))
        (br_if $more (local.get $left)))
      (i32.const 1))

    (func $get (local $file i32) (local $offset i64) (local $end i32)
      (call $open (global.get $folder) (i32.const 0) (global.get $key) (global.get $key-len)
        (i32.const 0) (i32.const 1) (i32.const 32))
      (if (i32.load8_u (i32.const 32)) (then (call $say (i32.const 704) (i32.const 44)) (return)))
      (local.set $file (i32.load (i32.const 36)))
      (call $say (i32.const 512) (i32.const 55))
      (loop $more
        (call $read (local.get $file) (i64.const 16384) (local.get $offset) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then unreachable))
        (local.set $end (i32.load8_u (i32.const 76)))
        (local.set $offset
          (i64.add (local.get $offset) (i64.extend_i32_u (i32.load (i32.const 72)))))
        (if (i32.load (i32.const 72))
          (then (call $say (i32.load (i32.const 68)) (i32.load (i32.const 72)))))
        (br_if $more (i32.eqz (local.get $end)))))

    (func $put (local $file i32) (local $in i32) (local $offset i64) (local $at i32) (local $len i32)
      ;; .KEY
      (i32.store8 (i32.const 1024) (i32.const 46))
      (memory.copy (i32.const 1025) (global.get $key) (global.get $key-len))
      (call $open (global.get $folder) (i32.const 0)
        (i32.const 1024) (i32.add (global.get $key-len) (i32.const 1))
        (i32.const 9) (i32.const 2) (i32.const 32))
      (if (i32.load8_u (i32.const 32)) (then (call $say (i32.const 832) (i32.const 52)) (return)))
      (local.set $file (i32.load (i32.const 36)))
      (local.set $in (call $stdin))
      (loop $more
        (call $hear (local.get $in) (i64.const 16384) (i32.const 64))
        (if (i32.eqz (i32.load8_u (i32.const 64))) (then ;; else it is closed
          (local.set $at (i32.load (i32.const 68)))
          (local.set $len (i32.load (i32.const 72)))
          (loop $rest
            (if (local.get $len) (then
              (call $write (local.get $file) (local.get $at) (local.get $len) (local.get $offset)
                (i32.const 96))
              (if (i32.or (i32.load8_u (i32.const 96)) (i64.eqz (i64.load (i32.const 104)))) (then
                (call $say (i32.const 832) (i32.const 52)) (return)))
              (local.set $offset (i64.add (local.get $offset) (i64.load (i32.const 104))))
              (local.set $at (i32.add (local.get $at) (i32.load (i32.const 104))))
              (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 104))))
              (br $rest))))
          (br $more))))
      (call $rename (global.get $folder)
        (i32.const 1024) (i32.add (global.get $key-len) (i32.const 1))
        (global.get $folder) (global.get $key) (global.get $key-len) (i32.const 64))
      (if (i32.load8_u (i32.const 64))
        (then (call $say (i32.const 832) (i32.const 52)))
        (else (call $say (i32.const 600) (i32.const 24)))))

    (func $delete
      (call $unlink (global.get $folder) (global.get $key) (global.get $key-len) (i32.const 64))
      (if (i32.load8_u (i32.const 64))
        (then (call $say (i32.const 704) (i32.const 44)))
        (else (call $say (i32.const 600) (i32.const 24)))))

    (func (export "run") (result i32)
      (global.set $out (call $stdout))
      (call $ask)
      (call $directories (i32.const 0))
      (if (i32.eqz (i32.load (i32.const 4))) (then (return (i32.const 1)))) ;; nothing is mounted
      (global.set $folder (i32.load (i32.load (i32.const 0))))
      (if (i32.eqz (call $is-key)) (then
        (call $say (i32.const 640) (i32.const 57)) (return (i32.const 0))))
      (if (call $same (global.get $method) (global.get $method-len) (i32.const 288) (i32.const 3))
        (then (call $get) (return (i32.const 0))))
      (if (call $same (global.get $method) (global.get $method-len) (i32.const 296) (i32.const 3))
        (then (call $put) (return (i32.const 0))))
      (if (call $same (global.get $method) (global.get $method-len) (i32.const 304) (i32.const 6))
        (then (call $delete) (return (i32.const 0))))
      (call $say (i32.const 768) (i32.const 51))
      (i32.const 0)))
  (core instance $main (instantiate $main
    (with "host" (instance $host)) (with "libc" (instance $libc))))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (component $shell (import "r" (func $r (result (result)))) (export "run" (func $r)))
  (instance $command (instantiate $shell (with "r" (func $run))))
  (export "wasi:cli/run@0.2.0" (instance $command)))
