/* SPDX-License-Identifier: MIT */
/*
 * Remote free against drain, release and re-ownership, in a correct program.
 *
 * Two owners take slabs from one pool, allocate, free some objects themselves and hand
 * others to two freers; a slab that one owner has released is taken by the other while
 * freers still hold stale owner words. Checked: no report, no aliasing, no slab listed twice
 * or in the wrong inbox, and when all is quiet every slab is back in the pool, complete.
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
#define LANES 2
#include "protocol.pml"

chan mail[2] = [0] of { byte };
byte owners_done, freers_done;

proctype Owner(byte me; byte mallocs)
{
    byte n, obj, held;
    LOCALS;

    do
    :: n < mallocs && held == 0 ->
       n++;
       allocate(obj, me);
       if
       :: obj == 0
       :: else ->
          if
          :: mail[0]!obj
          :: mail[1]!obj
          :: held = obj
          fi;
          obj = 0
       fi
    :: n < mallocs && held != 0 ->
       n++;
       allocate(obj, me);
       if
       :: obj == 0
       :: else ->
          if
          :: mail[0]!obj
          :: mail[1]!obj
          fi;
          obj = 0
       fi
    :: held != 0 ->
       local_free(held, me)
    :: lane[me].inbox != 0 ->
       /* a refill for another size class */
       lock_lane(me);
       drain(me);
       unlock_lane(me)
    :: n == mallocs && held == 0 -> break
    od;

    /* idle: no active slab, but still allowed to drain */
    if
    :: lane[me].current != 0 ->
       atomic { s = lane[me].current - 1; lane[me].current = 0 };
       release_if_empty(s, me);
       s = 0
    :: else
    fi;
    owners_done++;
    do
    :: lane[me].inbox != 0 -> drain(me)
    :: freers_done == 2 && lane[me].inbox == 0 -> break
    od
}

proctype Freer(byte id)
{
    byte obj;
    LOCALS;

    do
    :: mail[id]?obj -> remote_free(obj)
    :: owners_done == 2 -> break
    od;
    freers_done++
}

init
{
    byte i;

    atomic {
        for (i : 0 .. SLABS - 1) {
            slab[i].pooled = 1;
            slab[i].freed = ALL
        }
        run Owner(1, MALLOCS1);
        run Owner(2, MALLOCS2);
        run Freer(0);
        run Freer(1);
        i = 0
    };
    _nr_pr == 1;
    for (i : 0 .. SLABS - 1) {
        assert(slab[i].pooled && LANE(slab[i].owner) == 0 && slab[i].remote == 0 &&
               (slab[i].freed | slab[i].lifted) == ALL && slab[i].live == 0)
    }
    assert(lane[1].inbox == 0 && lane[2].inbox == 0);
#ifdef M_REACH_END
    assert(false)
#endif
}
