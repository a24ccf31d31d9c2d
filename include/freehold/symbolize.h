/* SPDX-License-Identifier: MIT */
/*
 * Function, file and line of the calls in reports (freehold_set_frame_namer), by a process beside the
 * program. In a library of its own, libfreehold-symbolize, which needs elfutils; it is there where
 * elfutils was when Freehold was built.
 *
 *     int main(void)
 *     {
 *         freehold_symbolize_start();
 *         ...
 *
 *     freehold: freehold_free(0x7f..40): double free: the block of 100 bytes, allocated at make
 *     (app.c:12) main (app.c:30), freed at drop (app.c:20) ...
 *
 * A report is made on a bad day: the heap may be damaged, its locks may be held, and it may be in a
 * signal handler. To read debug information takes much memory. So the reading is done by a process
 * that is forked at the start, while all is well. The program sends it an address, and waits
 * for a name, at most five seconds; it allocates nothing for that, and takes no lock. When there is
 * no answer, the report has the file and the offset, as it has without this library. A process that
 * the program forks later has no such helper, until it starts one.
 */
#ifndef FREEHOLD_SYMBOLIZE_H
#define FREEHOLD_SYMBOLIZE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Starts the helper, if this process has none, and sets the namer. False, and nothing is changed: the
 * system refuses. Before there are threads. */
bool freehold_symbolize_start(void);

/* Ends the helper; the namer is the default then. */
void freehold_symbolize_stop(void);

#ifdef __cplusplus
}
#endif
#endif
