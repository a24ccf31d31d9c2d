/* SPDX-License-Identifier: MIT */
/*
 * The port's lock and the number of a thread: exclusion while threads sleep on it, a holder that is
 * known as such to itself alone, and an end of the process where a thread waits for itself (F83).
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <pthread.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "freehold/fatal.h"
#include "port/port.h"

#define THREADS 4
#define ROUNDS  20000

static freehold__lock lock;
static uint64_t guarded, number[THREADS];
static pthread_barrier_t all_live;

static void *count_under_lock(void *where)
{
    *(uint64_t *)where = freehold__port_thread();
    pthread_barrier_wait(&all_live);
    for (unsigned i = 0; i < ROUNDS; i++) {
        CHECK(!freehold__lock_is_mine(&lock));
        freehold__lock_take(&lock);
        CHECK(freehold__lock_is_mine(&lock) && !freehold__lock_try(&lock));
        guarded++;
        if (i % 1000 == 0)
            freehold__port_sleep(1); /* long enough for the others to fall asleep */
        freehold__lock_drop(&lock);
    }
    pthread_barrier_wait(&all_live);
    return NULL;
}

static void one_thread_at_a_time(void **state)
{
    UNUSED_STATE(state);
    pthread_t thread[THREADS];
    pthread_barrier_init(&all_live, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count_under_lock, &number[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&all_live);
    assert_int_equal(guarded, THREADS * ROUNDS);
    assert_int_equal(lock.word, 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(number[i] & (FREEHOLD__LOCK_ASLEEP | FREEHOLD__LOCK_KEPT), 0);
        assert_int_not_equal(number[i], 0);
        assert_int_not_equal(number[i], freehold__port_thread());
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(number[i], number[j]);
    }
}

#if !defined(_WIN32)
static void a_forked_child_holds_what_its_thread_held(void **state)
{
    UNUSED_STATE(state);
    int status;
    freehold__lock_take(&lock);
    pid_t child = fork();
    if (child == 0) {
        bool mine = freehold__lock_is_mine(&lock);
        freehold__lock_drop(&lock);
        _exit(mine && freehold__lock_try(&lock) ? 0 : 1);
    }
    freehold__lock_drop(&lock);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}
#endif

static jmp_buf back;
static freehold_misuse reported;

static void note(const freehold_report *report)
{
    reported = report->kind;
    longjmp(back, 1);
}

static void who_waits_for_itself_is_told(void **state)
{
    UNUSED_STATE(state);
    freehold_fatal_handler before = freehold_set_fatal_handler(note);
    freehold__lock_take(&lock);
    if (setjmp(back) == 0) {
        freehold__lock_take(&lock);
        fail();
    }
    assert_int_equal(reported, FREEHOLD_UNSAFE_CALL);
    assert_true(freehold__lock_is_mine(&lock)); /* still, and nobody is asleep */
    assert_int_equal(lock.word, freehold__port_thread());
    freehold__lock_drop(&lock);
    freehold_set_fatal_handler(before);
}

static void *try_and_take(void *got)
{
    atomic_store((_Atomic bool *)got, freehold__lock_try(&lock));
    freehold__lock_take(&lock); /* sleeps until it is released */
    freehold__lock_drop(&lock);
    return NULL;
}

static void a_kept_lock_is_open_to_its_holder_alone(void **state)
{
    UNUSED_STATE(state);
    pthread_t other;
    _Atomic bool got = true;
    freehold__lock_take(&lock);
    freehold__lock_keep(&lock);
    assert_true(freehold__lock_is_kept(&lock) && !freehold__lock_is_mine(&lock));
    assert_int_equal(pthread_create(&other, NULL, try_and_take, &got), 0);
    while ((atomic_load(&lock.word) & FREEHOLD__LOCK_ASLEEP) == 0)
        freehold__port_sleep(1);
    assert_false(atomic_load(&got));
    for (int i = 0; i < 3; i++) {
        freehold__lock_take(&lock);
        assert_true(freehold__lock_try(&lock));
        freehold__lock_drop(&lock);
        freehold__lock_drop(&lock);
        assert_true(freehold__lock_is_kept(&lock));
    }
    freehold__lock_release(&lock);
    pthread_join(other, NULL);
    assert_int_equal(lock.word, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time),
#if !defined(_WIN32)
        cmocka_unit_test(a_forked_child_holds_what_its_thread_held),
#endif
        cmocka_unit_test(a_kept_lock_is_open_to_its_holder_alone),
        cmocka_unit_test(who_waits_for_itself_is_told),
    };
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
