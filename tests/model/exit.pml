/* SPDX-License-Identifier: MIT */
/*
 * Thread exit, parked lanes and adoption, in a correct program.
 *
 * One thread allocates from lane 1, frees some objects itself and leaves others in a bag,
 * and exits. Two freers free what is in the bag; a new thread may adopt the lane, allocate,
 * free its own and its predecessor's objects, and exit. Nobody drains at the end: when all
 * threads have finished, every slab has to be back in the pool, complete.
 */
#ifndef SLABS
#define SLABS 1
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef MALLOCS1
#define MALLOCS1 2
#endif
#ifndef MALLOCS2
#define MALLOCS2 1
#endif
#define LANES 1
#define HELP_PARKED
#include "protocol.pml"

byte bag[2]; /* objects on their way from thread to thread; at most one a place */
byte producers_done;

inline put(obj)
{
    atomic {
        if
        :: bag[0] == 0 -> bag[0] = obj
        :: bag[0] != 0 && bag[1] == 0 -> bag[1] = obj
        fi;
        obj = 0
    }
}

inline take(obj)
{
    atomic {
        if
        :: bag[0] != 0 -> obj = bag[0]; bag[0] = 0
        :: bag[1] != 0 -> obj = bag[1]; bag[1] = 0
        fi
    }
}

/* The thread's work between adoption and exit. */
inline work(mallocs)
{
    do
    :: n < mallocs ->
       n++;
       allocate(obj, 1);
       if
       :: obj == 0
       :: obj != 0 -> put(obj)
       :: obj != 0 -> local_free(obj, 1)
       fi
    :: bag[0] != 0 || bag[1] != 0 ->
       obj = 0;
       atomic {
           if
           :: bag[0] != 0 -> obj = bag[0]; bag[0] = 0
           :: bag[1] != 0 -> obj = bag[1]; bag[1] = 0
           :: else
           fi
       };
       if
       :: obj != 0 -> local_free(obj, 1)
       :: else
       fi
    :: lane[1].inbox != 0 ->
       lock_lane(1);
       drain(1);
       unlock_lane(1)
    :: break
    od;
    n = 0;
    park(1)
}

proctype First()
{
    byte n, obj;
    LOCALS;

    work(MALLOCS1);
    producers_done++
}

proctype Adopter()
{
    byte n, obj;
    LOCALS;

#ifdef M_ADOPT_WITHOUT_LOCK
    atomic { ok = lane[1].parked; lane[1].parked = 0 };
#else
    lock_lane(1);
    atomic { ok = lane[1].parked; lane[1].parked = 0 };
    unlock_lane(1);
#endif
    if
    :: ok -> ok = false; work(MALLOCS2)
    :: else
    fi;
    producers_done++
}

proctype Freer()
{
    byte obj;
    LOCALS;

    do
    :: take(obj) -> remote_free(obj)
    :: producers_done == 2 && bag[0] == 0 && bag[1] == 0 -> break
    od
}

init
{
    byte i;

    atomic {
        for (i : 0 .. SLABS - 1) {
            slab[i].pooled = 1;
            slab[i].freed = ALL
        }
        run First();
        run Adopter();
        run Freer();
        run Freer();
        i = 0
    };
    _nr_pr == 1;
    for (i : 0 .. SLABS - 1) {
        assert(slab[i].pooled && LANE(slab[i].owner) == 0 && slab[i].remote == 0 &&
               (slab[i].freed | slab[i].lifted) == ALL && slab[i].live == 0)
    }
    assert(lane[1].inbox == 0 && !lane[1].lock && lane[1].current == 0);
#ifdef M_REACH_END
    assert(false)
#endif
}
