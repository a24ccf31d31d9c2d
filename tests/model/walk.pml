/* SPDX-License-Identifier: MIT */
/*
 * Who walks all spans, under the page layer's lock, against a lane that divides a span of its stock
 * and puts it together again without that lock (src/allocators/stock.h).
 *
 * Granules 0 to 2 are the lane's: one slab, or two; 3 is a slab that stays. Checked: of each slab
 * that a walk finds owned it reads both fields of the same one, every length that it goes on by is
 * one that was given, and it meets the slab that stays, and its end.
 */
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef WALKS
#define WALKS 2
#endif
#define END 4
#define MINE 1

typedef Granule {
    bit used;    /* first of a span; else inside one */
    byte length; /* of a span */
    byte owner;
    byte size, slots /* of the slab: equal, when it is whole */
}

Granule granule[END];
bit lock, walked;

inline take_lock() { atomic { lock == 0 -> lock = 1 } }
inline drop_lock() { lock = 0 }

inline await_walk()
{
    if
    :: walked -> take_lock(); drop_lock()
    :: else
    fi
}

/* A slab is none any more. */
inline leave(g)
{
#ifdef M_LOOK_FIRST
    await_walk();
#endif
    granule[g].owner = 0;
#if !defined(M_LOOK_FIRST) && !defined(M_NO_AWAIT)
    await_walk();
#endif
}

inline make(g, class)
{
#ifdef M_OWNER_FIRST
    granule[g].owner = MINE;
#endif
    granule[g].size = class;
    granule[g].slots = class;
    granule[g].owner = MINE
}

inline split(at)
{
#ifdef M_STATE_FIRST
    granule[at].used = 1;
    granule[at].length = 3 - at;
#else
    granule[at].length = 3 - at;
    granule[at].used = 1;
#endif
    granule[0].length = at
}

inline join(at)
{
    granule[0].length = 3;
    granule[at].used = 0
}

proctype Lane()
{
    byte n, at;

    do
    :: n < ROUNDS ->
       n++;
       leave(0);
       split(1);
       join(1);
       if
       :: at = 1
       :: at = 2
       fi;
       split(at);
       make(at, n);
       make(0, 10 + n);
       leave(at);
       leave(0);
       join(at);
       at = 0;
       make(0, 20 + n)
    :: else -> break
    od
}

proctype Walker()
{
    byte n, at, length, size;
    bit met;

    do
    :: n < WALKS ->
       n++;
       take_lock();
#ifndef M_NO_FLAG
       walked = 1;
#endif
       do
       :: at < END ->
          if
          :: granule[at].used ->
             length = granule[at].length;
             assert(length != 0 && at + length <= END);
             if
             :: granule[at].owner != 0 ->
                size = granule[at].size;
                assert(size == granule[at].slots);
                met = met | (at == 3)
             :: else
             fi;
             at = at + length
          :: else -> at++
          fi
       :: else -> break
       od;
       assert(met);
       at = 0;
       length = 0;
       size = 0;
       met = 0;
       walked = 0;
       drop_lock()
    :: else -> break
    od
}

init
{
    atomic {
        granule[0].used = 1;
        granule[0].length = 3;
        granule[0].owner = MINE;
        granule[3].used = 1;
        granule[3].length = 1;
        granule[3].owner = MINE + 1;
        run Lane();
        run Walker()
    };
    _nr_pr == 1;
#ifdef M_REACH_END
    assert(false)
#endif
}
