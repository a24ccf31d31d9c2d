/* SPDX-License-Identifier: MIT */
/* zlib's streams from a heap (F108): 4 MiB there and back, and streams short of memory. */
#include "adapter.h"

#include "freehold/adapters/zlib.h"

#define BYTES (4u * 1024 * 1024)

static unsigned char plain[BYTES + 1], packed[BYTES + BYTES / 100], unpacked[BYTES];

/* Words from a small stock: neither trivial to compress nor incompressible. */
static void fill_plain(void)
{
    uint32_t random = 12345;
    for (size_t i = 0; i + 8 <= BYTES; i += 8) {
        random = random * 1664525 + 1013904223;
        snprintf((char *)plain + i, 9, "w%06u ", (unsigned)(random >> 20));
    }
}

static int deflate_all(z_stream *stream, size_t bytes, size_t *packed_bytes)
{
    stream->next_in = plain;
    stream->avail_in = (uInt)bytes;
    stream->next_out = packed;
    stream->avail_out = sizeof packed;
    int result = deflate(stream, Z_FINISH);
    *packed_bytes = stream->total_out;
    return result;
}

static int inflate_all(z_stream *stream, size_t packed_bytes)
{
    stream->next_in = packed;
    stream->avail_in = (uInt)packed_bytes;
    stream->next_out = unpacked;
    stream->avail_out = sizeof unpacked;
    return inflate(stream, Z_FINISH);
}

static void all_bytes_are_the_heaps(void **unused)
{
    (void)unused;
    gate memory;
    gate_init(&memory);
    fill_plain();
    z_stream out = {0}, in = {0}, copy = {0};
    size_t bytes;
    freehold_zlib_set(&out, &memory.base);
    freehold_zlib_set(&in, &memory.base);
    assert_int_equal(deflateInit(&out, 1), Z_OK);
    assert_true(live_bytes(&memory) > 200 * 1024); /* deflate's windows and tables */
    assert_int_equal(deflateCopy(&copy, &out), Z_OK);
    assert_true(live_bytes(&memory) > 400 * 1024); /* a copy's as well */
    assert_int_equal(deflate_all(&out, BYTES, &bytes), Z_STREAM_END);
    assert_in_range(bytes, BYTES / 100, BYTES / 2);
    assert_int_equal(deflateEnd(&out), Z_OK);
    assert_int_equal(deflateEnd(&copy), Z_OK);
    assert_int_equal(live_blocks(&memory), 0);

    assert_int_equal(inflateInit(&in), Z_OK);
    assert_true(live_blocks(&memory) > 0);
    assert_int_equal(inflate_all(&in, bytes), Z_STREAM_END);
    assert_int_equal(in.total_out, BYTES);
    assert_memory_equal(unpacked, plain, BYTES);
    assert_int_equal(inflateEnd(&in), Z_OK);
    assert_int_equal(live_blocks(&memory), 0);
    assert_true(freehold_stats(&memory.heap).allocations >= 11);
    gate_deinit(&memory);
}

static void a_heap_ends_with_all_of_it(void **unused)
{
    (void)unused;
    gate memory;
    gate_init(&memory);
    z_stream out = {0};
    freehold_zlib_set(&out, &memory.base);
    assert_int_equal(deflateInit(&out, 6), Z_OK);
    assert_true(live_blocks(&memory) > 0);
    gate_deinit(&memory);
}

/* Memory runs out at each of the requests in turn. */
static void without_memory_it_says_so(void **unused)
{
    (void)unused;
    gate memory;
    gate_init(&memory);
    int result = Z_MEM_ERROR;
    size_t grants = 0;
    for (; result != Z_OK; grants++) {
        z_stream out = {0};
        freehold_zlib_set(&out, &memory.base);
        gate_grant(&memory, grants);
        result = deflateInit(&out, 6);
        assert_true(result == Z_OK || result == Z_MEM_ERROR);
        if (result == Z_OK)
            deflateEnd(&out);
        assert_int_equal(live_blocks(&memory), 0);
    }
    assert_int_equal(grants, 6); /* the state, the window, two tables, what is pending */

    /* The window of an inflate comes only when it is needed. */
    z_stream in = {0}, out = {0};
    size_t bytes;
    gate_grant(&memory, UNLIMITED);
    freehold_zlib_set(&out, &memory.base);
    freehold_zlib_set(&in, &memory.base);
    assert_int_equal(deflateInit(&out, 6), Z_OK);
    assert_int_equal(deflate_all(&out, 100000, &bytes), Z_STREAM_END);
    assert_int_equal(deflateEnd(&out), Z_OK);
    gate_grant(&memory, 0);
    assert_int_equal(inflateInit(&in), Z_MEM_ERROR);
    gate_grant(&memory, 1);
    assert_int_equal(inflateInit(&in), Z_OK);
    in.next_in = packed;
    in.avail_in = (uInt)bytes;
    in.next_out = unpacked;
    in.avail_out = 50000;
    assert_int_equal(inflate(&in, Z_NO_FLUSH), Z_MEM_ERROR);
    assert_int_equal(inflateEnd(&in), Z_OK);
    assert_int_equal(live_blocks(&memory), 0);
    gate_deinit(&memory);
}

/* Two numbers, whose product may be more than either can hold. */
static void sizes_at_the_edge(void **unused)
{
    (void)unused;
    gate memory;
    gate_init(&memory);
    void *block = freehold_zlib_alloc(&memory.base, 65536, 65537);
    if (sizeof(size_t) > sizeof(uInt)) {
        assert_non_null(block);
        assert_true(freehold_usable_size(&memory.base, block) >= (size_t)65536 * 65537);
    } else {
        assert_null(block);
    }
    freehold_zlib_free(&memory.base, block);
    assert_null(freehold_zlib_alloc(&memory.base, UINT_MAX, UINT_MAX));
    assert_null(freehold_zlib_alloc(&memory.base, 0, 100));
    assert_null(freehold_zlib_alloc(&memory.base, 100, 0));
    freehold_zlib_free(&memory.base, NULL);
    assert_int_equal(live_blocks(&memory), 0);
    gate_deinit(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_are_the_heaps),
        cmocka_unit_test(a_heap_ends_with_all_of_it),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(sizes_at_the_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
