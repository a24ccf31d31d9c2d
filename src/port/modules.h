/* SPDX-License-Identifier: MIT */
/*
 * The files that a process has loaded, and what the linker has left in them for unwinding: for the
 * port's own files.
 */
#ifndef FREEHOLD_PORT_MODULES_H
#define FREEHOLD_PORT_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct freehold__module {
    const char *name;            /* "": the program itself */
    uintptr_t base;              /* what is added to the file's addresses */
    const unsigned char *frames; /* its .eh_frame_hdr, or NULL */
} freehold__module;

/* The file that code is from; false: none, or the host cannot tell. Allocates nothing. */
bool freehold__module_of(uintptr_t address, freehold__module *module);

/*
 * A walk up the stack, from where a function was called: `address` is where it goes on, and the
 * other two are the caller's registers there.
 */
typedef struct freehold__unwind_at {
    uintptr_t address, stack, frame;
} freehold__unwind_at;

/* As freehold__port_backtrace; -1: this stack needs the whole unwinder. */
int freehold__unwind(freehold__unwind_at from, void **frames, void **functions, unsigned most);

#endif
