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
#include <unistd.h>

enum { DEFAULT_ROUNDS = 3, MAX_ROUNDS = 1000, DEFAULT_PLACES = 20, MAX_PLACES = 1000000 };

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
    if (length < 0)
        return "";
    path[length] = 0;
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

/* A path that still means the same file when the program has changed its directory. */
static const char *stats_target(const char *file)
{
    if (strcmp(file, "-") == 0)
        return file;
    if (!*file || strchr(file, ','))
        fail("--stats: '%s' cannot be the name of a file in FREEHOLD_OPTIONS", file);
    if (*file == '/')
        return file;
    char directory[PATH_MAX];
    if (!getcwd(directory, sizeof(directory)))
        fail("the current directory: %s", strerror(errno));
    return format_string("%s/%s", directory, file);
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
    if (preload && *preload)
        set_variable("LD_PRELOAD", format_string("%s:%s", run->library, preload));
    else
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

int become(char **argv)
{
    execvp(argv[0], argv);
    int error = errno;
    complain("%s: %s", argv[0], strerror(error));
    return error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

/* Says before the start what would only be puzzling after it; returns a status, or 0 to go on. */
static int check_program(const char *name)
{
    char *path = find_program(name);
    if (!path) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        complain("%s: %s", name, missing ? "program not found" : "not executable");
        return missing ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
    }
    const char *why = why_not_preloaded(path);
    if (why)
        complain("warning: %s will run on its own malloc: %s", name, why);
    free(path);
    return 0;
}

static int run_command(int argc, char **argv)
{
    enum {
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
    static const char *const drop_in[2] = {
        "libfreehold.so", "libfreehold.so." FREEHOLD_COMMAND_SOVERSION};
    static const char *const checker[2] = {"libfreehold-check.so", NULL};
    struct run run = {
        .options = "", .rounds = DEFAULT_ROUNDS, .most_places = DEFAULT_PLACES, .error_exit = -1};
    bool comparing = false, rounds_given = false, checking = false;
    const char *for_check = NULL;
    const char *limit = NULL, *soft_limit = NULL;
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+:n:", known, NULL)) != -1) {
        switch (option) {
        case HELP:
            fputs(help, stdout);
            return 0;
        case VERSION:
            puts("freehold " FREEHOLD_COMMAND_VERSION);
            return 0;
        case STATS:
            run.stats = stats_target(optarg ? optarg : "-");
            break;
        case OPTION:
            run.options = with_option(run.options, optarg);
            break;
        case LIMIT:
            limit = optarg;
            break;
        case SOFT_LIMIT:
            soft_limit = optarg;
            break;
        case LIBRARY:
            run.library = given_library(optarg);
            break;
        case COMPARE:
            comparing = true;
            break;
        case 'n':
            run.rounds = number("--rounds", optarg, 1, MAX_ROUNDS);
            rounds_given = true;
            break;
        case CHECK:
            checking = true;
            run.pages = with_pages(optarg);
            break;
        case QUARANTINE:
            run.quarantine = format_string("%zu", size_of(for_check = "--quarantine", optarg));
            break;
        case LEAKS:
            run.most_places = number(for_check = "--leaks", optarg, 0, MAX_PLACES);
            break;
        case ALL:
            run.all = true;
            for_check = "--all";
            break;
        case ERROR_EXIT:
            run.error_exit = number(for_check = "--error-exit", optarg, 1, 255);
            break;
        case ':':
            fail("run: option '%s' needs a value", argv[optind - 1]);
        default:
            if (optopt > 0 && optopt < 256)
                fail("run: unknown option '-%c'; see freehold run --help", optopt);
            fail("run: unknown option '%s'; see freehold run --help", argv[optind - 1]);
        }
    }
    if (optind == argc)
        fail("run: no program given; see freehold run --help");
    if (rounds_given && !comparing)
        fail("run: -n is for --compare");
    check_limits(limit, soft_limit);
    if (limit)
        run.options = with_option(run.options, format_string("limit=%s", limit));
    if (soft_limit)
        run.options = with_option(run.options, format_string("soft_limit=%s", soft_limit));
    if (for_check && !checking)
        fail("run: %s is for --check", for_check);
    if (checking && comparing)
        fail("run: --check and --compare do not go together");
    run.argv = argv + optind;
    if (!run.library)
        run.library = find_library(checking ? checker : drop_in);
    if (strpbrk(run.library, ": \t"))
        fail("library %s: LD_PRELOAD cannot name a path with a colon or a blank", run.library);
    int status = check_program(run.argv[0]);
    if (status)
        return status;
    if (comparing)
        return compare(&run);
    if (checking)
        return check(&run);
    set_environment(&run, run.stats);
    return become(run.argv);
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "run") == 0)
        return run_command(argc - 1, argv + 1);
    if (strcmp(command, "--version") == 0) {
        puts("freehold " FREEHOLD_COMMAND_VERSION);
        return 0;
    }
    if (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0) {
        fputs(help, stdout);
        return 0;
    }
    if (!*command)
        fail("no command given; see freehold --help");
    fail("unknown command '%s'; see freehold --help", command);
}
