/* SPDX-License-Identifier: MIT */
/*
 * What the process heap has counted, in the forms that people and programs ask for: one line of
 * JSON at exit, and glibc's mallinfo, malloc_stats and malloc_info.
 */
#define _GNU_SOURCE 1
#include "malloc/gnu.h"
#include "malloc/process.h"

#include <stdio.h>
#include <string.h>

/* Whether this is a signal handler that has interrupted who holds what counting needs. */
static bool is_interrupted(void)
{
    const freehold__heap *heap = &freehold__process_heap;
    const freehold__lane *mine = freehold__thread_lane;
    if (freehold__lock_is_mine(&heap->lock) || freehold__lock_is_mine(&heap->tend_lock) ||
        freehold__lock_is_mine(&heap->pages.lock) ||
        freehold__lock_is_mine(&heap->pages.purge_lock) ||
        freehold__large_interrupted(&heap->pages.large))
        return true;
    for (const freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next)
        if (freehold__lock_is_mine(&lane->guard))
            return true;
    return mine->heap != NULL && atomic_load(&mine->inside) != 0;
}

static freehold__heap_stats count(void)
{
    if (freehold__unlikely(is_interrupted()))
        freehold__unsafe_call("from a signal handler that has interrupted the allocator");
    return freehold__heap_count(&freehold__process_heap);
}

/* ---- the line at exit ------------------------------------------------------------------------ */

static void add_number(freehold__text *text, const char *name, uint64_t value)
{
    freehold__text_add(text, ",\"");
    freehold__text_add(text, name);
    freehold__text_add(text, "\":");
    freehold__text_decimal(text, value);
}

/* As it was before the program changed its title. Constructors run when libc knows it, and before
 * main. */
static char program_name[64];

__attribute__((constructor)) static void note_program_name(void)
{
    const char *name = program_invocation_short_name;
    for (size_t i = 0; i + 1 < sizeof program_name && name[i] != '\0'; i++)
        program_name[i] = name[i];
}

/* How many bytes the character has that the text begins with; 0: it is no UTF-8 (RFC 3629, section 4). */
static unsigned character(const unsigned char *text)
{
    unsigned char first = text[0], second = first < 0xc2 ? 0 : text[1];
    unsigned bytes = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;
    for (unsigned i = 1; i < bytes; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return bytes;
}

/* What is between the quotes of a string of JSON: what cannot be there as it is, is "_". */
static void add_string(freehold__text *text, const char *string)
{
    while (*string != '\0') {
        unsigned bytes = character((const unsigned char *)string);
        char one[5] = "_";
        if (bytes != 0 && (unsigned char)*string >= ' ' && *string != '"' && *string != '\\')
            memcpy(one, string, bytes);
        freehold__text_add(text, one);
        string += bytes != 0 ? bytes : 1;
    }
}

/* Writes each class that has slabs: size, slots in use, slabs, bytes, between the words. */
static void each_class(const char *const words[5],
    void (*write)(void *context, const freehold__text *text), void *context)
{
    freehold__class_stats classes[FREEHOLD__CLASSES];
    freehold__heap_count_classes(&freehold__process_heap, classes);
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) {
        const size_t numbers[4] = {
            freehold__size_classes[i].size, classes[i].live, classes[i].slabs, classes[i].bytes};
        freehold__text text = {.length = 0};
        for (unsigned n = 0; n < 4; n++) {
            freehold__text_add(&text, words[n]);
            freehold__text_decimal(&text, numbers[n]);
        }
        freehold__text_add(&text, words[4]);
        if (classes[i].slabs != 0)
            write(context, &text);
    }
}

/* The line, as long as it can be: it is written at once, so that those of several processes do not
 * mix. */
typedef struct line {
    char bytes[10240];
    size_t length;
} line;

_Static_assert(
    sizeof((line *)NULL)->bytes >=
        FREEHOLD__CLASSES * (sizeof ",{\"size\":,\"live\":,\"slabs\":,\"bytes\":}" + 6 + 3 * 20) +
            2 * sizeof((freehold__text *)NULL)->bytes,
    "the line has room for every class, and for two texts");

static void line_add(line *l, const freehold__text *text)
{
    memcpy(l->bytes + l->length, text->bytes, text->length);
    l->length += text->length;
}

/* Each begins with a comma, which the first one does without. */
static void line_add_class(void *whole, const freehold__text *text)
{
    line *l = whole;
    size_t skipped = l->bytes[l->length - 1] == '[';
    memcpy(l->bytes + l->length, text->bytes + skipped, text->length - skipped);
    l->length += text->length - skipped;
}

static void complain(const char *why)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: the statistics could not be written to ");
    freehold__text_add(&text, freehold__process_options.stats);
    freehold__text_add(&text, why);
    freehold__text_add(&text, "\n");
    freehold__port_write(text.bytes, text.length);
}

void freehold__stats_write(void)
{
    static const char *const words[5] = {
        ",{\"size\":", ",\"live\":", ",\"slabs\":", ",\"bytes\":", "}"};
    if (is_interrupted()) {
        complain(
            ": a signal handler has called exit in the midst of an allocation, a free or the like");
        return;
    }
    freehold__heap_stats stats = count();
    freehold__text numbers = {.length = 0}, head = {.length = 0};
    freehold__text_add(&head, "{\"freehold\":\"0.1.0\"");
    add_number(&head, "pid", freehold__port_process_id());
    freehold__text_add(&head, ",\"program\":\"");
    add_string(&head, program_name);
    freehold__text_add(&head, "\"");
    add_number(&numbers, "allocations", stats.allocations);
    add_number(&numbers, "frees", stats.frees);
    add_number(&numbers, "live_bytes", stats.live_bytes);
    add_number(&numbers, "peak_bytes", stats.peak_bytes);
    add_number(&numbers, "mapped_bytes", stats.mapped_bytes);
    add_number(&numbers, "resident_retained_bytes", stats.retained_bytes);
    add_number(&numbers, "purged_bytes", stats.purged_bytes);
    add_number(&numbers, "threads", stats.lanes);
    add_number(&numbers, "large_allocations", stats.large_allocations);
    freehold__text_add(&numbers, ",\"classes\":[");
    freehold__text end = {.length = 0};
    freehold__text_add(&end, "]}\n");

    line whole = {.length = 0};
    line_add(&whole, &head);
    line_add(&whole, &numbers);
    each_class(words, line_add_class, &whole);
    line_add(&whole, &end);
    if (!freehold__port_append(freehold__process_options.stats, whole.bytes, whole.length))
        complain("");
}

/* ---- glibc's interfaces ---------------------------------------------------------------------- */

FREEHOLD__EXPORT struct mallinfo2 FREEHOLD__ENTRY(mallinfo2)(void)
{
    freehold__heap_stats stats = count();
    freehold__pages *pages = &freehold__process_heap.pages;
    size_t spans = pages->mapped * FREEHOLD__GRANULE;
    struct mallinfo2 info = {
        .arena = spans, /* address space for small and medium blocks */
        .hblks = (size_t)(stats.large_allocations - pages->large.frees),
        .hblkhd = pages->large.live_bytes,
        .usmblks = stats.peak_bytes,
        .uordblks = stats.live_bytes,
        .fordblks = stats.mapped_bytes - stats.live_bytes,
        .keepcost = stats.retained_bytes, /* what malloc_trim could give back at most */
    };
    return info;
}

static int clamp(size_t value)
{
    return value > INT32_MAX ? INT32_MAX : (int)value;
}

/* The old form with int fields: too large values are clamped, not wrapped. */
FREEHOLD__EXPORT struct mallinfo FREEHOLD__ENTRY(mallinfo)(void)
{
    struct mallinfo2 wide = FREEHOLD__ENTRY(mallinfo2)();
    struct mallinfo info = {
        .arena = clamp(wide.arena),
        .hblks = clamp(wide.hblks),
        .hblkhd = clamp(wide.hblkhd),
        .usmblks = clamp(wide.usmblks),
        .uordblks = clamp(wide.uordblks),
        .fordblks = clamp(wide.fordblks),
        .keepcost = clamp(wide.keepcost),
    };
    return info;
}

static void write_text(void *unused, const freehold__text *text)
{
    (void)unused;
    freehold__port_write(text->bytes, text->length);
}

FREEHOLD__EXPORT void FREEHOLD__ENTRY(malloc_stats)(void)
{
    static const char *const words[5] = {
        "freehold: size ", ": slots in use = ", ", slabs = ", ", bytes = ", "\n"};
    freehold__heap_stats stats = count();
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"allocations          ", stats.allocations},
        {"frees                ", stats.frees},
        {"large allocations    ", stats.large_allocations},
        {"bytes in use         ", stats.live_bytes},
        {"bytes in spans, large", stats.used_bytes},
        {"peak of these        ", stats.peak_bytes},
        {"bytes mapped         ", stats.mapped_bytes},
        {"bytes retained       ", stats.retained_bytes},
        {"bytes purged         ", stats.purged_bytes},
        {"threads at most      ", stats.lanes},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        freehold__text text = {.length = 0};
        freehold__text_add(&text, "freehold: ");
        freehold__text_add(&text, rows[i].name);
        freehold__text_add(&text, " = ");
        freehold__text_decimal(&text, rows[i].value);
        freehold__text_add(&text, "\n");
        freehold__port_write(text.bytes, text.length);
    }
    each_class(words, write_text, NULL);
}

static void print_text(void *stream, const freehold__text *text)
{
    fputs(text->bytes, stream);
}

FREEHOLD__EXPORT int FREEHOLD__ENTRY(malloc_info)(int options, FILE *stream)
{
    static const char *const words[5] = {
        "<class size=\"", "\" live=\"", "\" slabs=\"", "\" bytes=\"", "\"/>\n"};
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    freehold__heap_stats stats = count();
    int written = fprintf(stream,
        "<malloc version=\"freehold-1\">\n"
        "<total type=\"allocated\" count=\"%llu\" size=\"%zu\"/>\n"
        "<total type=\"freed\" count=\"%llu\"/>\n"
        "<total type=\"large\" count=\"%llu\"/>\n"
        "<system type=\"current\" size=\"%zu\"/>\n"
        "<system type=\"max\" size=\"%zu\"/>\n"
        "<system type=\"retained\" size=\"%zu\"/>\n",
        (unsigned long long)stats.allocations, stats.live_bytes, (unsigned long long)stats.frees,
        (unsigned long long)stats.large_allocations, stats.mapped_bytes, stats.peak_bytes,
        stats.retained_bytes);
    each_class(words, print_text, stream);
    return written < 0 || fputs("</malloc>\n", stream) < 0 ? -1 : 0;
}
