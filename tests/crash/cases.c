/* SPDX-License-Identifier: MIT */
/*
 * In a fresh process the first allocations of a class are slots 0, 1, 2, ... of a new slab, which
 * is how expected.txt knows their numbers. The sizes are such that nothing in libc allocates from
 * their classes. Nothing here depends on it: all cases can also run one after the other in one
 * process.
 */
#define _GNU_SOURCE 1
#include "cases.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

void *case_other;

#define SMALL         100    /* of class 112, 512 slots a slab */
#define MEDIUM        3000   /* of class 3072, 16 slots */
#define BIG           100000 /* of class 114688, 2 slots */
#define SINGLE        400000 /* of class 458752, one slot */
#define LARGE         ((size_t)1 << 20)
#define HUGE          ((size_t)200 << 20) /* not kept when it is freed */
#define SECTION       ((uintptr_t)(sizeof(void *) == 8 ? 32 : 4) << 20)
#define SECTION_STATE ((uintptr_t)64 << 10)
#define SECTION_USERS (SECTION / (sizeof(void *) == 8 ? 16 : 8))

/* ---- helpers --------------------------------------------------------------------------------- */

static given sized(void *pointer, size_t size)
{
    return (given){pointer, size, 16};
}

static given at(uintptr_t address)
{
    return sized((void *)address, SMALL);
}

/* The second of three blocks: slot 1 of a fresh slab that has neighbours in use on both sides. */
static void *second(size_t size)
{
    char *block[3];
    for (int i = 0; i < 3; i++) {
        block[i] = malloc(size);
        memset(block[i], 'a' + i, size);
    }
    return block[1];
}

static void *second_aligned(size_t align, size_t size)
{
    void *block[3];
    for (int i = 0; i < 3; i++)
        block[i] = aligned_alloc(align, size);
    return block[1];
}

static void *free_it(void *pointer)
{
    free(pointer);
    return NULL;
}

static void in_thread(void *(*function)(void *), void *argument, void **result)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) != 0 || pthread_join(thread, result) != 0)
        abort();
}

static void free_in_thread(void *pointer)
{
    in_thread(free_it, pointer, NULL);
}

static given freed(void *pointer, size_t size)
{
    free(pointer);
    return sized(pointer, size);
}

static given freed_remotely(void *pointer, size_t size)
{
    free_in_thread(pointer);
    return sized(pointer, size);
}

static given inside(void *pointer, ptrdiff_t by, size_t size)
{
    return sized((char *)pointer + by, size);
}

static uintptr_t section(void)
{
    return (uintptr_t)second(SMALL) & ~(SECTION - 1);
}

/* ---- double free, by one thread -------------------------------------------------------------- */

static given double_tiny(void)
{
    return freed(second(10), 10);
}

static given double_small(void)
{
    return freed(second(SMALL), SMALL);
}

static given double_medium(void)
{
    return freed(second(MEDIUM), MEDIUM);
}

static given double_big(void)
{
    return freed(second(BIG), BIG);
}

static given double_single(void)
{
    return freed(malloc(SINGLE), SINGLE);
}

static given double_large(void)
{
    return freed(malloc(LARGE), LARGE);
}

static given double_huge(void)
{
    return freed(malloc(HUGE), HUGE);
}

static given double_calloc(void)
{
    void *pointer[3] = {malloc(SMALL), calloc(10, 10), malloc(SMALL)};
    return freed(pointer[1], SMALL);
}

static given double_aligned_small(void)
{
    given g = freed(second_aligned(64, SMALL), SMALL);
    g.align = 64;
    return g;
}

static given double_aligned_page(void)
{
    given g = freed(second_aligned(4096, SMALL), SMALL);
    g.align = 4096;
    return g;
}

static given double_aligned_large(void)
{
    given g = freed(aligned_alloc(LARGE, LARGE), LARGE);
    g.align = LARGE;
    return g;
}

/* Freed by realloc, which moved it. */
static given double_realloc_moved(void)
{
    void *pointer = second(SMALL);
    void *moved = realloc(pointer, 5 * SMALL);
    if (moved == pointer)
        abort();
    return sized(pointer, SMALL);
}

static given double_realloc_zero(void)
{
    void *pointer = second(SMALL);
    if (realloc(pointer, 0) != NULL)
        abort();
    return sized(pointer, SMALL);
}

/* T5: among the lifted words. Slot 7 is freed and lifted again, with others before it that malloc
 * takes first. */
static given double_lifted(void)
{
    enum { ALL = 512 };
    void *block[ALL];
    for (int i = 0; i < ALL; i++)
        block[i] = malloc(SMALL);
    for (int i = 0; i < ALL; i++)
        if (i != 300)
            free(block[i]);
    if (malloc(SMALL) == block[7])
        abort();
    return sized(block[7], SMALL);
}

/* All the slab is free, and still kept. */
static given double_in_empty_slab(void)
{
    enum { ALL = 512 };
    void *block[ALL];
    for (int i = 0; i < ALL; i++)
        block[i] = malloc(SMALL);
    void *more = malloc(SMALL); /* of a second slab, so that the first is not the active one */
    for (int i = 0; i < ALL; i++)
        free(block[i]);
    free(more);
    return sized(block[3], SMALL);
}

/* ---- double free, with another thread (T5) --------------------------------------------------- */

static given remote_then_local(void)
{
    return freed_remotely(second(SMALL), SMALL);
}

static given remote_then_local_medium(void)
{
    return freed_remotely(second(MEDIUM), MEDIUM);
}

static given remote_then_local_single(void)
{
    return freed_remotely(malloc(SINGLE), SINGLE);
}

static given remote_then_local_large(void)
{
    return freed_remotely(malloc(LARGE), LARGE);
}

static given remote_then_local_aligned(void)
{
    given g = freed_remotely(second_aligned(64, SMALL), SMALL);
    g.align = 64;
    return g;
}

/*
 * The owner has taken the other thread's free into its own bitmap. The class, of 292 slots a slab,
 * is used by this case alone: with one free slot the slab stays out of use, and the slot free.
 */
static given remote_collected(void)
{
    enum { ALL = 292, SIZE = 220 };
    void *block[ALL];
    for (int i = 0; i < ALL; i++)
        block[i] = malloc(SIZE);
    free_in_thread(block[5]);
    for (int i = 0; i < 2 * ALL; i++) /* out of slots: a refill, which looks into the inbox */
        (void)!malloc(SIZE);
    return sized(block[5], SIZE);
}

static void *make_small(void *unused)
{
    (void)unused;
    return second(SMALL);
}

static void *of_exited_thread(void)
{
    void *pointer;
    in_thread(make_small, NULL, &pointer);
    return pointer;
}

static given orphan(void)
{
    return freed(of_exited_thread(), SMALL);
}

static given orphan_interior(void)
{
    return inside(of_exited_thread(), 32, SMALL);
}

static given orphan_by_two(void)
{
    return freed_remotely(of_exited_thread(), SMALL);
}

/* ---- pages that hold nothing ----------------------------------------------------------------- */

enum { MANY = 40000 };

static void fill_and_release(void **block, size_t size)
{
    for (int i = 0; i < MANY; i++)
        block[i] = malloc(size);
    for (int i = 0; i < MANY; i++)
        free(block[i]);
    malloc_trim(0);
}

static given released(void)
{
    static void *block[MANY];
    fill_and_release(block, SMALL);
    return sized(block[MANY / 2], SMALL);
}

/* The pages are in use again, for a block of another class, and the old pointer is inside it. */
static given released_reused(void)
{
    static void *block[MANY];
    fill_and_release(block, SMALL);
    for (;;) {
        case_other = malloc(5000); /* of class 5120, 8 slots a slab */
        for (int i = 0; i < MANY; i++)
            if ((uintptr_t)block[i] - (uintptr_t)case_other - 1 < 5000 - 1)
                return sized(block[i], SMALL);
    }
}

static given inside_freed_large(void)
{
    void *pointer = malloc(LARGE);
    free(pointer);
    return inside(pointer, 4096, LARGE);
}

/* Freed, and merged with the freed block before it. */
static given merged_large(void)
{
    enum { COUNT = 8 };
    char *block[COUNT], *pointer = NULL;
    for (int i = 0; i < COUNT; i++)
        block[i] = malloc(LARGE);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            if (block[i] + LARGE == block[j])
                pointer = block[j];
    for (int i = 0; i < COUNT; i++)
        free(block[i]);
    return sized(pointer, LARGE);
}

static given state_of_section(void)
{
    return at(section() + SECTION_STATE + 4096);
}

static given guard_below(void)
{
    return at(section() + 16);
}

static given guard_above(void)
{
    return at(section() + SECTION_USERS - 16);
}

static given section_base(void)
{
    return at(section());
}

static given never_allocated(void)
{
    return at(section() + SECTION - 8192);
}

/* ---- not ours -------------------------------------------------------------------------------- */

static given foreign_stack(void)
{
    /* On the frame of main or the thread, near enough. */
    return sized(__builtin_frame_address(0), SMALL);
}

static given foreign_static(void)
{
    static _Alignas(16) char bytes[256];
    return sized(bytes, SMALL);
}

static given foreign_constant(void)
{
    static const _Alignas(16) char bytes[256] = "constant";
    return sized((void *)(uintptr_t)bytes, SMALL);
}

static given foreign_function(void)
{
    return at((uintptr_t)&foreign_function);
}

static given foreign_mmap(void)
{
    return sized(
        mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), SMALL);
}

static given foreign_brk(void)
{
    return sized(sbrk(4096), SMALL);
}

static given foreign_null_and_one(void)
{
    return at(1);
}

static given foreign_null_and_sixteen(void)
{
    return at(16);
}

static given foreign_minus_one(void)
{
    return at(UINTPTR_MAX);
}

static given foreign_non_canonical(void)
{
    return at((uintptr_t)second(SMALL) ^ (uintptr_t)1 << (8 * sizeof(void *) - 1));
}

static given foreign_kernel(void)
{
    return at((uintptr_t)0 - (UINTPTR_MAX >> 17) - 1);
}

static given foreign_tagged(void)
{
    return at((uintptr_t)second(SMALL) ^ (uintptr_t)3 << (sizeof(void *) == 8 ? 56 : 30));
}

static given foreign_environment(void)
{
    return sized(getenv("PATH"), SMALL);
}

static given foreign_vdso(void)
{
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR); /* QEMU has none: then the program's own headers */
    return at(vdso != 0 ? vdso : getauxval(AT_PHDR));
}

/* Two large blocks of which one is right above the other, the lower one in *low. */
static char *two_neighbours(char **low)
{
    for (;;) {
        char *one = malloc(HUGE), *other = malloc(HUGE);
        *low = one < other ? one : other;
        if (*low + HUGE == (one < other ? other : one))
            return *low + HUGE;
    }
}

/* Where another large block was, and nothing is mapped now. */
static given foreign_above_large(void)
{
    char *low;
    free(two_neighbours(&low));
    return inside(low, HUGE, HUGE);
}

static given foreign_below_large(void)
{
    char *low, *high = two_neighbours(&low);
    free(low);
    return inside(high, -16, HUGE);
}

/* ---- inside ---------------------------------------------------------------------------------- */

static given interior_small(void)
{
    return inside(second(SMALL), 16, SMALL);
}

static given interior_last(void)
{
    return inside(second(SMALL), 96, SMALL);
}

static given interior_below(void)
{
    return inside(second(SMALL), -16, SMALL);
}

static given interior_medium(void)
{
    return inside(second(MEDIUM), 1024, MEDIUM);
}

static given interior_big(void)
{
    return inside(second(BIG), 65536, BIG);
}

static given interior_single(void)
{
    return inside(malloc(SINGLE), 8192, SINGLE);
}

static given interior_large(void)
{
    return inside(malloc(LARGE), 4096, LARGE);
}

static given interior_aligned(void)
{
    given g =
        inside(second_aligned(64, 1900), 64, 1900); /* a class that libc itself does not use */
    g.align = 64;
    return g;
}

/* A free slot: where the pointer stands is wrong whatever the slot is. */
static given interior_free(void)
{
    void *pointer = second(SMALL);
    free(pointer);
    return inside(pointer, 32, SMALL);
}

static void *make_large(void *unused)
{
    (void)unused;
    return malloc(LARGE);
}

static given interior_others_large(void)
{
    void *pointer;
    in_thread(make_large, NULL, &pointer);
    return inside(pointer, 65536, LARGE);
}

static given misaligned_above(void)
{
    return inside(second(SMALL), 1, SMALL);
}

static given misaligned_below(void)
{
    return inside(second(SMALL), -1, SMALL);
}

static given misaligned_eight(void)
{
    return inside(second(SMALL), 8, SMALL);
}

static given misaligned_last(void)
{
    return inside(second(SMALL), 111, SMALL);
}

static given misaligned_medium(void)
{
    return inside(second(MEDIUM), 8, MEDIUM);
}

static given misaligned_single(void)
{
    return inside(malloc(SINGLE), 4, SINGLE);
}

static given misaligned_large(void)
{
    return inside(malloc(LARGE), 8, LARGE);
}

static given misaligned_large_end(void)
{
    return inside(malloc(LARGE), LARGE - 1, LARGE);
}

static given misaligned_aligned(void)
{
    given g = inside(second_aligned(64, SMALL), 2, SMALL);
    g.align = 64;
    return g;
}

/* ---- sizes and alignments -------------------------------------------------------------------- */

static given size_one_more(void)
{
    return sized(second(SMALL), 113);
}

static given size_too_small(void)
{
    return sized(second(SMALL), 10);
}

static given size_zero(void)
{
    return sized(second(SMALL), 0);
}

static given size_max(void)
{
    return sized(second(SMALL), SIZE_MAX);
}

static given size_tiny(void)
{
    return sized(second(10), 17);
}

static given size_medium(void)
{
    return sized(second(MEDIUM), 5000);
}

static given size_single(void)
{
    return sized(malloc(SINGLE), 100);
}

static given size_large(void)
{
    return sized(malloc(LARGE), LARGE + 1);
}

static given size_large_too_small(void)
{
    return sized(malloc(LARGE), 4096);
}

static given size_of_aligned(void)
{
    return (given){second_aligned(64, SMALL), 200, 64};
}

/* Slot 1 has neither alignment; in a heap that is in use it takes a look. */
static given align_small(void)
{
    void *pointer = second(SMALL);
    while ((uintptr_t)pointer % 64 == 0)
        pointer = malloc(SMALL);
    return (given){pointer, SMALL, 64};
}

static given align_of_aligned(void)
{
    void *pointer = second_aligned(64, SMALL);
    while ((uintptr_t)pointer % 4096 == 0)
        pointer = aligned_alloc(64, SMALL);
    return (given){pointer, SMALL, 4096};
}

static given align_large(void)
{
    char *pointer = malloc(LARGE);
    return (given){pointer, LARGE, (size_t)1 << 30};
}

/* No size is a multiple of it: who looks for one leaves the table of size classes. */
static given align_impossible(void)
{
    return (given){malloc(BIG), 10, 17};
}

/* ---- the table ------------------------------------------------------------------------------- */

#define DOUBLE(name)                                                                               \
    {                                                                                              \
#name, FREEHOLD_DOUBLE_FREE, TAKES_POINTER, false, name                                    \
    }
#define REMOTE(name)                                                                               \
    {                                                                                              \
#name, FREEHOLD_REMOTE_DOUBLE_FREE, TAKES_POINTER, false, name                             \
    }
#define INVALID(name)                                                                              \
    {                                                                                              \
#name, FREEHOLD_INVALID_POINTER, TAKES_POINTER, false, name                                \
    }
#define FOREIGN(name)                                                                              \
    {                                                                                              \
#name, FREEHOLD_FOREIGN_POINTER, TAKES_POINTER, false, name                                \
    }
#define INTERIOR(name)                                                                             \
    {                                                                                              \
#name, FREEHOLD_INTERIOR_POINTER, TAKES_POINTER, false, name                               \
    }
#define MISALIGN(name)                                                                             \
    {                                                                                              \
#name, FREEHOLD_MISALIGNED_POINTER, TAKES_POINTER, false, name                             \
    }
#define SIZE(name)                                                                                 \
    {                                                                                              \
#name, FREEHOLD_SIZE_MISMATCH, TAKES_SIZE, false, name                                     \
    }
#define ALIGN(name)                                                                                \
    {                                                                                              \
#name, FREEHOLD_ALIGNMENT_MISMATCH, TAKES_ALIGN, false, name                               \
    }
#define THREAD(make, name, kind)                                                                   \
    {                                                                                              \
#name, kind, TAKES_POINTER, true, make                                                     \
    }

const misuse misuses[] = {
    DOUBLE(double_tiny),
    DOUBLE(double_small),
    DOUBLE(double_medium),
    DOUBLE(double_big),
    DOUBLE(double_single),
    DOUBLE(double_large),
    FOREIGN(double_huge),
    DOUBLE(double_calloc),
    DOUBLE(double_aligned_small),
    DOUBLE(double_aligned_page),
    DOUBLE(double_aligned_large),
    DOUBLE(double_realloc_moved),
    DOUBLE(double_realloc_zero),
    DOUBLE(double_lifted),
    DOUBLE(double_in_empty_slab),

    REMOTE(remote_then_local),
    REMOTE(remote_then_local_medium),
    REMOTE(remote_then_local_single),
    DOUBLE(remote_then_local_large),
    REMOTE(remote_then_local_aligned),
    DOUBLE(remote_collected),
    REMOTE(orphan),
    INTERIOR(orphan_interior),
    REMOTE(orphan_by_two),
    THREAD(double_small, local_then_remote, FREEHOLD_DOUBLE_FREE),
    THREAD(double_medium, local_then_remote_medium, FREEHOLD_DOUBLE_FREE),
    THREAD(double_single, local_then_remote_single, FREEHOLD_DOUBLE_FREE),
    THREAD(double_large, local_then_remote_large, FREEHOLD_DOUBLE_FREE),
    THREAD(double_aligned_small, local_then_remote_aligned, FREEHOLD_DOUBLE_FREE),
    THREAD(double_lifted, local_then_remote_lifted, FREEHOLD_DOUBLE_FREE),
    THREAD(remote_then_local, remote_then_remote, FREEHOLD_REMOTE_DOUBLE_FREE),
    THREAD(remote_then_local_medium, remote_then_remote_medium, FREEHOLD_REMOTE_DOUBLE_FREE),
    THREAD(remote_then_local_single, remote_then_remote_single, FREEHOLD_REMOTE_DOUBLE_FREE),
    THREAD(remote_then_local_aligned, remote_then_remote_aligned, FREEHOLD_REMOTE_DOUBLE_FREE),
    THREAD(remote_collected, remote_collected_remotely, FREEHOLD_DOUBLE_FREE),
    THREAD(interior_small, remote_interior, FREEHOLD_INTERIOR_POINTER),
    THREAD(misaligned_large, remote_misaligned_large, FREEHOLD_MISALIGNED_POINTER),
    THREAD(foreign_static, remote_foreign, FREEHOLD_FOREIGN_POINTER),
    THREAD(released, remote_released, FREEHOLD_INVALID_POINTER),

    INVALID(released),
    INTERIOR(released_reused),
    INVALID(inside_freed_large),
    INVALID(merged_large),
    INVALID(state_of_section),
    INVALID(guard_below),
    INVALID(guard_above),
    INVALID(section_base),
    INVALID(never_allocated),

    FOREIGN(foreign_stack),
    FOREIGN(foreign_static),
    FOREIGN(foreign_constant),
    FOREIGN(foreign_function),
    FOREIGN(foreign_mmap),
    FOREIGN(foreign_brk),
    FOREIGN(foreign_null_and_one),
    FOREIGN(foreign_null_and_sixteen),
    FOREIGN(foreign_minus_one),
    FOREIGN(foreign_non_canonical),
    FOREIGN(foreign_kernel),
    FOREIGN(foreign_tagged),
    FOREIGN(foreign_environment),
    FOREIGN(foreign_vdso),
    FOREIGN(foreign_above_large),
    FOREIGN(foreign_below_large),

    INTERIOR(interior_small),
    INTERIOR(interior_last),
    INTERIOR(interior_below),
    INTERIOR(interior_medium),
    INTERIOR(interior_big),
    INTERIOR(interior_single),
    INTERIOR(interior_large),
    INTERIOR(interior_aligned),
    INTERIOR(interior_free),
    INTERIOR(interior_others_large),

    MISALIGN(misaligned_above),
    MISALIGN(misaligned_below),
    MISALIGN(misaligned_eight),
    MISALIGN(misaligned_last),
    MISALIGN(misaligned_medium),
    MISALIGN(misaligned_single),
    MISALIGN(misaligned_large),
    MISALIGN(misaligned_large_end),
    MISALIGN(misaligned_aligned),

    SIZE(size_one_more),
    SIZE(size_too_small),
    SIZE(size_zero),
    SIZE(size_max),
    SIZE(size_tiny),
    SIZE(size_medium),
    SIZE(size_single),
    SIZE(size_large),
    SIZE(size_large_too_small),
    SIZE(size_of_aligned),
    ALIGN(align_small),
    ALIGN(align_of_aligned),
    ALIGN(align_large),
    ALIGN(align_impossible),
};
const size_t misuse_count = sizeof misuses / sizeof misuses[0];
