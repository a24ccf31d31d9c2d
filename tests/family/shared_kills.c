/* SPDX-License-Identifier: MIT */
/*
 * F46: processes that share a region are killed. Each kind of call at every instruction (where the processor
 * has a trap flag): the memory as it is then is repaired and looked at, and ENDS of the
 * instructions are the last of a real process each, so that its lock has to be inherited. And many processes at random moments,
 * with a journal beside the region of what they were given: all of that must be there, to the byte.
 *
 *     family.shared_kills [KILLS [ENDS]]
 */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "freehold/freehold.h"
#include "robust.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static size_t kills = 400, ends = 8;

static uint64_t random_state = 1;

static size_t below(size_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % limit;
}

/* What a block of that seed has in it. */
static unsigned char pattern(uint64_t seed, size_t i)
{
    return (unsigned char)((seed * UINT64_C(0x9e3779b97f4a7c15) + i * 0x9e37) >> 11);
}

static void fill(void *block, uint64_t seed, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((unsigned char *)block)[i] = pattern(seed, i);
}

static bool is_filled(const void *block, uint64_t seed, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (((const unsigned char *)block)[i] != pattern(seed, i))
            return false;
    return true;
}

static void *shared_pages(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    return pages;
}

/* ---- at every instruction -------------------------------------------------------------------- */

#if defined(__x86_64__)
#define TRAP_FLAG 0x100L
#define ROOM      ((size_t)24 * 1024)
#define TOTAL     1000

/* The subject is what a call is about; the others must not change. */
enum { OTHERS = 6, SUBJECT = 100 };

typedef struct scene {
    freehold_shared_region shared;
    uint64_t others[OTHERS];
    size_t others_bytes;
    uint64_t subject, root;
    size_t subject_bytes;
    size_t live;
} scene;

static scene stage;
static unsigned char *memory, *copy, *image;

static void *at(freehold_shared_region *shared, uint64_t offset)
{
    return freehold_region_at(&shared->region, offset);
}

static uint64_t place(size_t bytes, uint64_t seed)
{
    void *block = freehold_alloc(&stage.shared.region, bytes);
    assert_non_null(block);
    fill(block, seed, bytes);
    return freehold_region_offset(&stage.shared.region, block);
}

static void drop(uint64_t offset)
{
    assert_true(freehold_free(&stage.shared.region, at(&stage.shared, offset)) > 0);
}

/*
 *     other 0 | hole | other 1 | before | SUBJECT | behind | other 2 | hole | other 3 | rest ...
 *
 * `before` and `behind` are free or live as the call wants it.
 */
static void set_the_stage(bool before_live, bool behind_live)
{
    static const freehold_shared_region_options anew = {.overwrite = true};
    memset(&stage, 0, sizeof stage);
    assert_null(freehold_shared_region_create(&stage.shared, memory, ROOM, &anew));
    stage.others_bytes = 150;
    stage.others[0] = place(150, 0);
    uint64_t hole = place(320, 50);
    stage.others[1] = place(150, 1);
    uint64_t before = place(200, 51);
    stage.subject_bytes = 1200;
    stage.subject = place(1200, SUBJECT);
    uint64_t behind = place(1100, 52);
    for (size_t i = 2; i < OTHERS; i++) {
        stage.others[i] = place(150, i);
        if (i == 2)
            drop(place(600, 53)), place(600, 54);
    }
    uint64_t *account = freehold_alloc(&stage.shared.region, 64);
    account[0] = TOTAL;
    account[1] = 0;
    freehold_region_set_root(&stage.shared.region, account);
    stage.root = freehold_region_offset(&stage.shared.region, account);
    drop(hole);
    if (!before_live)
        drop(before);
    if (!behind_live)
        drop(behind);
    stage.live = freehold_region_get_usage(&stage.shared.region).objects;
}

static void *subject(void)
{
    return at(&stage.shared, stage.subject);
}

static void do_alloc(void)
{
    (void)!freehold_alloc(&stage.shared.region, 300);
}
static void do_alloc_split(void)
{
    (void)!freehold_alloc(&stage.shared.region, 40);
}
static void do_alloc_large(void)
{
    (void)!freehold_alloc(&stage.shared.region, 5000);
}
static void do_alloc_aligned(void)
{
    (void)!freehold_alloc_aligned(&stage.shared.region, 100, 1024, 0);
}
static void do_alloc_zeroed(void)
{
    (void)!freehold_alloc_zeroed(&stage.shared.region, 64);
}
static void do_alloc_refused(void)
{
    (void)!freehold_alloc(&stage.shared.region, ROOM);
}
static void do_free(void)
{
    freehold_free(&stage.shared.region, subject());
}
static void do_shrink(void)
{
    freehold_resize(&stage.shared.region, subject(), 500);
}
static void do_grow(void)
{
    freehold_resize(&stage.shared.region, subject(), 2000);
}
static void do_move(void)
{
    (void)!freehold_realloc(&stage.shared.region, subject(), 3000);
}
static void do_set_root(void)
{
    freehold_region_set_root(&stage.shared.region, at(&stage.shared, stage.others[0]));
}
static void do_section(void)
{
    volatile uint64_t *account = at(&stage.shared, stage.root);
    freehold_shared_region_lock(&stage.shared);
    account[0] -= 10;
    (void)!freehold_alloc(&stage.shared.region, 100);
    account[1] += 10;
    freehold_shared_region_unlock(&stage.shared);
}

typedef enum becomes { STAYS, GOES, CHANGES } becomes; /* the subject */

static const struct {
    const char *name;
    void (*call)(void);
    bool before_live, behind_live;
    becomes subject;
    size_t bytes;       /* what the subject changes to */
    size_t more;        /* at most so many live blocks more */
    bool moves_account; /* between its parts */
} calls[] = {
    {"alloc", do_alloc, true, true, STAYS, 0, 1, false},
    {"alloc, split", do_alloc_split, true, true, STAYS, 0, 1, false},
    {"alloc, large", do_alloc_large, true, true, STAYS, 0, 1, false},
    {"alloc, aligned", do_alloc_aligned, true, true, STAYS, 0, 1, false},
    {"alloc, zeroed", do_alloc_zeroed, true, true, STAYS, 0, 1, false},
    {"alloc, refused", do_alloc_refused, true, true, STAYS, 0, 0, false},
    {"free", do_free, true, true, GOES, 0, 0, false},
    {"free, merged with what is before", do_free, false, true, GOES, 0, 0, false},
    {"free, merged with what is behind", do_free, true, false, GOES, 0, 0, false},
    {"free, merged with both", do_free, false, false, GOES, 0, 0, false},
    {"shrink", do_shrink, true, true, CHANGES, 500, 0, false},
    {"shrink, merged", do_shrink, true, false, CHANGES, 500, 0, false},
    {"grow", do_grow, true, false, CHANGES, 2000, 0, false},
    {"realloc that moves", do_move, true, true, CHANGES, 3000, 1, false},
    {"set_root", do_set_root, true, true, STAYS, 0, 0, false},
    {"a section of the user's", do_section, true, true, STAYS, 0, 1, true},
};

static size_t now; /* the call */

/* Whether a live block has the subject's contents, as far as both its sizes go. */
static bool find_subject(void *context, void *block, size_t bytes)
{
    bool *found = context;
    size_t wanted = calls[now].subject == CHANGES && calls[now].bytes < stage.subject_bytes
                        ? calls[now].bytes
                        : stage.subject_bytes;
    *found = bytes >= wanted && is_filled(block, SUBJECT, wanted);
    return !*found;
}

#define JUDGE(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return #condition;                                                                     \
    } while (0)

/* What is wrong with a region in which a call may have been cut off at any instruction, and which was repaired. */
static const char *judge_region(freehold_shared_region *shared, bool ended)
{
    const char *wrong = freehold_check(&shared->region);
    if (wrong != NULL)
        return wrong;
    for (size_t i = 0; i < OTHERS; i++) {
        JUDGE(freehold_usable_size(&shared->region, at(shared, stage.others[i])) == 160);
        JUDGE(is_filled(at(shared, stage.others[i]), i, stage.others_bytes));
    }
    bool found = false;
    freehold_walk(&shared->region, find_subject, &found);
    size_t live = freehold_region_get_usage(&shared->region).objects;
    size_t least = stage.live - (calls[now].subject == GOES);
    JUDGE(live >= least && live <= stage.live + calls[now].more);
    JUDGE(found || (calls[now].subject == GOES && live == least));
    JUDGE(!found || calls[now].subject != GOES || live == least + 1);
    uint64_t root = freehold_region_offset(&shared->region, freehold_region_root(&shared->region));
    JUDGE(root == stage.root || (calls[now].call == do_set_root && root == stage.others[0]));
    bool whole = freehold_shared_region_lock(shared);
    const uint64_t *account = at(shared, stage.root);
    bool sum = account[0] + account[1] == TOTAL;
    freehold_shared_region_mended(shared);
    freehold_shared_region_unlock(shared);
    JUDGE(whole ? sum : calls[now].moves_account && !ended);
    JUDGE(freehold_shared_region_lock(shared));
    freehold_shared_region_unlock(shared);
    return NULL;
}

static volatile sig_atomic_t stepping;
static volatile size_t instruction, last; /* the process ends itself there; 0: never */
static const char *volatile failed;

static void look_at_copy(void)
{
    freehold_shared_region other;
    static const freehold_shared_region_options alone = {.alone = true};
    memcpy(copy, memory, ROOM);
    failed = freehold_shared_region_attach(&other, copy, ROOM, &alone);
    if (failed == NULL)
        failed = judge_region(&other, false);
    if (failed == NULL && freehold_alloc(&other.region, 16) == NULL)
        failed = "no block of 16 bytes";
    freehold_shared_region_detach(&other);
}

static void on_trap(int number, siginfo_t *information, void *context)
{
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    (void)number, (void)information;
    if (!stepping) {
        *flags &= ~TRAP_FLAG;
        return;
    }
    *flags |= TRAP_FLAG;
    instruction++;
    if (last == 0 && failed == NULL)
        look_at_copy();
    else if (instruction == last)
        kill(getpid(), SIGKILL);
}

static void step_through(void (*call)(void))
{
    const struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGTRAP, &action, NULL);
    failed = NULL;
    instruction = 0;
    stepping = 1;
    raise(SIGTRAP);
    call();
    stepping = 0;
}

/* A process of its own makes the call, and ends with that instruction. False: the call was over before. */
static bool is_killed_at(size_t n, void (*call)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        last = n;
        step_through(call);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void every_instruction_may_be_the_last(void **unused)
{
    (void)unused;
    size_t looks = 0, ended = 0;
    uint64_t deaths = 0, repairs = 0;
    memory = shared_pages(ROOM);
    copy = shared_pages(ROOM);
    image = shared_pages(ROOM);
    for (now = 0; now < COUNT(calls); now++) {
        set_the_stage(calls[now].before_live, calls[now].behind_live);
        memcpy(image, memory, ROOM);
        last = 0;
        step_through(calls[now].call);
        if (failed != NULL)
            fail_msg("%s, instruction %zu: %s", calls[now].name, (size_t)instruction, failed);
        looks += instruction;
        assert_null(judge_region(&stage.shared, true));
        size_t all = instruction, step = all / ends + 1;
        for (size_t n = 1 + below(step); n <= all; n += step) {
            memcpy(memory, image, ROOM);
            /* The first one may be longer: the loader binds a function. */
            bool killed = is_killed_at(n, calls[now].call);
            assert_true(killed || n > all / 2);
            if (!killed)
                break;
            if (below(2) == 0) { /* that inherits, or the first call of the region does */
                freehold_shared_region_lock(&stage.shared);
                freehold_shared_region_unlock(&stage.shared);
            }
            const char *wrong = judge_region(&stage.shared, false);
            if (wrong != NULL)
                fail_msg("%s, killed at instruction %zu: %s", calls[now].name, n, wrong);
            freehold_shared_region_history history =
                freehold_shared_region_get_history(&stage.shared);
            deaths += history.deaths;
            repairs += history.repairs;
            ended++;
        }
        freehold_shared_region_detach(&stage.shared);
    }
    print_message("%zu instructions, %zu processes killed: %zu with the lock, %zu in the middle\n",
        looks, ended, (size_t)deaths, (size_t)repairs);
    assert_true(looks > 2000 && deaths > 0 && repairs > 0 && deaths >= repairs);
}

/* ---- laying out and attaching ----------------------------------------------------------------- */

static freehold_shared_region made;
static const freehold_shared_region_options alone = {.alone = true};

static void do_create(void)
{
    freehold_shared_region_create(&made, memory, 2048, NULL);
}

static void do_attach_alone(void)
{
    freehold_shared_region_attach(&made, memory, ROOM, &alone);
}

/* It is no region yet, and says so, or it is a whole one. */
static const char *judge_create(void)
{
    freehold_shared_region other;
    const char *wrong = freehold_shared_region_attach(&other, memory, 2048, &alone);
    bool good = wrong == NULL || strcmp(wrong, "the memory holds no region") == 0 ||
                strcmp(wrong, "the region was not laid out to its end: who did so was killed") == 0;
    if (wrong == NULL &&
        (freehold_alloc(&other.region, 16) == NULL || freehold_check(&other.region) != NULL))
        good = false;
    freehold_shared_region_detach(&other);
    return good ? NULL : wrong != NULL ? wrong : "it is no whole region";
}

static void on_every(void (*call)(void), const char *(*judge)(void))
{
    last = SIZE_MAX;
    memcpy(memory, image, ROOM);
    step_through(call);
    freehold_shared_region_detach(&made);
    size_t all = instruction, step = all / ends + 1;
    for (size_t n = 1 + below(step); n <= all; n += step) {
        memcpy(memory, image, ROOM);
        assert_true(is_killed_at(n, call));
        const char *wrong = judge();
        if (wrong != NULL)
            fail_msg("killed at instruction %zu: %s", n, wrong);
    }
}

static const char *judge_attach(void)
{
    freehold_shared_region other;
    const char *wrong = freehold_shared_region_attach(&other, memory, ROOM, &alone);
    if (wrong == NULL)
        wrong = judge_region(&other, false);
    freehold_shared_region_detach(&other);
    return wrong;
}

static void who_lays_it_out_or_attaches_may_be_killed(void **unused)
{
    (void)unused;
    memset(image, 0, ROOM);
    on_every(do_create, judge_create);
    now = 0;
    set_the_stage(false, false);
    memcpy(image, memory, ROOM);
    on_every(do_attach_alone, judge_attach);
    freehold_shared_region_detach(&stage.shared);
}
#endif

/* ---- at random moments ------------------------------------------------------------------------ */

#define PROCESSES 3
#define SLOTS     24
#define ACCOUNT   100000

typedef enum slot_state { NONE, ALLOCATING, LIVE, FREEING, MOVING } slot_state;

/* What a process was given. The fields are written before the state that says so. */
typedef struct slot {
    _Atomic uint32_t state;
    uint64_t offset, seed;
    size_t bytes, wanted; /* MOVING: what it is to become */
} slot;

typedef struct journal {
    slot slots[SLOTS];
    uint64_t calls;
} journal;

static journal *journals;
static char name[64];
static freehold_shared_region region;
static size_t
    uncertain; /* blocks that may be there or not, because somebody was killed in the call */

static void mend(freehold_shared_region *shared, uint64_t *account)
{
    account[1] = ACCOUNT - account[0];
    freehold_shared_region_mended(shared);
}

static void transfer(freehold_shared_region *shared)
{
    bool whole = freehold_shared_region_lock(shared);
    volatile uint64_t *account = freehold_region_root(&shared->region);
    if (!whole)
        mend(shared, (uint64_t *)(uintptr_t)account);
    if (account[0] + account[1] != ACCOUNT)
        abort();
    uint64_t amount = below(10);
    account[0] -= amount;
    for (volatile size_t i = below(300); i > 0; i--)
        ;
    account[1] += amount;
    freehold_shared_region_unlock(shared);
}

static void allocate(freehold_shared_region *shared, slot *s)
{
    size_t bytes = below(8) != 0 ? 1 + below(500) : 1 + below(4000);
    s->bytes = bytes;
    s->state = ALLOCATING;
    unsigned char *p =
        below(4) != 0 ? freehold_alloc(&shared->region, bytes)
                      : freehold_alloc_aligned(&shared->region, bytes, (size_t)16 << below(6), 0);
    if (p == NULL) {
        s->state = NONE;
        return;
    }
    s->seed = random_state;
    s->offset = freehold_region_offset(&shared->region, p);
    fill(p, s->seed, bytes);
    s->state = LIVE;
}

static void move(freehold_shared_region *shared, slot *s, unsigned char *p)
{
    s->wanted = 1 + below(1500);
    s->state = MOVING;
    p = freehold_realloc(&shared->region, p, s->wanted);
    if (p != NULL) {
        size_t kept = s->wanted < s->bytes ? s->wanted : s->bytes;
        if (!is_filled(p, s->seed, kept))
            abort();
        fill(p, s->seed, s->wanted);
        s->offset = freehold_region_offset(&shared->region, p);
        s->bytes = s->wanted;
    }
    s->state = LIVE;
}

static void step(freehold_shared_region *shared, journal *j)
{
    slot *s = &j->slots[below(SLOTS)];
    j->calls++;
    if (s->state == NONE) {
        allocate(shared, s);
        return;
    }
    unsigned char *p = freehold_region_at(&shared->region, s->offset);
    if (!is_filled(p, s->seed, s->bytes))
        abort();
    if (below(3) == 0) {
        move(shared, s, p);
        return;
    }
    s->state = FREEING;
    freehold_free(&shared->region, p);
    s->state = NONE;
}

static void wait_a_little(size_t most_microseconds)
{
    const struct timespec time = {0, (long)below(most_microseconds * 1000)};
    nanosleep(&time, NULL);
}

/* A process: it maps the memory where it happens to be free, and works until it is killed. */
static _Noreturn void work(journal *j, uint64_t seed)
{
    freehold_shared_region mine;
    const freehold_shared_region_options options = {.in_memory = true};
    random_state = seed;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mmap(NULL, (1 + below(100)) << 12, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (freehold_shared_region_open(&mine, name, &options) != NULL || mine.memory == region.memory)
        abort();
    for (;;) {
        step(&mine, j);
        if (below(8) == 0)
            transfer(&mine);
        if (below(1000) == 0) /* the others, and who kills, want the processor as well */
            wait_a_little(100);
    }
}

typedef struct search {
    const slot *wanted;
    bool found;
} search;

static bool find_moved(void *context, void *block, size_t bytes)
{
    search *s = context;
    size_t kept = s->wanted->wanted < s->wanted->bytes ? s->wanted->wanted : s->wanted->bytes;
    s->found = bytes >= kept && is_filled(block, s->wanted->seed, kept);
    return !s->found;
}

/* Under the lock: what is LIVE stays so, and what it says is there. */
static void judge_journal(const journal *j)
{
    for (size_t i = 0; i < SLOTS; i++) {
        const slot *s = &j->slots[i];
        if (s->state != LIVE)
            continue;
        void *p = freehold_region_at(&region.region, s->offset);
        assert_ptr_equal(freehold_base(&region.region, p), p);
        size_t usable = freehold_usable_size(&region.region, p);
        assert_true(usable >= s->bytes && usable < s->bytes + 16);
        assert_true(is_filled(p, s->seed, s->bytes));
    }
}

/* Of one that was killed: what it was about may have happened or not. */
static void settle_journal(journal *j)
{
    for (size_t i = 0; i < SLOTS; i++) {
        slot *s = &j->slots[i];
        if (s->state == MOVING) {
            search what = {s, false};
            freehold_walk(&region.region, find_moved, &what);
            assert_true(what.found);
            uncertain++; /* there may be two of it */
        }
        if (s->state != LIVE && s->state != NONE) {
            uncertain++;
            s->state = NONE;
        }
    }
}

static void judge_all(void)
{
    assert_null(freehold_check(&region.region));
    bool whole = freehold_shared_region_lock(&region);
    uint64_t *account = freehold_region_root(&region.region);
    assert_non_null(account);
    if (!whole)
        mend(&region, account);
    assert_int_equal(account[0] + account[1], ACCOUNT);
    for (size_t i = 0; i < PROCESSES; i++)
        judge_journal(&journals[i]);
    freehold_shared_region_unlock(&region);
}

static pid_t children[PROCESSES];

static void start(size_t i)
{
    uint64_t seed = random_state + i + below(1000000);
    children[i] = fork();
    assert_true(children[i] >= 0);
    if (children[i] == 0)
        work(&journals[i], seed);
}

static void end(size_t i)
{
    int status;
    kill(children[i], SIGKILL);
    assert_int_equal(waitpid(children[i], &status, 0), children[i]);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL); /* and not because it found something wrong */
}

static bool is_known(uint64_t offset)
{
    for (size_t i = 0; i < PROCESSES; i++)
        for (size_t k = 0; k < SLOTS; k++)
            if (journals[i].slots[k].state == LIVE && journals[i].slots[k].offset == offset)
                return true;
    return offset == freehold_region_offset(&region.region, freehold_region_root(&region.region));
}

typedef struct strays {
    void *blocks[4096];
    size_t count;
} strays;

static bool note_stray(void *context, void *block, size_t bytes)
{
    strays *s = context;
    (void)bytes;
    if (!is_known(freehold_region_offset(&region.region, block)))
        s->blocks[s->count++] = block;
    return s->count < COUNT(s->blocks);
}

/* Nobody is left: every block is in a journal, but for those whose calls never returned. */
static void count_blocks(void)
{
    static strays lost;
    lost.count = 0;
    freehold_walk(&region.region, note_stray, &lost);
    assert_true(lost.count <= uncertain);
    for (size_t i = 0; i < lost.count; i++)
        freehold_free(&region.region, lost.blocks[i]);
    uncertain = 0;
}

static void nothing_is_lost_whoever_is_killed(void **unused)
{
    (void)unused;
    size_t done = 0;
    uint64_t count = 0;
    snprintf(name, sizeof name, "/freehold-test-%d", (int)getpid());
    const freehold_shared_region_options options = {.in_memory = true, .bytes = 256 * 1024};
    journals = shared_pages(PROCESSES * sizeof *journals);
    assert_null(freehold_shared_region_open(&region, name, &options));
    uint64_t *account = freehold_alloc(&region.region, 2 * sizeof *account);
    account[0] = ACCOUNT;
    account[1] = 0;
    freehold_region_set_root(&region.region, account);
    while (done < kills) {
        for (size_t i = 0; i < PROCESSES; i++)
            start(i);
        for (size_t round = 0; round < 20; round++) {
            size_t i = below(PROCESSES);
            wait_a_little(2000);
            end(i);
            judge_all();
            settle_journal(&journals[i]);
            start(i);
        }
        wait_a_little(2000);
        for (size_t i = 0; i < PROCESSES; i++)
            end(i);
        judge_all();
        for (size_t i = 0; i < PROCESSES; i++)
            settle_journal(&journals[i]);
        count_blocks();
        done += 20 + PROCESSES;
    }
    for (size_t i = 0; i < PROCESSES; i++)
        count += journals[i].calls;
    freehold_shared_region_history history = freehold_shared_region_get_history(&region);
    print_message("%zu processes killed in %zu calls: %zu with the lock, %zu in the middle, %zu in "
                  "a section\n",
        done, (size_t)count, (size_t)history.deaths, (size_t)history.repairs,
        (size_t)history.sections);
    assert_true(count > done);
    freehold_shared_region_detach(&region);
    assert_true(freehold_shared_region_remove(name, true));
    assert_false(freehold_shared_region_remove(name, true));
}

int main(int count, char **arguments)
{
    if (!deaths_are_told())
        return 77;
    if (count > 1)
        kills = strtoul(arguments[1], NULL, 10);
    if (count > 2)
        ends = strtoul(arguments[2], NULL, 10);
    const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
        cmocka_unit_test(every_instruction_may_be_the_last),
        cmocka_unit_test(who_lays_it_out_or_attaches_may_be_killed),
#endif
        cmocka_unit_test(nothing_is_lost_whoever_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
