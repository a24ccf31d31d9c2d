/* SPDX-License-Identifier: MIT */
/*
 * The C allocation functions: thin shims over process.h. Edge behaviour follows the C standard and
 * POSIX, and where these leave a choice, glibc's manual:
 *   - size 0 gives a unique pointer; realloc(p, 0) frees and returns NULL
 *   - failure is NULL with ENOMEM; an alignment that is no power of two is EINVAL
 *   - free keeps errno; misuse is fatal (freehold/fatal.h)
 */
#define _GNU_SOURCE 1
#include "malloc/process.h"

#include <string.h>

static freehold__heap *heap(void)
{
    return &freehold__process_heap;
}

/* ---- malloc, free, calloc -------------------------------------------------------------------- */

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(malloc)(size_t bytes)
{
    return freehold__allocate(bytes);
}

FREEHOLD__EXPORT void FREEHOLD__ENTRY(free)(void *pointer)
{
    freehold__free(pointer, "free");
}

FREEHOLD__EXPORT void FREEHOLD__ENTRY(cfree)(void *pointer)
{
    freehold__free(pointer, "cfree");
}

static void *allocate_large_zeroed(size_t bytes)
{
    bool zeroed = false;
    void *block = freehold__allocate_large(bytes, &zeroed);
    return block == NULL || zeroed ? block : memset(block, 0, bytes);
}

static void *allocate_zeroed(size_t count, size_t size)
{
    size_t bytes;
    if (freehold__unlikely(!freehold__multiply_checked(count, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    if (freehold__unlikely(bytes > FREEHOLD__SLOT_MAX))
        return allocate_large_zeroed(bytes);
    void *pointer = freehold__allocate(bytes);
    if (freehold__likely(pointer != NULL) &&
        !freehold__bin_known_zero(freehold__lane_bin(freehold__thread_lane, bytes), pointer))
        memset(pointer, 0, bytes);
    return pointer;
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(calloc)(size_t count, size_t size)
{
    return allocate_zeroed(count, size);
}

/* ---- realloc --------------------------------------------------------------------------------- */

/* What grows by little will do so again: it passes every other one of the fine classes. */
static size_t with_room(size_t have, size_t bytes)
{
    bool little = bytes > have && bytes - have <= have / 8 && bytes > FREEHOLD__DIRECT_MAX;
    return little && bytes < have + have / 4 ? have + have / 4 : bytes;
}

static void *allocate_resized(size_t have, size_t bytes)
{
    if (freehold__unlikely(freehold__grows_large(have, bytes)))
        return freehold__allocate_growing(bytes);
    size_t roomy = with_room(have, bytes);
    if (freehold__unlikely(bytes < have || roomy != bytes) && freehold__limited())
        return bytes < have && bytes <= FREEHOLD__SLOT_MAX ? freehold__allocate_shrinking(bytes)
                                                           : freehold__allocate(bytes);
    return freehold__allocate(roomy);
}

static void *move(void *pointer, size_t have, size_t bytes, const char *function)
{
    void *moved = allocate_resized(have, bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, pointer, have < bytes ? have : bytes);
    freehold__free(pointer, function);
    return moved;
}

/* The size of a large block that this thread has looked up last, if that is the one; else 0. */
static size_t remembered(const void *pointer)
{
    return freehold__large_remembered(
        &heap()->pages.large, &freehold__thread_lane->large_memo, pointer);
}

/* As freehold__heap_find, and the next look at a large block needs no lock. */
static freehold__found find_and_remember(const void *pointer)
{
    uint64_t before = heap()->pages.large.changes;
    freehold__found found = freehold__heap_find(heap(), pointer);
    freehold__lane *lane = freehold__thread_lane;
    if (found.slab == NULL && found.bytes != 0 && lane->heap != NULL)
        lane->large_memo = (freehold__large_memo){pointer, found.bytes, before};
    return found;
}

/* In the way of a large block that grows there may be what is free, in other shapes, and is charged. */
static freehold__cold void *remap_limited(
    freehold__found found, void *pointer, size_t bytes, void *resized)
{
    bool grows = found.slab == NULL && bytes > found.bytes;
    if (resized == NULL && grows && freehold__heap_make_room(heap(), freehold__thread_lane))
        resized = freehold__heap_remap(heap(), found, pointer, bytes);
    freehold__limit_tell();
    return resized;
}

/* The size of a live block that must move, or 0: it has been resized where it is (*resized). */
static size_t resize_in_place(void *pointer, size_t bytes, const char *function, void **resized)
{
    size_t own = freehold__own_size(pointer);
    if (freehold__likely(own != 0)) {
        *resized = pointer;
        return freehold__stays(own, bytes) ? 0 : own;
    }
    if (freehold__stays(remembered(pointer), bytes)) {
        *resized = pointer;
        return 0;
    }
    freehold__found found = find_and_remember(pointer);
    if (freehold__unlikely(found.bytes == 0))
        freehold__heap_misuse(heap(), function, pointer);
    *resized = freehold__heap_remap(heap(), found, pointer, bytes);
    if (freehold__unlikely(freehold__limited()))
        *resized = remap_limited(found, pointer, bytes, *resized);
    return *resized != NULL ? 0 : found.bytes;
}

static void *resize(void *pointer, size_t bytes, const char *function)
{
    if (pointer == NULL)
        return freehold__allocate(bytes);
    if (bytes == 0) {
        freehold__free(pointer, function);
        return NULL;
    }
    void *resized;
    size_t have = resize_in_place(pointer, bytes, function, &resized);
    if (have == 0)
        return resized;
    void *moved = move(pointer, have, bytes, function);
    return moved == NULL && bytes <= have ? pointer : moved; /* shrinking does not fail */
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(realloc)(void *pointer, size_t bytes)
{
    return resize(pointer, bytes, "realloc");
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(reallocarray)(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (!freehold__multiply_checked(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return resize(pointer, bytes, "reallocarray");
}

/* NetBSD's: the pointer is updated in place, the result is an error number, errno is kept. */
FREEHOLD__EXPORT int FREEHOLD__ENTRY(reallocarr)(void *where, size_t count, size_t size)
{
    int saved = errno, error = 0;
    size_t bytes;
    void *pointer, *resized;
    memcpy(&pointer, where, sizeof pointer);
    if (!freehold__multiply_checked(count, size, &bytes)) {
        error = EOVERFLOW;
    } else {
        resized = resize(pointer, bytes, "reallocarr");
        if (resized != NULL || bytes == 0)
            memcpy(where, &resized, sizeof resized);
        else
            error = ENOMEM;
    }
    errno = saved;
    return error;
}

/* ---- alignment ------------------------------------------------------------------------------- */

static void *allocate_aligned(size_t align, size_t bytes)
{
    return align <= FREEHOLD__MIN_ALIGN ? freehold__allocate(bytes)
                                        : freehold__allocate_aligned(bytes, align);
}

static void *allocate_aligned_checked(size_t align, size_t bytes)
{
    if (!freehold__is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return allocate_aligned(align, bytes);
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(aligned_alloc)(size_t align, size_t bytes)
{
    return allocate_aligned_checked(align, bytes);
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(memalign)(size_t align, size_t bytes)
{
    return allocate_aligned_checked(align, bytes);
}

static int allocate_posix(void **result, size_t align, size_t bytes)
{
    if (!freehold__is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno;
    void *pointer = allocate_aligned(align, bytes);
    errno = saved;
    if (pointer == NULL)
        return ENOMEM;
    *result = pointer;
    return 0;
}

FREEHOLD__EXPORT int FREEHOLD__ENTRY(posix_memalign)(void **result, size_t align, size_t bytes)
{
    return allocate_posix(result, align, bytes);
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(valloc)(size_t bytes)
{
    return allocate_aligned(freehold__port_page_size(), bytes);
}

static void *allocate_pages(size_t bytes)
{
    size_t page = freehold__port_page_size(), rounded;
    if (!freehold__round_up_checked(bytes == 0 ? 1 : bytes, page, &rounded)) {
        errno = ENOMEM;
        return NULL;
    }
    return allocate_aligned(page, rounded);
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(pvalloc)(size_t bytes)
{
    return allocate_pages(bytes);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

FREEHOLD__EXPORT size_t FREEHOLD__ENTRY(malloc_usable_size)(void *pointer)
{
    if (pointer == NULL)
        return 0;
    size_t own = freehold__own_size(pointer);
    if (freehold__likely(own != 0))
        return own;
    freehold__found found = freehold__heap_find(heap(), pointer);
    if (freehold__unlikely(found.bytes == 0))
        freehold__heap_misuse(heap(), "malloc_usable_size", pointer);
    return found.bytes;
}

FREEHOLD__EXPORT size_t FREEHOLD__ENTRY(malloc_good_size)(size_t bytes)
{
    size_t rounded = bytes;
    if (bytes <= FREEHOLD__SLOT_MAX)
        return freehold__size_classes[freehold__class_of(bytes == 0 ? 1 : bytes)].size;
    return freehold__round_up_checked(bytes, freehold__port_page_size(), &rounded) ? rounded
                                                                                   : bytes;
}

FREEHOLD__EXPORT void FREEHOLD__ENTRY(free_sized)(void *pointer, size_t bytes)
{
    freehold__free_sized(pointer, bytes, "free_sized");
}

FREEHOLD__EXPORT void FREEHOLD__ENTRY(free_aligned_sized)(void *pointer, size_t align, size_t bytes)
{
    freehold__free_sized_slow(pointer, align, bytes, "free_aligned_sized");
}

/* ---- tuning and information ------------------------------------------------------------------ */

FREEHOLD__EXPORT int FREEHOLD__ENTRY(malloc_trim)(size_t pad)
{
    (void)pad; /* there is no top of the heap to leave it at */
    int saved = errno;
    bool released = freehold__heap_trim(heap(), freehold__thread_lane);
    errno = saved;
    return released ? 1 : 0;
}

/* glibc's parameters mean nothing here: accepted, without effect. */
FREEHOLD__EXPORT int FREEHOLD__ENTRY(mallopt)(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 1;
}

/* ---- glibc's own names ----------------------------------------------------------------------- */

#if !FREEHOLD_PREFIXED
#pragma GCC visibility push(default)

void *__libc_malloc(size_t bytes);
void __libc_free(void *pointer);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void *__libc_valloc(size_t bytes);
void *__libc_pvalloc(size_t bytes);
int __posix_memalign(void **result, size_t align, size_t bytes);

void *__libc_malloc(size_t bytes)
{
    return freehold__allocate(bytes);
}

void __libc_free(void *pointer)
{
    freehold__free(pointer, "free");
}

void *__libc_calloc(size_t count, size_t size)
{
    return allocate_zeroed(count, size);
}

void *__libc_realloc(void *pointer, size_t bytes)
{
    return resize(pointer, bytes, "realloc");
}

void *__libc_memalign(size_t align, size_t bytes)
{
    return allocate_aligned_checked(align, bytes);
}

void *__libc_valloc(size_t bytes)
{
    return allocate_aligned(freehold__port_page_size(), bytes);
}

void *__libc_pvalloc(size_t bytes)
{
    return allocate_pages(bytes);
}

int __posix_memalign(void **result, size_t align, size_t bytes)
{
    return allocate_posix(result, align, bytes);
}

#pragma GCC visibility pop
#endif
