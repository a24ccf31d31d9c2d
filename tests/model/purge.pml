/* SPDX-License-Identifier: MIT */
/*
 * Retention at work in the lane of a thread that lives, sleeps or has exited.
 *
 * Under the lane's lock, anybody may purge a page whose slots are all in freed or remote: a
 * slot leaves these only under the lock, and the owner's fast paths only add to them. Lifted
 * slots count when the lane is parked. Empty slabs in the lane's stack go back to the pool.
 * Checked: nothing that is being purged is handed out, and the protocol holds as before.
 */
#ifndef SLABS
#define SLABS 1
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef MALLOCS
#define MALLOCS 2
#endif
#define LANES 1
#define HELP_PARKED
#define KEEP_EMPTY

byte purging[SLABS]; /* ghost: slots whose pages are being purged */
#define HANDED_OUT(sl, mask) assert((purging[sl] & mask) == 0)
#include "protocol.pml"

byte bag; /* an object on its way to the freer */
byte threads_done;

proctype Thread()
{
    byte n, obj, round;
    LOCALS;

    do
    :: round < 2 ->
       /* the lane may be this thread's predecessor's */
       if
       :: lane[1].parked ->
          lock_lane(1);
          lane[1].parked = 0;
          unlock_lane(1)
       :: else
       fi;
       do
       :: n < MALLOCS ->
          n++;
          allocate(obj, 1);
          if
          :: obj == 0
          :: obj != 0 && bag == 0 -> atomic { bag = obj; obj = 0 }
          :: obj != 0 -> local_free(obj, 1)
          fi
       :: lane[1].inbox != 0 ->
          lock_lane(1);
          drain(1);
          unlock_lane(1)
       :: break
       od;
       n = 0;
       round++;
       park(1)
    :: else -> break
    od;
    threads_done++
}

proctype Freer()
{
    byte obj;
    LOCALS;

    do
    :: bag != 0 -> atomic { obj = bag; bag = 0 }; remote_free(obj)
    :: threads_done == 1 && bag == 0 -> break
    od
}

inline purge_slab(sl)
{
    atomic { bits = slab[sl].freed & m };
    atomic { bits = bits | (slab[sl].remote & m) };
#ifdef M_PURGE_LIFTED
    bits = bits | (slab[sl].lifted & m);
#else
    if
#ifdef M_STATE_BEFORE_LOCK
    :: ok -> bits = bits | (slab[sl].lifted & m)
#else
    :: lane[1].parked -> bits = bits | (slab[sl].lifted & m)
#endif
    :: else
    fi;
#endif
    if
    :: bits == m ->
       atomic { assert((slab[sl].live & m) == 0); purging[sl] = m };
       purging[sl] = 0
    :: else
    fi;
    bits = 0
}

proctype Purger()
{
    byte looks;
    LOCALS;

    do
    :: looks < 2 ->
       looks++;
       /* a page of one slot, or of both */
       if
       :: m = 1
       :: m = ALL
       fi;
#ifdef M_STATE_BEFORE_LOCK
       ok = lane[1].parked;
#endif
#ifdef M_PURGE_WITHOUT_LOCK
       if
       :: LANE(slab[0].owner) == 1 -> purge_slab(0)
       :: else
       fi;
#else
       lock_lane(1);
       if
       :: LANE(slab[0].owner) != 1
       :: LANE(slab[0].owner) == 1 -> purge_slab(0)
       :: slab[0].kept ->
          ok = false;
          release(0, 1)
       fi;
       unlock_lane(1);
#ifndef M_PURGE_WITHOUT_HELP
       help(1);
#endif
#endif
       atomic { m = 0; ok = false }
    :: break
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
        run Thread();
        run Freer();
        run Purger();
        i = 0
    };
    _nr_pr == 1;
    for (i : 0 .. SLABS - 1) {
        assert(slab[i].remote == 0 && (slab[i].freed | slab[i].lifted) == ALL &&
               slab[i].live == 0 && (LANE(slab[i].owner) == 0 || slab[i].owner == 1));
        assert(slab[i].pooled || slab[i].kept || lane[1].current == i + 1)
    }
    assert(lane[1].inbox == 0 && !lane[1].lock);
#ifdef M_REACH_END
    assert(false)
#endif
}
