/* SPDX-License-Identifier: MIT */
/*
 * The freehold command's own files: freehold.c reads the command line and starts a program on the
 * library, compare.c runs it beside the system's malloc, check.c looks for leaks and misuse in it,
 * child.c waits for it, inspect.c says beforehand why a program would not load the library.
 */
#ifndef FREEHOLD_COMMAND_H
#define FREEHOLD_COMMAND_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

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
    const char *library; /* absolute path of libfreehold.so; NULL: none is to be preloaded */
    const char *options; /* for FREEHOLD_OPTIONS, "" for none */
    const char
        *stats; /* where the program's line of statistics goes: a path, "-", or NULL for nowhere */
    int rounds;
    int most_places;        /* with --check: that are listed */
    bool all;               /* what can still be reached as well */
    bool pages;             /* each block on pages of its own */
    const char *quarantine; /* bytes of freed blocks that are held back, or NULL */
    int error_exit;         /* the status when something was found; -1: the program's */
};

/* Prints "freehold: " and the message as one line to standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, then exits with STATUS_OURS. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A formatted string that lives until exit. */
char *format_string(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* TMPDIR, or /tmp: where a file has a name that the library takes. */
const char *temporary_folder(void);

/* Puts the library, if any, in front of LD_PRELOAD, and options and stats behind what FREEHOLD_OPTIONS has.
 * */
void set_environment(const struct run *run, const char *stats);
/* Takes whatever library of this name out of LD_PRELOAD. */
void unset_library(void);
/* Becomes the program. Returns only if that fails: with the status to exit with, after one line. */
int become(char **argv);

/* Runs the program beside the system's malloc and prints the table; returns the status to exit
 * with. */
int compare(const struct run *run);

/* Runs the program with every block on record, and prints what was found; returns the status to exit
 * with. */
int check(const struct run *run);

/* The program as a child: what it was, its status, as a shell has it, and the signal that ended it, or 0. */
struct child {
    pid_t pid;
    int status, signal;
};

/* Forks, calls `become` in the child, which does not return, and waits for its end. */
struct child run_child(
    void (*become)(const void *argument), const void *argument, struct rusage *usage);
/* From here on signals are passed on to the child. */
void catch_signals(void);
/* From here on they are for the command: nothing is left that would have to be taken away. */
void catch_no_signals(void);
/* Where the command was started without one, no file of its own becomes a standard stream. The program is without it,
 * too. */
void fill_standard_streams(void);
/* From here on a pipe that nobody reads does not end the command: it has files to take away. Programs that are started
 * before do not have it. */
void outlive_readers(void);
/* The signal that has asked this command to end; 0: none. */
int asked_to_end(void);
/* What was asked so far was meant for the program, which has ended; the next signal posts the semaphore. */
void tell_when_asked(sem_t *semaphore);

/* Finds the program as execvp(3) would. NULL, with errno set, if there is none. */
char *find_program(const char *name);
/* Why the dynamic linker will not preload a library into this program; NULL if nothing speaks
 * against it. `ends`: and to ask for it would end the program. */
const char *why_not_preloaded(const char *path, bool *ends);

#endif
