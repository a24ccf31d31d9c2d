/* SPDX-License-Identifier: MIT */
/*
 * The lane's biased lock: enter and leave for the lane's thread, visit, part and help for
 * others, while the thread exits and another one takes the lane.
 *
 * enter is a store and a load with no fence for the processor between. So this model has the
 * store buffers that x86 has: a thread's plain stores wait in a queue, to be seen by others
 * at any later time; atomic read-modify-writes and full fences wait until its queue is empty,
 * and the heavy fence empties the queues of all threads. Checked: never two at once inside
 * the lock, and no deadlock.
 */
#define THREADS 2
#define VISITORS 2

byte inside;
bit visited;
bit guard;
bit parked;
byte in_lock; /* ghost */
bit acquired; /* the lane has gone to the second thread */

/* The store buffers: the threads' stores to inside, the visitors' to visited. */
chan queue[THREADS] = [2] of { byte };
chan visitor_queue[VISITORS] = [2] of { byte };

proctype Memory()
{
    byte value;

end:
    do
    :: atomic { queue[0]?value -> inside = value; value = 0 }
    :: atomic { queue[1]?value -> inside = value; value = 0 }
    :: atomic { visitor_queue[0]?value -> visited = value; value = 0 }
    :: atomic { visitor_queue[1]?value -> visited = value; value = 0 }
    od
}

inline critical_section()
{
    atomic { assert(in_lock == 0); in_lock++ };
    in_lock--
}

/* --- the lane's thread ------------------------------------------------------------------- */

inline take_guard(buffer)
{
    atomic { empty(buffer) && guard == 0 -> guard = 1 }
}

inline drop_guard(buffer)
{
    atomic { empty(buffer) -> guard = 0 }
}

inline enter(me)
{
#ifdef M_FLAG_AFTER_LOOK
    seen = visited;
    queue[me]!1;
#else
    queue[me]!1;
    seen = visited;
#endif
    if
    :: seen ->
       seen = 0;
#ifndef M_FLAG_KEPT
       queue[me]!0;
#endif
#ifdef M_WAIT_WITHOUT_GUARD
       !visited;
       queue[me]!1
#else
       take_guard(queue[me]);
#ifdef M_FLAG_AFTER_GUARD
       drop_guard(queue[me]);
       queue[me]!1
#else
       /* Before the guard is dropped: the exchange that drops it makes the store seen. */
       queue[me]!1;
       drop_guard(queue[me])
#endif
#endif
    :: else
    fi
}

inline leave(me)
{
    queue[me]!0
}

inline use(me)
{
    do
    :: rounds < 2 ->
       rounds++;
       enter(me);
       critical_section();
       leave(me)
    :: break
    od;
    rounds = 0;
    /* park */
    enter(me);
    critical_section();
    leave(me);
#ifdef M_PARK_WITHOUT_GUARD
    parked = 1
#else
    take_guard(queue[me]);
    parked = 1;
    drop_guard(queue[me])
#endif
}

proctype First()
{
    byte rounds;
    bit seen;

    use(0)
}

proctype Second()
{
    byte rounds;
    bit seen;

    if
    :: parked ->
#ifdef M_ACQUIRE_WITHOUT_GUARD
       parked = 0;
#else
       take_guard(queue[1]);
       parked = 0;
       drop_guard(queue[1]);
#endif
       use(1)
    fi
}

/* --- others ------------------------------------------------------------------------------ */

inline heavy_fence(me)
{
#ifndef M_NO_HEAVY_FENCE
    /* membarrier: a full fence here and in every thread of the process */
    empty(visitor_queue[me]);
    empty(queue[0]);
    empty(queue[1])
#else
    empty(visitor_queue[me])
#endif
}

inline visit(me)
{
#ifdef M_STATE_BEFORE_GUARD
    seen = parked;
    take_guard(visitor_queue[me]);
#else
    take_guard(visitor_queue[me]);
    seen = parked;
#endif
    if
    :: seen -> seen = 0
    :: else ->
#ifdef M_VISITED_AFTER_LOOK
       inside == 0;
       visitor_queue[me]!1;
       heavy_fence(me)
#else
       visitor_queue[me]!1;
       heavy_fence(me);
#ifndef M_VISITOR_DOES_NOT_WAIT
       inside == 0
#endif
#endif
    fi
}

inline part(me)
{
#ifdef M_GUARD_DROPPED_FIRST
    drop_guard(visitor_queue[me]);
    visitor_queue[me]!0
#else
    visitor_queue[me]!0;
    drop_guard(visitor_queue[me])
#endif
}

proctype Visitor(byte me)
{
    byte rounds;
    bit seen;

    do
    :: rounds < 2 ->
       rounds++;
       if
       :: visit(me);
          critical_section();
          part(me)
       :: atomic { empty(visitor_queue[me]) && guard == 0 -> guard = 1 };
          /* help: only for a lane without a thread */
          if
          :: parked -> critical_section()
          :: else
          fi;
          part(me)
       fi
    :: break
    od
}

init
{
    atomic {
        run Memory();
        run First();
        run Second();
        run Visitor(0);
        run Visitor(1)
    };
    _nr_pr == 2;
    empty(queue[0]) && empty(queue[1]) && empty(visitor_queue[0]) && empty(visitor_queue[1]);
    assert(!guard && inside == 0 && !visited && parked);
#ifdef M_REACH_END
    assert(false)
#endif
}
