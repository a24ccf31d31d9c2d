#!/bin/bash
# SPDX-License-Identifier: MIT
# python3 running modules of its own standard library's test suite, every object from malloc
# (PYTHONMALLOC=malloc). Each test must have the outcome that it has under glibc, and nearly all
# must pass there. MODE quick takes the modules of a few seconds; long adds threads, processes,
# signals, compression, databases and the slower ones about the language itself.
. "$(dirname "$0")/lib.sh"
python=/usr/bin/python3 # Debian's own: another one in PATH may come without these tests
[ -x "$python" ] || skip "$python is not here (package python3)"
python=$(readlink -f "$python")
"$python" -c 'import test.test_dict' 2>/dev/null ||
    skip "python's test suite is not here (package lib${python##*/}-testsuite)"
LIMIT=900

modules=(test_array test_copy test_coroutines test_csv test_dict test_functools test_list
    test_memoryview test_ordered_dict test_re test_sort test_struct test_thread test_xml_etree_c
    test_zlib)
floor=1500
[ "$MODE" = quick ] || {
    modules+=(test_argparse test_ast test_atexit test_bufio test_bz2 test_codecs test_collections
        test_compile test_configparser test_context test_ctypes test_dataclasses test_datetime
        test_deque test_descr test_difflib test_dis test_enum test_exceptions test_finalization
        test_fork1 test_format test_fstring test_gc test_generators test_gzip test_hashlib
        test_heapq test_inspect test_itertools test_json test_lzma test_marshal
        test_math test_minidom test_mmap test_pickle test_pyexpat test_queue test_random
        test_resource test_sax test_set test_shelve test_statistics
        test_subprocess.POSIXProcessTestCase test_sys test_tarfile test_threading test_traceback
        test_typing test_unicode test_unicodedata test_unittest test_zipfile
        test_zoneinfo)
    floor=14000
}

suite() { # PLACE
    mkdir "$WORK/$1.cwd"
    (cd "$WORK/$1.cwd" && on_$1 PYTHONMALLOC=malloc PYTHONHASHSEED=1 "$python" "$HERE/python_tests.py" \
        "$WORK/$1" "${modules[@]}") >"$WORK/$1.log" 2>&1 </dev/null ||
        { tail -30 "$WORK/$1.log" >&2; fail "the suite on $1 broke off after: $(tail -1 "$WORK/$1")"; }
}
suite glibc
suite freehold

ok=$(grep -c ' ok$' "$WORK/freehold")
cmp -s "$WORK/glibc" "$WORK/freehold" || grep -a -A15 -F -f \
    <(diff "$WORK/glibc" "$WORK/freehold" | sed -nE 's/^> (.*) (failed|error|failed in part)$/\1/p') \
    "$WORK/freehold.log" >&2 || true
same "$WORK/glibc" "$WORK/freehold" "outcomes of $(wc -l <"$WORK/freehold") tests"
[ "$ok" -ge "$floor" ] || fail "only $ok tests passed"
say "$ok tests passed"
counted "${python##*/}" $((floor * 1000))
