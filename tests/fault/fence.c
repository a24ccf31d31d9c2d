/* SPDX-License-Identifier: MIT */
/*
 * The lane's lock against a store buffer (DESIGN.md, section 7). What no test of real threads can be sure to meet: the
 * thread of the lane has stored that it is inside, and has found no visitor, but its store becomes visible only in
 * the visitor's heavy fence. The visitor has to wait for it.
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocators/lane.h"
#include "port/fault.h"

static freehold__heap heap;
static freehold__lane *lane;
static _Atomic bool inside;
static unsigned fences;
static pthread_t owner;

/* The thread of the lane, which leaves it after a while. */
static void *leave(void *unused)
{
    usleep(20000);
    inside = false;
    freehold__lane_leave_quietly(lane);
    return unused;
}

static void store_becomes_visible(void)
{
    freehold__fault_at_fence(NULL);
    fences++;
    assert_int_equal(lane->visited, 1); /* the visitor's own store is before the fence */
    inside = true;
    atomic_store(&lane->inside, 1);
    assert_int_equal(pthread_create(&owner, NULL, leave, NULL), 0);
}

static void a_visitor_waits_for_what_its_fence_shows(void **unused)
{
    (void)unused;
    lane = freehold__lane_acquire(&heap);
    assert_non_null(lane);
    freehold__fault_at_fence(store_becomes_visible);
    freehold__lane_visit(lane);
    assert_int_equal(fences, 1);
    assert_false(inside);
    freehold__lane_part(lane);
    pthread_join(owner, NULL);
    freehold__heap_release(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_visitor_waits_for_what_its_fence_shows),
    };
    return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}
