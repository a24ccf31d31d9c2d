/* SPDX-License-Identifier: MIT */
/*
 * A section: 32 MiB of address space at a multiple of 32 MiB, in 4096 granules of 8 KiB. It is the
 * unit in which the page layer gets address space, and the reason why one shift and one mask lead
 * from any address to its descriptor.
 *
 *   0       64 KiB                                   < 2 MiB 2 MiB                    32 MiB
 *   | guard | section: page map, granules, descriptors | guard | spans: what users hold ... |
 *
 * The state is out of line: users hold only memory behind the second guard, so running off either
 * end of any span meets other users' memory or a guard, never a descriptor. (The next section
 * starts with a guard.) Freestanding there are no guards, and a section may be smaller
 * (base/config.h): the state is always its first sixteenth.
 *
 * A section stays mapped until its page instance is destroyed, or says that it leaves
 * (freehold__pages_shed), and the first descriptor of a granule stays a descriptor: a thread that holds
 * a stale pointer to one may still read it and set a flag in it.
 */
#ifndef FREEHOLD_PAGES_SECTION_H
#define FREEHOLD_PAGES_SECTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/config.h"
#include "base/size_class.h"
#include "port/port.h"

#define FREEHOLD__SECTION_SHIFT    FREEHOLD_SECTION_SHIFT
#define FREEHOLD__SECTION          ((uintptr_t)1 << FREEHOLD__SECTION_SHIFT)
#define FREEHOLD__SECTION_GRANULES (1u << (FREEHOLD__SECTION_SHIFT - FREEHOLD__GRANULE_SHIFT))
#define FREEHOLD__GUARD            ((uintptr_t)FREEHOLD__GUARD_BYTES)
/* The guards are as long in short sections. */
#define FREEHOLD__USER_OFFSET                                                                      \
    (FREEHOLD__SECTION_SHIFT < 25 && FREEHOLD__GUARD != 0 ? FREEHOLD__SECTION / 8                  \
                                                          : FREEHOLD__SECTION / 16)
#define FREEHOLD__HUGE_PAGE       ((uintptr_t)2 * 1024 * 1024) /* bytes, on most processors */
#define FREEHOLD__DESCRIPTOR      (sizeof(void *) == 8 ? 448u : 384u) /* bytes, a multiple of 64 */
#define FREEHOLD__USER_GRANULE    ((unsigned)(FREEHOLD__USER_OFFSET >> FREEHOLD__GRANULE_SHIFT))
#define FREEHOLD__DESCRIPTOR_UNIT 64u /* the page map counts in these */

typedef enum freehold__granule_state {
    FREEHOLD__GRANULE_INSIDE, /* not the first of its block, or not for users */
    FREEHOLD__GRANULE_FREE,   /* first of a free block of 2^order granules */
    FREEHOLD__GRANULE_USED    /* first of a span of `granules` */
} freehold__granule_state;

/* Which pages the users' part of a section has. */
typedef enum freehold__section_pages {
    FREEHOLD__SECTION_SMALL,    /* as the system is set, or small ones */
    FREEHOLD__SECTION_HUGE,     /* huge ones were asked for */
    FREEHOLD__SECTION_ADAPTIVE, /* the same, as long as that costs no memory */
    FREEHOLD__SECTION_SPLIT     /* no more */
} freehold__section_pages;

/* What is known of a block of granules, kept with its first one. Guarded by the lock of the page
 * instance. */
typedef struct freehold__granule {
    struct freehold__granule *next, *prev;   /* free: the list of its order */
    struct freehold__granule *newer, *older; /* free and dirty: the list by age */
    uint32_t freed_at;                       /* free: when the larger part was, in ms */
    uint16_t granules;                       /* used: length of the span */
    uint16_t dirty;                          /* free: granules of the block that may be resident */
    uint16_t descriptor;                     /* in units; 0 until it first needs one */
    uint8_t order;                           /* free: log2 of the length */
    uint8_t state;                           /* freehold__granule_state */
} freehold__granule;

typedef struct freehold__section {
    /* Unit 0: what the page map names where there is no span. All zero: no owner, no slots. */
    _Alignas(64) unsigned char no_span[FREEHOLD__DESCRIPTOR];
    /* What is small is here, in the page where the map of the first granules begins. */
    struct freehold__pages *pages;
    struct freehold__section *next;
    uint32_t next_descriptor; /* units */
    uint32_t end;             /* first granule not yet in the buddies */
    uint32_t used;            /* granules in spans */
    /* freehold__section_pages. Written under the page lock; only a purge, without it, goes from
     * ADAPTIVE to SPLIT. */
    _Atomic uint32_t huge; /* a word: not every processor exchanges a byte */
    uint64_t dirty[(FREEHOLD__SECTION_GRANULES + 63) / 64]; /* free granules that may be resident */

    /* Granule -> descriptor, in bytes from the start of the section structure. Written under the
     * page lock while the span is in nobody's hands; read without one. */
    uint32_t map[FREEHOLD__SECTION_GRANULES];
    freehold__granule granule[FREEHOLD__SECTION_GRANULES];
} freehold__section;

#define FREEHOLD__FIRST_DESCRIPTOR                                                                 \
    ((uint32_t)((sizeof(freehold__section) + FREEHOLD__DESCRIPTOR_UNIT - 1) /                      \
                FREEHOLD__DESCRIPTOR_UNIT))

_Static_assert((FREEHOLD__USER_GRANULE & (FREEHOLD__USER_GRANULE - 1)) == 0,
    "a section comes into use in parts, each as long as what is before it");
_Static_assert(
    FREEHOLD__GUARD + FREEHOLD__FIRST_DESCRIPTOR * FREEHOLD__DESCRIPTOR_UNIT +
            (FREEHOLD__SECTION_GRANULES - FREEHOLD__USER_GRANULE) * FREEHOLD__DESCRIPTOR <=
        FREEHOLD__USER_OFFSET - FREEHOLD__GUARD,
    "the state of a section must end before its second guard");

static inline freehold__section *freehold__section_at(uintptr_t address)
{
    return (
        freehold__section *)(freehold__round_down(address, FREEHOLD__SECTION) + FREEHOLD__GUARD);
}

static inline uintptr_t freehold__section_base(const freehold__section *section)
{
    return (uintptr_t)section - FREEHOLD__GUARD;
}

static inline unsigned freehold__granule_index(uintptr_t address)
{
    return (unsigned)(address >> FREEHOLD__GRANULE_SHIFT) & (FREEHOLD__SECTION_GRANULES - 1);
}

static inline uintptr_t freehold__granule_address(const freehold__section *section, unsigned index)
{
    return freehold__section_base(section) + ((uintptr_t)index << FREEHOLD__GRANULE_SHIFT);
}

static inline void *freehold__section_descriptor(freehold__section *section, unsigned unit)
{
    return (char *)section + (size_t)unit * FREEHOLD__DESCRIPTOR_UNIT;
}

/* Which pages the users' part gets from that granule on: the state before it is small, and touched here
 * and there. */
void freehold__section_set_huge(freehold__section *section, unsigned first, freehold__huge huge);

/*
 * Purges whole pages of the users' part; false when the port refuses. A purge of less than a huge page
 * splits one, and the system may join it again, with memory that nobody asked for: so by the adaptive
 * policy the section has no huge pages any more from then on.
 */
bool freehold__section_purge(uintptr_t address, size_t bytes);

/* Reserves a section for `pages`, and makes its state writable; it is zero, but for what says so. NULL when the port
 * refuses. */
freehold__section *freehold__section_map(struct freehold__pages *pages);
/* Makes the next part of what is for users writable, the one that starts at `end`, and is as long as what lies
 * before. False when the port refuses. */
bool freehold__section_open(freehold__section *section);
void freehold__section_unmap(freehold__section *section);

#endif
