/* SPDX-License-Identifier: MIT */
/*
 * A lane whose thread has exited gives slabs to another lane, in a correct program.
 *
 * Two threads with a lane each allocate, free what either has allocated, and exit; who finds
 * no free slot in its own slabs asks the other lane, if that is parked, for one. A freer
 * frees what it gets. Nobody drains at the end: when all threads have finished, every slab
 * has to be back in the pool, complete.
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
#ifndef FREERS
#define FREERS 1
#endif
#define LANES 2
#define HELP_PARKED
#define SURRENDER
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

inline free_any(obj, l)
{
    if
    :: LANE(slab[SLAB_OF(obj)].owner) == l -> local_free(obj, l)
    :: else -> remote_free(obj)
    fi
}

proctype Thread(byte me; byte mallocs)
{
    byte n, obj;
    LOCALS;

    do
    :: n < mallocs ->
       n++;
       allocate(obj, me);
       if
       :: obj == 0
       :: obj != 0 -> put(obj)
       :: obj != 0 -> free_any(obj, me)
       fi
    :: take(obj) -> free_any(obj, me)
    :: lane[me].inbox != 0 ->
       lock_lane(me);
       drain(me);
       unlock_lane(me)
    :: break
    od;
    n = 0;
    park(me);
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
        run Thread(1, MALLOCS1);
        run Thread(2, MALLOCS2);
        run Freer();
#if FREERS > 1
        run Freer();
#endif
        i = 0
    };
    _nr_pr == 1;
    for (i : 0 .. SLABS - 1) {
        assert(slab[i].pooled && LANE(slab[i].owner) == 0 && slab[i].remote == 0 &&
               (slab[i].freed | slab[i].lifted) == ALL && slab[i].live == 0)
    }
    assert(lane[1].inbox == 0 && !lane[1].lock && lane[1].current == 0 && lane[2].inbox == 0 &&
           !lane[2].lock && lane[2].current == 0);
#ifdef M_REACH_END
    assert(false)
#endif
}
