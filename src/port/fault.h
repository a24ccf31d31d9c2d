/* SPDX-License-Identifier: MIT */
/*
 * The fault-injecting port, for tests: every call of the port that may fail is counted, and the
 * chosen one fails (T16). Its pages may be larger than the system's. It wraps the real port, whose functions are renamed when FREEHOLD_FAULT
 * is 1.
 */
#ifndef FREEHOLD_PORT_FAULT_H
#define FREEHOLD_PORT_FAULT_H

#include <stdint.h>

#ifndef FREEHOLD_FAULT
#define FREEHOLD_FAULT 0
#endif
#if FREEHOLD_FAULT && defined(FREEHOLD__REAL_PORT)
#define freehold__port_map              freehold__real_map
#define freehold__port_reserve          freehold__real_reserve
#define freehold__port_unmap            freehold__real_unmap
#define freehold__port_purge            freehold__real_purge
#define freehold__port_remap            freehold__real_remap
#define freehold__port_protect          freehold__real_protect
#define freehold__port_shared_lock_init freehold__real_shared_lock_init
#define freehold__port_file_open        freehold__real_file_open
#define freehold__port_file_sync        freehold__real_file_sync
#define freehold__port_file_remove      freehold__real_file_remove
#define freehold__port_page_size        freehold__real_page_size
#define freehold__port_milliseconds     freehold__real_milliseconds
#define freehold__port_heavy_fence      freehold__real_heavy_fence
#endif

/* The calls `first` to `first + count - 1` from now on fail; first is 1 for the next one, 0 for
 * never. */
void freehold__fault_set(uint64_t first, uint64_t count);

/* From now on the clock goes on by a millisecond whenever somebody looks at it, and only then: what is done
 * is the same each time, however long it takes. */
void freehold__fault_own_clock(void);

/* Calls that could have failed since the last freehold__fault_set. */
uint64_t freehold__fault_calls(void);

/*
 * The port can have larger pages than the system (F22): FREEHOLD_TEST_PAGE_SIZE in the environment says how
 * large. Memory then comes at multiples of them, and whoever asks for something else than whole pages is
 * stopped with a report.
 */

/* Calls a function in each heavy fence: there what other threads have stored before becomes visible. NULL: none. */
void freehold__fault_at_fence(void (*call)(void));

/* Bytes that are mapped now through this port: what a test compares to find a leak. */
uint64_t freehold__fault_mapped(void);

#endif
