/* SPDX-License-Identifier: MIT */
/*
 * The drop-in malloc of the process: what a program may ask of it beyond the names of libc.
 *
 * FREEHOLD_OPTIONS=soft_limit=SIZE has one line written to standard error each time that the process
 * holds more than SIZE (README.md says what counts). A handler replaces the line. It is called once
 * for each step over the limit, at the end of a call that allocates or frees, by the thread that
 * has made it, and without a lock: it may use malloc. It must return.
 *
 * Failure      None.
 * Threads      Any may call this at any time.
 */
#ifndef FREEHOLD_PROCESS_H
#define FREEHOLD_PROCESS_H

#include <stddef.h>

#include "freehold/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Is given what the process holds, and the limit, in bytes. */
typedef void (*freehold_soft_limit_handler)(size_t held_bytes, size_t soft_limit_bytes);

/* Sets the handler of the process and returns the previous one; NULL stands for the line.
 * Thread-safe. */
FREEHOLD_API freehold_soft_limit_handler freehold_set_soft_limit_handler(
    freehold_soft_limit_handler handler);

#ifdef __cplusplus
}
#endif
#endif
