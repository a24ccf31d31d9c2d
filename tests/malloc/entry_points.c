/* SPDX-License-Identifier: MIT */
/*
 * F80: what every entry point promises at its edges - sizes that do not fit (T1), size 0, NULL,
 * alignments, errno - and in the middle: usable sizes (F90), zeroed memory (T10), realloc (T9).
 */
#define _GNU_SOURCE 1
#include <errno.h>

#include "check.h"
#include "family.h"

#define KEEP_ERRNO(call)                                                                           \
    do {                                                                                           \
        errno = 4711;                                                                              \
        call;                                                                                      \
        CHECK(errno == 4711);                                                                      \
    } while (0)

#define FAILS(call, error)                                                                         \
    do {                                                                                           \
        errno = 0;                                                                                 \
        CHECK((call) == NULL);                                                                     \
        CHECK(errno == (error));                                                                   \
    } while (0)

/* ---- sizes that do not fit (T1) -------------------------------------------------------------- */

/* Half of the address space: of 32 bits it may be there. */
#define MANY_BITS (SIZE_MAX > UINT32_MAX ? (size_t)PTRDIFF_MAX : SIZE_MAX)

static const size_t too_large[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 14, SIZE_MAX - 15,
    SIZE_MAX - 16, SIZE_MAX - 62, SIZE_MAX - 63, SIZE_MAX - 64, SIZE_MAX - 4094, SIZE_MAX - 4095,
    SIZE_MAX - 4096, SIZE_MAX - 65535, SIZE_MAX - ((size_t)32 << 20), (size_t)PTRDIFF_MAX + 1,
    MANY_BITS, MANY_BITS - 15, MANY_BITS - 4095, MANY_BITS - 4096, MANY_BITS - 65536,
    MANY_BITS / 2 + 1, SIZE_MAX > UINT32_MAX ? SIZE_MAX >> 14 : SIZE_MAX};

static void too_large_to_allocate(size_t n)
{
    FAILS(malloc(n), ENOMEM);
    FAILS(calloc(1, n), ENOMEM);
    FAILS(calloc(n, 1), ENOMEM);
    FAILS(realloc(NULL, n), ENOMEM);
    FAILS(reallocarray(NULL, n, 1), ENOMEM);
    FAILS(valloc(n), ENOMEM);
    FAILS(pvalloc(n), ENOMEM);
    FAILS(__libc_malloc(n), ENOMEM);
    FAILS(__libc_calloc(n, 1), ENOMEM);
    FAILS(__libc_realloc(NULL, n), ENOMEM);
    FAILS(__libc_valloc(n), ENOMEM);
    FAILS(__libc_pvalloc(n), ENOMEM);
    for (unsigned shift = 0; shift < sizeof(size_t) * 8; shift++) {
        size_t align = (size_t)1 << shift;
        void *result = &result;
        FAILS(aligned_alloc(align, n), ENOMEM);
        FAILS(memalign(align, n), ENOMEM);
        FAILS(__libc_memalign(align, n), ENOMEM);
        if (align >= sizeof(void *)) {
            KEEP_ERRNO(CHECK(posix_memalign(&result, align, n) == ENOMEM));
            KEEP_ERRNO(CHECK(__posix_memalign(&result, align, n) == ENOMEM));
            CHECK(result == &result); /* untouched */
        }
    }
    CHECK(malloc_good_size(n) >= n);
}

static void too_large_to_resize(size_t n)
{
    static const size_t sizes[] = {1, 100, 5000, 300000, (size_t)2 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *block = malloc(sizes[i]), *same = block;
        fill(block, sizes[i], i);
        FAILS(realloc(block, n), ENOMEM);
        FAILS(reallocarray(block, n, 1), ENOMEM);
        FAILS(reallocarray(block, 1, n), ENOMEM);
        FAILS(__libc_realloc(block, n), ENOMEM);
        KEEP_ERRNO(CHECK(reallocarr(&block, 1, n) == ENOMEM));
        CHECK(block == same && filled(block, sizes[i], i));
        free(block);
    }
}

#define HALF_BITS ((size_t)1 << 4 * sizeof(size_t))

static void products_that_wrap(void)
{
    static const size_t pairs[][2] = {{SIZE_MAX, 2}, {SIZE_MAX / 2 + 1, 2}, {2, SIZE_MAX / 2 + 1},
        {HALF_BITS, HALF_BITS}, {HALF_BITS + 1, HALF_BITS}, {SIZE_MAX, SIZE_MAX},
        {SIZE_MAX / 3 + 1, 3}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        size_t count = pairs[i][0], size = pairs[i][1];
        char *block = malloc(100), *same = block;
        fill(block, 100, i);
        FAILS(calloc(count, size), ENOMEM);
        FAILS(__libc_calloc(count, size), ENOMEM);
        FAILS(reallocarray(NULL, count, size), ENOMEM);
        FAILS(reallocarray(block, count, size), ENOMEM);
        KEEP_ERRNO(CHECK(reallocarr(&block, count, size) == EOVERFLOW));
        CHECK(block == same && filled(block, 100, i));
        free(block);
    }
}

static void sizes_that_do_not_fit(void)
{
    struct mallinfo2 before = mallinfo2();
    for (size_t i = 0; i < sizeof too_large / sizeof too_large[0]; i++) {
        too_large_to_allocate(too_large[i]);
        too_large_to_resize(too_large[i]);
    }
    products_that_wrap();
    CHECK(mallinfo2().uordblks == before.uordblks);
}

/* ---- size 0 and NULL ------------------------------------------------------------------------- */

static void size_zero(void)
{
    void *result = NULL;
    CHECK(posix_memalign(&result, 1024, 0) == 0);
    void *block[] = {malloc(0), malloc(0), calloc(0, 5), calloc(5, 0), calloc(0, 0),
        realloc(NULL, 0), reallocarray(NULL, 0, 7), aligned_alloc(64, 0), memalign(4096, 0),
        valloc(0), pvalloc(0), __libc_malloc(0), result};
    size_t count = sizeof block / sizeof block[0];
    for (size_t i = 0; i < count; i++) {
        CHECK(block[i] != NULL); /* and unique */
        for (size_t j = 0; j < i; j++)
            CHECK(block[i] != block[j]);
        memset(block[i], 1, malloc_usable_size(block[i]));
    }
    CHECK((uintptr_t)block[7] % 64 == 0 && (uintptr_t)block[8] % 4096 == 0);
    CHECK((uintptr_t)block[12] % 1024 == 0);
    CHECK(malloc_usable_size(block[10]) >= 4096); /* whole pages, and at least one */
    for (size_t i = 0; i < count; i++)
        free(block[i]);
}

/* realloc to 0 frees, and says so by NULL; NetBSD's reallocarr likewise. */
static void resize_to_zero(void)
{
    static const size_t sizes[] = {0, 1, 100, 5000, 300000, (size_t)2 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct mallinfo2 before = mallinfo2();
        KEEP_ERRNO(CHECK(realloc(malloc(sizes[i]), 0) == NULL));
        KEEP_ERRNO(CHECK(reallocarray(malloc(sizes[i]), 0, 5) == NULL));
        KEEP_ERRNO(CHECK(reallocarray(malloc(sizes[i]), 5, 0) == NULL));
        KEEP_ERRNO(CHECK(__libc_realloc(malloc(sizes[i]), 0) == NULL));
        void *block = malloc(sizes[i]);
        KEEP_ERRNO(CHECK(reallocarr(&block, 0, 4) == 0));
        CHECK(block == NULL);
        CHECK(mallinfo2().uordblks == before.uordblks);
    }
}

static void null_pointers(void)
{
    KEEP_ERRNO(free(NULL));
    KEEP_ERRNO(cfree(NULL));
    KEEP_ERRNO(free_sized(NULL, 0));
    KEEP_ERRNO(free_sized(NULL, SIZE_MAX));
    KEEP_ERRNO(free_aligned_sized(NULL, 64, 100));
    KEEP_ERRNO(__libc_free(NULL));
    KEEP_ERRNO(CHECK(malloc_usable_size(NULL) == 0));
    void *block = NULL;
    KEEP_ERRNO(CHECK(reallocarr(&block, 0, 10) == 0 && block == NULL));
    KEEP_ERRNO(CHECK(reallocarr(&block, 10, 0) == 0 && block == NULL));
    CHECK(reallocarr(&block, 10, 10) == 0 && block != NULL);
    free(realloc(NULL, 100));
    free(block);
}

/* ---- errno ----------------------------------------------------------------------------------- */

/* free keeps errno, whatever it has to do (POSIX 2024). */
static void free_keeps_errno(void)
{
    enum { MANY = 20000 };
    static void *block[MANY];
    for (size_t size = 16; size <= 4096; size *= 16) {
        for (int i = 0; i < MANY; i++)
            block[i] = malloc(size);
        for (int i = 0; i < MANY; i++)
            KEEP_ERRNO(free(block[i]));
    }
    for (size_t size = (size_t)1 << 20; size <= (size_t)1 << 30; size *= 2)
        KEEP_ERRNO(free(malloc(size)));
    KEEP_ERRNO(malloc_trim(0));
}

/* ---- alignment ------------------------------------------------------------------------------- */

static void bad_alignments(void)
{
    static const size_t bad[] = {0, 3, 5, 6, 7, 12, 24, 48, 96, 1000, 4095, 4097, SIZE_MAX,
        SIZE_MAX - 1, SIZE_MAX / 4 * 3 + 3};
    void *result = &result;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FAILS(aligned_alloc(bad[i], 100), EINVAL);
        FAILS(memalign(bad[i], 100), EINVAL);
        FAILS(__libc_memalign(bad[i], 100), EINVAL);
        KEEP_ERRNO(CHECK(posix_memalign(&result, bad[i], 100) == EINVAL));
        KEEP_ERRNO(CHECK(__posix_memalign(&result, bad[i], 100) == EINVAL));
    }
    /* A power of two, but no multiple of a pointer's size. */
    for (size_t align = 1; align < sizeof(void *); align *= 2)
        KEEP_ERRNO(CHECK(posix_memalign(&result, align, 100) == EINVAL));
    CHECK(result == &result);
}

static void take_aligned(void *block, size_t align, size_t size)
{
    CHECK(block != NULL);
    CHECK((uintptr_t)block % align == 0);
    CHECK(malloc_usable_size(block) >= size);
    /* Huge ones are address space; what matters are both ends. */
    size_t usable = malloc_usable_size(block), part = usable < 4096 ? usable : 4096;
    memset(block, 1, part);
    memset((char *)block + usable - part, 2, part);
}

/* T2: every alignment, and the second and third block of each too. */
static void alignments(void)
{
    static const size_t sizes[] = {1, 16, 17, 100, 128, 129, 1000, 1024, 4096, 4097, 10000, 100000,
        500000, 524288, 524289, 3000000};
    for (size_t align = 1; align <= (size_t)1 << 26; align *= 2)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            void *block[6] = {NULL};
            block[0] = aligned_alloc(align, sizes[i]);
            block[1] = memalign(align, sizes[i]);
            block[2] = __libc_memalign(align, sizes[i]);
            if (align >= sizeof(void *))
                CHECK(posix_memalign(&block[3], align, sizes[i]) == 0);
            for (int b = 0; b < 3 + (align >= sizeof(void *)); b++)
                take_aligned(block[b], align, sizes[i]);
            free_aligned_sized(block[0], align, sizes[i]);
            for (int b = 1; b < 6; b++)
                free(block[b]);
        }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block[4] = {
            valloc(sizes[i]), pvalloc(sizes[i]), __libc_valloc(sizes[i]), __libc_pvalloc(sizes[i])};
        for (int b = 0; b < 4; b++)
            take_aligned(block[b], 4096, sizes[i]);
        CHECK(malloc_usable_size(block[1]) >= (sizes[i] + 4095) / 4096 * 4096);
        for (int b = 0; b < 4; b++)
            free(block[b]);
    }
}

/* ---- usable sizes (F90) ---------------------------------------------------------------------- */

static size_t nth_size(size_t i)
{
    return i < 2100 ? i : 2100 + (i - 2100) * (i - 2100) * 40; /* dense, then sparse, to 3 MiB */
}
#define SIZES 2380

/* All that is usable is written, in three blocks side by side: none may reach into the next. */
static void usable_sizes(void)
{
    for (size_t i = 0; i < SIZES; i++) {
        size_t size = nth_size(i), usable[3];
        void *block[3];
        for (int b = 0; b < 3; b++) {
            block[b] = malloc(size);
            usable[b] = malloc_usable_size(block[b]);
            CHECK(usable[b] >= size && usable[b] > 0);
            memset(block[b], b + 1, usable[b]);
        }
        if (size <= 512 * 1024)
            CHECK(usable[0] == malloc_good_size(size));
        CHECK(malloc_good_size(size) >= size);
        CHECK(size < 16 || usable[0] - size <= size / 4 + 16 || size > 512 * 1024);
        for (int b = 0; b < 3; b++) {
            const unsigned char *byte = block[b];
            for (size_t k = 0; k < usable[b]; k += k < 64 ? 1 : 61)
                CHECK(byte[k] == b + 1);
            CHECK(byte[usable[b] - 1] == b + 1);
            CHECK((uintptr_t)block[b] % 16 == 0);
        }
        free_sized(block[0], size);
        free_sized(block[1], usable[1]);
        free(block[2]);
    }
}

/* ---- calloc (T10) ---------------------------------------------------------------------------- */

static int all_zero(const char *block, size_t bytes)
{
    return bytes == 0 || (block[0] == 0 && memcmp(block, block + 1, bytes - 1) == 0);
}

static void dirty(size_t size, int count)
{
    static void *block[600];
    for (int i = 0; i < count; i++)
        block[i] = memset(malloc(size), 0xff, size);
    for (int i = 0; i < count; i++)
        free(block[i]);
}

static void calloc_is_zero(void)
{
    uint64_t state = 12345;
    void *kept[64] = {NULL};
    for (int round = 0; round < 3000; round++) {
        uint64_t random = next_random(&state);
        size_t size = (size_t)1 << random % 18;
        size += random / 64 % size;
        if (random / 4096 % 50 == 0)
            size = ((size_t)1 << 19) + random / 8192 % ((size_t)1 << 20);
        dirty(size, size < 4096 ? 40 : 2);
        if (random >> 60 == 0)
            malloc_trim(0);
        char *block = (random >> 59 & 1) != 0 ? calloc(1, size) : __libc_calloc(size, 1);
        CHECK(all_zero(block, size));
        memset(block, 0xff, malloc_usable_size(block));
        void **where = &kept[random >> 32 & 63];
        free(*where);
        *where = block;
    }
    for (int i = 0; i < 64; i++)
        free(kept[i]);
    for (size_t size = 16; size <= 65536; size *= 2) { /* whole slabs, one after the other */
        dirty(size, 600);
        static char *block[600];
        for (int i = 0; i < 600; i++) {
            block[i] = calloc(size / 8, 8);
            CHECK(all_zero(block[i], size));
            memset(block[i], 0xff, size);
        }
        for (int i = 0; i < 600; i++)
            free(block[i]);
    }
}

/* ---- realloc (T9) ---------------------------------------------------------------------------- */

static void realloc_stays(void)
{
    for (size_t size = 1; size <= 100000; size += 1 + size / 7) {
        char *block = malloc(size), *same = block;
        for (size_t to = 1; to <= 110000; to += 1 + to / 5)
            if (malloc_good_size(to) == malloc_good_size(size)) {
                KEEP_ERRNO(same = realloc(block, to));
                CHECK(same == block);
            }
        CHECK(realloc(block, malloc_usable_size(block)) == block);
        free(block);
    }
    char *block = malloc((size_t)1 << 20);
    CHECK(realloc(block, ((size_t)1 << 20) - 4000) == block);
    free(block);
}

static void realloc_keeps_contents(void)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 31, 33, 64, 100, 128, 129, 200, 500, 1000,
        1024, 1025, 2000, 4096, 5000, 10000, 30000, 65536, 65537, 130000, 262144, 300000, 524288,
        524289, 700000, 1048576, 2000000, 5000000};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    for (int i = 0; i < COUNT; i++)
        for (int j = 1; j < COUNT; j++) {
            size_t from = sizes[i], to = sizes[j], least = from < to ? from : to;
            char *block = malloc(from);
            fill(block, from, (uint64_t)(i * 100 + j));
            block = (i + j) % 2 ? realloc(block, to) : reallocarray(block, 1, to);
            CHECK(block != NULL && malloc_usable_size(block) >= to);
            CHECK(filled(block, least, (uint64_t)(i * 100 + j)));
            fill(block, malloc_usable_size(block), 1);
            CHECK(reallocarr(&block, 1, from + 1) == 0);
            CHECK(filled(block, least, 1));
            free(block);
        }
    char *block = NULL; /* grown by and by */
    for (size_t size = 1; size < (size_t)8 << 20; size += 1 + size / 9) {
        block = realloc(block, size);
        CHECK(block != NULL);
        if (size > 1)
            CHECK(block[0] == 42 && block[(size - 2) / 2] == 42);
        memset(block, 42, size);
    }
    for (size_t size = (size_t)8 << 20; size > 0; size /= 2) {
        block = realloc(block, size);
        CHECK(block != NULL && block[0] == 42 && block[size / 2] == 42);
    }
    free(block);
}

int main(void)
{
    sizes_that_do_not_fit();
    size_zero();
    resize_to_zero();
    null_pointers();
    free_keeps_errno();
    bad_alignments();
    alignments();
    usable_sizes();
    calloc_is_zero();
    realloc_stays();
    realloc_keeps_contents();
    return 0;
}
