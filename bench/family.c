/* SPDX-License-Identifier: MIT */
/*
 * What each allocator of the family costs, beside what a program would otherwise take: for
 * docs/allocators.md. Unlike the other programs of the bench this one links Freehold (malloc under
 * the name freehold_malloc), so that all run in one process, and malloc is the system's.
 *
 *   family [ROUNDS]                           21 rounds as a default; CSV to standard output
 *
 *   pair         one block allocated, its first byte written, and freed, with LIVE others live
 *   fill         FILL blocks allocated, the first byte of each written, then all of them ended: each
 *                by itself, or at once where the allocator can (`fills` below). Per block
 *   per-block    resident bytes beyond those asked for, a block, when MANY_BYTES are live and written
 *   first        resident bytes of an allocator with one block: its structure, its backing, whole
 *                pages
 *   structure    sizeof
 *   most-blocks  that can be live, where the kernel sets a limit
 *
 * call: typed (freehold_heap_alloc), dynamic (by way of the table), own (a function of the
 * library's). Wrappers are over a heap. A round measures every row once, in turn; the figures of a
 * row are the median, the least and the most of its rounds, in processor time. Memory is measured in
 * a process of its own for each row, by the kernel's count of its anonymous pages.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <gnu/libc-version.h>
#include <obstack.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "freehold/freehold.h"

#if HAVE_TALLOC
#include <talloc.h>
#endif
#if HAVE_APR
#include <apr_general.h>
#include <apr_pools.h>
#include <apr_version.h>
#endif
#if HAVE_GLIB
#include <glib.h>
#endif

enum { LIVE = 1000, FILL = 10000, MANY_BYTES = 24 << 20, MANY_PAGES = 10000, MOST_ROUNDS = 101 };

void *(freehold_malloc)(size_t bytes); /* src/malloc, with FREEHOLD_PREFIXED */
void(freehold_free)(void *block);

/* One way to allocate. `object` is what make returned. */
struct subject {
    const char *name, *call;
    void *(*make)(size_t bytes, size_t blocks); /* with room for so many, where that is fixed */
    void *(*one)(void *object, size_t bytes);
    void (*pairs)(void *object, size_t bytes, uint64_t count); /* NULL: it frees no single block */
    void (*fills)(void *object, size_t bytes, uint64_t count);
    size_t structure; /* sizeof; 0: it is the library's affair */
    uint64_t count;   /* pairs in a round; 0: a million */
    size_t only;      /* the one size that there is; 0: 64 and 4096 */
};

static void *table[FILL];

static inline void touch(void *block)
{
    if (block == NULL) {
        bench_die("an allocation failed");
    }
    *(volatile char *)block = 1;
}

/* Loops over an allocation and what frees it, both as expressions over object and bytes. */
#define PAIRS(name, allocation, release)                                                           \
    static void pairs_##name(void *object, size_t bytes, uint64_t count)                           \
    {                                                                                              \
        (void)object, (void)bytes;                                                                 \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            void *block = allocation;                                                              \
            touch(block);                                                                          \
            release;                                                                               \
        }                                                                                          \
    }
#define ONE(name, allocation)                                                                      \
    static void *one_##name(void *object, size_t bytes)                                            \
    {                                                                                              \
        (void)object;                                                                              \
        return allocation;                                                                         \
    }
/* `release` is for each block, `end` for all. */
#define FILLS(name, allocation, release, end)                                                      \
    static void fills_##name(void *object, size_t bytes, uint64_t count)                           \
    {                                                                                              \
        (void)object;                                                                              \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            for (size_t k = 0; k < FILL; k++) {                                                    \
                touch(table[k] = allocation);                                                      \
            }                                                                                      \
            for (size_t k = 0; k < FILL; k++) {                                                    \
                void *block = table[k];                                                            \
                (void)block;                                                                       \
                release;                                                                           \
            }                                                                                      \
            end;                                                                                   \
        }                                                                                          \
    }
#define NOTHING ((void)0)

#define TYPED(T)                                                                                   \
    ONE(T, freehold_##T##_alloc(object, bytes))                                                    \
    PAIRS(T, freehold_##T##_alloc(object, bytes), freehold_##T##_free(object, block))
TYPED(allocator)
TYPED(arena)
TYPED(budget)
TYPED(debug)
TYPED(fallback)
TYPED(heap)
TYPED(limit)
TYPED(locked)
TYPED(object_cache)
TYPED(page)
TYPED(slab)
TYPED(trace)
ONE(trace_named, FREEHOLD_TRACE_ALLOC((freehold_trace *)object, bytes))
PAIRS(trace_named, FREEHOLD_TRACE_ALLOC((freehold_trace *)object, bytes),
    freehold_trace_free(object, block))
FILLS(heap, freehold_heap_alloc(object, bytes), freehold_heap_free(object, block), NOTHING)
FILLS(heap_any, freehold_allocator_alloc(object, bytes), freehold_allocator_free(object, block),
    NOTHING)
FILLS(heap_deinit, freehold_heap_alloc(object, bytes), NOTHING,
    (freehold_heap_deinit(object), freehold_heap_init(object)))
FILLS(page, freehold_page_alloc(object, bytes), freehold_page_free(object, block), NOTHING)
FILLS(slab, freehold_slab_alloc(object, bytes), freehold_slab_free(object, block), NOTHING)
FILLS(slab_deinit, freehold_slab_alloc(object, bytes), NOTHING,
    (freehold_slab_deinit(object), freehold_slab_init(object, bytes)))
FILLS(arena, freehold_arena_alloc(object, bytes), NOTHING, freehold_arena_reset(object))
FILLS(arena_any, freehold_allocator_alloc(object, bytes), NOTHING, freehold_arena_reset(object))

static void *make_heap(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    freehold_heap *heap = bench_pages(sizeof *heap);
    freehold_heap_init(heap);
    return heap;
}

static freehold_allocator *new_heap(void)
{
    return &((freehold_heap *)make_heap(0, 0))->base;
}

static void *make_arena(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    freehold_arena *arena = bench_pages(sizeof *arena);
    freehold_arena_init(arena, new_heap());
    return arena;
}

static void *make_budget(size_t bytes, size_t blocks)
{
    freehold_budget *budget = bench_pages(sizeof *budget);
    size_t words = FREEHOLD_BITMAP_WORDS(blocks);
    freehold_budget_init(budget, bench_pages(blocks * bytes), blocks * bytes, bytes,
        bench_pages(words * sizeof(uint64_t)), words);
    return budget;
}

static void *make_object_cache(size_t bytes, size_t blocks)
{
    (void)blocks;
    freehold_object_cache *cache = bench_pages(sizeof *cache);
    const freehold_object_kind kind = {.bytes = bytes};
    freehold_object_cache_init(cache, new_heap(), &kind);
    return cache;
}

static void *make_page(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    freehold_page *page = bench_pages(sizeof *page);
    freehold_page_init(page);
    return page;
}

static void *make_slab(size_t bytes, size_t blocks)
{
    (void)blocks;
    freehold_slab *slab = bench_pages(sizeof *slab);
    freehold_slab_init(slab, bytes);
    return slab;
}

static void *make_limit(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    freehold_limit *limit = bench_pages(sizeof *limit);
    freehold_limit_init(limit, new_heap(), (size_t)1 << 40);
    return limit;
}

static void *make_fallback_first(size_t bytes, size_t blocks)
{
    freehold_fallback *fallback = bench_pages(sizeof *fallback);
    freehold_fallback_init(
        fallback, &((freehold_budget *)make_budget(bytes, blocks))->base, new_heap());
    return fallback;
}

/* The primary has one block, which is taken. */
static void *make_fallback_second(size_t bytes, size_t blocks)
{
    (void)blocks;
    freehold_fallback *fallback = make_fallback_first(bytes, 1);
    touch(freehold_fallback_alloc(fallback, bytes));
    return fallback;
}

static void *make_locked(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    freehold_locked *locked = bench_pages(sizeof *locked);
    freehold_locked_init(locked, new_heap());
    return locked;
}

static void *make_trace(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    freehold_trace *trace = bench_pages(sizeof *trace);
    freehold_trace_init(trace, new_heap(), NULL, NULL);
    return trace;
}

static void *debug_with(freehold_debug_options options)
{
    freehold_debug *debug = bench_pages(sizeof *debug);
    freehold_debug_init(debug, new_heap(), NULL, &options);
    return debug;
}

static void *make_debug(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    return debug_with((freehold_debug_options){.no_stacks = false});
}

static void *make_debug_no_stacks(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    return debug_with((freehold_debug_options){.no_stacks = true});
}

static void *make_debug_pages(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    return debug_with((freehold_debug_options){.pages = true});
}

/* An index counts as a block: its number, plus one, stands for its address. */
static void *make_index_pool(size_t bytes, size_t blocks)
{
    (void)bytes;
    freehold_index_pool *pool = bench_pages(sizeof *pool);
    size_t words = FREEHOLD_BITMAP_WORDS(blocks);
    freehold_index_pool_init(pool, blocks, bench_pages(words * sizeof(uint64_t)), words);
    return pool;
}

static void *one_index_pool(void *object, size_t bytes)
{
    (void)bytes;
    size_t index;
    return freehold_index_pool_take(object, &index) ? (void *)(index + 1) : NULL;
}

static void pairs_index_pool(void *object, size_t bytes, uint64_t count)
{
    (void)bytes;
    for (uint64_t i = 0; i < count; i++) {
        size_t index;
        if (!freehold_index_pool_take(object, &index)) {
            bench_die("an index pool is empty");
        }
        freehold_index_pool_put(object, index);
    }
}

/* ---- malloc, and what is there beside Freehold -------------------------------------------------- */

static void *make_nothing(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    return NULL;
}

ONE(freehold_malloc, (freehold_malloc)(bytes))
PAIRS(freehold_malloc, (freehold_malloc)(bytes), (freehold_free)(block))
FILLS(freehold_malloc, (freehold_malloc)(bytes), (freehold_free)(block), NOTHING)
ONE(malloc, malloc(bytes))
PAIRS(malloc, malloc(bytes), free(block))
FILLS(malloc, malloc(bytes), free(block), NOTHING)

/* Pages from the system itself; in whole ones, as it wants them. */
static void *map_pages(size_t bytes)
{
    void *block = mmap(NULL, (bytes + 4095) & ~(size_t)4095, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block != MAP_FAILED ? block : NULL;
}
#define UNMAP_PAGES(block, bytes) (void)munmap(block, ((bytes) + 4095) & ~(size_t)4095)
ONE(mmap, map_pages(bytes))
PAIRS(mmap, map_pages(bytes), UNMAP_PAGES(block, bytes))
FILLS(mmap, map_pages(bytes), UNMAP_PAGES(block, bytes), NOTHING)

#define obstack_chunk_alloc malloc
#define obstack_chunk_free  free
static void *make_obstack(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    struct obstack *stack = bench_pages(sizeof *stack);
    obstack_begin(stack, FREEHOLD_ARENA_CHUNK_BYTES);
    obstack_alignment_mask(stack) = FREEHOLD_ALIGNMENT - 1;
    return stack;
}
ONE(obstack, obstack_alloc((struct obstack *)object, (int)bytes))
PAIRS(obstack, obstack_alloc((struct obstack *)object, (int)bytes),
    obstack_free((struct obstack *)object, block))
FILLS(obstack, obstack_alloc((struct obstack *)object, (int)bytes), NOTHING,
    obstack_free((struct obstack *)object, table[0]))

#if HAVE_TALLOC
static void *make_talloc(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    return talloc_new(NULL);
}
static void *make_talloc_pool(size_t bytes, size_t blocks)
{
    return talloc_pool(NULL, blocks * (bytes + 128)); /* with room for the headers */
}
ONE(talloc, talloc_size(object, bytes))
PAIRS(talloc, talloc_size(object, bytes), talloc_free(block))
FILLS(talloc, talloc_size(object, bytes), NOTHING, talloc_free_children(object))
#endif

#if HAVE_APR
static void *make_apr(size_t bytes, size_t blocks)
{
    (void)bytes, (void)blocks;
    apr_pool_t *pool = NULL;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        bench_die("apr_pool_create failed");
    }
    return pool;
}
ONE(apr, apr_palloc(object, bytes))
FILLS(apr, apr_palloc(object, bytes), NOTHING, apr_pool_clear(object))
#endif

#if HAVE_GLIB
ONE(slice, g_slice_alloc(bytes))
PAIRS(slice, g_slice_alloc(bytes), g_slice_free1(bytes, block))
FILLS(slice, g_slice_alloc(bytes), g_slice_free1(bytes, block), NOTHING)
#endif

#if HAVE_BOOST /* pool.cpp */
extern const char *const bench_boost_version;
void *bench_boost_make(size_t bytes, size_t blocks);
void *bench_boost_one(void *object, size_t bytes);
void bench_boost_pairs(void *object, size_t bytes, uint64_t count);
void bench_boost_fills(void *object, size_t bytes, uint64_t count);
#endif

/* ---- the rows ------------------------------------------------------------------------------------ */

/* A type, by its own functions and by way of the table. */
#define BOTH(name, T, maker, fills, fills_any, count)                                              \
    {name, "typed", maker, one_##T, pairs_##T, fills, sizeof(freehold_##T), count, 0},             \
    {                                                                                              \
        name, "dynamic", maker, one_allocator, pairs_allocator, fills_any, 0, count, 0             \
    }

static const struct subject subjects[] = {
    {"malloc, glibc", "own", make_nothing, one_malloc, pairs_malloc, fills_malloc, 0, 0, 0},
    {"malloc, freehold", "own", make_nothing, one_freehold_malloc, pairs_freehold_malloc,
        fills_freehold_malloc, 0, 0, 0},
    BOTH("heap", heap, make_heap, fills_heap, fills_heap_any, 0),
    {"heap, deinit", "typed", make_heap, one_heap, NULL, fills_heap_deinit, 0, 0, 0},
    BOTH("arena", arena, make_arena, fills_arena, fills_arena_any, 0),
    BOTH("budget", budget, make_budget, NULL, NULL, 0),
    BOTH("object_cache", object_cache, make_object_cache, NULL, NULL, 0),
    BOTH("page", page, make_page, fills_page, fills_heap_any, 200000),
    BOTH("slab", slab, make_slab, fills_slab, fills_heap_any, 0),
    {"slab, deinit", "typed", make_slab, one_slab, NULL, fills_slab_deinit, 0, 0, 0},
    {"index_pool", "typed", make_index_pool, one_index_pool, pairs_index_pool, NULL,
        sizeof(freehold_index_pool), 0, 1},
    BOTH("limit", limit, make_limit, NULL, NULL, 0),
    BOTH("fallback, primary", fallback, make_fallback_first, NULL, NULL, 0),
    BOTH("fallback, secondary", fallback, make_fallback_second, NULL, NULL, 0),
    BOTH("locked", locked, make_locked, NULL, NULL, 0),
    BOTH("trace", trace, make_trace, NULL, NULL, 20000),
    {"trace, by name", "typed", make_trace, one_trace_named, pairs_trace_named, NULL, 0, 100000, 0},
    BOTH("debug", debug, make_debug, NULL, NULL, 5000),
    BOTH("debug, no_stacks", debug, make_debug_no_stacks, NULL, NULL, 100000),
    BOTH("debug, pages", debug, make_debug_pages, NULL, NULL, 1000),
    {"mmap", "own", make_nothing, one_mmap, pairs_mmap, fills_mmap, 0, 20000, 0},
    {"obstack", "own", make_obstack, one_obstack, pairs_obstack, fills_obstack, 0, 0, 0},
#if HAVE_TALLOC
    {"talloc", "own", make_talloc, one_talloc, pairs_talloc, fills_talloc, 0, 0, 0},
    {"talloc_pool", "own", make_talloc_pool, one_talloc, pairs_talloc, fills_talloc, 0, 0, 0},
#endif
#if HAVE_APR
    {"apr_pool", "own", make_apr, one_apr, NULL, fills_apr, 0, 0, 0},
#endif
#if HAVE_GLIB
    {"g_slice", "own", make_nothing, one_slice, pairs_slice, fills_slice, 0, 0, 0},
#endif
#if HAVE_BOOST
    {"boost_pool", "own", bench_boost_make, bench_boost_one, bench_boost_pairs, bench_boost_fills,
        0, 0, 0},
#endif
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects, MOST_ROWS = 4 * SUBJECTS };

struct row {
    const struct subject *subject;
    void *object;
    size_t bytes;
    bool fill;
    double ns[MOST_ROUNDS];
};

static void print(const char *what, const struct subject *subject, size_t bytes, const char *unit,
    double median, double least, double most, unsigned rounds)
{
    printf("%s,\"%s\",%s,%zu,%s,%.2f,%.2f,%.2f,%u\n", what, subject->name, subject->call, bytes,
        unit, median, least, most, rounds);
}

/* Anonymous pages of the process in bytes. */
static double resident(void)
{
    char text[4096] = "";
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, text, sizeof text - 1);
    const char *line = got <= 0 ? NULL : strstr(text, "\nAnonymous:");
    if (line == NULL) {
        bench_die("smaps_rollup cannot be read");
    }
    close(file);
    return (double)strtoull(line + strlen("\nAnonymous:"), NULL, 10) * 1024;
}

/* What is kept for reuse only is not a cost of the blocks. */
static void trim(const struct subject *subject, void *object)
{
    if (strcmp(subject->call, "typed") == 0 && subject->make != make_index_pool) {
        freehold_allocator_trim(object);
    }
    if (subject->make == make_trace) {
        freehold_heap_trim(&((freehold_trace *)object)->own);
    } else if (subject->make == make_debug || subject->make == make_debug_no_stacks ||
               subject->make == make_debug_pages) {
        freehold_heap_trim(&((freehold_debug *)object)->own);
    }
}

/* Allocates and writes so many blocks. */
static void write_blocks(const struct subject *subject, void *object, size_t bytes, size_t blocks)
{
    for (size_t i = 0; i < blocks; i++) {
        void *block = subject->one(object, bytes);
        if (block == NULL) {
            bench_die("an allocation failed");
        }
        memset(block, 1, subject->only == 0 ? bytes : 0);
    }
}

/* first, and per-block, of a subject. For the latter a second one is made, with many blocks; its
 * start counts when all of its state is made there. */
static void measure_memory(const struct subject *subject, size_t bytes, double result[2])
{
    size_t many = MANY_BYTES / (bytes < 64 ? 64 : bytes);
    bool whole_pages =
        subject->make == make_debug_pages || subject->make == make_page || subject->one == one_mmap;
    if (whole_pages && many > MANY_PAGES) {
        many = MANY_PAGES;
    }
    bool at_once = subject->make == make_budget || subject->make == make_fallback_first ||
                   subject->make == make_index_pool;
    (void)resident();
    double before = resident();
    write_blocks(subject, subject->make(bytes, 1), bytes, 1);
    double first = resident();
    result[0] = first - before;
    void *object = subject->make(bytes, many + 1);
    if (!at_once) {
        write_blocks(subject, object, bytes, 1);
        first = resident();
    }
    write_blocks(subject, object, bytes, many);
    trim(subject, object);
    result[1] = (resident() - first) / (double)many - (subject->only == 0 ? (double)bytes : 0);
}

/* How many blocks a debug allocator with pages can have. */
static void measure_most(const struct subject *subject, size_t bytes, double result[2])
{
    void *object = subject->make(bytes, 0);
    for (result[0] = 0; subject->one(object, bytes) != NULL; result[0]++) {
    }
}

static void in_child(void (*measure)(const struct subject *, size_t, double *),
    const struct subject *subject, size_t bytes, double result[2])
{
    int ends[2];
    if (pipe(ends) != 0) {
        bench_die("pipe failed");
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        measure(subject, bytes, result);
        _exit(write(ends[1], result, 2 * sizeof *result) == 2 * sizeof *result ? 0 : 1);
    }
    close(ends[1]);
    if (child < 0 || read(ends[0], result, 2 * sizeof *result) != 2 * sizeof *result) {
        bench_die("a measurement of memory failed");
    }
    close(ends[0]);
    waitpid(child, NULL, 0);
}

static void memory(const struct subject *subject, size_t bytes)
{
    double result[2] = {0, 0};
    in_child(measure_memory, subject, bytes, result);
    if (subject->structure != 0 && bytes <= 64) {
        double structure = (double)subject->structure;
        print("structure", subject, 0, "bytes", structure, structure, structure, 1);
    }
    if (subject->make != make_nothing) {
        print("first", subject, bytes, "bytes", result[0], result[0], result[0], 1);
    }
    print("per-block", subject, bytes, "bytes", result[1], result[1], result[1], 1);
    if (subject->make == make_debug_pages && bytes == 64) {
        in_child(measure_most, subject, bytes, result);
        print("most-blocks", subject, bytes, "blocks", result[0], result[0], result[0], 1);
    }
}

/* Processor time: what else runs on the machine does not count. */
static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double once(const struct row *row)
{
    const struct subject *subject = row->subject;
    uint64_t count = subject->count != 0 ? subject->count : 1000000;
    double start = now();
    if (row->fill) {
        count = row->bytes == 64 ? 20 : 4;
        subject->fills(row->object, row->bytes, count);
        count *= FILL;
    } else {
        subject->pairs(row->object, row->bytes, count);
    }
    return (now() - start) / (double)count;
}

static void add(struct row *row, const struct subject *subject, size_t bytes, bool fill)
{
    row->subject = subject;
    row->bytes = bytes;
    row->fill = fill;
    row->object = subject->make(bytes, (fill ? FILL : LIVE) + 24);
    for (size_t i = 0; !fill && i < LIVE; i++) {
        if (subject->one(row->object, bytes) == NULL) {
            bench_die("an allocation failed");
        }
    }
    (void)once(row); /* the first time is not measured */
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_all(unsigned rounds)
{
    struct row *rows = bench_pages(MOST_ROWS * sizeof *rows);
    size_t count = 0;
    for (const struct subject *s = subjects; s < subjects + SUBJECTS; s++) {
        for (size_t bytes = s->only != 0 ? s->only : 64; bytes <= 4096; bytes *= 64) {
            if (s->pairs != NULL) {
                add(&rows[count++], s, bytes, false);
            }
            if (s->fills != NULL) {
                add(&rows[count++], s, bytes, true);
            }
            if (s->only != 0) {
                break;
            }
        }
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            rows[i].ns[round] = once(&rows[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        double *ns = rows[i].ns;
        qsort(ns, rounds, sizeof *ns, compare);
        print(rows[i].fill ? "fill" : "pair", rows[i].subject, rows[i].bytes, "ns", ns[rounds / 2],
            ns[0], ns[rounds - 1], rounds);
    }
}

/* The processor, the memory, the system and the versions of what is compared. */
static void print_machine(char **arg)
{
    char cpu[256] = "?", line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "model name : %255[^\n]", cpu) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    struct utsname system;
    struct sysinfo memory_of;
    double load = 0;
    uname(&system);
    sysinfo(&memory_of);
    getloadavg(&load, 1);
    printf("# command: bench-family");
    for (arg++; *arg != NULL; arg++) {
        printf(" %s", *arg);
    }
    printf("\n# machine: %s, %ld CPUs, %.0f GiB, %s %s, glibc %s, compiler %s, load %.2f at the "
           "start\n",
        cpu, sysconf(_SC_NPROCESSORS_ONLN),
        (double)memory_of.totalram * memory_of.mem_unit / (1 << 30), system.sysname, system.release,
        gnu_get_libc_version(), __VERSION__, load);
#if HAVE_TALLOC
    printf("# talloc: %d.%d\n", talloc_version_major(), talloc_version_minor());
#endif
#if HAVE_APR
    printf("# apr_pool: APR %s\n", apr_version_string());
#endif
#if HAVE_GLIB
    printf(
        "# g_slice: GLib %u.%u.%u\n", glib_major_version, glib_minor_version, glib_micro_version);
#endif
#if HAVE_BOOST
    printf("# boost_pool: Boost %s\n", bench_boost_version);
#endif
    static const struct {
        const char *name;
        bool here;
    } peers[] = {{"talloc (libtalloc-dev)", HAVE_TALLOC}, {"APR (libapr1-dev)", HAVE_APR},
        {"GLib (libglib2.0-dev)", HAVE_GLIB}, {"Boost (libboost-dev)", HAVE_BOOST}};
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        if (!peers[i].here) {
            printf("# not here when this was built: %s\n", peers[i].name);
        }
    }
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)bench_number(argv[1]) : 21;
    if (rounds == 0 || rounds > MOST_ROUNDS) {
        bench_die("family [ROUNDS], 1 to 101");
    }
#if HAVE_APR
    if (apr_initialize() != APR_SUCCESS) {
        bench_die("apr_initialize failed");
    }
#endif
    print_machine(argv);
    printf("measure,allocator,call,bytes,unit,median,least,most,rounds\n");
    for (const struct subject *s = subjects; s < subjects + SUBJECTS; s++) {
        if (strcmp(s->call, "dynamic") != 0) {
            memory(s, s->only != 0 ? s->only : 64);
            if (s->only == 0) {
                memory(s, 4096);
            }
        }
    }
    time_all(rounds);
    double load = 0;
    getloadavg(&load, 1);
    printf("# load at the end: %.2f\n", load);
    return 0;
}
