/* SPDX-License-Identifier: MIT */
/*
 * malloc's names over a debugging allocator. It is there from the first call on, which may come
 * before any constructor; its end is never: what other libraries do at the end of the process, after
 * the report, is served like anything else.
 */
#define _GNU_SOURCE 1
#include "check/check.h"

#include <stdlib.h>

#define FRAMES      12
#define MOST_FREED  65536
#define MOST_STACKS 500000
#define QUARANTINE  ((size_t)16 << 20)

/* Each block on pages of its own is two mappings of the 65,530 that the system allows, and each one in
 * quarantine up to two: of three pages, that is 8,192. The rest is for the program. */
#define MOST_ON_PAGES    20000
#define QUARANTINE_PAGES ((size_t)96 << 20)

static freehold_allocator parent, records;
static freehold_debug debug;

/* ---- accesses that trap, with pages ------------------------------------------------------------ */

static void on_access(const freehold__access *access)
{
    freehold__stack here = {.count = 0};
    while (here.count < access->count && here.count < FRAMES) {
        here.frame[here.count] = access->frames[here.count];
        here.count++;
    }
    freehold__debug_trapped(&debug, access->address, access->kind, &here);
}

/* ---- begin, fork, end -------------------------------------------------------------------------- */

static freehold__lock *lock(void)
{
    return &freehold__debug_state(&debug)->lock;
}

/* What malloc or free was called for is never halfway in a child: its records are whole. Handlers that others have
 * registered may allocate meanwhile. */
void freehold__records_before_fork(void)
{
    freehold__lock_take(lock());
    freehold__lock_keep(lock());
}

void freehold__records_after_fork(void)
{
    freehold__lock_release(lock());
}

extern int __cxa_atexit(void (*function)(void *), void *argument, void *library);

static void process_ends(void *unused)
{
    (void)unused;
    freehold__check_report_end(&debug);
}

/* This library's code, which the linker knows the bounds of: stacks begin with its callers. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _etext[] __attribute__((visibility("hidden")));

static void init(void)
{
    freehold_debug_options options = {.frames = FRAMES,
        .most_blocks = SIZE_MAX / 4,
        .most_freed = MOST_FREED,
        .most_stacks = MOST_STACKS,
        .quarantine_bytes = QUARANTINE,
        .most_on_pages = MOST_ON_PAGES};
    freehold__check_parent_init(&parent);
    freehold__check_records_init(&records);
    freehold_debug_init(&debug, &parent, &records, &options);
    freehold__debug *d = freehold__debug_state(&debug);
    d->inside = (uintptr_t)__ehdr_start;
    d->inside_bytes = (size_t)(_etext - __ehdr_start);
}

static _Atomic int state; /* 0: nothing is there; 1: somebody is at it; 2: it is there */

static freehold__cold void begin(void)
{
    int nothing = 0;
    if (atomic_compare_exchange_strong(&state, &nothing, 1)) {
        init();
        atomic_store(&state, 2);
    }
    for (unsigned times = 0; atomic_load(&state) != 2; times++)
        freehold__port_pause(times);
}

static freehold_debug *checker(void)
{
    if (freehold__unlikely(atomic_load_explicit(&state, memory_order_acquire) != 2))
        begin();
    return &debug;
}

/*
 * The options that the command has set. They are read when the first blocks may be there already, which are not on
 * pages then, and nothing forgets that.
 */
static void configure(void)
{
    const char *pages = secure_getenv("FREEHOLD_CHECK_PAGES"),
               *quarantine = secure_getenv("FREEHOLD_CHECK_QUARANTINE");
    freehold_debug_options *options = &freehold__debug_state(&debug)->options;
    freehold__lock_take(lock());
    if (pages != NULL && strcmp(pages, "1") == 0 && freehold__port_on_access(on_access)) {
        options->pages = true;
        options->quarantine_bytes = QUARANTINE_PAGES;
    }
    if (quarantine != NULL && *quarantine != '\0')
        options->quarantine_bytes = (size_t)strtoull(quarantine, NULL, 10);
    freehold__lock_drop(lock());
}

/*
 * Before main. The report comes as late as it can: libc runs what was registered first last, and what
 * belongs to no library not when this one is unloaded; so it comes after the program's and all other
 * libraries' own ends, which free much.
 */
__attribute__((constructor)) static void process_begins(void)
{
    checker();
    freehold__check_report_begin(&debug);
    configure();
    __cxa_atexit(process_ends, NULL, NULL);
}

/* ---- blocks ------------------------------------------------------------------------------------ */

/* Once, when a block was to be on pages, and is not. */
static freehold__cold void say_beyond(void)
{
    static _Atomic unsigned said; /* not a bool: RISC-V has no exchange of a byte */
    freehold__text text = {.length = 0};
    if (atomic_load(&said) || atomic_exchange(&said, 1))
        return;
    freehold__text_decimal(&text, atomic_load(&freehold__debug_state(&debug)->on_pages));
    freehold__text_add(&text,
        " blocks are on pages of their own, and there is no room for more: further "
        "ones are between canaries");
    freehold__check_report_note(text.bytes);
}

static void *allocated(void *block)
{
    const freehold__debug *d = freehold__debug_state(&debug);
    if (freehold__unlikely(block == NULL))
        errno = ENOMEM;
    else if (freehold__unlikely(atomic_load_explicit(&d->beyond, memory_order_relaxed) != 0))
        say_beyond();
    return block;
}

void *freehold__check_allocate(size_t bytes)
{
    return allocated(freehold__debug_alloc(checker(), bytes, FREEHOLD__MIN_ALIGN, false));
}

void *freehold__check_allocate_zeroed(size_t count, size_t size)
{
    size_t bytes;
    bool fits = freehold__multiply_checked(count, size, &bytes);
    return allocated(
        fits ? freehold__debug_alloc(checker(), bytes, FREEHOLD__MIN_ALIGN, true) : NULL);
}

void *freehold__check_allocate_aligned(size_t align, size_t bytes)
{
    size_t alignment = align < FREEHOLD__MIN_ALIGN ? FREEHOLD__MIN_ALIGN : align;
    return allocated(freehold__debug_alloc(checker(), bytes, alignment, false));
}

void freehold__check_free(void *pointer, const char *function)
{
    if (pointer == NULL)
        return;
    int saved = errno;
    freehold__debug_free(checker(), function, pointer);
    errno = saved;
}

void freehold__check_free_aligned_sized(
    void *pointer, size_t align, size_t bytes, const char *function)
{
    if (pointer == NULL)
        return;
    int saved = errno;
    freehold__debug_free_sized(checker(), function, pointer, align == 0 ? 1 : align, bytes);
    errno = saved;
}

void freehold__check_free_sized(void *pointer, size_t bytes, const char *function)
{
    freehold__check_free_aligned_sized(pointer, 0, bytes, function);
}

void *freehold__check_resize(void *pointer, size_t bytes, const char *function)
{
    if (pointer == NULL)
        return freehold__check_allocate(bytes);
    if (bytes == 0) {
        freehold__check_free(pointer, function);
        return NULL;
    }
    void *resized = freehold__debug_realloc(checker(), function, pointer, bytes);
    if (resized == NULL && bytes <= freehold__debug_size(checker(), function, pointer))
        return pointer; /* shrinking does not fail */
    return allocated(resized);
}

size_t freehold__check_size(const void *pointer, const char *function)
{
    return freehold__debug_size(checker(), function, pointer);
}
