/* SPDX-License-Identifier: MIT */
/*
 * Names for the frames of a process, from its mappings alone: the process may be gone, or stopped in
 * the midst of a report. dwfl.c does it with elfutils; plain.c, where that is missing, names files
 * and offsets.
 */
#ifndef FREEHOLD_SYMBOLIZE_SYMBOLIZER_H
#define FREEHOLD_SYMBOLIZE_SYMBOLIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct symbolizer symbolizer;

/* For mappings in the form of /proc/PID/maps, which are read at once. NULL: no memory. */
symbolizer *symbolizer_new(FILE *maps);
void symbolizer_free(symbolizer *s);

/* Names where a call is that goes on at this address: "work (app.c:12)", "work (libapp.so.1)",
 * "libapp.so.1+0x1136", as much as is known. False: the address is in no file. */
bool symbolizer_name(symbolizer *s, uintptr_t frame, char *text, size_t room);

#endif
