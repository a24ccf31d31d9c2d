/* SPDX-License-Identifier: MIT */
/* F109: the port on Windows, whose reservations cannot be cut or joined, and the page layer over it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <windows.h>

#include <cmocka.h>

#include "freehold/freehold.h"
#include "pages/page_map.h"
#include "pages/pages.h"
#include "port/port.h"

#define KIB ((size_t)1024)

static DWORD state_at(const void *address, DWORD *access)
{
    MEMORY_BASIC_INFORMATION info;
    assert_int_not_equal(VirtualQuery(address, &info, sizeof info), 0);
    if (access != NULL)
        *access = info.Protect;
    return info.State;
}

static bool reads_zero(const char *base, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (base[i] != 0)
            return false;
    return true;
}

static void mappings_are_aligned_and_zero(void **unused)
{
    (void)unused;
    for (size_t align = 1; align <= 64 * KIB * KIB; align *= 4) {
        char *base = freehold__port_map(100 * 4 * KIB, align);
        assert_non_null(base);
        assert_int_equal((uintptr_t)base % align, 0);
        assert_true(reads_zero(base, 400 * KIB));
        memset(base, 1, 400 * KIB);
        freehold__port_unmap(base, 400 * KIB);
        assert_int_equal(state_at(base, NULL), MEM_FREE);
    }
    assert_null(freehold__port_map(SIZE_MAX / 4096 * 4096, 4096));
    assert_null(freehold__port_map((size_t)1 << 50, (size_t)1 << 40));
}

/* What is reserved is committed where it is made writable, and all of it goes, whatever was. */
static void a_reservation_is_committed_in_parts(void **unused)
{
    (void)unused;
    for (size_t parts = 0; parts <= 3; parts++) {
        DWORD access;
        char *base = freehold__port_reserve(256 * KIB, 256 * KIB);
        assert_non_null(base);
        assert_int_equal((uintptr_t)base % (256 * KIB), 0);
        assert_int_equal(state_at(base, NULL), MEM_RESERVE);
        for (size_t i = 1; i <= parts; i++) {
            char *part = base + i * 64 * KIB;
            for (int twice = 0; twice < 2; twice++)
                assert_true(freehold__port_protect(part, 32 * KIB, FREEHOLD__PROTECT_READ_WRITE));
            assert_true(reads_zero(part, 32 * KIB));
            memset(part, 5, 32 * KIB);
            assert_true(freehold__port_protect(part, 32 * KIB, FREEHOLD__PROTECT_READ));
            state_at(part, &access);
            assert_true(access == PAGE_READONLY && part[32 * KIB - 1] == 5);
            assert_int_equal(state_at(part + 32 * KIB, NULL), MEM_RESERVE);
        }
        freehold__port_unmap(base, 256 * KIB);
        assert_int_equal(state_at(base, NULL), MEM_FREE);
        assert_int_equal(state_at(base + 192 * KIB, NULL), MEM_FREE);
    }
    assert_null(freehold__port_reserve((size_t)1 << 50, (size_t)1 << 40));
}

/* A part goes at once; the reservation when the last part does. */
static void parts_are_given_back(void **unused)
{
    (void)unused;
    char *base = freehold__port_map(64 * KIB, 1);
    memset(base, 7, 64 * KIB);
    freehold__port_unmap(base + 16 * KIB, 16 * KIB);
    assert_int_equal(state_at(base + 16 * KIB, NULL), MEM_RESERVE);
    assert_int_equal(state_at(base, NULL), MEM_COMMIT);
    assert_true(base[16 * KIB - 1] == 7 && base[32 * KIB] == 7);
    freehold__port_unmap(base, 16 * KIB);
    assert_int_equal(state_at(base + 32 * KIB, NULL), MEM_COMMIT);
    freehold__port_unmap(base + 32 * KIB, 32 * KIB);
    assert_int_equal(state_at(base, NULL), MEM_FREE);
}

/* Mappings side by side are one range to the layers above. */
static void a_range_may_be_of_several_mappings(void **unused)
{
    (void)unused;
    char *place = freehold__port_map(256 * KIB, 64 * KIB);
    DWORD access;
    freehold__port_unmap(place, 256 * KIB);
    for (size_t i = 0; i < 4; i++)
        assert_ptr_equal(
            VirtualAlloc(place + i * 64 * KIB, 64 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE),
            place + i * 64 * KIB);
    memset(place, 9, 256 * KIB);
    assert_true(freehold__port_purge(place + 32 * KIB, 128 * KIB));
    assert_true(place[32 * KIB - 1] == 9 && place[160 * KIB] == 9);
    assert_true(reads_zero(place + 32 * KIB, 128 * KIB));
    assert_true(freehold__port_protect(place + 48 * KIB, 96 * KIB, FREEHOLD__PROTECT_NONE));
    for (size_t at = 48; at < 144; at += 16) {
        assert_int_equal(state_at(place + at * KIB, &access), MEM_COMMIT);
        assert_int_equal(access, PAGE_NOACCESS);
    }
    state_at(place + 144 * KIB, &access);
    assert_int_equal(access, PAGE_READWRITE);
    assert_true(freehold__port_protect(place, 256 * KIB, FREEHOLD__PROTECT_READ));
    state_at(place + 100 * KIB, &access);
    assert_int_equal(access, PAGE_READONLY);
    freehold__port_unmap(place, 256 * KIB);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(state_at(place + i * 64 * KIB, NULL), MEM_FREE);
}

static void a_remap_keeps_contents(void **unused)
{
    (void)unused;
    char *base = freehold__port_map(8 * KIB, 1);
    memset(base, 3, 8 * KIB);
    base = freehold__port_remap(base, 8 * KIB, 800 * KIB);
    assert_non_null(base);
    assert_true(base[0] == 3 && base[8 * KIB - 1] == 3 && reads_zero(base + 8 * KIB, 792 * KIB));
    assert_null(freehold__port_remap(base, 800 * KIB, (size_t)1 << 50));
    assert_ptr_equal(freehold__port_remap(base, 800 * KIB, 4 * KIB), base);
    assert_int_equal(state_at(base + 4 * KIB, NULL), MEM_RESERVE);
    freehold__port_unmap(base, 4 * KIB);
}

#define THREADS 4
#define ROUNDS  20000

static freehold__lock lock;
static unsigned counter;

static void *count(void *unused)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        freehold__lock_take(&lock);
        unsigned before = counter;
        if (i % 1000 == 0)
            freehold__port_sleep(1); /* others fall asleep on it */
        counter = before + 1;
        freehold__lock_drop(&lock);
    }
    return unused;
}

static void a_lock_excludes_and_wakes(void **unused)
{
    (void)unused;
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(counter, THREADS * ROUNDS);
    assert_false(freehold__lock_is_mine(&lock));
}

/* The page layer: spans and large blocks come, go, are purged and valid, and leave nothing. */
static void pages_at_random(void **unused)
{
    (void)unused;
    static freehold__pages pages;
    static freehold__span span[200];
    static char *large[50];
    uint64_t random = 7;
    for (unsigned op = 0; op < 20000; op++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        unsigned i = (unsigned)(random >> 33) % 200, j = i % 50,
                 n = 1 + (unsigned)(random >> 50) % 64;
        if (span[i].base != 0) {
            assert_int_equal(*(unsigned char *)span[i].base, i);
            freehold__pages_give(&pages, span[i].base, true);
            span[i].base = 0;
        } else {
            span[i] = freehold__pages_take(&pages, n);
            assert_int_not_equal(span[i].base, 0);
            if (span[i].zeroed)
                assert_true(reads_zero((char *)span[i].base, n * FREEHOLD__GRANULE));
            memset((void *)span[i].base, (int)i, n * FREEHOLD__GRANULE);
        }
        bool zeroed;
        if (op % 8 == 0 && large[j] != NULL) {
            assert_int_equal(large[j][0], j);
            assert_int_not_equal(freehold__large_free(&pages.large, large[j], op), 0);
            large[j] = NULL;
        } else if (op % 8 == 0) {
            large[j] = freehold__large_alloc(&pages.large, n * 40000, 16, &zeroed);
            assert_non_null(large[j]);
            memset(large[j], (int)j, n * 40000);
        } else if (op % 8 == 4 && large[j] != NULL) {
            large[j] = freehold__large_resize(&pages.large, large[j], 1 + n * 30000);
            assert_non_null(large[j]);
        }
        if (op % 500 == 0)
            freehold__pages_retain(&pages, op, op % 1000 == 0 ? NULL : &(size_t){SIZE_MAX});
        if (op % 200 == 0)
            assert_null(freehold__pages_check(&pages));
    }
    uintptr_t section = (uintptr_t)pages.sections;
    freehold__pages_release(&pages);
    assert_int_equal(state_at((void *)section, NULL), MEM_FREE);
    assert_false(freehold__page_map_has(section));
}

/* F46: it says so, and has nothing. */
static void processes_share_no_region_yet(void **unused)
{
    (void)unused;
    static _Alignas(16) unsigned char memory[65536];
    freehold_shared_region shared;
    freehold_shared_region_options options = {.bytes = sizeof memory};
    assert_string_equal(freehold_shared_region_create(&shared, memory, sizeof memory, NULL),
        "the system has no lock that processes can share");
    assert_null(freehold_alloc(&shared.region, 10));
    assert_string_equal(freehold_shared_region_open(&shared, "region", &options),
        "the host has no files that processes can share");
    assert_null(freehold_alloc(&shared.region, 10));
    assert_false(freehold_shared_region_remove("region", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_are_aligned_and_zero),
        cmocka_unit_test(a_reservation_is_committed_in_parts),
        cmocka_unit_test(parts_are_given_back),
        cmocka_unit_test(a_range_may_be_of_several_mappings),
        cmocka_unit_test(a_remap_keeps_contents),
        cmocka_unit_test(a_lock_excludes_and_wakes),
        cmocka_unit_test(pages_at_random),
        cmocka_unit_test(processes_share_no_region_yet),
    };
    return cmocka_run_group_tests_name("windows", tests, NULL, NULL);
}
