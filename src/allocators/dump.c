/* SPDX-License-Identifier: MIT */
/*
 * An allocator as lines of text, from what every allocator tells of itself: statistics, validator,
 * walk. The histogram is counted in a first walk; nothing is allocated.
 */
#include "allocators/allocator.h"
#include "base/bits.h"
#include "base/fatal.h"

typedef struct dump {
    void (*write_line)(void *context, const char *line);
    void *context;
    uint64_t count[64], bytes[64]; /* of blocks of 2^i bytes up to the next power */
} dump;

static void end_line(const dump *d, freehold__text *text)
{
    d->write_line(d->context, text->bytes);
    text->length = 0;
    text->bytes[0] = '\0';
}

static void write_number(const dump *d, const char *name, uint64_t value)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "  ");
    freehold__text_add(&text, name);
    freehold__text_add(&text, " ");
    freehold__text_decimal(&text, value);
    end_line(d, &text);
}

static void write_statistics(const dump *d, const freehold_statistics *s)
{
    write_number(d, "requested_bytes", s->requested_bytes);
    write_number(d, "allocations", s->allocations);
    write_number(d, "frees", s->frees);
    write_number(d, "reallocations", s->reallocations);
    write_number(d, "failures", s->failures);
    write_number(d, "live_bytes", s->live_bytes);
    write_number(d, "peak_live_bytes", s->peak_live_bytes);
    write_number(d, "used_bytes", s->used_bytes);
    write_number(d, "peak_bytes", s->peak_bytes);
    write_number(d, "mapped_bytes", s->mapped_bytes);
    write_number(d, "retained_bytes", s->retained_bytes);
    write_number(d, "purged_bytes", s->purged_bytes);
}

static bool count_block(void *context, void *block, size_t bytes)
{
    dump *d = context;
    (void)block;
    unsigned power = bytes != 0 ? freehold__highest_bit(bytes) : 0;
    d->count[power]++;
    d->bytes[power] += bytes;
    return true;
}

static void write_histogram(const dump *d)
{
    freehold__text text = {.length = 0};
    for (unsigned power = 0; power < 64; power++) {
        if (d->count[power] == 0)
            continue;
        freehold__text_add(&text, "  from ");
        freehold__text_decimal(&text, UINT64_C(1) << power);
        freehold__text_add(&text, " bytes: ");
        freehold__text_decimal(&text, d->count[power]);
        freehold__text_add(&text, d->count[power] == 1 ? " block, " : " blocks, ");
        freehold__text_decimal(&text, d->bytes[power]);
        freehold__text_add(&text, " bytes");
        end_line(d, &text);
    }
}

static bool write_block(void *context, void *block, size_t bytes)
{
    const dump *d = context;
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "  block ");
    freehold__text_hex(&text, (uintptr_t)block);
    freehold__text_add(&text, " ");
    freehold__text_decimal(&text, bytes);
    end_line(d, &text);
    return true;
}

static void add_place(freehold__text *text, freehold_corruption c)
{
    if (c.where != NULL) {
        freehold__text_add(text, ", at ");
        freehold__text_hex(text, (uintptr_t)c.where);
    }
    if (c.expected != c.found) {
        freehold__text_add(text, ", expected ");
        freehold__text_decimal(text, c.expected);
        freehold__text_add(text, ", found ");
        freehold__text_decimal(text, c.found);
    }
}

static void write_state(const dump *d, freehold_allocator *allocator)
{
    freehold__text text = {.length = 0};
    const char *wrong = freehold_check(allocator);
    freehold__text_add(&text, wrong != NULL ? "  wrong: " : "  nothing is wrong");
    freehold__text_add(&text, wrong != NULL ? wrong : "");
    if (wrong != NULL)
        add_place(&text, freehold_first_corrupt());
    end_line(d, &text);
}

void freehold_dump(freehold_allocator *allocator,
    void (*write_line)(void *context, const char *line), void *context, bool blocks)
{
    freehold__allocator_check(allocator, "freehold_dump");
    dump d = {.write_line = write_line, .context = context};
    freehold__text text = {.length = 0};
    freehold__text_add(&text, allocator->operations->name);
    freehold__text_add(&text, " ");
    freehold__text_hex(&text, (uintptr_t)allocator);
    freehold__text_add(&text, " alignment ");
    freehold__text_decimal(&text, allocator->alignment);
    end_line(&d, &text);
    freehold_statistics statistics = freehold_stats(allocator);
    write_statistics(&d, &statistics);
    write_state(&d, allocator);
    if (!blocks)
        return;
    freehold_walk(allocator, count_block, &d);
    write_histogram(&d);
    freehold_walk(allocator, write_block, &d);
}
