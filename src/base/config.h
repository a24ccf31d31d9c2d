/* SPDX-License-Identifier: MIT */
/*
 * The constants in which the freestanding build (port/none.c) differs from a hosted one. They are
 * given to the compiler, or are these.
 *
 * FREEHOLD_SECTION_SHIFT  log2 of the bytes that a heap asks for at a time: 17 (128 KiB) to 25 (32
 *                         MiB). A sixteenth of it is the heap's own state.
 * FREEHOLD_ADDRESS_BITS   log2 of the window of address space that all sections lie in; it begins
 *                         at the multiple of its length below the first section. The page map has a
 *                         byte for each section that the window has room for.
 * FREEHOLD_PAGE_BYTES     the page: in this the port is asked for memory.
 * FREEHOLD_SMALL          1: the typed functions alone, and reports without a text, so that a program has of an
 *                         allocator what it calls and no more. A call by way of `base` is a misuse: nothing
 *                         has a parent, there is no current allocator, and no policy.
 */
#ifndef FREEHOLD_BASE_CONFIG_H
#define FREEHOLD_BASE_CONFIG_H

#include <stdint.h>

#ifndef FREEHOLD_FREESTANDING
#define FREEHOLD_FREESTANDING 0
#endif

#ifndef FREEHOLD_SMALL
#define FREEHOLD_SMALL 0
#endif
_Static_assert(
    !FREEHOLD_SMALL || FREEHOLD_FREESTANDING, "FREEHOLD_SMALL is for FREEHOLD_FREESTANDING");

#if FREEHOLD_FREESTANDING

#ifndef FREEHOLD_SECTION_SHIFT
#define FREEHOLD_SECTION_SHIFT 20
#endif
#ifndef FREEHOLD_ADDRESS_BITS
#if UINTPTR_MAX == UINT32_MAX
#define FREEHOLD_ADDRESS_BITS 32
#else
#define FREEHOLD_ADDRESS_BITS 36
#endif
#endif
#ifndef FREEHOLD_PAGE_BYTES
#define FREEHOLD_PAGE_BYTES 4096
#endif
#define FREEHOLD__GUARD_BYTES 0 /* nothing makes memory inaccessible */
/* What a slab has is gone for all others, touched or not: slabs are short while their class holds little. */
#define FREEHOLD__SHORT_SLABS 1
#define FREEHOLD__EMPTY_FLOOR ((size_t)64 * 1024) /* bytes of empty slabs that a lane may keep */

_Static_assert(FREEHOLD_SECTION_SHIFT >= 17 && FREEHOLD_SECTION_SHIFT <= 25,
    "FREEHOLD_SECTION_SHIFT must be 17 to 25");
_Static_assert(FREEHOLD_ADDRESS_BITS >= FREEHOLD_SECTION_SHIFT,
    "FREEHOLD_ADDRESS_BITS must make a window that has room for a section");
_Static_assert((FREEHOLD_PAGE_BYTES & (FREEHOLD_PAGE_BYTES - 1)) == 0 && FREEHOLD_PAGE_BYTES >= 256,
    "FREEHOLD_PAGE_BYTES must be a power of two, 256 at least");

#else

#if UINTPTR_MAX > UINT32_MAX
#define FREEHOLD_SECTION_SHIFT 25
#else
#define FREEHOLD_SECTION_SHIFT 22 /* every heap has its own: 32 MiB are hard to come by in 4 GiB */
#endif
#define FREEHOLD__GUARD_BYTES (64 * 1024) /* a multiple of every page size */
#define FREEHOLD__SHORT_SLABS 0           /* what nobody has touched costs nothing */
#define FREEHOLD__EMPTY_FLOOR ((size_t)1024 * 1024)
#if UINTPTR_MAX == UINT32_MAX
#define FREEHOLD_ADDRESS_BITS 32
#elif defined(__x86_64__)
#define FREEHOLD_ADDRESS_BITS 47
#else
#define FREEHOLD_ADDRESS_BITS 48
#endif

#endif
#endif
