/* SPDX-License-Identifier: MIT */
/*
 * The steps of the lane and slab protocol, shared by the models in this folder.
 *
 * One Promela statement (or atomic block) holds at most one access to memory that another
 * thread may touch, so Spin interleaves what the processor may interleave. Names in capitals
 * that begin with M_ are mutations: each removes or swaps one step, and a model has to fail
 * under it. Ghost state (live, listed, ...) exists for the assertions alone.
 */

#define PENDING 8
#define LANE(w) ((w) & 7)
#define ALL ((1 << SLOTS) - 1)
#define COUNT(m) (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1))

typedef Slab {
    byte owner;  /* lane id, 0 for unowned, with the PENDING flag */
    byte freed;  /* owner-written */
    byte lifted; /* owner-written */
    byte remote; /* set by remote freers, cleared by the owner */
    byte next;   /* next_pending: slab number + 1, 0 ends the list */
    byte used;   /* slots not in freed; owner only */
    bit pooled;  /* the page layer holds the span */
    bit kept;    /* empty, in its lane's stack of empty slabs; lane's lock */
    byte live;   /* ghost: slots the program holds */
    bit listed   /* ghost: in an inbox, or in a list that a drain has taken */
}

typedef Lane {
    byte inbox;
    bit lock;
    bit parked;
    byte current /* slab number + 1, 0 for none */
}

Slab slab[SLABS];
Lane lane[LANES + 1];

/* A model of correct programs fails on any report of misuse. */
#ifndef REPORT
#define REPORT(what) assert(false)
#endif

#ifndef RELEASED_WELL
#define RELEASED_WELL(sl)                                                                          \
    assert(slab[sl].remote == 0 && (slab[sl].freed | slab[sl].lifted) == ALL)
#endif

#ifndef OWNED_WELL
#define OWNED_WELL(sl)                                                                             \
    assert(LANE(slab[sl].owner) == 0 && slab[sl].remote == 0 && slab[sl].live == 0 &&              \
           (slab[sl].freed | slab[sl].lifted) == ALL)
#endif

/* Two frees of one slot at once can leave a bit in remote of a slab that is released. */
#define OWN_TEST(sl)                                                                               \
    if                                                                                             \
    :: slab[sl].remote != 0 -> REPORT(WHEN_OWNED)                                                  \
    :: else                                                                                        \
    fi

#ifndef HANDED_OUT
#define HANDED_OUT(sl, mask)
#endif

/* Sets word != 0 when the slot was found free. One step in the models of correct programs. */
#ifndef PRECHECK
#define PRECHECK(sl, mask)                                                                         \
    atomic {                                                                                       \
        assert(LANE(slab[sl].owner) != 0);                                                         \
        word = (slab[sl].remote | slab[sl].freed | slab[sl].lifted) & mask                         \
    }
#endif

#ifndef PUBLISHED
#define PUBLISHED(sl, mask) slab[sl].live = slab[sl].live & ~mask
#endif

/* Empty: all slots are free. A parked lane keeps its lifted bits where they are. */
#if defined(M_LIFTED_COUNTS_AS_USED) || defined(RELEASE_UNLIFTED)
#define EMPTY(sl) (slab[sl].used == 0)
#else
#define EMPTY(sl) (slab[sl].used == COUNT(slab[sl].lifted))
#endif

/* Working variables of one thread; every process declares them once. */
#define LOCALS                                                                                     \
    byte s, head, list, bits, word, m, pick, others, before, first;                                \
    bool ok

inline lock_lane(l)
{
    atomic { lane[l].lock == 0 -> lane[l].lock = 1 }
}

inline unlock_lane(l)
{
    lane[l].lock = 0
}

/* --- the inbox: push by compare and swap, take all by exchange ------------------------- */

inline push(sl, l)
{
    do
    :: head = lane[l].inbox;
       slab[sl].next = head;
       atomic {
           if
           :: lane[l].inbox == head ->
              lane[l].inbox = sl + 1;
              assert(!slab[sl].listed);
              slab[sl].listed = 1;
              head = 0;
              break
           :: else -> head = 0
           fi
       }
    od
}

/* --- the owner's side ------------------------------------------------------------------- */

/*
 * Take the published bits of one word into freed. A bit is set in freed before it leaves
 * remote. The load and the store of freed are separate steps: two threads that act as the
 * owner at once would lose bits.
 */
inline merge_word(sl, l, mask)
{
#ifndef M_LOAD_BEFORE_CLEAR
    atomic { assert(LANE(slab[sl].owner) == l); bits = slab[sl].remote & mask };
#endif
#ifndef M_NO_MERGE_CHECK
    if
    :: (bits & (slab[sl].freed | slab[sl].lifted)) != 0 -> REPORT(AT_MERGE)
    :: else
    fi;
#endif
    if
    :: bits == 0
    :: else ->
#ifdef M_REMOTE_CLEARED_FIRST
       slab[sl].remote = slab[sl].remote & ~bits;
#endif
       word = slab[sl].freed;
       atomic { slab[sl].freed = word | bits; word = 0 };
#ifdef M_REMOTE_ZEROED
       slab[sl].remote = slab[sl].remote & ~mask;
#else
#ifndef M_REMOTE_CLEARED_FIRST
       slab[sl].remote = slab[sl].remote & ~bits;
#endif
#endif
       atomic { slab[sl].used = slab[sl].used - COUNT(bits); bits = 0 }
    fi
}

inline merge(sl, l)
{
#ifdef WORD_PER_SLOT
    merge_word(sl, l, 1);
    merge_word(sl, l, 2)
#else
    merge_word(sl, l, ALL)
#endif
}

/* All slots are free: give the span back unless a notice is on its way. */
inline release(sl, l)
{
    atomic {
        if
#ifdef M_RELEASE_IGNORES_PENDING
        :: LANE(slab[sl].owner) == l ->
#else
        :: slab[sl].owner == l ->
#endif
           assert(slab[sl].live == 0);
           RELEASED_WELL(sl);
           slab[sl].owner = 0;
           ok = true
        :: else -> ok = false
        fi
    };
    if
    :: ok ->
       atomic {
           slab[sl].kept = 0;
           if
           :: lane[l].current == sl + 1 -> lane[l].current = 0
           :: else
           fi;
           slab[sl].pooled = 1;
           ok = false
       }
    :: else
    fi
}

/* Under the lane's lock. An active slab stays while the lane has a thread. */
#ifdef KEEP_EMPTY
inline release_if_empty(sl, l)
{
    atomic {
        if
        :: EMPTY(sl) && lane[l].current != sl + 1 -> slab[sl].kept = 1
        :: else
        fi
    }
}
#else
inline release_if_empty(sl, l)
{
    if
    :: EMPTY(sl) && (lane[l].current != sl + 1 || lane[l].parked) ->
       release(sl, l)
    :: else
    fi
}
#endif

inline drain(l)
{
    atomic { list = lane[l].inbox; lane[l].inbox = 0 };
    do
    :: list == 0 -> break
    :: else ->
       atomic { s = list - 1; list = 0 };
#ifdef M_CLEAR_BEFORE_UNLINK
       slab[s].owner = slab[s].owner & ~PENDING;
       atomic { list = slab[s].next; slab[s].listed = 0 };
#else
       atomic { list = slab[s].next; slab[s].listed = 0 };
#ifdef M_LOAD_BEFORE_CLEAR
       bits = slab[s].remote;
#endif
#ifndef M_CLEAR_AFTER_MERGE
       atomic {
           assert(slab[s].owner == (l | PENDING));
           slab[s].owner = slab[s].owner & ~PENDING
       };
#endif
#endif
       merge(s, l);
#ifdef M_CLEAR_AFTER_MERGE
       slab[s].owner = slab[s].owner & ~PENDING;
#endif
#ifdef M_SPURIOUS_IGNORED
       if
       :: bits == 0
       :: else -> bits = 0; release_if_empty(s, l)
       fi;
#else
       release_if_empty(s, l);
#endif
       s = 0
    od
}

#ifdef SURRENDER
#define MAY_GO(i, l)                                                                               \
    (LANE(slab[i].owner) == l && slab[i].freed != 0 && lane[l].current != i + 1)

/* A slab of a parked lane becomes this lane's: pick = slab number + 1, or 0. */
inline adopt(l, from)
{
    if
    :: !lane[from].parked
    :: else ->
       lock_lane(from);
       if
       :: !lane[from].parked
       :: else ->
          drain(from);
          atomic {
              if
              :: MAY_GO(0, from) -> pick = 1
#if SLABS > 1
              :: !MAY_GO(0, from) && MAY_GO(1, from) -> pick = 2
#endif
              :: else
              fi
          };
          if
          :: pick == 0
          :: else ->
             atomic {
                 if
#ifdef M_HAND_OVER_IGNORES_PENDING
                 :: true -> slab[pick - 1].owner = l
#else
                 :: slab[pick - 1].owner == from -> slab[pick - 1].owner = l
#endif
                 :: else -> pick = 0
                 fi
             }
          fi
       fi;
       unlock_lane(from);
#ifndef M_ADOPT_WITHOUT_HELP
       help(from)
#else
       skip
#endif
    fi
}
#endif

#define HAS_FREE(i, l) (LANE(slab[i].owner) == l && (slab[i].freed | slab[i].lifted) != 0)

/* Choose a slab with free slots, lift all of them. Under the lane's lock. pick = 0: no memory. */
inline refill(l)
{
    drain(l);
    atomic {
        if
        :: HAS_FREE(0, l) -> pick = 1
#if SLABS > 1
        :: !HAS_FREE(0, l) && HAS_FREE(1, l) -> pick = 2
#endif
        :: else -> pick = 0
        fi
    };
#ifdef SURRENDER
    if
    :: pick == 0 ->
       /* no two lanes are locked at once */
       unlock_lane(l);
       adopt(l, 3 - l);
       lock_lane(l)
    :: else
    fi;
#endif
    if
    :: pick == 0 ->
       /* take a span from the page layer */
       atomic {
           if
           :: slab[0].pooled -> pick = 1; slab[0].pooled = 0
#if SLABS > 1
           :: slab[1].pooled -> pick = 2; slab[1].pooled = 0
#endif
           :: else
           fi
       };
       if
       :: pick != 0 ->
          /* whatever is free is in freed or lifted already, and stays there */
#ifdef INIT_FREED_THEN_LIFTED
          slab[pick - 1].freed = ALL;
          slab[pick - 1].lifted = 0;
          slab[pick - 1].used = 0;
#endif
#ifdef INIT_LIFTED_THEN_FREED
          slab[pick - 1].lifted = 0;
          slab[pick - 1].freed = ALL;
          slab[pick - 1].used = 0;
#endif
#ifdef M_OWN_TEST_FIRST
          OWN_TEST(pick - 1);
#endif
          atomic {
              OWNED_WELL(pick - 1);
#ifdef M_REOWN_KEEPS_PENDING
              slab[pick - 1].owner = slab[pick - 1].owner | l
#else
              slab[pick - 1].owner = l
#endif
          };
#if !defined(M_NO_OWN_TEST) && !defined(M_OWN_TEST_FIRST)
          OWN_TEST(pick - 1);
#endif
       :: else
       fi
    :: else
    fi;
    lane[l].current = pick;
    if
    :: pick == 0
    :: else ->
       atomic { s = pick - 1; pick = 0; slab[s].kept = 0; bits = slab[s].freed };
       if
       :: bits == 0
       :: else ->
#ifdef M_FREED_CLEARED_FIRST
          slab[s].freed = 0;
          slab[s].lifted = slab[s].lifted | bits;
#else
          slab[s].lifted = slab[s].lifted | bits;
          slab[s].freed = 0;
#endif
          atomic { slab[s].used = slab[s].used + COUNT(bits); bits = 0 }
       fi;
       s = 0
    fi
}

/* obj = slab * 8 + slot mask, or 0. The slot with the lowest number is taken. */
inline allocate(obj, l)
{
    if
    :: lane[l].current != 0 && slab[lane[l].current - 1].lifted != 0
    :: else ->
#ifdef M_REFILL_WITHOUT_LOCK
       refill(l)
#else
       lock_lane(l);
       refill(l);
       unlock_lane(l)
#endif
    fi;
    if
    :: lane[l].current == 0 -> obj = 0
    :: else ->
       word = slab[lane[l].current - 1].lifted;
       atomic {
           s = lane[l].current - 1;
           m = word & ~(word - 1);
           slab[s].lifted = word & ~m;
           assert(LANE(slab[s].owner) == l);
           assert((slab[s].live & m) == 0);
           slab[s].live = slab[s].live | m;
           HANDED_OUT(s, m);
           obj = s * 8 + m;
           s = 0; m = 0; word = 0
       }
    fi
}

#define SLAB_OF(obj) ((obj) / 8)
#define MASK_OF(obj) ((obj) % 8)

/* The caller's lane owns the slab. */
inline local_free(obj, l)
{
    atomic { s = SLAB_OF(obj); m = MASK_OF(obj); ok = true };
    word = slab[s].owner;
    if
    :: word == l
#ifdef M_LOCAL_IGNORES_PENDING
    :: word != l
#else
    :: word != l ->
       /* a notice is out: look at what other threads have published */
       assert(LANE(word) == l);
#ifdef M_SLOW_PATH_CLEARS_PENDING
       slab[s].owner = slab[s].owner & ~PENDING;
#endif
#ifdef MERGE_IN_LOCAL_FREE
       lock_lane(l);
       merge(s, l);
       unlock_lane(l)
#else
       if
       :: (slab[s].remote & m) != 0 -> REPORT(LOCAL_AFTER_REMOTE); ok = false
       :: else
       fi
#endif
#endif
    fi;
    word = slab[s].freed;
    if
    :: !ok
    :: ok && ((word | slab[s].lifted) & m) != 0 -> REPORT(LOCAL_AFTER_FREE)
    :: else ->
       atomic {
           slab[s].freed = word | m;
           slab[s].live = slab[s].live & ~m
       };
       slab[s].used = slab[s].used - 1;
       if
       :: EMPTY(s) && lane[l].current != s + 1 ->
          lock_lane(l);
          release_if_empty(s, l);
          unlock_lane(l)
       :: else
       fi
    fi;
    atomic { s = 0; m = 0; word = 0; ok = false; obj = 0 }
}

/* --- another thread frees ---------------------------------------------------------------- */

/*
 * After publishing the bit, the freer writes only owner and next of the slab, which may have
 * another owner by now. pick is the lane that the notice is for; ok: this freer has pushed it.
 */
inline notify()
{
    word = slab[s].owner;
    if
#ifndef M_PUSH_ALWAYS
    :: (word & PENDING) != 0
#endif
    :: else ->
#ifdef M_STALE_LANE
       atomic { slab[s].owner = slab[s].owner | PENDING };
#else
       atomic { word = slab[s].owner; slab[s].owner = slab[s].owner | PENDING };
#endif
       if
#ifndef M_PUSH_ALWAYS
       :: (word & PENDING) != 0
#endif
#ifndef M_PUSH_FOR_NOBODY
       :: word == 0
#endif
       :: else ->
          atomic { pick = LANE(word); assert(pick != 0) };
#ifdef M_STATE_READ_BEFORE_PUSH
          ok = lane[pick].parked;
          push(s, pick)
#else
          push(s, pick);
          ok = true
#endif
       fi
    fi;
    atomic { pick = LANE(word); word = 0 }
}

/* A look into the inbox of a lane that may be parked. */
inline help_after_free()
{
#ifdef HELP_WHEN_SLAB_IS_FREE
    /* Many frees pay for one look: who sees the whole slab free has it, and who sees less
     * has published before another will look. In the order in which bits travel. */
#ifdef M_LOOK_BEFORE_PUBLISHING
    if
    :: (others & ~before) == 0 && pick != 0 -> ok = false; help(pick)
    :: else -> ok = false
    fi;
#else
#ifdef M_LOOK_BEFORE_PUSH
    word = others;
#elif defined(WORD_PER_SLOT)
    /* its own word, then the others */
    word = slab[s].remote & m;
    word = word | (slab[s].freed & m);
    word = word | (slab[s].lifted & m);
    others = slab[s].remote & ~m;
    others = others | (slab[s].freed & ~m);
    others = others | (slab[s].lifted & ~m);
    atomic { word = word | others; others = 0 };
#else
    word = slab[s].remote;
    word = word | slab[s].freed;
    word = word | slab[s].lifted;
#endif
    if
#ifdef M_HELP_FIRST_LANE
    :: word == ALL && first != 0 -> ok = false; help(first)
#else
    :: word == ALL && pick != 0 -> ok = false; help(pick)
#endif
    :: else -> ok = false
    fi;
#endif
    others = 0; before = 0; first = 0
#else
    if
    :: ok -> ok = false; help(pick)
    :: else
    fi
#endif
}

inline remote_free(obj)
{
    atomic { s = SLAB_OF(obj); m = MASK_OF(obj); pick = 0 };
#ifdef M_HELP_FIRST_LANE
    first = LANE(slab[s].owner);
#endif
    if
    :: LANE(slab[s].owner) == 0 -> REPORT(NOBODYS)
    :: else
    fi;
    PRECHECK(s, m);
    if
    :: word != 0 -> REPORT(REMOTE_AFTER_FREE)
    :: else ->
#ifdef M_NOTICE_BEFORE_PUBLISH
       notify();
#endif
#ifdef M_LOOK_BEFORE_PUBLISHING
       others = slab[s].freed;
       others = ALL & ~m & ~others & ~slab[s].lifted;
#endif
       atomic {
           word = slab[s].remote;
           slab[s].remote = slab[s].remote | m;
           PUBLISHED(s, m)
       };
#ifdef M_LOOK_BEFORE_PUBLISHING
       before = word;
#endif
       if
#ifndef M_OLD_REMOTE_IGNORED
       :: (word & m) != 0 -> REPORT(REMOTE_AFTER_REMOTE)
#endif
       :: else ->
#ifdef M_LOOK_BEFORE_PUSH
          others = slab[s].remote;
          others = others | slab[s].freed;
          others = others | slab[s].lifted;
#endif
#ifndef M_NOTICE_BEFORE_PUBLISH
          notify();
#endif
#if defined(HELP_PARKED) && !defined(M_PARKED_NOT_HELPED)
          help_after_free()
#else
          ok = false
#endif
       fi
    fi;
    atomic { s = 0; m = 0; word = 0; pick = 0; obj = 0 }
}

/* --- lanes whose thread has exited ------------------------------------------------------- */

/*
 * After a push, and after every unlock of a lane that may be parked: drain on its behalf.
 * Who fails to get the lock leaves it to the holder, who comes here after the unlock.
 */
inline help(l)
{
    do
    :: lane[l].inbox == 0 -> break
    :: lane[l].inbox != 0 ->
       if
       :: !lane[l].parked -> break
       :: else
       fi;
#ifdef M_HELP_WITHOUT_LOCK
       ok = true;
#else
       atomic { ok = (lane[l].lock == 0); lane[l].lock = 1 };
#endif
       if
       :: !ok -> break
       :: else -> ok = false
       fi;
       /* the lane may have been adopted: its thread's fast paths take no lock */
       if
#ifdef M_NO_STATE_RECHECK
       :: true -> drain(l)
#else
       :: lane[l].parked -> drain(l)
       :: else
#endif
       fi;
#ifndef M_HELP_WITHOUT_LOCK
       unlock_lane(l);
#endif
#ifdef M_NO_RECHECK_AFTER_UNLOCK
       break
#endif
    od
}

/* The thread ends. The lane keeps its slabs and its lifted bits. */
inline park(l)
{
#ifndef M_PARK_WITHOUT_LOCK
    lock_lane(l);
#endif
#ifdef M_DRAIN_THEN_PARK
    drain(l);
#endif
    lane[l].parked = 1;
#ifdef SURRENDER
    /* the next refill would have sent an exhausted slab where it belongs */
    if
    :: lane[l].current != 0 && slab[lane[l].current - 1].lifted == 0 -> lane[l].current = 0
    :: else
    fi;
#endif
    if
    :: LANE(slab[0].owner) == l -> release_if_empty(0, l)
    :: else
    fi;
#if SLABS > 1
    if
    :: LANE(slab[1].owner) == l -> release_if_empty(1, l)
    :: else
    fi;
#endif
#ifndef M_PARK_WITHOUT_LOCK
    unlock_lane(l);
#endif
#if !defined(M_NO_RECHECK_AFTER_PARK) && !defined(M_DRAIN_THEN_PARK)
    help(l)
#else
    skip
#endif
}
