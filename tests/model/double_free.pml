/* SPDX-License-Identifier: MIT */
/*
 * Double frees are reported: ordered ones at once, racing ones at the latest at the merge.
 *
 * Slot 1 of one slab is freed twice, by the owner or by other threads, while slot 2 goes
 * round: freed here and there, merged, lifted, handed out again; the slab may be released
 * and taken again. Slot 1 is never handed out again (a free after that would be a free of
 * the new object, and nothing can tell the two apart). A report ends its thread, as abort
 * would. Run with -E: threads that wait for one that has reported are no deadlock.
 */
#define SLABS 1
#define SLOTS 2
#define LANES 1
#define TWICE 1 /* the slot that is freed twice */
#define OTHER 2

#define AT_MERGE 1
#define WHEN_OWNED 2
#define LOCAL_AFTER_REMOTE 3
#define LOCAL_AFTER_FREE 4
#define REMOTE_AFTER_FREE 5
#define REMOTE_AFTER_REMOTE 6
#define NOBODYS 7

/* No report before the second free has begun; an ordered one is not left to the merge. */
#define REPORT(what)                                                                               \
    atomic {                                                                                       \
        assert(begun == 2);                                                                        \
        assert(what == WHEN_OWNED ||                                                              \
               (what == AT_MERGE && (bits & (slab[0].freed | slab[0].lifted)) == TWICE) ||         \
               (what > WHEN_OWNED && m == TWICE));                                                 \
        assert(race || (what != AT_MERGE && what != WHEN_OWNED));                                  \
        false                                                                                      \
    }

#define RELEASED_WELL(sl) assert(race || slab[sl].remote == 0)
#define OWNED_WELL(sl) assert(LANE(slab[sl].owner) == 0)

/* In the order in which a bit travels: who misses it everywhere has seen the slot handed out. */
#ifdef M_PRECHECK_LIFTED_BEFORE_FREED
#define PRECHECK(sl, mask)                                                                         \
    word = slab[sl].remote & mask;                                                                 \
    word = word | (slab[sl].lifted & mask);                                                        \
    word = word | (slab[sl].freed & mask)
#else
#ifdef M_PRECHECK_FREED_BEFORE_REMOTE
#define PRECHECK(sl, mask)                                                                         \
    word = slab[sl].freed & mask;                                                                  \
    word = word | (slab[sl].remote & mask);                                                        \
    word = word | (slab[sl].lifted & mask)
#else
#ifdef M_NO_PRECHECK
#define PRECHECK(sl, mask) word = 0
#else
#define PRECHECK(sl, mask)                                                                         \
    word = slab[sl].remote & mask;                                                                 \
    word = word | (slab[sl].freed & mask);                                                         \
    word = word | (slab[sl].lifted & mask)
#endif
#endif
#endif

bit race;           /* the two frees are not ordered */
bit first_local;    /* who frees first; either may be first when they race */
bit second_local;
bit first_done, second_done;
byte begun;         /* frees of slot 1 that have begun */
bit other_sent;     /* slot 2 is on its way to another thread */
byte remotes_done;

#include "protocol.pml"

inline free_any(obj, l)
{
    if
    :: LANE(slab[SLAB_OF(obj)].owner) == l -> local_free(obj, l)
    :: else -> remote_free(obj)
    fi
}

#define SECOND_MAY_BEGIN (first_done || race)

proctype Owner()
{
    byte obj;
    bit did_first, did_second;
    LOCALS;

    do
    :: first_local && !did_first ->
       atomic { did_first = 1; begun++; obj = TWICE };
       free_any(obj, 1);
       first_done = 1
    :: second_local && !did_second && SECOND_MAY_BEGIN ->
       atomic { did_second = 1; begun++; obj = TWICE };
       free_any(obj, 1);
       /* ordered and not reported */
       assert(race);
       second_done = 1
    :: (slab[0].live & OTHER) != 0 && !other_sent ->
       if
       :: obj = OTHER; free_any(obj, 1)
       :: other_sent = 1
       fi
    :: (slab[0].lifted & OTHER) != 0 && LANE(slab[0].owner) == 1 ->
       atomic {
           slab[0].lifted = slab[0].lifted & ~OTHER;
           slab[0].live = slab[0].live | OTHER
       }
    :: lane[1].inbox != 0 || slab[0].freed != 0 || slab[0].pooled ->
       refill(1)
    :: lane[1].current != 0 ->
       lane[1].current = 0
    :: lane[1].current == 0 && LANE(slab[0].owner) == 1 && EMPTY(0) ->
       release_if_empty(0, 1)
#ifdef M_LIFTED_PUT_BACK
    :: slab[0].lifted != 0 ->
       /* as at thread exit */
       bits = slab[0].lifted;
       slab[0].freed = slab[0].freed | bits;
       slab[0].lifted = 0;
       atomic { slab[0].used = slab[0].used - COUNT(bits); bits = 0 }
#endif
    :: (!first_local || did_first) && (!second_local || did_second) -> break
    od;

    remotes_done == 3;
    do
    :: lane[1].inbox != 0 || slab[0].pooled -> refill(1)
    :: else -> break
    od
}

proctype First()
{
    byte obj;
    LOCALS;

    if
    :: first_local
    :: !first_local ->
       atomic { begun++; obj = TWICE };
       remote_free(obj);
       first_done = 1
    fi;
    remotes_done++
}

proctype Second()
{
    byte obj;
    LOCALS;

    if
    :: second_local
    :: !second_local && SECOND_MAY_BEGIN ->
       atomic { begun++; obj = TWICE };
       remote_free(obj);
       assert(race);
       second_done = 1
    fi;
    remotes_done++
}

proctype Other()
{
    byte obj;
    LOCALS;

    do
    :: other_sent -> obj = OTHER; remote_free(obj); other_sent = 0
    :: !other_sent && remotes_done == 2 -> break
    od;
    remotes_done++
}

init
{
    atomic {
        slab[0].owner = 1;
        slab[0].live = TWICE | OTHER;
        slab[0].used = 2;
        lane[1].current = 1;
        if
        :: first_local = 1; second_local = 1
        :: first_local = 1; second_local = 0
        :: first_local = 0; second_local = 1
        :: first_local = 0; second_local = 0
        :: first_local = 1; second_local = 0; race = 1
        :: first_local = 0; second_local = 0; race = 1
        fi;
        run Owner();
        run First();
        run Second();
        run Other()
    };
    _nr_pr == 1;
    /* all have finished, and nobody has reported */
    assert(false)
}
