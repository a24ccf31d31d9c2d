/* SPDX-License-Identifier: MIT */
/*
 * freehold run --compare: the same program under the system's malloc and under Freehold, side by
 * side.
 *
 * The two take turns, and which one is first in a round alternates, so that a warming disk cache or
 * a busy neighbour favours neither. Each run's standard output and error go into temporary files,
 * the same kind of sink for both: those of the first Freehold run are then passed on, and its
 * output compared with that of the system's malloc. Time and peak resident size are what the kernel
 * says of the process and the children it waited for (wait4(2)); the table shows medians. What
 * Freehold counted comes from its own line of statistics, of the program's own process id: that
 * proves that the library was really in use.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum side { SYSTEM, FREEHOLD, SIDES };
enum metric { WALL, USER, KERNEL, PEAK, METRICS };

static const char *const metric_names[METRICS] = {
    "wall time, s",
    "user time, s",
    "system time, s",
    "peak resident, MiB",
};

/* One side's runs: the metrics of every round, and status, process and output of the first one. */
struct results {
    double *metric[METRICS];
    int rounds, status;
    pid_t pid;
    FILE *output, *error;
};

struct comparison {
    const struct run *run;
    struct results side[SIDES];
    int input;           /* what the program reads */
    off_t input_start;   /* where it starts to, -1 for an input that cannot be read again */
    char *stats;         /* temporary file of the first Freehold run's statistics */
    char *process_stats; /* the line of the program itself in it, NULL if there is none */
};

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static FILE *temporary(void)
{
    FILE *file = tmpfile();
    if (!file)
        fail("temporary file: %s", strerror(errno));
    fcntl(fileno(file), F_SETFD, FD_CLOEXEC);
    return file;
}

static char *named; /* NULL: it is gone */

static void remove_named(void)
{
    if (named)
        unlink(named);
    named = NULL;
}

/* A named one, for the library to open. It goes as well if the command fails. */
static char *temporary_name(void)
{
    char *name = format_string("%s/freehold-stats.XXXXXX", temporary_folder());
    int fd = mkstemp(name);
    if (fd < 0)
        fail("%s: %s", name, strerror(errno));
    close(fd);
    atexit(remove_named);
    return named = name;
}

/* One run, for the child that will be the program. */
struct start {
    const struct comparison *comparison;
    enum side side;
    FILE *output, *error;
    const char *stats;
};

static void start(const void *argument)
{
    const struct start *how = argument;
    dup2(how->comparison->input, STDIN_FILENO);
    dup2(fileno(how->output), STDOUT_FILENO);
    dup2(fileno(how->error), STDERR_FILENO);
    if (how->side == FREEHOLD)
        set_environment(how->comparison->run, how->stats);
    else
        unset_library();
    _exit(become(how->comparison->run->argv));
}

static void run_once(struct comparison *comparison, enum side side)
{
    struct results *results = &comparison->side[side];
    bool first = results->rounds == 0;
    FILE *output = first ? results->output : temporary();
    FILE *error = first ? results->error : temporary();
    const char *stats = first ? comparison->stats : "/dev/null";
    if (comparison->input_start >= 0)
        lseek(comparison->input, comparison->input_start, SEEK_SET);

    struct start how = {comparison, side, output, error, stats};
    struct rusage usage;
    double began = now();
    struct child child = run_child(start, &how, &usage);
    double values[METRICS] = {
        [WALL] = now() - began,
        [USER] = seconds(usage.ru_utime),
        [KERNEL] = seconds(usage.ru_stime),
        [PEAK] = (double)usage.ru_maxrss / 1024,
    };
    for (int m = 0; m < METRICS; m++)
        results->metric[m][results->rounds] = values[m];
    results->rounds++;
    if (first) {
        results->status = child.status;
        results->pid = child.pid;
        return;
    }
    fclose(output);
    fclose(error);
}

/* False: not all of it could be written, and somebody may want to know. */
static bool copy_to(FILE *from, FILE *to)
{
    char buffer[1 << 14];
    size_t bytes;
    rewind(from);
    errno = 0;
    while ((bytes = fread(buffer, 1, sizeof(buffer), from)) > 0 &&
           fwrite(buffer, 1, bytes, to) == bytes)
        ;
    return (bytes == 0 && fflush(to) == 0) || errno == EPIPE;
}

static bool same_bytes(FILE *one, FILE *two)
{
    int a, b;
    rewind(one);
    rewind(two);
    do {
        a = getc(one);
        b = getc(two);
    } while (a == b && a != EOF);
    return a == b;
}

static int by_value(const void *one, const void *two)
{
    double a = *(const double *)one, b = *(const double *)two;
    return (a > b) - (a < b);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* The number behind "key": in a line of statistics; 0 if the key is missing. */
static unsigned long long counted(const char *line, const char *key)
{
    char *quoted = format_string("\"%s\":", key);
    const char *at = strstr(line, quoted);
    unsigned long long value = at ? strtoull(at + strlen(quoted), NULL, 10) : 0;
    free(quoted);
    return value;
}

/* "%p" in the name stands for the process, as it does in the library. */
static char *stats_file(const char *target, unsigned long long process)
{
    const char *number;
    char *name = format_string("%s", target);
    while ((number = strstr(name, "%p")) != NULL) {
        char *longer = format_string("%.*s%llu%s", (int)(number - name), name, process, number + 2);
        free(name);
        name = longer;
    }
    return name;
}

/* A process's line to where --stats said; false: it cannot be written, which is told. */
static bool pass_on_stats(const char *target, const char *line)
{
    if (strcmp(target, "-") == 0)
        return fputs(line, stderr) >= 0;
    char *name = stats_file(target, counted(line, "pid"));
    FILE *to = fopen(name, "a");
    bool written = to && fputs(line, to) >= 0;
    if (to && fclose(to) != 0)
        written = false;
    if (!written)
        complain("%s: %s", name, strerror(errno));
    free(name);
    return written;
}

/* The program's own line among those of its children, and all of them to where --stats said. */
static void read_stats(struct comparison *comparison, FILE *file)
{
    const char *target = comparison->run->stats;
    char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) > 0) {
        if (counted(line, "pid") == (unsigned long long)comparison->side[FREEHOLD].pid) {
            free(comparison->process_stats);
            comparison->process_stats = format_string("%s", line);
        }
        if (target && !pass_on_stats(target, line))
            target = NULL;
    }
    free(line);
    if (file)
        fclose(file);
}

/* The rows that only Freehold can fill. */
static void print_counts(const struct comparison *comparison)
{
    static const struct {
        const char *name, *key;
        bool bytes;
    } rows[] = {
        {"allocations", "allocations", false},
        {"  of them large", "large_allocations", false},
        {"frees", "frees", false},
        {"threads", "threads", false},
        {"in use at peak, MiB", "peak_bytes", true},
        {"live at exit, MiB", "live_bytes", true},
        {"purged, MiB", "purged_bytes", true},
    };
    const char *line = comparison->process_stats;
    if (!line) {
        fprintf(stderr,
            "Freehold counted nothing: it was not loaded into the program, or the program ended\n"
            "without its exit handlers (by a signal, _exit or exec).\n");
        return;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        unsigned long long value = counted(line, rows[i].key);
        if (rows[i].bytes)
            fprintf(stderr, "%-24s%16s%12.1f\n", rows[i].name, "", (double)value / (1 << 20));
        else
            fprintf(stderr, "%-24s%16s%12llu\n", rows[i].name, "", value);
    }
}

static void print_table(struct comparison *comparison)
{
    struct results *a = &comparison->side[SYSTEM], *b = &comparison->side[FREEHOLD];
    int rounds = a->rounds < b->rounds ? a->rounds : b->rounds;
    char *title = format_string(rounds == 1 ? "%d round" : "medians of %d rounds", rounds);
    fprintf(stderr, "\n%-24s%16s%12s%9s\n", title, "system malloc", "Freehold", "ratio");
    free(title);
    for (int m = 0; m < METRICS; m++) {
        double system = median(a->metric[m], rounds), freehold = median(b->metric[m], rounds);
        int decimals = m == PEAK ? 1 : 3;
        fprintf(stderr, "%-24s%16.*f%12.*f", metric_names[m], decimals, system, decimals, freehold);
        if (system > 0)
            fprintf(stderr, "%9.2f\n", freehold / system);
        else
            fprintf(stderr, "%9s\n", "-");
    }
    fprintf(stderr, "%-24s%16d%12d\n", "exit status", a->status, b->status);
    fprintf(stderr, "%-24s%28s\n", "standard output",
        same_bytes(a->output, b->output) ? "the same" : "differs");
    print_counts(comparison);
}

/* A file is read again from the same place by each run, a terminal is shared; anything else (a
 * pipe) could be read only once, so that the runs would differ: they get nothing to read. */
static void choose_input(struct comparison *comparison)
{
    struct stat st;
    comparison->input = STDIN_FILENO;
    comparison->input_start = -1;
    if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode))
        comparison->input_start = lseek(STDIN_FILENO, 0, SEEK_CUR);
    else if (!isatty(STDIN_FILENO))
        comparison->input = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int compare(const struct run *run)
{
    fill_standard_streams();
    struct comparison comparison = {.run = run, .stats = temporary_name()};
    for (int s = 0; s < SIDES; s++) {
        comparison.side[s] = (struct results){.output = temporary(), .error = temporary()};
        for (int m = 0; m < METRICS; m++)
            comparison.side[s].metric[m] = calloc((size_t)run->rounds, sizeof(double));
    }
    choose_input(&comparison);
    catch_signals();
    for (int round = 0; round < run->rounds && !asked_to_end(); round++) {
        enum side first = round % 2 ? FREEHOLD : SYSTEM;
        run_once(&comparison, first);
        if (!asked_to_end())
            run_once(&comparison, first == SYSTEM ? FREEHOLD : SYSTEM);
    }
    struct results *freehold = &comparison.side[FREEHOLD];
    FILE *stats = fopen(comparison.stats, "r");
    remove_named();
    catch_no_signals();
    outlive_readers();
    bool passed_on = copy_to(freehold->output, stdout);
    if (!passed_on)
        complain("standard output: %s", strerror(errno));
    copy_to(freehold->error, stderr);
    read_stats(&comparison, stats);
    if (freehold->rounds && comparison.side[SYSTEM].rounds)
        print_table(&comparison);
    if (!freehold->rounds)
        return STATUS_SIGNAL + asked_to_end();
    return passed_on ? freehold->status : STATUS_OURS;
}
