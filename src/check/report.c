/* SPDX-License-Identifier: MIT */
/*
 * The reports of libfreehold-check.so. Who runs a program with it, `freehold run --check`, has named
 * a file and makes names of the addresses in it, when the program is gone; this process only writes
 * down what it knows, with its mappings. Without a file, or when that can no longer be written, a
 * report goes to standard error.
 */
#define _GNU_SOURCE 1
#include "check/check.h"

#include <stdio.h>
#include <stdlib.h>

static char path[256];
static freehold__debug
    *checked; /* whose lock is held while a report is written: one comes behind the other */
static unsigned most_places = 20;
static bool all;

/* ---- writing ----------------------------------------------------------------------------------- */

/* An address, for who reads the file; where that can no longer be written (the process has another root or user now),
 * people read the report, and file and offset are more to them. */
static bool plain_frame(const void *frame, char *text, size_t room)
{
    freehold__text hex = {.length = 0};
    freehold__text_hex(&hex, (uintptr_t)frame);
    if (hex.length >= room || !freehold__port_append(path, "", 0))
        return false;
    memcpy(text, hex.bytes, hex.length + 1);
    return true;
}

/* What the program calls itself, as far as it is the begin of a line: it may have written over that. */
static void add_name(freehold__text *text)
{
    const char *name = program_invocation_short_name;
    for (unsigned i = 0; i < 100 && (unsigned char)name[i] >= ' '; i++)
        freehold__text_add(text, (const char[]){name[i], '\0'});
}

/* Those of this thread: where main has ended by pthread_exit and others go on, the process as such has none. (Before
 * Linux 3.17 there was no such name.) */
static bool write_mappings(void)
{
    return freehold__port_append_copy(path, "/proc/thread-self/maps") ||
           freehold__port_append_copy(path, "/proc/self/maps");
}

static bool write_head(void)
{
    freehold__text head = {.length = 0};
    freehold__text_add(&head, "== ");
    freehold__text_decimal(&head, freehold__port_process_id());
    freehold__text_add(&head, " ");
    add_name(&head);
    freehold__text_add(&head, "\n");
    return freehold__port_append(path, head.bytes, head.length) && write_mappings() &&
           freehold__port_append(path, "--\n", 3);
}

/* The text, as a line, to the file, or else to standard error. */
static bool write_line(const char *text, bool to_file)
{
    char line[sizeof(freehold__text) + 1];
    size_t length = strlen(text);
    memcpy(line, text, length);
    line[length++] = '\n';
    if (to_file && freehold__port_append(path, line, length))
        return true;
    freehold__port_write(line, length);
    return false;
}

/* One that comes with its own mappings; whether it is in the file. The signal handler that reports may have interrupted
 * who holds the lock. */
static bool write_alone(const char *text)
{
    bool mine = freehold__lock_is_mine(&checked->lock);
    if (!mine)
        freehold__lock_take(&checked->lock);
    bool written = write_line(text, path[0] != '\0' && write_head());
    if (!mine)
        freehold__lock_drop(&checked->lock);
    return written;
}

/* A misuse ends the process. */
static void on_misuse(const freehold_report *report)
{
    write_alone(report->message);
    abort();
}

void freehold__check_report_note(const char *what)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: note: ");
    freehold__text_add(&text, what);
    write_alone(text.bytes);
}

void freehold__check_report_begin(freehold_debug *debug)
{
    checked = freehold__debug_state(debug);
    const char *report = secure_getenv("FREEHOLD_CHECK_REPORT"),
               *leaks = secure_getenv("FREEHOLD_CHECK_LEAKS"),
               *everything = secure_getenv("FREEHOLD_CHECK_ALL");
    if (report != NULL && strlen(report) < sizeof path) {
        memcpy(path, report, strlen(report) + 1);
        freehold_set_frame_namer(plain_frame);
    }
    if (leaks != NULL)
        most_places = (unsigned)strtoul(leaks, NULL, 10);
    all = everything != NULL && strcmp(everything, "1") == 0;
    freehold_set_fatal_handler(on_misuse);
}

/* ---- what was not freed, by place --------------------------------------------------------------- */

typedef struct sum {
    uint64_t blocks, bytes;
} sum;

typedef struct place {
    uintptr_t key;
    bool reachable;
    sum sum;
    uint32_t stack; /* in the depot */
} place;

typedef struct leaks {
    const freehold__debug *debug;
    freehold__reach *reach; /* NULL: what can be reached is not known */
    sum lost, reachable;
    freehold__table places;
    bool full; /* no memory for some */
} leaks;

static void add_to(sum *s, size_t bytes)
{
    s->blocks++;
    s->bytes += bytes;
}

/* The place of a stack, new or not; NULL: there is no memory. */
static place *place_of(leaks *l, uint32_t stack, bool reachable)
{
    uintptr_t key = (uintptr_t)stack << 2 | (uintptr_t)reachable << 1 | 1; /* it has 30 bits */
    place *found = freehold__table_find(&l->places, key);
    if (found != NULL || (found = freehold__table_add(&l->places, key)) == NULL)
        return found;
    found->reachable = reachable;
    found->stack = stack;
    return found;
}

static void count_block(leaks *l, const freehold__debug_block *block)
{
    bool reachable = l->reach != NULL && freehold__reach_has(l->reach, block->start);
    add_to(reachable ? &l->reachable : &l->lost, block->bytes);
    if (reachable && !all)
        return;
    place *p = place_of(l, block->allocated, reachable);
    if (p != NULL)
        add_to(&p->sum, block->bytes);
    else
        l->full = true;
}

static bool ranks_before(const place *a, const place *b)
{
    if (a->reachable != b->reachable)
        return b->reachable;
    return a->sum.bytes != b->sum.bytes ? a->sum.bytes > b->sum.bytes : a->key < b->key;
}

/* A heap, in which nobody ranks before who is above. */
static void sift(place *places, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && ranks_before(&places[child + 1], &places[child]))
            child++;
        if (!ranks_before(&places[child], &places[at]))
            return;
        place moved = places[at];
        places[at] = places[child];
        places[child] = moved;
    }
}

/* All of them as a heap, in the table's own memory: nothing is looked up in it any more. */
static place *rank(freehold__table *table)
{
    place *places = (place *)(void *)table->records, *p = NULL;
    size_t count = 0;
    while ((p = freehold__table_next(table, p)) != NULL)
        places[count++] = *p;
    for (size_t i = count / 2; i-- > 0;)
        sift(places, i, count);
    return places;
}

static void add_sum(freehold__text *text, const sum *s)
{
    freehold__text_decimal(text, s->bytes);
    freehold__text_add(text, " bytes in ");
    freehold__text_decimal(text, s->blocks);
    freehold__text_add(text, s->blocks == 1 ? " block" : " blocks");
}

static void write_place(const leaks *l, const place *p, bool to_file)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: ");
    freehold__text_add(&text, p->reachable       ? "still reachable: "
                              : l->reach == NULL ? "not freed: "
                                                 : "lost: ");
    add_sum(&text, &p->sum);
    freehold__stack stack = freehold__depot_get(&l->debug->depot, p->stack);
    freehold__text_add(&text, stack.count == 0 ? ", allocated at unknown" : ", allocated at");
    freehold__stack_text(&text, stack.frame, stack.count, FREEHOLD__STACK_WHOLE);
    write_line(text.bytes, to_file);
}

static void write_places(leaks *l, bool to_file)
{
    place *places = rank(&l->places);
    size_t more = l->places.used;
    for (unsigned listed = 0; listed < most_places && more != 0; listed++) {
        write_place(l, &places[0], to_file);
        places[0] = places[--more];
        sift(places, 0, more);
    }
    if (more == 0 && !l->full)
        return;
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: and from ");
    freehold__text_decimal(&text, more);
    freehold__text_add(&text, l->full     ? " or more other places"
                              : more == 1 ? " other place"
                                          : " other places");
    write_line(text.bytes, to_file);
}

static void write_total(const leaks *l, bool to_file)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: ");
    add_sum(&text, &l->lost);
    freehold__text_add(&text, l->reach == NULL ? " not freed" : " lost, ");
    if (l->reach != NULL) {
        add_sum(&text, &l->reachable);
        freehold__text_add(&text, " still reachable");
    }
    write_line(text.bytes, to_file);
}

/* ---- the end of the process ---------------------------------------------------------------------- */

/* Overflows of live blocks, which nobody frees any more, and what was written to those in quarantine. */
static bool write_damage(const freehold__debug *d, bool to_file)
{
    freehold__debug_walk walk = {0};
    freehold__debug_found wrong;
    freehold__debug_damage damage;
    bool any = false;
    while (freehold__debug_next_wrong(d, &walk, &wrong, &damage)) {
        freehold__text text = freehold__report_begin("exit", (void *)wrong.told.block.start);
        freehold__debug_add_damage(&text, &wrong, damage);
        write_line(text.bytes, to_file);
        any = true;
    }
    return any;
}

static void count_all(leaks *l, const freehold__debug *d, const void *stack)
{
    l->debug = d;
    l->reach = freehold__reach_begin(d, stack);
    freehold__table_init(&l->places, d->live.memory, sizeof(place), SIZE_MAX / 4);
    for (void *r = NULL; (r = freehold__table_next(&d->live, r)) != NULL;)
        count_block(l, r);
}

/* Whether this is a signal handler that has interrupted who holds what the report needs. */
static bool is_interrupted(const freehold__debug *d)
{
    const freehold__pages *pages = &freehold__process_heap.pages;
    return freehold__lock_is_mine(&d->lock) || freehold__lock_is_mine(&pages->lock) ||
           freehold__large_interrupted(&pages->large);
}

/* In a frame below that of the caller, which has the registers: they may be all that holds a block. */
__attribute__((noinline)) static void report(freehold_debug *debug)
{
    static leaks l; /* not on the stack: it leads to records */
    freehold__debug *d = freehold__debug_state(debug);
    if (is_interrupted(d)) {
        freehold__check_report_note(
            "a signal handler has called exit in the midst of an allocation, "
            "a free or the like");
        return;
    }
    freehold__lock_take(&d->lock);
    count_all(&l, d, __builtin_frame_address(0));
    bool to_file = path[0] != '\0' && write_head();
    bool found = write_damage(d, to_file);
    if (to_file || found || l.lost.blocks != 0) {
        write_places(&l, to_file);
        write_total(&l, to_file);
    }
    freehold__reach_end(l.reach);
    freehold__table_release(&l.places);
    freehold__lock_drop(&d->lock);
}

void freehold__check_report_end(freehold_debug *debug)
{
    int saved = errno;
    __builtin_unwind_init();
    report(debug);
    errno = saved;
    __asm__ volatile(
        "" ::
            : "memory"); /* no jump instead of the call: this frame has the registers */
}
