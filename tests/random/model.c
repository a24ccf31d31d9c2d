/* SPDX-License-Identifier: MIT */
/*
 * Random calls of every allocation function against a model that knows better: contents, alignment,
 * usable size, overlap and zeroes are checked on every call, and the full validator runs every so
 * many.
 *
 *     model [--seed N] [--ops N] [--threads N] [--waves N] [--check N] [--limit BYTES] [--retain MODE]
 *
 * One seed gives one run when there is one thread. A failed check prints the command that repeats
 * it.
 *
 * The model is two things. A table per thread: address, size, tag of the contents. And a shadow
 * bitmap over the address space, a bit per 16 bytes, that is set for all that may be written
 * (usable size) and must be clear before: overlap is found at once, not when contents differ. It is
 * kept with relaxed atomics, so that it orders nothing between threads.
 *
 * Threads live for a wave; what they still hold at its end goes through a common pool to those of
 * the next wave, and during a wave a part of all frees goes through the pool to whoever comes next:
 * remote frees, into slabs whose owner runs, has exited, or has been replaced.
 */
#define _GNU_SOURCE 1
#include "../unit/family.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#ifndef WITH_INTERNALS
#define WITH_INTERNALS 1 /* 0: linked with libfreehold.so, whose inner names are hidden */
#endif
#if WITH_INTERNALS
#include "malloc/process.h"
#endif

typedef struct settings {
    uint64_t seed, ops, check;
    unsigned threads, waves;
    size_t limit;
} settings;

static settings set = {.ops = 400000, .check = 20000, .threads = 1, .waves = 1, .limit = 4 << 20};

/* ---- the shadow bitmap ----------------------------------------------------------------------- */

#define CHUNK_SHIFT 20
#define CHUNK_WORDS (((size_t)1 << CHUNK_SHIFT) / 16 / 64)
#define CHUNKS      ((size_t)1 << 16)

typedef struct chunk {
    _Atomic uintptr_t number; /* address >> CHUNK_SHIFT; 0: no entry yet */
    _Atomic(_Atomic uint64_t *) words;
} chunk;

static chunk *chunks;

static void *map_zero(size_t bytes)
{
    void *at = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static _Atomic uint64_t *chunk_words(uintptr_t address)
{
    uintptr_t number = address >> CHUNK_SHIFT;
    for (size_t i = mix(number) % CHUNKS;; i = (i + 1) % CHUNKS) {
        uintptr_t none = 0;
        if (atomic_load_explicit(&chunks[i].number, memory_order_relaxed) != number &&
            !atomic_compare_exchange_strong(&chunks[i].number, &none, number) && none != number)
            continue;
        _Atomic uint64_t *words = atomic_load(&chunks[i].words);
        if (words == NULL) {
            _Atomic uint64_t *fresh = map_zero(CHUNK_WORDS * 8);
            if (atomic_compare_exchange_strong(&chunks[i].words, &words, fresh))
                words = fresh;
            else
                munmap((void *)fresh, CHUNK_WORDS * 8);
        }
        return words;
    }
}

/* Sets or clears the bits of [address, address + bytes), and checks that they were the opposite. */
static void shadow(const void *block, size_t bytes, bool taken)
{
    uintptr_t at = (uintptr_t)block / 16, end = ((uintptr_t)block + bytes + 15) / 16;
    while (at < end) {
        _Atomic uint64_t *words = chunk_words(at * 16);
        uintptr_t chunk_end = ((at * 16 >> CHUNK_SHIFT) + 1) << (CHUNK_SHIFT - 4);
        uintptr_t stop = end < chunk_end ? end : chunk_end;
        while (at < stop) {
            unsigned first = (unsigned)(at % 64);
            size_t count = stop - at < 64 - first ? stop - at : 64 - first;
            uint64_t bits = (count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1) << first;
            _Atomic uint64_t *word = &words[at / 64 % CHUNK_WORDS];
            uint64_t before = taken ? atomic_fetch_or_explicit(word, bits, memory_order_relaxed)
                                    : atomic_fetch_and_explicit(word, ~bits, memory_order_relaxed);
            CHECK((before & bits) == (taken ? 0 : bits)); /* else: two blocks overlap */
            at += count;
        }
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef enum kind { BY_MALLOC, BY_ALIGNED, BY_NEW, BY_NEW_ALIGNED } kind;

typedef struct block {
    void *at;
    size_t bytes;    /* as asked for */
    size_t writable; /* usable size, marked in the shadow */
    size_t align;
    uint64_t tag;
    kind kind;
} block;

typedef struct player {
    pthread_t thread;
    uint64_t random, ops, allocations;
    block *slot;
    unsigned slots;
} player;

static void admit(player *p, block *b, size_t bytes, size_t align, kind kind)
{
    CHECK(b->at != NULL);
    CHECK((uintptr_t)b->at % (align > 16 ? align : 16) == 0);
    b->bytes = bytes;
    b->align = align;
    b->kind = kind;
    b->writable = FH(malloc_usable_size)(b->at);
    CHECK(b->writable >= bytes);
    shadow(b->at, b->writable, true);
    b->tag = mix((uintptr_t)b->at ^ bytes ^ next_random(&p->random));
    fill(b->at, b->writable, b->tag); /* all that may be written is written (F90) */
}

/* The contents are whole, and the block is nobody's from here on. */
static void dismiss(const block *b)
{
    CHECK(FH(malloc_usable_size)(b->at) == b->writable);
    CHECK(filled_as(b->at, b->writable, b->writable, b->tag));
    shadow(b->at, b->writable, false);
}

/* Mostly small, as in programs; one in fifty up to the limit. */
static size_t any_size(player *p)
{
    size_t small = 24 * 1024;
    bool large = random_below(&p->random, 50) == 0 || set.limit < small;
    return random_size(&p->random, large ? set.limit : small);
}

static const char nothrow_tag;

static void allocate(player *p, block *b)
{
    size_t bytes = random_below(&p->random, 200) == 0 ? 0 : any_size(p);
    size_t align = (size_t)1 << random_below(&p->random, random_below(&p->random, 20) ? 9 : 18);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    p->allocations++;
    switch (random_below(&p->random, 24)) {
    case 0:
    case 1:
    case 2: {
        size_t size = 1 + random_below(&p->random, 64), count = bytes / size;
        b->at = FH(calloc)(count, size);
        CHECK(b->at != NULL && reads_zero(b->at, count * size));
        admit(p, b, count * size, 1, BY_MALLOC);
        return;
    }
    case 3:
        b->at = FH(realloc)(NULL, bytes);
        break;
    case 4:
        b->at = FH(reallocarray)(NULL, bytes, 1);
        break;
    case 5:
        b->at = NULL;
        CHECK(FH(reallocarr)(&b->at, bytes + 1, 1) == 0);
        break;
    case 6:
        align = align < sizeof(void *) ? sizeof(void *) : align;
        CHECK(FH(posix_memalign)(&b->at, align, bytes) == 0);
        admit(p, b, bytes, align, BY_ALIGNED);
        return;
    case 7:
        b->at = FH(aligned_alloc)(align, bytes);
        admit(p, b, bytes, align, BY_ALIGNED);
        return;
    case 8:
        b->at = FH(memalign)(align, bytes);
        admit(p, b, bytes, align, BY_ALIGNED);
        return;
    case 9:
        b->at = FH(valloc)(bytes);
        admit(p, b, bytes, page, BY_ALIGNED);
        return;
    case 10:
        b->at = FH(pvalloc)(bytes);
        admit(p, b, bytes == 0 ? page : (bytes + page - 1) / page * page, page, BY_ALIGNED);
        return;
    case 11:
        b->at = random_below(&p->random, 2) ? FH_CXX(_Znwm)(bytes) : FH_CXX(_Znam)(bytes);
        admit(p, b, bytes, 1, BY_NEW);
        return;
    case 12:
        b->at = random_below(&p->random, 2) ? FH_CXX(_ZnwmRKSt9nothrow_t)(bytes, &nothrow_tag)
                                            : FH_CXX(_ZnamRKSt9nothrow_t)(bytes, &nothrow_tag);
        admit(p, b, bytes, 1, BY_NEW);
        return;
    case 13:
        b->at = random_below(&p->random, 2) ? FH_CXX(_ZnwmSt11align_val_t)(bytes, align)
                                            : FH_CXX(_ZnamSt11align_val_t)(bytes, align);
        admit(p, b, bytes, align, BY_NEW_ALIGNED);
        return;
    case 14:
        b->at = random_below(&p->random, 2)
                    ? FH_CXX(_ZnwmSt11align_val_tRKSt9nothrow_t)(bytes, align, &nothrow_tag)
                    : FH_CXX(_ZnamSt11align_val_tRKSt9nothrow_t)(bytes, align, &nothrow_tag);
        admit(p, b, bytes, align, BY_NEW_ALIGNED);
        return;
    default:
        b->at = FH(malloc)(bytes);
        if (bytes != 0)
            CHECK(FH(malloc_usable_size)(b->at) >= FH(malloc_good_size)(bytes));
    }
    admit(p, b, bytes, 1, BY_MALLOC);
}

static void release_c(player *p, block *b)
{
    size_t choice = random_below(&p->random, 8);
    if (choice == 0 && b->kind == BY_MALLOC)
        FH(free_sized)(b->at, b->bytes);
    else if (choice <= 2 && b->kind == BY_ALIGNED)
        FH(free_aligned_sized)(b->at, b->align, b->bytes);
    else if (choice == 3)
        FH(cfree)(b->at);
    else if (choice == 4)
        CHECK(FH(realloc)(b->at, 0) == NULL);
    else
        FH(free)(b->at);
}

static void release_cxx(player *p, block *b)
{
    bool many = random_below(&p->random, 2) != 0, sized = random_below(&p->random, 2) != 0;
    if (b->kind == BY_NEW_ALIGNED && sized)
        (many ? FH_CXX(_ZdaPvmSt11align_val_t) : FH_CXX(_ZdlPvmSt11align_val_t))(
            b->at, b->bytes, b->align);
    else if (b->kind == BY_NEW_ALIGNED)
        (many ? FH_CXX(_ZdaPvSt11align_val_t) : FH_CXX(_ZdlPvSt11align_val_t))(b->at, b->align);
    else if (sized)
        (many ? FH_CXX(_ZdaPvm) : FH_CXX(_ZdlPvm))(b->at, b->bytes);
    else
        (many ? FH_CXX(_ZdaPv) : FH_CXX(_ZdlPv))(b->at);
}

static void release(player *p, block *b)
{
    dismiss(b);
    errno = 4711;
    if (b->kind == BY_NEW || b->kind == BY_NEW_ALIGNED)
        release_cxx(p, b);
    else
        release_c(p, b);
    CHECK(errno == 4711);
    b->at = NULL;
}

static void resize(player *p, block *b)
{
    size_t bytes = any_size(p);
    switch (random_below(&p->random, 4)) {
    case 0: /* about as large: it may stay, or move by a class */
        bytes = b->bytes + random_below(&p->random, 64);
        break;
    case 1:
        bytes = b->bytes - random_below(&p->random, b->bytes / 2 + 1);
        break;
    }
    bytes = bytes == 0 ? 1 : bytes > set.limit ? set.limit : bytes;
    block old = *b;
    dismiss(b);
    switch (random_below(&p->random, 4)) {
    case 0:
        b->at = FH(reallocarray)(b->at, 1, bytes);
        break;
    case 1:
        CHECK(FH(reallocarr)(&b->at, bytes, 1) == 0);
        break;
    default:
        b->at = FH(realloc)(b->at, bytes);
    }
    CHECK(b->at != NULL);
    size_t kept = bytes < old.bytes ? bytes : old.bytes;
    CHECK(filled_as(b->at, kept, old.writable, old.tag));
    if (bytes <= old.writable && bytes >= old.bytes) /* T9: within the same rounded size it stays */
        CHECK(b->at == old.at || bytes < old.writable / 2);
    admit(p, b, bytes, 1, BY_MALLOC);
}

/* T1: what cannot be is refused, with errno, and changes nothing. */
static void ask_too_much(player *p, block *b)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX / 2 + 1,
        /* With 32 bits, half of the address space may be there. */
        SIZE_MAX > UINT32_MAX ? (size_t)PTRDIFF_MAX : SIZE_MAX,
        SIZE_MAX > UINT32_MAX ? (size_t)PTRDIFF_MAX - 8192 : SIZE_MAX - 1};
    volatile size_t bytes = sizes[random_below(&p->random, sizeof sizes / sizeof sizes[0])];
    size_t align = (size_t)16 << random_below(&p->random, 12);
    void *result = NULL;
    errno = 0;
    switch (random_below(&p->random, 10)) {
    case 0:
        CHECK(FH(malloc)(bytes) == NULL);
        break;
    case 1:
        CHECK(FH(calloc)(1, bytes) == NULL);
        break;
    case 2:
        CHECK(FH(calloc)(bytes / 3 + 1, 7) == NULL);
        break;
    case 3:
        CHECK(FH(aligned_alloc)(align, bytes) == NULL);
        break;
    case 4:
        CHECK(FH(posix_memalign)(&result, align, bytes) == ENOMEM && result == NULL);
        return;
    case 5:
        CHECK(FH(pvalloc)(bytes) == NULL && FH(valloc)(bytes) == NULL);
        break;
    case 6:
        CHECK(FH_CXX(_ZnwmRKSt9nothrow_t)(bytes, &nothrow_tag) == NULL);
        break;
    case 7:
        if (b->at == NULL || b->kind >= BY_NEW)
            return;
        CHECK(FH(realloc)(b->at, bytes) == NULL);
        CHECK(filled_as(b->at, b->writable, b->writable, b->tag));
        break;
    case 8:
        CHECK(FH(reallocarray)(b->kind >= BY_NEW ? NULL : b->at, bytes / 2, 5) == NULL);
        break;
    default:
        if (b->at == NULL || b->kind >= BY_NEW)
            return;
        CHECK(FH(reallocarr)(&b->at, bytes, 1) != 0);
        CHECK(filled_as(b->at, b->writable, b->writable, b->tag));
        return;
    }
    CHECK(errno == ENOMEM);
}

/* ---- the pool between threads ---------------------------------------------------------------- */

#define POOL 4096
static struct {
    pthread_mutex_t lock;
    block block[POOL];
    unsigned count;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool pool_put(block b)
{
    pthread_mutex_lock(&pool.lock);
    bool room = pool.count < POOL;
    if (room)
        pool.block[pool.count++] = b;
    pthread_mutex_unlock(&pool.lock);
    return room;
}

static bool pool_get(player *p, block *b)
{
    pthread_mutex_lock(&pool.lock);
    bool any = pool.count != 0;
    if (any) {
        unsigned i = (unsigned)random_below(&p->random, pool.count);
        *b = pool.block[i];
        pool.block[i] = pool.block[--pool.count];
    }
    pthread_mutex_unlock(&pool.lock);
    return any;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void check_all(void)
{
#if WITH_INTERNALS
    CHECK_SOUND(freehold__heap_check(&freehold__process_heap));
#endif
}

static void step(player *p)
{
    /* What is held swings: in every third phase nothing is allocated, so that slabs empty and spans
     * go back. */
    bool ebb = (p->ops >> 13) % 3 == 2;
    block *b = &p->slot[random_below(&p->random, p->slots)];
    size_t choice = random_below(&p->random, 1000);
    /* seldom: a refusal gives all free memory back first */
    if (choice < 3 && random_below(&p->random, 20) == 0) {
        ask_too_much(p, b);
    } else if (choice == 3 && random_below(&p->random, 50) == 0) {
        FH(malloc_trim)(0);
    } else if (b->at == NULL) {
        if (ebb)
            return;
        if (set.threads < 2 || choice % 16 != 0 || !pool_get(p, b))
            allocate(p, b);
    } else if (choice < 200 && !ebb && b->kind < BY_NEW) {
        resize(p, b);
    } else if (set.threads > 1 && choice < 400 && pool_put(*b)) {
        b->at = NULL;
    } else {
        release(p, b);
    }
}

static void *play(void *argument)
{
    player *p = argument;
    for (p->ops = 0; p->ops < set.ops / set.threads / set.waves; p->ops++) {
        step(p);
        if (set.threads == 1 && set.check != 0 && p->ops % set.check == 0)
            check_all();
    }
    for (unsigned i = 0; i < p->slots; i++)
        if (p->slot[i].at != NULL && (set.threads == 1 || !pool_put(p->slot[i])))
            release(p, &p->slot[i]);
    return NULL;
}

static void empty_pool(player *p)
{
    while (pool.count != 0)
        release(p, &pool.block[--pool.count]);
}

static void run(void)
{
    enum { SLOTS = 2000, THREADS = 16 };
    static player players[THREADS];
    CHECK(set.threads >= 1 && set.threads <= THREADS);
    for (unsigned wave = 0; wave < set.waves; wave++) {
        for (unsigned i = 0; i < set.threads; i++) {
            player *p = &players[i];
            p->random = mix(set.seed + wave * 1000 + i);
            p->slots = SLOTS / set.threads;
            if (p->slot == NULL)
                p->slot = map_zero(p->slots * sizeof(block));
            memset(p->slot, 0, p->slots * sizeof(block));
            if (set.threads == 1)
                play(p);
            else
                CHECK(pthread_create(&p->thread, NULL, play, p) == 0);
        }
        for (unsigned i = 0; i < set.threads && set.threads > 1; i++)
            pthread_join(players[i].thread, NULL);
        check_all();
    }
    empty_pool(&players[0]);
    check_all();
}

static void books_balance(void)
{
#if WITH_INTERNALS && FREEHOLD_PREFIXED
    freehold__heap_stats stats = freehold__heap_count(&freehold__process_heap);
    CHECK(stats.live_bytes == 0);
    CHECK(stats.allocations == stats.frees);
    CHECK(stats.allocations > 0);
#endif
}

static void set_retain(const char *word)
{
#if WITH_INTERNALS
    freehold__retain mode = strcmp(word, "never") == 0       ? FREEHOLD__RETAIN_NEVER
                            : strcmp(word, "immediate") == 0 ? FREEHOLD__RETAIN_IMMEDIATE
                                                             : FREEHOLD__RETAIN_DECAY;
    freehold__process_heap.pages.retain = mode;
    freehold__process_heap.pages.large.retain = mode;
#else
    (void)word;
#endif
}

int main(int argc, char **argv)
{
    set.seed = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    const char *retain = "decay";
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        uint64_t number = strtoull(value, NULL, 0);
        if (strcmp(name, "--seed") == 0)
            set.seed = number;
        else if (strcmp(name, "--ops") == 0)
            set.ops = number;
        else if (strcmp(name, "--check") == 0)
            set.check = number;
        else if (strcmp(name, "--threads") == 0)
            set.threads = (unsigned)number;
        else if (strcmp(name, "--waves") == 0)
            set.waves = (unsigned)number;
        else if (strcmp(name, "--limit") == 0)
            set.limit = number;
        else if (strcmp(name, "--retain") == 0)
            set_retain(retain = value);
        else
            CHECK(!"an option that is known");
    }
    snprintf(test_replay, sizeof test_replay,
        "%s --seed %llu --ops %llu --threads %u --waves %u --check %llu --limit %zu --retain %s",
        argv[0], (unsigned long long)set.seed, (unsigned long long)set.ops, set.threads, set.waves,
        (unsigned long long)set.check, set.limit, retain);
    printf("%s\n", test_replay);
    fflush(stdout);
    chunks = map_zero(CHUNKS * sizeof(chunk));
    run();
    books_balance();
    return 0;
}
