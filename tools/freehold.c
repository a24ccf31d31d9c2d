/* SPDX-License-Identifier: MIT */
/*
 * freehold: runs a program on the library, with no change to the program. `freehold run` finds
 * libfreehold.so beside the command or where it was installed, puts it in front of LD_PRELOAD, adds
 * to FREEHOLD_OPTIONS, and becomes the program: exit status, signals, standard streams and the
 * process id are the program's own. With --compare it stays, and runs the program beside the
 * system's malloc (compare.c); so it does with --check, and prints what was found (check.c).
 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum {
    DEFAULT_ROUNDS = 3,
    MAX_ROUNDS = 1000,
    DEFAULT_PLACES = 20,
    MAX_PLACES = 1000000,
    MAX_STATS = 255
};

static const char help[] =
    "Usage: freehold run [options] [--] PROGRAM [ARGUMENT...]\n"
    "       freehold --help | --version\n"
    "\n"
    "Runs PROGRAM with Freehold as its malloc.\n"
    "\n"
    "  --stats[=FILE]      at exit, one line of statistics to FILE ('-', the default: standard\n"
    "                      error; %p in FILE stands for the process id)\n"
    "  --limit SIZE        PROGRAM's malloc holds no more than SIZE: 512M, or K, G, or bytes; a\n"
    "                      request beyond it fails, and the first one that does is reported\n"
    "  --soft-limit SIZE   a line on standard error each time that it holds more than SIZE\n"
    "  --option KEY=VALUE  set an option of the library (may be repeated)\n"
    "  --library PATH      use this libfreehold.so\n"
    "  --compare           run PROGRAM under the system's malloc and under Freehold, and print\n"
    "                      time, peak resident memory and what Freehold counted\n"
    "  -n, --rounds N      with --compare: N rounds of each, and their medians (default 3)\n"
    "  --check[=pages]     report leaks and misuse of PROGRAM, by function and line: what can no\n"
    "                      longer be reached when it exits, overflows, double and wrong frees,\n"
    "                      writes to freed blocks; with pages, each access to a freed block or\n"
    "                      beyond the end of one, at once, and many times slower\n"
    "  --quarantine SIZE   with --check: hold back SIZE of freed blocks (default 16M; 0: none)\n"
    "  --leaks N           with --check: list at most N places that blocks are from (default 20)\n"
    "  --all               with --check: also list what can still be reached\n"
    "  --error-exit N      with --check: exit with N when anything was found\n"
    "  --help, --version\n"
    "\n"
    "The exit status is PROGRAM's; 125 when freehold itself fails, 126 when PROGRAM cannot be\n"
    "executed, 127 when it is not found. See freehold(1).\n";

static const char version[] = "freehold " FREEHOLD_COMMAND_VERSION "\n";

static void complain_list(const char *format, va_list list)
{
    char line[PATH_MAX + 512];
    vsnprintf(line, sizeof(line), format, list);
    fprintf(stderr, "freehold: %s\n", line);
}

void complain(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    complain_list(format, list);
    va_end(list);
}

void fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    complain_list(format, list);
    va_end(list);
    exit(STATUS_OURS);
}

char *format_string(const char *format, ...)
{
    char *string;
    va_list list;
    va_start(list, format);
    int length = vasprintf(&string, format, list);
    va_end(list);
    if (length < 0)
        fail("out of memory");
    return string;
}

/* The directory that this command is in, without a trailing slash; "" if the system does not say.
 * */
static const char *own_directory(void)
{
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length >= 0)
        path[length] = 0;
    else if (!realpath((const char *)getauxval(AT_EXECFN), path)) /* there is no /proc */
        return "";
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    return path;
}

/* Beside the command (a build folder), then where the same installation has its libraries, wherever
 * it has been moved to, then where it was meant to be installed. */
static const char *find_library(const char *const names[2])
{
    const char *own = own_directory();
    const char *directories[] = {
        own,
        format_string("%s/..", own),
        format_string("%s/%s", own, FREEHOLD_LIBDIR_FROM_BINDIR),
        format_string("%s/../lib", own),
        FREEHOLD_LIBDIR,
    };
    for (size_t d = 0; d < sizeof(directories) / sizeof(*directories); d++) {
        for (size_t n = 0; n < 2 && names[n]; n++) {
            char *candidate = format_string("%s/%s", directories[d], names[n]);
            char *absolute = realpath(candidate, NULL);
            free(candidate);
            if (absolute)
                return absolute;
        }
    }
    fail("%s is neither beside this command (%s) nor in %s; name it with --library", names[0], own,
        FREEHOLD_LIBDIR);
}

static const char *given_library(const char *path)
{
    char *absolute = realpath(path, NULL);
    if (!absolute)
        fail("library %s: %s", path, strerror(errno));
    return absolute;
}

/* The name of a file as the library takes it. */
static const char *stats_name(const char *name)
{
    if (strlen(name) > MAX_STATS)
        fail(
            "--stats: '%s' has more than %d bytes; name a file in another folder", name, MAX_STATS);
    return name;
}

/* A path that still means the same file when the program has changed its directory. */
static const char *stats_target(const char *file)
{
    if (strcmp(file, "-") == 0)
        return file;
    if (!*file || strchr(file, ','))
        fail("--stats: '%s' cannot be the name of a file in FREEHOLD_OPTIONS", file);
    if (*file == '/')
        return stats_name(file);
    char directory[PATH_MAX];
    if (!getcwd(directory, sizeof(directory)))
        fail("the current directory: %s", strerror(errno));
    if (strchr(directory, ',') || strstr(directory, "%p"))
        fail("--stats: '%s/%s' cannot be the name of a file in FREEHOLD_OPTIONS; name one in "
             "another folder",
            directory, file);
    return stats_name(format_string("%s/%s", directory, file));
}

const char *temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    bool fits = folder && *folder == '/' && !strpbrk(folder, ",%") && strlen(folder) <= 200;
    return fits ? folder : "/tmp";
}

static const char *with_option(const char *options, const char *option)
{
    const char *equals = strchr(option, '=');
    if (!equals || equals == option || strchr(option, ','))
        fail("--option: '%s' is not of the form KEY=VALUE", option);
    return *options ? format_string("%s,%s", options, option) : option;
}

/* A size as the library reads it: bytes, or units of 2^10, 2^20 or 2^30 of them. */
static size_t size_of(const char *option, const char *text)
{
    static const char units[] = "KMG";
    char *end = NULL;
    errno = 0;
    unsigned long long value = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    const char *unit = end && *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? (unsigned)(unit - units + 1) * 10 : 0;
    if (!end || (*end && (!unit || end[1])))
        fail("%s: '%s' is not a size: a number of bytes, or of units K, M or G, as 512M", option,
            text);
    if (errno || value > SIZE_MAX >> shift >> 4)
        fail("%s: %s is more memory than there can be", option, text);
    return (size_t)value << shift;
}

static size_t limit_of(const char *option, const char *text)
{
    size_t limit = size_of(option, text);
    if (limit == 0)
        fail("%s: %s is no limit; leave the option out", option, text);
    return limit;
}

static void check_limits(const char *limit, const char *soft_limit)
{
    size_t hard = limit ? limit_of("--limit", limit) : SIZE_MAX;
    if (soft_limit && limit_of("--soft-limit", soft_limit) >= hard)
        fail("--soft-limit: %s is not below --limit %s, and would never be passed", soft_limit,
            limit);
}

static int number(const char *option, const char *text, int least, int most)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        fail("%s: '%s' is not a number from %d to %d", option, text, least, most);
    return (int)value;
}

/* What --check is given: NULL, or "pages". */
static bool with_pages(const char *how)
{
    if (how && strcmp(how, "pages") != 0)
        fail("--check: '%s' is none of its kinds; there is --check=pages", how);
    return how;
}

static void set_variable(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0)
        fail("environment: %s", strerror(errno));
}

void set_environment(const struct run *run, const char *stats)
{
    const char *preload = getenv("LD_PRELOAD");
    if (run->library && preload && *preload)
        set_variable("LD_PRELOAD", format_string("%s:%s", run->library, preload));
    else if (run->library)
        set_variable("LD_PRELOAD", run->library);

    const char *parts[] = {
        getenv("FREEHOLD_OPTIONS"), run->options, stats ? format_string("stats=%s", stats) : NULL};
    char *all = format_string("%s", "");
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (parts[i] && *parts[i])
            all = format_string("%s%s%s", all, *all ? "," : "", parts[i]);
    }
    if (*all)
        set_variable("FREEHOLD_OPTIONS", all);
}

void unset_library(void)
{
    const char *preload = getenv("LD_PRELOAD");
    char *others = format_string("%s", "");
    while (preload && *preload) {
        size_t length = strcspn(preload, ": ");
        const char *slash = memrchr(preload, '/', length), *name = slash ? slash + 1 : preload;
        if (length && strncmp(name, "libfreehold", strlen("libfreehold")) != 0)
            others = format_string("%s%s%.*s", others, *others ? ":" : "", (int)length, preload);
        preload += length + (preload[length] != 0);
    }
    if (*others)
        set_variable("LD_PRELOAD", others);
    else
        unsetenv("LD_PRELOAD");
}

int become(char **argv)
{
    execvp(argv[0], argv);
    int error = errno;
    complain("%s: %s", argv[0], strerror(error));
    return error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

/* Says before the start what would only be puzzling after it; returns a status, or 0 to go on. */
static int check_program(struct run *run)
{
    const char *name = run->argv[0];
    char *path = find_program(name);
    if (!path) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        complain("%s: %s", name, missing ? "program not found" : "not executable");
        return missing ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
    }
    bool ends;
    const char *why = why_not_preloaded(path, &ends);
    if (why)
        complain("warning: %s will run on its own malloc: %s", name, why);
    if (ends)
        run->library = NULL;
    free(path);
    return 0;
}

/* ---- the command line of `run` ------------------------------------------------------------------- */

enum { /* behind what a single letter is */
    HELP = 256,
    VERSION,
    STATS,
    OPTION,
    LIMIT,
    SOFT_LIMIT,
    LIBRARY,
    COMPARE,
    CHECK,
    QUARANTINE,
    LEAKS,
    ALL,
    ERROR_EXIT
};

static const struct option known[] = {
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {"stats", optional_argument, NULL, STATS},
    {"option", required_argument, NULL, OPTION},
    {"limit", required_argument, NULL, LIMIT},
    {"soft-limit", required_argument, NULL, SOFT_LIMIT},
    {"library", required_argument, NULL, LIBRARY},
    {"compare", no_argument, NULL, COMPARE},
    {"rounds", required_argument, NULL, 'n'},
    {"check", optional_argument, NULL, CHECK},
    {"quarantine", required_argument, NULL, QUARANTINE},
    {"leaks", required_argument, NULL, LEAKS},
    {"all", no_argument, NULL, ALL},
    {"error-exit", required_argument, NULL, ERROR_EXIT},
    {NULL, 0, NULL, 0},
};

/* What is asked for: how to run the program, and what is not known before all options are. */
struct request {
    struct run run;
    bool comparing, checking;
    const char *for_compare, *for_check; /* an option that is for these alone, or NULL */
    const char *limit, *soft_limit;      /* or NULL */
};

static _Noreturn void print_and_exit(const char *text)
{
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
        fail("standard output: %s", strerror(errno));
    exit(0);
}

/* False: it is not one of these; so with the next two. */
static bool take_common(struct request *r, int option, const char *value)
{
    switch (option) {
    case HELP:
        print_and_exit(help);
    case VERSION:
        print_and_exit(version);
    case STATS:
        r->run.stats = stats_target(value ? value : "-");
        return true;
    case OPTION:
        r->run.options = with_option(r->run.options, value);
        return true;
    case LIMIT:
        r->limit = value;
        return true;
    case SOFT_LIMIT:
        r->soft_limit = value;
        return true;
    case LIBRARY:
        r->run.library = given_library(value);
        return true;
    default:
        return false;
    }
}

static bool take_for_compare(struct request *r, int option, const char *value)
{
    switch (option) {
    case COMPARE:
        r->comparing = true;
        return true;
    case 'n':
        r->for_compare = "-n";
        r->run.rounds = number("--rounds", value, 1, MAX_ROUNDS);
        return true;
    default:
        return false;
    }
}

static bool take_for_check(struct request *r, int option, const char *value)
{
    switch (option) {
    case CHECK:
        r->checking = true;
        r->run.pages = with_pages(value);
        return true;
    case QUARANTINE:
        r->for_check = "--quarantine";
        r->run.quarantine = format_string("%zu", size_of(r->for_check, value));
        return true;
    case LEAKS:
        r->for_check = "--leaks";
        r->run.most_places = number(r->for_check, value, 0, MAX_PLACES);
        return true;
    case ALL:
        r->for_check = "--all";
        r->run.all = true;
        return true;
    case ERROR_EXIT:
        r->for_check = "--error-exit";
        r->run.error_exit = number(r->for_check, value, 1, 255);
        return true;
    default:
        return false;
    }
}

static _Noreturn void refuse(int option, const char *text)
{
    if (option == ':')
        fail("run: option '%s' needs a value", text);
    if (optopt > ' ' && optopt < 127)
        fail("run: unknown option '-%c'; see freehold run --help", optopt);
    if (optopt >= HELP)
        fail("run: option '%s' takes no value", text);
    fail("run: unknown option '%s'; see freehold run --help", text);
}

/* The argument that getopt stopped in: it is past that one, unless there are more letters in it. */
static int at_fault(char **argv)
{
    return optopt < 0 && !strchr(argv[optind - 1], optopt) ? optind : optind - 1;
}

static void read_options(struct request *r, int argc, char **argv)
{
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+:n:", known, NULL)) != -1)
        if (!take_common(r, option, optarg) && !take_for_compare(r, option, optarg) &&
            !take_for_check(r, option, optarg))
            refuse(option, argv[at_fault(argv)]);
    if (optind == argc)
        fail("run: no program given; see freehold run --help");
    r->run.argv = argv + optind;
}

static void check_together(const struct request *r)
{
    if (r->for_compare && !r->comparing)
        fail("run: %s is for --compare", r->for_compare);
    if (r->for_check && !r->checking)
        fail("run: %s is for --check", r->for_check);
    if (r->checking && r->comparing)
        fail("run: --check and --compare do not go together");
    check_limits(r->limit, r->soft_limit);
}

static void add_limits(struct request *r)
{
    if (r->limit)
        r->run.options = with_option(r->run.options, format_string("limit=%s", r->limit));
    if (r->soft_limit)
        r->run.options = with_option(r->run.options, format_string("soft_limit=%s", r->soft_limit));
}

static void choose_library(struct request *r)
{
    static const char *const drop_in[2] = {
        "libfreehold.so", "libfreehold.so." FREEHOLD_COMMAND_SOVERSION};
    static const char *const checker[2] = {"libfreehold-check.so", NULL};
    if (!r->run.library)
        r->run.library = find_library(r->checking ? checker : drop_in);
    if (strpbrk(r->run.library, ": \t"))
        fail("library %s: LD_PRELOAD cannot name a path with a colon or a blank", r->run.library);
}

static int run_command(int argc, char **argv)
{
    struct request r = {.run = {.options = "",
                            .rounds = DEFAULT_ROUNDS,
                            .most_places = DEFAULT_PLACES,
                            .error_exit = -1}};
    read_options(&r, argc, argv);
    check_together(&r);
    add_limits(&r);
    choose_library(&r);
    int status = check_program(&r.run);
    if (status)
        return status;
    if (r.comparing)
        return compare(&r.run);
    if (r.checking)
        return check(&r.run);
    set_environment(&r.run, r.run.stats);
    return become(r.run.argv);
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "run") == 0)
        return run_command(argc - 1, argv + 1);
    if (strcmp(command, "--version") == 0)
        print_and_exit(version);
    if (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0)
        print_and_exit(help);
    if (!*command)
        fail("no command given; see freehold --help");
    fail("unknown command '%s'; see freehold --help", command);
}
