/* SPDX-License-Identifier: MIT */
/*
 * The helper of freehold/symbolize.h: a grandchild, so that the program never finds it among the
 * children that it waits for, at the other end of a pair of sockets. It ends when the program's end
 * is closed, which is when the program has.
 */
#include "freehold/symbolize.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freehold/fatal.h"
#include "symbolizer.h"

typedef struct answer {
    bool known;
    char text[160];
} answer;

enum { PATIENCE = 5000 }; /* milliseconds */

static _Atomic int line = -1; /* to the helper */
static _Atomic pid_t owner;   /* whose helper it is */
static atomic_flag asking = ATOMIC_FLAG_INIT;

/* ---- in the helper ----------------------------------------------------------------------------- */

static symbolizer *read_mappings(pid_t program)
{
    char name[40];
    snprintf(name, sizeof name, "/proc/%ld/maps", (long)program);
    FILE *maps = fopen(name, "r");
    symbolizer *s = maps != NULL ? symbolizer_new(maps) : NULL;
    if (maps != NULL)
        fclose(maps);
    return s;
}

static answer find_name(symbolizer **s, pid_t program, uintptr_t frame)
{
    answer a = {.known = false};
    if (*s != NULL)
        a.known = symbolizer_name(*s, frame, a.text, sizeof a.text);
    if (!a.known) { /* in a file that was loaded since */
        symbolizer_free(*s);
        *s = read_mappings(program);
        a.known = *s != NULL && symbolizer_name(*s, frame, a.text, sizeof a.text);
    }
    return a;
}

static void close_all_but(int kept)
{
    long most = sysconf(_SC_OPEN_MAX);
    for (int file = 3; file < (most > 0 && most < 4096 ? most : 4096); file++)
        if (file != kept)
            close(file);
}

static _Noreturn void help(int socket, pid_t program)
{
    symbolizer *s = NULL;
    uintptr_t frame;
    setsid(); /* what the terminal sends the program is not for the helper */
    close_all_but(socket);
    while (read(socket, &frame, sizeof frame) == sizeof frame) {
        answer a = find_name(&s, program, frame);
        if (send(socket, &a, sizeof a, MSG_NOSIGNAL) != sizeof a)
            break;
    }
    _exit(0);
}

/* ---- in the program ------------------------------------------------------------------------------ */

/* Nothing is heard of it again: a late answer would be taken for that to the next question. */
static void give_up(void)
{
    int socket = atomic_exchange(&line, -1);
    if (socket >= 0)
        close(socket);
}

static bool ask(int socket, uintptr_t frame, answer *a)
{
    struct pollfd ready = {.fd = socket, .events = POLLIN};
    if (send(socket, &frame, sizeof frame, MSG_NOSIGNAL) != sizeof frame)
        return false;
    int events;
    do
        events = poll(&ready, 1, PATIENCE);
    while (events < 0 && errno == EINTR);
    return events == 1 && recv(socket, a, sizeof *a, MSG_DONTWAIT) == sizeof *a;
}

/* Another thread, or the code that this signal handler has interrupted, may be asking. */
static bool my_turn(void)
{
    for (int waited = 0; atomic_flag_test_and_set(&asking); waited++) {
        if (waited == PATIENCE)
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

static bool name_frame(const void *frame, char *text, size_t room)
{
    int saved = errno, socket = atomic_load(&line);
    answer a = {.known = false};
    if (socket < 0 || atomic_load(&owner) != getpid() || !my_turn())
        return false;
    if (!ask(socket, (uintptr_t)frame, &a))
        give_up();
    atomic_flag_clear(&asking);
    errno = saved;
    if (!a.known || strlen(a.text) >= room)
        return false;
    strcpy(text, a.text);
    return true;
}

/* Where the program ignores its children, or waits for any of them elsewhere, nobody learns how the first one ended: it
 * is taken to have started the second, for if not, no frame has a name, and that is all. */
static bool fork_twice(int socket, pid_t program)
{
    pid_t child = fork();
    if (child == 0) {
        pid_t helper = fork();
        if (helper == 0)
            help(socket, program);
        _exit(helper < 0);
    }
    int status = 1;
    pid_t ended = -1;
    while (child > 0 && (ended = waitpid(child, &status, 0)) < 0 && errno == EINTR)
        ;
    return child > 0 && (ended < 0 || status == 0);
}

bool freehold_symbolize_start(void)
{
    int pair[2];
    pid_t self = getpid();
    if (atomic_load(&line) >= 0 && atomic_load(&owner) == self)
        return true;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    bool started = fork_twice(pair[1], self);
    close(pair[1]);
    if (!started) {
        close(pair[0]);
        return false;
    }
    give_up(); /* a parent's */
    atomic_store(&owner, self);
    atomic_store(&line, pair[0]);
    freehold_set_frame_namer(name_frame);
    return true;
}

void freehold_symbolize_stop(void)
{
    freehold_set_frame_namer(NULL);
    give_up();
}
