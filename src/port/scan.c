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
#include <sys/uio.h>
#include <unistd.h>

#define PAGES 16 /* that are read at once */

typedef struct scan {
    const freehold__scan *is;
    int maps, pagemap, memory;
    size_t page;
    unsigned char *buffer; /* of as many pages */
    uintptr_t begin, end;  /* of what is being read: a mapping, or a range */
    bool is_range;         /* all of its pages are wanted */
    bool is_read_only;     /* of its pages those that were written: the others are as in a file */
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

#define THERE   ((uint64_t)3 << 62) /* in memory, or swapped out */
#define OF_FILE ((uint64_t)1 << 61)

/* Which pages may have something of the process's own; what cannot be asked does, if it can be written. */
static unsigned pages_there(const scan *s, uintptr_t from, unsigned count)
{
    uint64_t entries[PAGES];
    unsigned result = 0;
    off_t at = (off_t)(from / s->page * sizeof *entries);
    bool known = pread(s->pagemap, entries, count * sizeof *entries, at) ==
                 (ssize_t)(count * sizeof *entries);
    for (unsigned i = 0; i < count; i++)
        if (!known ? !s->is_read_only
                   : (entries[i] & THERE) != 0 && !(s->is_read_only && (entries[i] & OF_FILE) != 0))
            result |= 1u << i;
    return result;
}

/* A process that has changed its user may not open its memory; but it may read what it may read. */
static ssize_t read_readable(const scan *s, uintptr_t from, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct iovec page = {(void *)(from + i * s->page), s->page},
                     to = {s->buffer + i * s->page, s->page};
        if (process_vm_readv(getpid(), &to, 1, &page, 1, 0) != (ssize_t)s->page)
            memset(to.iov_base, 0, s->page);
    }
    return (ssize_t)(count * s->page);
}

static void read_pages(scan *s, uintptr_t from, unsigned count)
{
    ssize_t bytes = s->memory >= 0 ? pread(s->memory, s->buffer, count * s->page, (off_t)from)
                                   : read_readable(s, from, count);
    uintptr_t first = from < s->begin ? s->begin : from,
              last = from + (bytes < 0 ? 0 : (size_t)bytes); /* less: it has gone */
    last = last < s->end ? last : s->end;
    if (first < last)
        s->is->visit(s->is->context, (const uintptr_t *)(const void *)(s->buffer + (first - from)),
            (last - first) / sizeof(uintptr_t));
}

static bool is_wanted(const scan *s, uintptr_t page)
{
    return s->is_range ||
           (page - (uintptr_t)s->buffer >= PAGES * s->page && s->is->wanted(s->is->context, page));
}

/* A few pages: those that are there and wanted, in runs. */
static void scan_pages(scan *s, uintptr_t from, unsigned count)
{
    unsigned there = pages_there(s, from, count), first = 0;
    for (unsigned i = 0; i <= count; i++) {
        uintptr_t page = from + i * s->page;
        if (i < count && (there >> i & 1) != 0 && is_wanted(s, page))
            continue;
        if (i > first)
            read_pages(s, from + first * s->page, i - first);
        first = i + 1;
    }
}

static void scan_from_begin(scan *s)
{
    uintptr_t from = freehold__round_down(s->begin, s->page);
    for (; from < s->end; from += PAGES * s->page) {
        size_t left = (s->end - from + s->page - 1) / s->page;
        scan_pages(s, from, left < PAGES ? (unsigned)left : PAGES);
    }
}

static void scan_mappings(scan *s)
{
    lines l = {.file = s->maps};
    uintptr_t stack = (uintptr_t)s->is->stack & ~(sizeof(uintptr_t) - 1);
    char access[4];
    while (next_mapping(&l, &s->begin, &s->end, access)) {
        if (stack >= s->begin && stack < s->end)
            s->begin = stack;
        s->is_read_only = access[1] != 'w';
        if (access[0] == 'r' && access[3] == 'p')
            scan_from_begin(s);
    }
}

static void scan_ranges(scan *s)
{
    size_t bytes;
    s->is_range = true;
    s->is_read_only = false;
    while (s->is->next_range(s->is->context, &s->begin, &bytes)) {
        s->end = s->begin + bytes;
        scan_from_begin(s);
    }
}

static bool can_read_itself(void)
{
    char one, other;
    struct iovec from = {&one, 1}, to = {&other, 1};
    one = 1;
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

/* This thread's, by the first name: where main has ended by pthread_exit and others go on, the process as such has
 * nothing in it. (Before Linux 3.17 there was no such name.) */
static int open_own(const char *of_thread, const char *of_process)
{
    int file = open(of_thread, O_RDONLY | O_CLOEXEC);
    return file >= 0 ? file : open(of_process, O_RDONLY | O_CLOEXEC);
}

bool freehold__port_scan(const freehold__scan *is)
{
    int saved = errno;
    scan s = {
        .is = is,
        .maps = open_own("/proc/thread-self/maps", "/proc/self/maps"),
        .pagemap = open_own("/proc/thread-self/pagemap", "/proc/self/pagemap"),
        .memory = open_own("/proc/thread-self/mem", "/proc/self/mem"),
        .page = freehold__port_page_size(),
    };
    s.buffer = freehold__port_map(PAGES * s.page, s.page);
    bool can = s.maps >= 0 && s.buffer != NULL && (s.memory >= 0 || can_read_itself());
    if (can) {
        scan_mappings(&s);
        scan_ranges(&s);
    }
    if (s.buffer != NULL)
        freehold__port_unmap(s.buffer, PAGES * s.page);
    int files[] = {s.maps, s.pagemap, s.memory};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i] >= 0)
            close(files[i]);
    errno = saved;
    return can;
}
