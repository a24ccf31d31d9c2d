/* SPDX-License-Identifier: MIT */
/*
 * libfreehold-check.so: malloc's names over one debugging allocator, over the heap of the process.
 *
 *     malloc, new, ...      src/malloc/malloc.c and new.c, compiled with FREEHOLD_CHECK
 *     check.c               what they do to blocks; the begin, fork and the end
 *     freehold_debug        canaries, records, stacks (src/allocators/debug.c)
 *     parent.c              its parent: the heap of the process, with lanes, options and statistics
 *                           (src/malloc/process.c), as any drop-in has it
 *     records.c             memory for its records
 *     report.c              where reports go; what was not freed, by place
 *     reach.c               which of that can still be reached
 */
#ifndef FREEHOLD_CHECK_CHECK_H
#define FREEHOLD_CHECK_CHECK_H

#include "allocators/debug.h"
#include "malloc/blocks.h"

/* The heap of the process as an allocator. */
void freehold__check_parent_init(freehold_allocator *parent);

/* Memory for the records, of which the program knows nothing; and whether an address is in it. Under the
 * lock of the debugging allocator. */
void freehold__check_records_init(freehold_allocator *records);
bool freehold__check_records_have(uintptr_t address);

/* Reads the variables below, and takes the reports of the process. */
void freehold__check_report_begin(freehold_debug *debug);

/* A line of the report now, "freehold: note: ...", that is no misuse. */
void freehold__check_report_note(const char *what);

/*
 * Reports what is live, and overflows of it. Environment, but not of who starts a program that has privileges of
 * its own:
 *     FREEHOLD_CHECK_REPORT  the file; %p: the process id. Standard error if there is none
 *     FREEHOLD_CHECK_LEAKS   the most places that are listed (20)
 *     FREEHOLD_CHECK_ALL     1: also what can still be reached
 * A file has for each report the process ("== PID NAME"), its mappings, "--", and the lines, whose
 * frames are plain addresses: who reads it makes names of them.
 */
void freehold__check_report_end(freehold_debug *debug);

/* The live blocks of a debugging allocator, and which of them can be reached from variables, stacks
 * and other such blocks. The memory for it comes from the port. */
typedef struct freehold__reach freehold__reach;

/* Under the lock, which it needs until the end. `stack`: what is below it on its stack is not looked
 * at. NULL: no memory, or the host cannot say. */
freehold__reach *freehold__reach_begin(const freehold__debug *d, const void *stack);
bool freehold__reach_has(const freehold__reach *reach, uintptr_t start);
void freehold__reach_end(freehold__reach *reach);

#endif
