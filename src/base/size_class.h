/* SPDX-License-Identifier: MIT */
/*
 * Size classes: 16-byte steps to 128 bytes, then four per doubling to 512 KiB, eight from 1 to 8 KiB:
 * what is a page or half of one and a header must not be padded by a fifth.
 *
 * A request is rounded up to the next class, so at most a fifth of a slot beyond 128 bytes is
 * padding (129 -> 160), and below that at most 15 bytes. The spans of slots up to 64 KiB are powers
 * of two, so that those of one class fill memory without holes between them; what is left behind
 * the last slot is at most an eighth. (Where anything is left, the number of slots is no multiple
 * of 64: the bitmap has a bit for it, see objects/slab.h.)
 */
#ifndef FREEHOLD_BASE_SIZE_CLASS_H
#define FREEHOLD_BASE_SIZE_CLASS_H

#include "base/bits.h"
#include "base/config.h"

#define FREEHOLD__GRANULE_SHIFT 13 /* spans are made of granules of 8 KiB */
#define FREEHOLD__GRANULE       ((size_t)1 << FREEHOLD__GRANULE_SHIFT)
#define FREEHOLD__CLASSES       68
#define FREEHOLD__MAX_SLOTS     512
#define FREEHOLD__DIRECT_MAX    1024u /* requests up to here go through a table in steps of 16 */
#define FREEHOLD__MIDDLE_MAX    8192u /* and beyond that up to here through one in steps of 128 */
/* Larger requests are large blocks. (A section has room for no span longer than half of it: up to
 * slots of 32 KiB a span has 128, beyond that up to 512 KiB. In the shortest, a span is as long as half of it where
 * it would be longer.) */
#if FREEHOLD_SECTION_SHIFT == 17
#define FREEHOLD__SLOT_MAX ((size_t)16 * 1024)
#elif FREEHOLD_SECTION_SHIFT == 18
#define FREEHOLD__SLOT_MAX ((size_t)32 * 1024)
#elif FREEHOLD_SECTION_SHIFT == 19
#define FREEHOLD__SLOT_MAX ((size_t)256 * 1024)
#else
#define FREEHOLD__SLOT_MAX ((size_t)512 * 1024)
#endif
#define FREEHOLD__MIN_ALIGN 16u

typedef struct freehold__size_class {
    uint64_t reciprocal; /* UINT64_MAX / size + 1: see freehold__slab_place */
    uint32_t size;       /* bytes per slot */
    uint16_t slots;      /* slots per span, at most FREEHOLD__MAX_SLOTS */
    uint16_t granules;   /* span size: as many slots as fit */
} freehold__size_class;

extern const freehold__size_class freehold__size_classes[FREEHOLD__CLASSES];

/* The granules that so many bytes need. */
static inline size_t freehold__in_granules(size_t bytes)
{
    return (bytes + FREEHOLD__GRANULE - 1) >> FREEHOLD__GRANULE_SHIFT;
}

/* The class of a request of more than FREEHOLD__MIDDLE_MAX, up to FREEHOLD__SLOT_MAX bytes. */
static inline unsigned freehold__class_of_long(size_t bytes)
{
    uint64_t last = bytes - 1;
    unsigned top = freehold__highest_bit(last);
    return 4 * top + (unsigned)(last >> (top - 2)) - 12;
}

/* The class of a request of 1 to FREEHOLD__SLOT_MAX bytes. Constant time. */
static inline unsigned freehold__class_of(size_t bytes)
{
    if (bytes <= 128)
        return (unsigned)((bytes + 15) / 16) - 1;
    if (bytes > FREEHOLD__MIDDLE_MAX)
        return freehold__class_of_long(bytes);
    uint64_t last = bytes - 1;
    unsigned top = freehold__highest_bit(last);
    if (bytes > 1024)
        return 8 * top + (unsigned)(last >> (top - 3)) - 68;
    return 4 * top + (unsigned)(last >> (top - 2)) - 24;
}

/*
 * The smallest class that holds `bytes` (>= 1) and whose slots are all multiples of `align`, a
 * power of two; FREEHOLD__CLASSES when there is none and the request is a large block.
 */
unsigned freehold__class_of_aligned(size_t bytes, size_t align);

#endif
