/* SPDX-License-Identifier: MIT */
/*
 * freehold run --check: the program with every block on record (libfreehold-check.so), and what was
 * found in it and the programs that it has started, with names.
 *
 * Each process writes its reports into a file of its own, in a folder that is made for it, with plain
 * addresses and its mappings: in the state in which a report is made, a process should do no more
 * (DESIGN.md, section 13). Names are made here, when the program is gone. The form of the files is in
 * src/check/check.h.
 */
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbolizer.h"

enum { STACK_BYTES = 8 << 20 };

/* What was found so far. */
struct findings {
    pid_t program; /* the one that was started; others are named */
    int misuses, processes, lost_in;
    bool seen; /* a report of the program itself */
};

/* ---- one line ------------------------------------------------------------------------------------ */

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Where " 0x1136 0x125a" begins, behind " at"; NULL: nowhere. */
static const char *find_frames(const char *text)
{
    const char *at = strstr(text, " at 0x");
    return at ? at + 3 : NULL;
}

/* Prints them, as far as main, and returns what is behind. */
static const char *print_frames(symbolizer *names, const char *frames)
{
    bool done = false;
    while (starts_with(frames, " 0x")) {
        char name[400], *end;
        uint64_t frame = strtoull(frames + 1, &end, 16);
        if (!names || !symbolizer_name(names, (uintptr_t)frame, name, sizeof(name)))
            snprintf(name, sizeof(name), "0x%" PRIx64, frame);
        if (!done)
            fprintf(stderr, "    %s\n", name);
        done = done || starts_with(name, "main (");
        frames = end;
    }
    return frames;
}

/* Text and frames take turns: a line for each part of the text, and for each frame. */
static void print_report(symbolizer *names, const char *line)
{
    const char *frames;
    bool first = true;
    while ((frames = find_frames(line)) != NULL) {
        fprintf(stderr, "%s%.*s\n", first ? "" : "  ", (int)(frames - line), line);
        line = print_frames(names, frames);
        line += strspn(line, ",; ");
        first = false;
    }
    if (*line)
        fprintf(stderr, "%s%s\n", first ? "" : "  ", line);
}

/* ---- one file ------------------------------------------------------------------------------------ */

/* The line without its newline; NULL: the end. It is valid until the next. */
static char *next_line(FILE *file)
{
    static char *line;
    static size_t room;
    ssize_t length = getline(&line, &room, file);
    if (length <= 0)
        return NULL;
    line[strcspn(line, "\n")] = 0;
    return line;
}

/* Everything up to "--". */
static symbolizer *read_mappings(FILE *file)
{
    char *text = NULL, *line;
    size_t bytes = 0;
    FILE *maps = open_memstream(&text, &bytes);
    if (!maps)
        fail("out of memory");
    while ((line = next_line(file)) != NULL && strcmp(line, "--") != 0)
        fprintf(maps, "%s\n", line);
    fclose(maps);
    maps = fmemopen(text, bytes ? bytes : 1, "r");
    symbolizer *names = maps ? symbolizer_new(maps) : NULL;
    if (maps)
        fclose(maps);
    free(text);
    return names;
}

static bool is_total(const char *line)
{
    return starts_with(line, "freehold: ") && line[10] >= '0' && line[10] <= '9';
}

/* It comes before the report of its process, or before none. */
static bool is_note(const char *line)
{
    return starts_with(line, "freehold: note: ");
}

static void read_report(struct findings *findings, symbolizer *names, const char *process,
    const char *line, bool *introduced)
{
    bool nothing = is_total(line) && starts_with(line, "freehold: 0 bytes in 0 blocks");
    if (nothing)
        return;
    if (is_total(line))
        findings->lost_in++;
    else if (!starts_with(line, "freehold: lost: ") &&
             !starts_with(line, "freehold: not freed: ") &&
             !starts_with(line, "freehold: still reachable: ") && !is_note(line) &&
             !starts_with(line, "freehold: and from "))
        findings->misuses++;
    if (!*introduced && (pid_t)atol(process) != findings->program)
        fprintf(stderr, "freehold: in process %s\n", process);
    *introduced = true;
    print_report(names, line);
}

static void read_file(struct findings *findings, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line, *process = NULL;
    symbolizer *names = NULL;
    bool introduced = false, counted = false;
    while (file && (line = next_line(file)) != NULL) {
        if (starts_with(line, "== ")) {
            process = format_string("%s", line + 3);
            symbolizer_free(names);
            names = read_mappings(file);
            introduced = counted = false;
        } else if (process) {
            if (!counted && !is_note(line)) {
                counted = true;
                findings->processes++;
                findings->seen |= (pid_t)atol(process) == findings->program;
            }
            read_report(findings, names, process, line, &introduced);
        }
    }
    symbolizer_free(names);
    if (file)
        fclose(file);
}

/* ---- all of them ----------------------------------------------------------------------------------- */

static int is_report(const struct dirent *entry)
{
    return entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
}

static char *folder; /* NULL: it is gone */

static void remove_folder(void)
{
    if (folder)
        rmdir(folder);
    folder = NULL;
}

/* Takes all files away; NULL: unread. */
static void read_all(struct findings *findings)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_report, versionsort);
    for (int i = 0; i < count; i++) {
        char *path = format_string("%s/%s", folder, entries[i]->d_name);
        if (findings)
            read_file(findings, path);
        unlink(path);
        free(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static sem_t over; /* all is read, or a signal has come */
static atomic_bool all_read;

static void *read_in_thread(void *findings)
{
    read_all(findings);
    atomic_store(&all_read, true);
    sem_post(&over);
    return NULL;
}

/* Names may take long (debug information comes from a server, DEBUGINFOD_URLS): whoever asks for the end meanwhile is not
 * kept. The thread is left in the midst of it. */
static void wait_for_reader(pthread_t thread)
{
    while (sem_wait(&over) != 0)
        ;
    if (!atomic_load(&all_read)) {
        read_all(NULL);
        remove_folder();
        _exit(STATUS_SIGNAL + asked_to_end());
    }
    pthread_join(thread, NULL);
}

/* Names of a stack need a stack: who limits the program's (ulimit -s) has limited the command's, but not that of a
 * thread. */
static void read_on_own_stack(struct findings *findings)
{
    pthread_t thread;
    pthread_attr_t with_stack;
    sem_init(&over, 0, 0);
    tell_when_asked(&over);
    pthread_attr_init(&with_stack);
    pthread_attr_setstacksize(&with_stack, STACK_BYTES);
    if (pthread_create(&thread, &with_stack, read_in_thread, findings) == 0)
        wait_for_reader(thread);
    else
        read_all(findings);
    pthread_attr_destroy(&with_stack);
    remove_folder();
}

/* It goes as well if the command fails. */
static void make_folder(void)
{
    char *name = format_string("%s/freehold-check.XXXXXX", temporary_folder());
    if (!mkdtemp(name))
        fail("%s: %s", name, strerror(errno));
    folder = name;
    atexit(remove_folder);
}

static void become_program(const void *argument)
{
    const struct run *run = argument;
    set_environment(run, run->stats);
    _exit(become(run->argv));
}

static void say_what_is_unknown(const struct findings *findings, const struct child *child)
{
    if (findings->seen || child->status == STATUS_NOT_FOUND ||
        child->status == STATUS_NOT_EXECUTABLE)
        return;
    if (child->signal)
        complain("ended by signal %d: what was not freed is not known", child->signal);
    else
        complain("the program did not end by exit, or could not be checked: what was not freed is "
                 "not known");
}

int check(const struct run *run)
{
    fill_standard_streams();
    make_folder();
    struct rusage usage;
    setenv("FREEHOLD_CHECK_REPORT", format_string("%s/%%p", folder), 1);
    setenv("FREEHOLD_CHECK_LEAKS", format_string("%d", run->most_places), 1);
    setenv("FREEHOLD_CHECK_ALL", run->all ? "1" : "0", 1);
    setenv("FREEHOLD_CHECK_PAGES", run->pages ? "1" : "0", 1);
    setenv("FREEHOLD_CHECK_QUARANTINE", run->quarantine ? run->quarantine : "", 1);
    catch_signals();
    struct child child = run_child(become_program, run, &usage);
    struct findings findings = {.program = child.pid};
    outlive_readers();
    read_on_own_stack(&findings);
    say_what_is_unknown(&findings, &child);
    bool found = findings.misuses != 0 || findings.lost_in != 0;
    if (!found && findings.seen)
        complain(findings.processes == 1 ? "no misuse, and nothing was lost"
                                         : "no misuse, and nothing was lost, in %d processes",
            findings.processes);
    return found && run->error_exit >= 0 ? run->error_exit : child.status;
}
