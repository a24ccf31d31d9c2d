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

#include <stdatomic.h>
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

/*
 * What is known of a block of granules, kept with its first one. Guarded by the lock of the page
 * instance; but a span in use is divided, and put together again, by whoever has it, without the
 * lock (freehold__span_split). So of state and length who walks all spans under the lock reads
 * either the old division or the new one: both are atomics.
 */
typedef struct freehold__granule {
    struct freehold__granule *next, *prev;   /* free: the list of its order */
    struct freehold__granule *newer, *older; /* free and dirty: the list by age */
    uint32_t freed_at;                       /* free: when the larger part was, in ms */
    _Atomic uint16_t granules;               /* used: length of the span */
    uint16_t dirty;                          /* free: granules of the block that may be resident */
    uint16_t descriptor;                     /* in units; 0 until it first needs one */
    uint8_t order;                           /* free: log2 of the length */
    _Atomic uint8_t state;                   /* freehold__granule_state */
} freehold__granule;

typedef struct freehold__section {
    /* Unit 0: what the page map names where there is no span. All zero: no owner, no slots. */
    _Alignas(64) unsigned char no_span[FREEHOLD__DESCRIPTOR];
    /* What is small is here, in the page where the map of the first granules begins. */
    struct freehold__pages *pages;
    struct freehold__section *next;
    _Atomic uint32_t next_descriptor; /* units */
    uint32_t end;                     /* first granule not yet in the buddies */
    uint32_t used;                    /* granules in spans */
    /* freehold__section_pages. Written under the page lock; only a purge, without it, goes from
     * ADAPTIVE to SPLIT. */
    _Atomic uint32_t huge; /* a word: not every processor exchanges a byte */
    uint64_t dirty[(FREEHOLD__SECTION_GRANULES + 63) / 64]; /* free granules that may be resident */

    /* Granule -> descriptor, in bytes from the start of the section structure. Written under the
     * page lock while the span is in nobody's hands, or by who has it, while no allocation is in it;
     * read without one. (Not of an atomic type: who holds an address in a span reads what was written
     * before it was handed out, by an instruction that the compiler may make part of another.) */
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

/* Whoever reads a block's state also sees its length and descriptor. */
static inline freehold__granule_state freehold__granule_state_of(const freehold__granule *block)
{
    return (freehold__granule_state)atomic_load_explicit(&block->state, memory_order_acquire);
}

static inline void freehold__granule_set_state(
    freehold__granule *block, freehold__granule_state state)
{
    atomic_store_explicit(&block->state, (uint8_t)state, memory_order_release);
}

static inline unsigned freehold__granule_length(const freehold__granule *block)
{
    return atomic_load_explicit(&block->granules, memory_order_acquire);
}

static inline void freehold__granule_set_length(freehold__granule *block, unsigned granules)
{
    atomic_store_explicit(&block->granules, (uint16_t)granules, memory_order_release);
}

/* The descriptor of a block's first granule: its own for ever, so that it keeps its type. By whoever
 * has the block. */
void *freehold__granule_descriptor(freehold__section *section, freehold__granule *first);

/* The map of so many granules leads to the first one's descriptor, which it has; or, without one, nowhere. */
void freehold__section_set_map(
    freehold__section *section, unsigned first, unsigned granules, unsigned unit);

/*
 * A span in use becomes two, the first of so many granules; the descriptor of the second. And two become one, whose
 * descriptor is the first one's. By who has them, when there is no allocation in what changes its descriptor; no
 * lock.
 */
void *freehold__span_split(uintptr_t base, unsigned granules);
void freehold__span_join(uintptr_t base, uintptr_t second);

/* Granules of a span in use, by who has it. */
static inline unsigned freehold__span_granules(uintptr_t base)
{
    return freehold__granule_length(
        &freehold__section_at(base)->granule[freehold__granule_index(base)]);
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
