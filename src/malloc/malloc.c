/* SPDX-License-Identifier: MIT */
/*
 * The C allocation functions: thin shims over blocks.h. Edge behaviour follows the C standard and
 * POSIX, and where these leave a choice, glibc's manual:
 *   - size 0 gives a unique pointer; realloc(p, 0) frees and returns NULL
 *   - failure is NULL with ENOMEM; an alignment that is no power of two is EINVAL
 *   - free keeps errno; misuse is fatal (freehold/fatal.h)
 */
#define _GNU_SOURCE 1
#include "malloc/blocks.h"

#include <string.h>

/* ---- malloc, free, calloc -------------------------------------------------------------------- */

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(malloc)(size_t bytes)
{
    return BLOCK(allocate)(bytes);
}

FREEHOLD__EXPORT void FREEHOLD__ENTRY(free)(void *pointer)
{
    BLOCK(free)(pointer, "free");
}

FREEHOLD__EXPORT void FREEHOLD__ENTRY(cfree)(void *pointer)
{
    BLOCK(free)(pointer, "cfree");
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(calloc)(size_t count, size_t size)
{
    return BLOCK(allocate_zeroed)(count, size);
}

/* ---- realloc --------------------------------------------------------------------------------- */

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(realloc)(void *pointer, size_t bytes)
{
    return BLOCK(resize)(pointer, bytes, "realloc");
}

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(reallocarray)(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (!freehold__multiply_checked(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return BLOCK(resize)(pointer, bytes, "reallocarray");
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
    } else if (pointer != NULL || bytes != 0) { /* of no bytes there is no block */
        resized = BLOCK(resize)(pointer, bytes, "reallocarr");
        if (resized != NULL || bytes == 0)
            memcpy(where, &resized, sizeof resized);
        else
            error = ENOMEM;
    }
    errno = saved;
    return error;
}

/* ---- alignment ------------------------------------------------------------------------------- */

static void *allocate_aligned_checked(size_t align, size_t bytes)
{
    if (!freehold__is_power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return BLOCK(allocate_aligned)(align, bytes);
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
    void *pointer = BLOCK(allocate_aligned)(align, bytes);
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
    return BLOCK(allocate_aligned)(freehold__port_page_size(), bytes);
}

static void *allocate_pages(size_t bytes)
{
    size_t page = freehold__port_page_size(), rounded;
    if (!freehold__round_up_checked(bytes == 0 ? 1 : bytes, page, &rounded)) {
        errno = ENOMEM;
        return NULL;
    }
    return BLOCK(allocate_aligned)(page, rounded);
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
    return BLOCK(size)(pointer, "malloc_usable_size");
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
    BLOCK(free_sized)(pointer, bytes, "free_sized");
}

FREEHOLD__EXPORT void FREEHOLD__ENTRY(free_aligned_sized)(void *pointer, size_t align, size_t bytes)
{
    BLOCK(free_aligned_sized)(pointer, align, bytes, "free_aligned_sized");
}

/* ---- tuning and information ------------------------------------------------------------------ */

FREEHOLD__EXPORT int FREEHOLD__ENTRY(malloc_trim)(size_t pad)
{
    (void)pad; /* there is no top of the heap to leave it at */
    int saved = errno;
    bool released = freehold__heap_trim(&freehold__process_heap, freehold__thread_lane);
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

/* (musl has functions of these names as well: its own heap, for itself alone, which stays what it is.) */
#if !FREEHOLD_PREFIXED && defined(__GLIBC__)
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
    return BLOCK(allocate)(bytes);
}

void __libc_free(void *pointer)
{
    BLOCK(free)(pointer, "free");
}

void *__libc_calloc(size_t count, size_t size)
{
    return BLOCK(allocate_zeroed)(count, size);
}

void *__libc_realloc(void *pointer, size_t bytes)
{
    return BLOCK(resize)(pointer, bytes, "realloc");
}

void *__libc_memalign(size_t align, size_t bytes)
{
    return allocate_aligned_checked(align, bytes);
}

void *__libc_valloc(size_t bytes)
{
    return BLOCK(allocate_aligned)(freehold__port_page_size(), bytes);
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
