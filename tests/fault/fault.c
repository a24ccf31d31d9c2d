/* SPDX-License-Identifier: MIT */
/*
 * Failure injected at every call of the port in turn (T16).
 *
 * A script of allocations runs once without failure, to count the calls of the port that may fail.
 * Then it runs again for each of them, in a heap of its own: once with this call alone failing,
 * once with all from this one on. Whatever fails must be NULL with ENOMEM and nothing else: old
 * contents stand, the validator is content, the script can go on, memory that is there can still be
 * freed and used. At the end the heap is released, and not one byte is mapped more than before.
 */
#define _GNU_SOURCE 1
#include "../unit/family.h"

#include <pthread.h>

#include "malloc/process.h"
#include "port/fault.h"

#define SLOTS 420

static struct {
    void *at;
    size_t bytes;
    uint64_t tag;
} slot[SLOTS];

/* Of large blocks the first pages are enough: what is tested is the calls. */
#define FILLED 8192u

static size_t filled(size_t bytes)
{
    return bytes < FILLED ? bytes : FILLED;
}

static unsigned failures; /* requests that were refused in this run */

static void heap_is_sound(void)
{
    CHECK_SOUND(freehold__heap_check(&freehold__process_heap));
}

/* A request was answered: either all is well, or NULL, ENOMEM and a sound heap. */
static bool answered(unsigned i, void *at, size_t bytes)
{
    if (at == NULL) {
        CHECK(errno == ENOMEM);
        failures++;
        heap_is_sound();
        return false;
    }
    slot[i].at = at;
    slot[i].bytes = bytes;
    slot[i].tag = mix((uintptr_t)at ^ i);
    fill(at, filled(bytes), slot[i].tag);
    return true;
}

static void take(unsigned i, size_t bytes)
{
    errno = 0;
    answered(i, FH(malloc)(bytes), bytes);
}

static void take_zeroed(unsigned i, size_t bytes)
{
    errno = 0;
    void *at = FH(calloc)(bytes, 1);
    CHECK(at == NULL || reads_zero(at, bytes));
    answered(i, at, bytes);
}

static void take_aligned(unsigned i, size_t align, size_t bytes)
{
    errno = 0;
    void *at = FH(aligned_alloc)(align, bytes);
    CHECK((uintptr_t)at % align == 0);
    answered(i, at, bytes);
}

static void check_contents(unsigned i)
{
    size_t bytes = filled(slot[i].bytes);
    CHECK(slot[i].at == NULL || filled_as(slot[i].at, bytes, bytes, slot[i].tag));
}

static void change(unsigned i, size_t bytes)
{
    if (slot[i].at == NULL)
        return;
    check_contents(i);
    errno = 0;
    void *at = FH(realloc)(slot[i].at, bytes);
    if (at == NULL) {
        CHECK(errno == ENOMEM);
        CHECK(bytes > slot[i].bytes); /* shrinking does not fail */
        failures++;
        check_contents(i);
        heap_is_sound();
        return;
    }
    size_t kept = bytes < slot[i].bytes ? bytes : slot[i].bytes;
    CHECK(filled_as(at, filled(kept), filled(slot[i].bytes), slot[i].tag));
    answered(i, at, bytes);
}

static void drop(unsigned i)
{
    check_contents(i);
    errno = 4711;
    FH(free)(slot[i].at);
    CHECK(errno == 4711);
    slot[i].at = NULL;
}

/* ---- the script ------------------------------------------------------------------------------ */

static void *thread_script(void *unused)
{
    (void)unused;
    for (unsigned i = 300; i < 340; i++)
        take(i, 100 + i * 7);
    for (unsigned i = 300; i < 320; i++)
        drop(i);
    for (unsigned i = 200; i < 220; i++)
        drop(i); /* another thread's */
    take(340, 2000000);
    return NULL; /* leaves 320 to 340 behind */
}

static void in_a_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, thread_script, NULL) == 0);
    pthread_join(thread, NULL);
}

static void script(void)
{
    for (unsigned i = 0; i < 100; i++) /* every class, and several slabs of some */
        take(i, 1 + i * i * i / 2);
    for (unsigned i = 100; i < 140; i++)
        take(i, 100000 + 10000 * (i - 100));
    for (unsigned i = 140; i < 150; i++)
        take(i, 600000 + 100000 * (i - 140));
    for (unsigned i = 150; i < 170; i++)
        take_aligned(i, (size_t)16 << (i - 150), 3000 * (i - 149));
    for (unsigned i = 170; i < 200; i++)
        take_zeroed(i, 5000 * (i - 169) * (i - 169));
    for (unsigned i = 200; i < 240; i++)
        take(i, 320);
    in_a_thread();
    for (unsigned i = 0; i < 200; i += 2)
        drop(i);
    /* growth: in place, to another class, into a large block, by remap */
    for (unsigned i = 1; i < 200; i += 4)
        change(i, slot[i].bytes * 3 + 50);
    for (unsigned i = 3; i < 200; i += 4)
        change(i, slot[i].bytes / 3 + 1);
    FH(malloc_trim)(0);
    heap_is_sound();
    for (unsigned i = 240; i < 300; i++) /* the hash of large blocks grows */
        take(i, 530000);
    for (unsigned i = 320; i < 341; i++)
        drop(i); /* of a thread that has exited */
    in_a_thread();
    take_zeroed(341, 3000000);
    change(341, 40000000);
    change(341, 100);
    FH(malloc_trim)(0);
    for (unsigned i = 360; i < 400; i++) /* what could not be purged is not taken for zero */
        take_zeroed(i, 300 * (i - 359) * (i - 359));
}

/* ---- one run in a heap of its own ------------------------------------------------------------ */

static uint64_t run(uint64_t first, uint64_t count)
{
    uint64_t mapped = freehold__fault_mapped();
    failures = 0;
    freehold__fault_own_clock();
    freehold__fault_set(first, count);
    script();
    uint64_t calls = freehold__fault_calls();
    freehold__fault_set(0, 0);
    heap_is_sound();

    /* The failure is over: everything works again, and what was refused has left nothing behind. */
    for (unsigned i = 342; i < 360; i++) {
        take(i, (size_t)1 << (i - 342 + 3));
        CHECK(slot[i].at != NULL);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        drop(i);
    heap_is_sound();
    freehold__heap_stats stats = freehold__heap_count(&freehold__process_heap);
    CHECK(stats.live_bytes == 0);
    CHECK(stats.allocations == stats.frees);
    FH(malloc_trim)(0);
    heap_is_sound();
    stats = freehold__heap_count(&freehold__process_heap);
    CHECK(stats.retained_bytes == 0);

    freehold__heap_release(&freehold__process_heap);
    freehold__thread_lane = &freehold__no_lane;
    CHECK(freehold__fault_mapped() == mapped);
    return calls;
}

/*
 * Memory is out, and stays out: the port refuses all, and every class is taken to its last slot.
 * What is there can be shrunk (it stays where it is, or moves into what is free), looked at and
 * freed.
 */
static void run_full(void)
{
    enum { ENDS = 64 };
    void *chain = NULL, *large[ENDS], *small[ENDS];
    uint64_t mapped = freehold__fault_mapped();
    void *grows = FH(malloc)(10240), *room = FH(malloc)(12288);
    fill(grows, 10240, 77);
    for (unsigned i = 0; i < ENDS; i++) {
        large[i] = FH(malloc)(600000 + 8192 * i);
        small[i] = FH(malloc)(5000);
        fill(large[i], 4096, i);
        fill(small[i], 5000, i);
    }
    freehold__fault_set(1, UINT64_MAX);
    for (unsigned index = FREEHOLD__CLASSES; index-- > 0;) {
        void *at;
        while ((at = FH(malloc)(freehold__size_classes[index].size)) != NULL) {
            *(void **)at = chain;
            chain = at;
        }
        CHECK(errno == ENOMEM);
    }
    heap_is_sound();
    /* What grows by little is given more than it asks for; but when that cannot be had, what it asks for. */
    FH(free)(room);
    grows = FH(realloc)(grows, 10241);
    CHECK(grows != NULL && filled_as(grows, 10240, 10240, 77));
    for (unsigned i = 0; i < ENDS; i++) {
        errno = 4711;
        large[i] = FH(realloc)(large[i], 300000 - 4096 * i);
        small[i] = FH(realloc)(small[i], 1 + 31 * i);
        CHECK(large[i] != NULL && filled_as(large[i], 4096, 4096, i));
        CHECK(small[i] != NULL && filled_as(small[i], 1 + 31 * i, 5000, i));
        CHECK(FH(realloc)(large[i], 90000000) == NULL && errno == ENOMEM);
        CHECK(filled_as(large[i], 4096, 4096, i));
    }
    heap_is_sound();
    while (chain != NULL) {
        void *next = *(void **)chain;
        FH(free)(chain);
        chain = next;
    }
    FH(free)(grows);
    for (unsigned i = 0; i < ENDS; i++) {
        FH(free)(large[i]);
        FH(free)(small[i]);
    }
    heap_is_sound();
    CHECK(freehold__heap_count(&freehold__process_heap).live_bytes == 0);
    freehold__fault_set(0, 0);
    freehold__heap_release(&freehold__process_heap);
    freehold__thread_lane = &freehold__no_lane;
    CHECK(freehold__fault_mapped() == mapped);
}

int main(int argc, char **argv)
{
    /* Every STRIDE-th call, beginning with a different one each time it is run with another OFFSET.
     * */
    uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t offset = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
    uint64_t refused = 0, runs = 0;
    run_full();
    uint64_t calls = run(0, 0);
    CHECK(failures == 0);
    CHECK(run(0, 0) == calls); /* the same in each run, or counting them would mean little */
    for (uint64_t call = 1 + offset % stride; call <= calls; call += stride, runs++) {
        snprintf(test_replay, sizeof test_replay, "call %llu of %llu alone",
            (unsigned long long)call, (unsigned long long)calls);
        run(call, 1);
        refused += failures;
        snprintf(test_replay, sizeof test_replay, "call %llu of %llu and all after it",
            (unsigned long long)call, (unsigned long long)calls);
        run(call, UINT64_MAX);
        CHECK(failures != 0 || call + 100 > calls); /* it did fail */
        refused += failures;
    }
    printf("%llu calls of the port, %llu failed in turn; %llu requests refused\n",
        (unsigned long long)calls, (unsigned long long)runs, (unsigned long long)refused);
    return 0;
}
