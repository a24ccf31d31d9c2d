/* SPDX-License-Identifier: MIT */
/*
 * Reading the memory of the process (freehold__port_scan), by its files in /proc: `maps` has what is
 * mapped, `pagemap` which pages have ever been written, and reading through `mem` fails, where memory
 * has gone meanwhile, instead of raising a signal.
 */
#define _GNU_SOURCE       1
#define _FILE_OFFSET_BITS 64 /* an address is an offset in /proc/self/mem, also above 2 GiB */
#include "port/port.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PAGES 16 /* that are read at once */

typedef struct scan {
    int maps, pagemap, memory;
    uintptr_t stack;
    size_t page;
    bool (*wanted)(void *context, uintptr_t page);
    void (*visit)(void *context, const uintptr_t *words, size_t count);
    void *context;
    unsigned char *buffer; /* of as many pages */
} scan;

/* ---- maps --------------------------------------------------------------------------------------- */

typedef struct lines {
    int file;
    char bytes[1024];
    size_t at, end;
} lines;

static int next_byte(lines *l)
{
    if (l->at == l->end) {
        ssize_t bytes = read(l->file, l->bytes, sizeof l->bytes);
        if (bytes <= 0)
            return -1;
        l->at = 0;
        l->end = (size_t)bytes;
    }
    return (unsigned char)l->bytes[l->at++];
}

/* The byte after the number. */
static int next_hex(lines *l, uintptr_t *value)
{
    int byte;
    *value = 0;
    while ((byte = next_byte(l)) >= 0) {
        int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                                                 : -1;
        if (digit < 0)
            break;
        *value = *value << 4 | (uintptr_t)digit;
    }
    return byte;
}

/* "7f0000000000-7f0000021000 rw-p 00000000 00:00 0  [heap]"; false: the end. */
static bool next_mapping(lines *l, uintptr_t *from, uintptr_t *to, char access[4])
{
    if (next_hex(l, from) != '-' || next_hex(l, to) != ' ')
        return false;
    for (int i = 0; i < 4; i++)
        access[i] = (char)next_byte(l);
    int byte;
    while ((byte = next_byte(l)) >= 0 && byte != '\n')
        ;
    return byte >= 0;
}

/* ---- pages -------------------------------------------------------------------------------------- */

/* Whether a page is there, in memory or swapped out; what cannot be asked is. */
static unsigned pages_there(const scan *s, uintptr_t from, unsigned count)
{
    const uint64_t there = (uint64_t)3 << 62;
    uint64_t entries[PAGES];
    unsigned result = 0;
    off_t at = (off_t)(from / s->page * sizeof *entries);
    ssize_t bytes = pread(s->pagemap, entries, count * sizeof *entries, at);
    for (unsigned i = 0; i < count; i++)
        if (bytes != (ssize_t)(count * sizeof *entries) || (entries[i] & there) != 0)
            result |= 1u << i;
    return result;
}

static void read_pages(scan *s, uintptr_t from, unsigned count)
{
    ssize_t bytes = pread(s->memory, s->buffer, count * s->page, (off_t)from);
    uintptr_t skip = s->stack - from < count * s->page ? s->stack - from : 0;
    if (bytes > (ssize_t)skip) /* else it has gone */
        s->visit(s->context, (const uintptr_t *)(const void *)(s->buffer + skip),
            ((size_t)bytes - skip) / sizeof(uintptr_t));
}

/* A few pages: those that are there and wanted, in runs. */
static void scan_pages(scan *s, uintptr_t from, unsigned count)
{
    unsigned there = pages_there(s, from, count), first = 0;
    for (unsigned i = 0; i <= count; i++) {
        uintptr_t page = from + i * s->page;
        bool own = page - (uintptr_t)s->buffer < PAGES * s->page;
        if (i < count && (there >> i & 1) != 0 && !own && s->wanted(s->context, page))
            continue;
        if (i > first)
            read_pages(s, from + first * s->page, i - first);
        first = i + 1;
    }
}

static void scan_mapping(scan *s, uintptr_t from, uintptr_t to)
{
    if (s->stack >= from && s->stack < to)
        from = freehold__round_down(s->stack, s->page);
    for (; from < to; from += PAGES * s->page) {
        size_t left = (to - from) / s->page;
        scan_pages(s, from, left < PAGES ? (unsigned)left : PAGES);
    }
}

static void scan_all(scan *s)
{
    lines l = {.file = s->maps};
    uintptr_t from, to;
    char access[4];
    while (next_mapping(&l, &from, &to, access))
        if (memcmp(access, "rw", 2) == 0 && access[3] == 'p')
            scan_mapping(s, from, to);
}

bool freehold__port_scan(const void *stack, bool (*wanted)(void *context, uintptr_t page),
    void (*visit)(void *context, const uintptr_t *words, size_t count), void *context)
{
    int saved = errno;
    scan s = {
        .maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC),
        .pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
        .memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC),
        .stack = (uintptr_t)stack & ~(sizeof(uintptr_t) - 1),
        .page = freehold__port_page_size(),
        .wanted = wanted,
        .visit = visit,
        .context = context,
    };
    s.buffer = freehold__port_map(PAGES * s.page, s.page);
    bool can = s.maps >= 0 && s.memory >= 0 && s.buffer != NULL;
    if (can)
        scan_all(&s);
    if (s.buffer != NULL)
        freehold__port_unmap(s.buffer, PAGES * s.page);
    int files[] = {s.maps, s.pagemap, s.memory};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i] >= 0)
            close(files[i]);
    errno = saved;
    return can;
}
