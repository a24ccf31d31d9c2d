/* SPDX-License-Identifier: MIT */
/*
 * The freehold command's own files: freehold.c reads the command line and starts a program on the
 * library, compare.c runs it beside the system's malloc, inspect.c says beforehand why a program
 * would not load it.
 */
#ifndef FREEHOLD_COMMAND_H
#define FREEHOLD_COMMAND_H

#include <stddef.h>

/* What the command itself exits with, as env(1) and timeout(1) do; other statuses are the
 * program's. */
enum {
    STATUS_OURS = 125,
    STATUS_NOT_EXECUTABLE = 126,
    STATUS_NOT_FOUND = 127,
    STATUS_SIGNAL = 128,
};

/* How to run the program: all strings live until exit. */
struct run {
    char **argv;         /* the program and its arguments, NULL at the end */
    const char *library; /* absolute path of libfreehold.so */
    const char *options; /* for FREEHOLD_OPTIONS, "" for none */
    const char
        *stats; /* where the program's line of statistics goes: a path, "-", or NULL for nowhere */
    int rounds;
};

/* Prints "freehold: " and the message as one line to standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, then exits with STATUS_OURS. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A formatted string that lives until exit. */
char *format_string(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Puts the library in front of LD_PRELOAD, and options and stats behind what FREEHOLD_OPTIONS has.
 * */
void set_environment(const struct run *run, const char *stats);
/* Becomes the program. Returns only if that fails: with the status to exit with, after one line. */
int become(char **argv);

/* Runs the program beside the system's malloc and prints the table; returns the status to exit
 * with. */
int compare(const struct run *run);

/* Finds the program as execvp(3) would. NULL, with errno set, if there is none. */
char *find_program(const char *name);
/* Why the dynamic linker will not preload a library into this program; NULL if nothing speaks
 * against it. */
const char *why_not_preloaded(const char *path);

#endif
