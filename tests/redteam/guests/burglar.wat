;; Tries one thing with a path and exits with the errno of it, 0 where it got its way. Its arguments:
;; an operation and one or two paths below its first directory. What it can read it prints.
;;   o open and read   w create and write   s symlink   l hard link   r rename   u unlink
;;   d make directory  x remove directory   p read link t touch       e set a size of 1 TiB
;;   f open until no more can be opened: prints nothing, exits 0
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $size (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink"
    (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link"
    (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename"
    (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $mkdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory"
    (func $rmdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_readlink"
    (func $readlink (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_set_times"
    (func $touch (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (global $a (mut i32) (i32.const 0))
  (global $an (mut i32) (i32.const 0))
  (global $b (mut i32) (i32.const 0))
  (global $bn (mut i32) (i32.const 0))
  (func $length (param $at i32) (result i32) (local $n i32)
    (loop $more
      (if (i32.load8_u (i32.add (local.get $at) (local.get $n)))
        (then (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $more))))
    (local.get $n))
  (func $need (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func $opened (param $flags i32) (param $rights i64) (result i32)
    (call $need (call $open (i32.const 3) (i32.const 1) (global.get $a) (global.get $an)
      (local.get $flags) (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 16)))
    (i32.load (i32.const 16)))
  (func $say (param $at i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $n))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") (local $do i32) (local $fd i32)
    (call $need (call $args (i32.const 256) (i32.const 4096)))
    (local.set $do (i32.load8_u (i32.load (i32.const 260))))
    (global.set $a (i32.load (i32.const 264)))
    (global.set $an (call $length (global.get $a)))
    (global.set $b (i32.load (i32.const 268)))
    (if (global.get $b) (then (global.set $bn (call $length (global.get $b)))))
    (if (i32.eq (local.get $do) (i32.const 111)) (then ;; o
      (local.set $fd (call $opened (i32.const 0) (i64.const 2)))
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (i32.const 4096))
      (call $need (call $read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
      (call $say (i32.const 65536) (i32.load (i32.const 8)))
      (call $exit (i32.const 0))))
    (if (i32.eq (local.get $do) (i32.const 119)) (then ;; w
      (local.set $fd (call $opened (i32.const 1) (i64.const 64)))
      (i32.store (i32.const 0) (global.get $a))
      (i32.store (i32.const 4) (global.get $an))
      (call $exit (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))))
    (if (i32.eq (local.get $do) (i32.const 101)) (then ;; e
      (local.set $fd (call $opened (i32.const 1) (i64.const 4194368)))
      (call $exit (call $size (local.get $fd) (i64.const 1099511627776)))))
    (if (i32.eq (local.get $do) (i32.const 102)) (then ;; f
      (loop $more
        (br_if $more (i32.eqz (call $open (i32.const 3) (i32.const 1) (global.get $a)
          (global.get $an) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0)
          (i32.const 16)))))
      (call $exit (i32.const 0))))
    (if (i32.eq (local.get $do) (i32.const 115)) (then ;; s
      (call $exit (call $symlink (global.get $a) (global.get $an) (i32.const 3)
        (global.get $b) (global.get $bn)))))
    (if (i32.eq (local.get $do) (i32.const 108)) (then ;; l
      (call $exit (call $link (i32.const 3) (i32.const 0) (global.get $a) (global.get $an)
        (i32.const 3) (global.get $b) (global.get $bn)))))
    (if (i32.eq (local.get $do) (i32.const 114)) (then ;; r
      (call $exit (call $rename (i32.const 3) (global.get $a) (global.get $an)
        (i32.const 3) (global.get $b) (global.get $bn)))))
    (if (i32.eq (local.get $do) (i32.const 117)) (then ;; u
      (call $exit (call $unlink (i32.const 3) (global.get $a) (global.get $an)))))
    (if (i32.eq (local.get $do) (i32.const 100)) (then ;; d
      (call $exit (call $mkdir (i32.const 3) (global.get $a) (global.get $an)))))
    (if (i32.eq (local.get $do) (i32.const 120)) (then ;; x
      (call $exit (call $rmdir (i32.const 3) (global.get $a) (global.get $an)))))
    (if (i32.eq (local.get $do) (i32.const 116)) (then ;; t
      (call $exit (call $touch (i32.const 3) (i32.const 1) (global.get $a) (global.get $an)
        (i64.const 0) (i64.const 0) (i32.const 5)))))
    (if (i32.eq (local.get $do) (i32.const 112)) (then ;; p
      (call $need (call $readlink (i32.const 3) (global.get $a) (global.get $an)
        (i32.const 65536) (i32.const 4096) (i32.const 8)))
      (call $say (i32.const 65536) (i32.load (i32.const 8)))
      (call $exit (i32.const 0))))
    unreachable))
