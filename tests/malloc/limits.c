/* SPDX-License-Identifier: MIT */
/*
 * F89: a program under FREEHOLD_OPTIONS=limit=64M (test_limits.py sets it, and reads standard
 * error). Its argument says what it does. What it counts as in use is what malloc_usable_size says of
 * its blocks: never more than the limit. Nor is what it has resident, but for the program itself and
 * the allocator's own state.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <freehold/process.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"
#include "family.h"

#define MIB   ((size_t)1 << 20)
#define LIMIT (64 * MIB)

/* Not by stdio, which allocates. */
static void mark(const char *text)
{
    CHECK(write(STDERR_FILENO, text, strlen(text)) == (ssize_t)strlen(text));
}

/* The most that has been resident, in bytes. No stdio here either. */
static size_t resident_peak(void)
{
    char text[4096];
    int file = open("/proc/self/status", O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);
    CHECK(length > 0 && close(file) == 0);
    text[length] = '\0';
    const char *line = strstr(text, "VmHWM:");
    CHECK(line != NULL);
    return strtoul(line + 6, NULL, 10) * 1024;
}

static size_t resident_at_first;

static void check_resident(void)
{
    CHECK(resident_peak() - resident_at_first <= LIMIT + 2 * MIB || emulated());
}

/* Blocks in a chain through their own first bytes: nothing else has to be allocated. */
typedef struct cell {
    struct cell *next;
} cell;

typedef void *allocator(size_t bytes);

static size_t fill_up(cell **chain, allocator *allocate, size_t bytes)
{
    size_t sum = 0;
    for (;;) {
        errno = 0;
        cell *c = allocate(bytes);
        if (c == NULL)
            break;
        if (allocate == malloc)
            memset(c, 1, bytes);
        c->next = *chain;
        *chain = c;
        sum += malloc_usable_size(c);
        CHECK(sum <= LIMIT);
    }
    CHECK(errno == ENOMEM);
    return sum;
}

static void free_all(cell **chain)
{
    while (*chain != NULL) {
        cell *next = (*chain)->next;
        free(*chain);
        *chain = next;
    }
}

static void *zeroed(size_t bytes)
{
    return calloc(1, bytes);
}

static void *aligned(size_t bytes)
{
    return aligned_alloc(256, bytes);
}

static void *by_pages(size_t bytes)
{
    void *result = (void *)1;
    int saved = errno, error = posix_memalign(&result, 4096, bytes);
    CHECK(errno == saved && (error == 0 || (error == ENOMEM && result == (void *)1)));
    errno = error;
    return error == 0 ? result : NULL;
}

static void *grown(size_t bytes)
{
    void *block = malloc(bytes / 2 + 1);
    void *result = block != NULL ? realloc(block, bytes) : NULL;
    if (result == NULL && block != NULL) {
        CHECK(errno == ENOMEM);
        free(block);
        errno = ENOMEM;
    }
    return result;
}

/* Fills up, frees, fills up again, in every size and with every function. */
static void fill_in_turn(void)
{
    static allocator *const functions[] = {malloc, zeroed, aligned, by_pages, grown};
    static const size_t sizes[] = {100, 5000, 60000, 200000, 300000, 3000000};
    cell *chain = NULL;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
            size_t sum = fill_up(&chain, functions[f], sizes[s]);
            if (sizes[s] >= 5000 || f < 2) /* aligned small ones are larger than they say */
                CHECK(sum > LIMIT / 5 * 4);
            CHECK(calloc(LIMIT, 1) == NULL && errno == ENOMEM);
            free_all(&chain);
            check_resident();
        }
    void *most = malloc(LIMIT - 4 * MIB); /* what small blocks had is free for this one */
    CHECK(most != NULL);
    free(most);
}

/* The longest large block that there is room for. */
static size_t room(void)
{
    size_t least = 600000, most = LIMIT;
    while (most - least > 4096) {
        size_t bytes = (least + most) / 2;
        void *block = malloc(bytes);
        *(block != NULL ? &least : &most) = bytes;
        free(block);
    }
    return (least + 4095) / 4096 * 4096;
}

/* The room is used to the last page, with blocks that are kept in other sizes, and by realloc. */
static void exact(void)
{
    size_t all = room();
    CHECK(all > LIMIT - MIB);
    free(malloc(all));
    for (size_t less = 0; less < 8 * MIB; less += MIB - 4096) {
        char *rest = less != 0 ? malloc(600000 + less) : NULL;
        size_t left = all - malloc_usable_size(rest);
        char *most = malloc(left);
        CHECK(most != NULL && malloc_usable_size(most) == left);
        errno = 0;
        CHECK(realloc(most, left + 4096) == NULL && errno == ENOMEM);
        CHECK(malloc_usable_size(most) == left);
        free(most);
        free(rest);
    }
    char *block = malloc(600000);
    fill(block, 600000, 5);
    for (size_t bytes = MIB; bytes <= all; bytes += MIB) {
        block = realloc(block, bytes);
        CHECK(block != NULL);
    }
    block = realloc(block, all);
    CHECK(block != NULL && filled(block, 600000, 5));
    CHECK(realloc(block, all + 4096) == NULL);
    block = realloc(block, 600000);
    CHECK(block != NULL && filled(block, 600000, 5));
    free(block);
}

/* What is free in other shapes, here slabs and a kept block, makes room for a block that grows where
 * it is. */
static void grow_over_empties(void)
{
    cell *chain = NULL;
    char *block = malloc(20 * MIB), *again, *large;
    fill(block, 20 * MIB, 3);
    for (size_t i = 0; i < 1000; i++) {
        cell *c = malloc(10000);
        *c = (cell){chain};
        chain = c;
    }
    large = malloc(20 * MIB);
    free_all(&chain);
    free(large);
    again = realloc(block, 63 * MIB);
    CHECK(again != NULL && filled(again, 20 * MIB, 3));
    CHECK(realloc(again, 65 * MIB) == NULL && errno == ENOMEM);
    free(again);
}

/* A block that shrinks stays where it is when there is no other; that is no refusal. */
static void shrink(void)
{
    char *block = malloc(200000);
    fill(block, 40000, 9);
    void *most = malloc(room());
    CHECK(most != NULL);
    int child = fork(); /* which has said nothing yet */
    if (child == 0) {
        mark("shrink\n");
        CHECK(realloc(block, 40000) == block && filled(block, 40000, 9));
        mark("grow\n");
        CHECK(malloc(40000) == NULL && errno == ENOMEM);
        CHECK(malloc(40000) == NULL);
        _exit(0);
    }
    expect_exit(child, 0);
}

static void *leave_blocks(void *chain)
{
    fill_up(chain, malloc, 1000);
    return NULL;
}

/* What a thread has left when it ended is still charged, and goes when it is freed. */
static void adopted(void)
{
    pthread_t thread;
    cell *chain = NULL, *own = NULL;
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&thread, NULL, leave_blocks, &chain) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(fill_up(&own, malloc, 1000) < 2 * MIB && malloc(3 * MIB) == NULL);
        free_all(&own);
        free_all(&chain);
        void *most = malloc(LIMIT - 4 * MIB);
        CHECK(most != NULL);
        free(most);
    }
}

/* A forked child has the limit, and what its parent has. */
static void forked(void)
{
    char *block = malloc(40 * MIB);
    int child = fork();
    if (child == 0) {
        CHECK(malloc(30 * MIB) == NULL && errno == ENOMEM);
        free(block);
        CHECK((block = malloc(60 * MIB)) != NULL && malloc(10 * MIB) == NULL);
        _exit(0);
    }
    expect_exit(child, 0);
    CHECK(malloc(20 * MIB) != NULL);
    CHECK(malloc(10 * MIB) == NULL && errno == ENOMEM);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define THREADS 4
#define BLOCKS  400

static _Atomic size_t in_use;
static _Atomic int refused;

static void count_in(void *block)
{
    size_t bytes = malloc_usable_size(block);
    CHECK(atomic_fetch_add(&in_use, bytes) + bytes <= LIMIT);
}

static void *hammer(void *seed)
{
    void *block[BLOCKS] = {NULL};
    uint64_t state = (uintptr_t)seed;
    for (int i = 0; i < 6000; i++) {
        uint64_t r = next_random(&state);
        size_t at = r % BLOCKS, bytes = (size_t)1 << (r >> 20) % 22;
        bytes += (r >> 32) % bytes;
        in_use -= malloc_usable_size(block[at]);
        void *result = NULL;
        if (r >> 60 < 6) {
            free(block[at]);
            block[at] = NULL;
            continue;
        }
        result = realloc(block[at], bytes);
        refused += result == NULL;
        if (result != NULL)
            block[at] = memset(result, 7, bytes);
        count_in(block[at]);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        in_use -= malloc_usable_size(block[i]);
        free(block[i]);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, hammer, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    CHECK(in_use == 0 && refused > 0);
    check_resident();
    void *most = malloc(LIMIT - 8 * MIB);
    CHECK(most != NULL);
    free(most);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void refuse(size_t bytes)
{
    errno = 0;
    CHECK(malloc(bytes) == NULL && errno == ENOMEM);
}

static void lines(void)
{
    free(opaque(malloc(1000)));
    CHECK(opaque(malloc(2 * MIB)) != NULL);
    refuse(70 * MIB);
    malloc_trim(0);
    malloc_stats(); /* how much is in use */
    refuse(71 * MIB);
}

static void never_lines(void)
{
    refuse((size_t)PTRDIFF_MAX + 1); /* not for the limit's sake */
    mark("before\n");
    refuse((size_t)PTRDIFF_MAX - 0xffff);
}

/* The limit is less than what is in use before the first option is read. */
static void tiny(void)
{
    for (size_t bytes = 1; bytes < 10 * MIB; bytes *= 7)
        refuse(bytes);
    CHECK(realloc(NULL, 10) == NULL && aligned(256) == NULL && zeroed(1) == NULL);
}

/* soft_limit=32M */
static void soft(void)
{
    cell *chain = NULL;
    mark("large\n");
    void *block = malloc(40 * MIB);
    free(malloc(5 * MIB));
    mark("large again\n");
    free(block);
    malloc_trim(0);
    block = malloc(41 * MIB);
    mark("realloc\n");
    block = realloc(block, 20 * MIB);
    block = realloc(block, 42 * MIB);
    mark("calloc\n");
    free(block);
    malloc_trim(0);
    block = calloc(1, 43 * MIB);
    mark("growing\n");
    free(block);
    malloc_trim(0);
    void *half = malloc(31 * MIB);
    block = realloc(malloc(100000), 2 * MIB);
    free(half);
    free(block);
    malloc_trim(0);
    mark("small\n");
    for (size_t i = 0; i < 36 * MIB; i += 1000) {
        cell *c = malloc(1000);
        *c = (cell){chain};
        chain = c;
    }
    free_all(&chain);
    malloc_trim(0);
    mark("aligned\n");
    free(aligned_alloc(MIB, 44 * MIB));
}

/* soft_limit=32M, with a handler, which allocates, and changes errno. */
static int calls;

static void called(size_t held, size_t soft_limit)
{
    CHECK(soft_limit == 32 * MIB && held > 32 * MIB && held < 41 * MIB);
    free(opaque(malloc(1000000)));
    errno = EINTR;
    calls++;
}

static void handler(void)
{
    CHECK(freehold_set_soft_limit_handler(called) == NULL);
    for (int i = 0; i < 3; i++) {
        errno = 0;
        void *block = malloc(33 * MIB);
        CHECK(block != NULL && errno == 0 && calls == i + 1);
        free(block);
        malloc_trim(0);
    }
    CHECK(freehold_set_soft_limit_handler(NULL) == called);
    free(malloc(33 * MIB));
    CHECK(calls == 3);
}

/*
 * Threads that together never have more than the limit in use are refused nothing, though what they
 * keep would fill it.
 */
static void *takes_and_gives(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    for (int i = 0; i < 1000; i++) {
        uint64_t r = next_random(&state);
        char *block = malloc((r >> 20) % (12 * MIB) + 1);
        CHECK(block != NULL);
        *block = 1;
        free(block);
    }
    return NULL;
}

static void within(void)
{
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, takes_and_gives, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
}

int main(int argc, char **argv)
{
    resident_at_first = resident_peak();
    static const struct {
        const char *name;
        void (*function)(void);
    } tests[] = {{"fill_in_turn", fill_in_turn}, {"exact", exact},
        {"grow_over_empties", grow_over_empties}, {"shrink", shrink}, {"adopted", adopted},
        {"forked", forked}, {"threads", threads}, {"lines", lines}, {"never_lines", never_lines},
        {"tiny", tiny}, {"soft", soft}, {"handler", handler}, {"within", within}};
    for (size_t i = 0; argc == 2 && i < sizeof tests / sizeof tests[0]; i++)
        if (strcmp(argv[1], tests[i].name) == 0) {
            tests[i].function();
            return 0;
        }
    return 2;
}
