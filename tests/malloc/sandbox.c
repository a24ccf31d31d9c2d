/* SPDX-License-Identifier: MIT */
/*
 * A program that forbids itself a call of the system after the library has begun to use it, as sandboxes do:
 * membarrier, with which one thread looks into the lane of another. Threads exchange blocks, another one trims
 * and forks; all goes on, and the heap is sound. A process with one thread never makes the call.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "../forbid.h"
#include "allocators/lane.h"
#include "check.h"
#include "malloc/process.h"

#define THREADS 3
#define BLOCKS  512
#define SKIPPED 77

static _Atomic(unsigned char *) shared[BLOCKS];
static _Atomic int stop;

static void *exchange(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    while (!stop) {
        size_t bytes = 1 + next_random(&state) % 3000;
        unsigned char *mine = malloc(bytes);
        CHECK(mine != NULL);
        mine[0] = mine[bytes - 1] = (unsigned char)bytes;
        free(atomic_exchange(&shared[next_random(&state) % BLOCKS], mine));
    }
    return NULL;
}

#define LOW_HALF_OF_FIRST                                                                          \
    (offsetof(struct seccomp_data, args) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))

/* As Tor does: only to unblock them, or to set which. */
static bool forbid_to_block_signals(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_rt_sigprocmask, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LOW_HALF_OF_FIRST),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SIG_BLOCK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* One thread alone needs no membarrier, whatever it does: here the call would be its end. */
static void alone(void)
{
    int child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        opaque(malloc(1));
        if (!forbid_by_death(__NR_membarrier) || !forbid_by_death(__NR_rt_sigpending) ||
            !forbid_to_block_signals())
            _exit(SKIPPED);
        for (size_t bytes = 1; bytes < 3000000; bytes *= 2)
            free(opaque(malloc(bytes)));
        malloc_trim(0);
        malloc_stats(); /* is written */
        sigset_t blocked;
        CHECK(sigprocmask(SIG_SETMASK, NULL, &blocked) == 0);
        for (int i = 1; i < SIGRTMIN; i++)
            CHECK(!sigismember(&blocked, i));
        (void)mallinfo2();
        child = fork();
        CHECK(child >= 0);
        if (child != 0)
            expect_exit(child, 0);
        free(opaque(malloc(1)));
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == SKIPPED));
}

int main(void)
{
    if (freehold__port_is_single_threaded()) /* not every libc says so */
        alone();
    pthread_t thread[THREADS];
    opaque(malloc(1));
    if (!freehold__port_asymmetric || !forbid(__NR_membarrier, EPERM)) {
        printf("there is no membarrier, or it cannot be forbidden\n");
        return SKIPPED;
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, exchange, (void *)(i + 1)) == 0);
    for (int i = 0; i < 100; i++) {
        malloc_trim(0);
        if (i % 20 == 0) {
            int child = fork();
            if (child == 0)
                _exit(freehold__heap_check(&freehold__process_heap) != NULL);
            expect_exit(child, 0);
        }
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    for (int i = 0; i < BLOCKS; i++)
        free(shared[i]);
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    return 0;
}
