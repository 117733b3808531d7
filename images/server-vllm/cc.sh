#!/bin/sh
# Compiles C for Triton, the language, which makes a small library for each kernel that it meets. For any
# x86-64 processor, because its cache may be another machine's next. Only what the arguments name is
# linked: the process that loads the library has the C library.
folder=$(dirname "$(readlink -f "$0")")
set -- "$folder"/../lib/python*/site-packages/ziglang "$@"
zig=$1
shift
headers=$zig/lib/libc/include
export ZIG_GLOBAL_CACHE_DIR="${TMPDIR:-/tmp}/zig" ZIG_LOCAL_CACHE_DIR="${TMPDIR:-/tmp}/zig"
exec "$zig/zig" cc -target x86_64-linux-gnu -mcpu=baseline -w -fno-sanitize=undefined -nostdlib \
  -isystem "$headers/x86-linux-gnu" -isystem "$headers/generic-glibc" \
  -isystem "$headers/x86-linux-any" -isystem "$headers/any-linux-any" "$@"
