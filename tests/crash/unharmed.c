/* SPDX-License-Identifier: MIT */
/*
 * T20: a misuse changes nothing. Every kind through every entry point, one after the other in this
 * one process, with a handler that leaves by longjmp: the kind is the right one, what the heap
 * counts is as before, live blocks keep their contents, the validator finds nothing, and allocation
 * goes on.
 */
#define _GNU_SOURCE 1
#include "cases.h"

#include <pthread.h>
#include <setjmp.h>

#include "../malloc/check.h"
#include "malloc/process.h"

#define LIVE        60 /* few enough that the last granule of the section is never used */
#define CHECK_EVERY 16 /* misuses */

static void *live[LIVE];
static size_t live_size[LIVE];
static _Thread_local jmp_buf back;
static const misuse *now;
static const entry *through;
static given chosen;
static unsigned done;

static void leave(const freehold_report *report)
{
    CHECK(report->pointer == chosen.pointer);
    CHECK(strcmp(report->function, through->reported) == 0);
    longjmp(back, 1 + (int)report->kind);
}

static size_t size_of(int i)
{
    static const size_t sizes[] = {
        1, 16, 100, 112, 200, 1000, 1024, 3000, 10000, 100000, 400000, (size_t)1 << 20};
    return sizes[i % (int)(sizeof sizes / sizeof sizes[0])];
}

static void live_check(void)
{
    for (int i = 0; i < LIVE; i++)
        CHECK(filled(live[i], live_size[i], (uint64_t)i));
}

/* Allocation goes on: a third of the blocks are replaced. */
static void live_change(void)
{
    for (int i = (int)(done % 3); i < LIVE; i += 3) {
        free(live[i]);
        live[i] = malloc(live_size[i]);
        CHECK(live[i] != NULL);
        fill(live[i], live_size[i], (uint64_t)i);
    }
}

/* In a heap that has been used, a remote free may or may not have been collected yet. */
static int same_kind(freehold_misuse a, freehold_misuse b)
{
    return a == b || (a <= FREEHOLD_REMOTE_DOUBLE_FREE && b <= FREEHOLD_REMOTE_DOUBLE_FREE);
}

static void *give(void *unused)
{
    (void)unused;
    freehold__heap_stats before = freehold__heap_count(&freehold__process_heap);
    int kind = setjmp(back);
    if (kind == 0)
        through->call(chosen);
    freehold__heap_stats after = freehold__heap_count(&freehold__process_heap);
    if (kind == 0 || !same_kind((freehold_misuse)(kind - 1), now->kind)) {
        dprintf(2, "%s %s: reported %d, expected %d\n", now->name, through->name, kind - 1,
            (int)now->kind);
        _exit(1);
    }
    CHECK(after.live_bytes == before.live_bytes);
    CHECK(after.used_bytes == before.used_bytes);
    CHECK(after.allocations == before.allocations);
    CHECK(after.frees == before.frees);
    CHECK(after.mapped_bytes == before.mapped_bytes);
    return NULL;
}

static void provoke(const misuse *m, const entry *e)
{
    now = m;
    through = e;
    chosen = m->make();
    if (!m->from_thread) {
        give(NULL);
    } else {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, give, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    if (++done % CHECK_EVERY != 0)
        return;
    live_check();
    live_change();
    const char *wrong = freehold__heap_check(&freehold__process_heap);
    if (wrong != NULL) {
        dprintf(2, "after %s %s: %s\n", m->name, e->name, wrong);
        _exit(1);
    }
}

int main(void)
{
    if (sizeof(void *) < 8) {
        puts("skipped: all cases in one process need more than 4 GiB");
        return 77;
    }
    for (int i = 0; i < LIVE; i++) {
        live_size[i] = size_of(i);
        live[i] = malloc(live_size[i]);
        fill(live[i], live_size[i], (uint64_t)i);
    }
    freehold_set_fatal_handler(leave);
    for (size_t i = 0; i < misuse_count; i++)
        for (size_t j = 0; j < entry_count; j++)
            if (entries[j].takes >= misuses[i].least)
                provoke(&misuses[i], &entries[j]);
    live_check();
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    CHECK(freehold_set_fatal_handler(NULL) == leave);
    printf("%u misuses, nothing changed\n", done);
    return 0;
}
