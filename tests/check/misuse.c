/* SPDX-License-Identifier: MIT */
/* misuse CASE: does one thing wrong, or none. For freehold run --check (test_check.py), which is to
 * tell the functions and the lines that are named here. */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

struct node {
    struct node *next;
    char data[56];
};

char *make(size_t bytes)
{
    return malloc(bytes); /* MAKE */
}

void drop(void *block)
{
    free(block); /* DROP */
}

/* Overwrites what calls have left on the stack: a pointer there is one that can be followed. */
void scrub(void)
{
    volatile char garbage[16384];
    memset((char *)garbage, 0, sizeof garbage);
}

/* Where a pointer may be kept. */
static void *global;
static _Thread_local void *of_thread;
static volatile char sink;

static struct node *list(int count)
{
    struct node *first = NULL;
    for (int i = 0; i < count; i++) {
        struct node *one = (struct node *)make(sizeof *one);
        one->next = first;
        first = one;
    }
    return first;
}

void lose(void)
{
    for (int i = 0; i < 3; i++)
        memset(make(1000), 1, 1000);       /* LOSE */
    void *moved = realloc(make(50), 5000); /* GROW */
    memset(moved, 1, 5000);
    calloc(7, 10); /* ZEROED */
}

void lose_list(void)
{
    struct node *first = list(4); /* LIST */
    first = NULL;
}

/* As many as need large records, at addresses that are on record as freed as well. */
void lose_many(void)
{
    static char *each[20000]; /* what is here is cleared again */
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 20000; i++) {
            if (round == 1)
                drop(each[i]);
            each[i] = make(24);
        }
    memset(each, 0, sizeof each);
}

/* From 4 places for each call that it is deep. */
void lose_deeper(unsigned way, int calls)
{
    if (calls == 0)
        make(24);
    else if (way % 4 == 0)
        lose_deeper(way / 4, calls - 1);
    else if (way % 4 == 1)
        lose_deeper(way / 4, calls - 1);
    else if (way % 4 == 2)
        lose_deeper(way / 4, calls - 1);
    else
        lose_deeper(way / 4, calls - 1);
}

void lose_everywhere(void)
{
    for (unsigned way = 0; way < 1 << 15; way++)
        lose_deeper(way, 8);
}

/* The only pointer to it is in a block that was freed. */
void lose_behind(void)
{
    void **holder = (void **)make(20000);
    holder[1200] = make(333);
    drop(holder);
}

/* jemalloc's functions, which libc has not got: NULL without the library. */
extern void *mallocx(size_t bytes, int flags) __attribute__((weak));
extern void dallocx(void *block, int flags) __attribute__((weak));

/* One that jemalloc's function made leads to a block, and is freed as any other. */
static void keep_jemalloc(void)
{
    void **holder = mallocx(2000, 0);
    free(mallocx(40, 0));
    global = holder;
    holder[100] = make(335);
}

static void overflow_jemalloc(void)
{
    char *block = mallocx(100, 0); /* MALLOCX */
    block[100] = 'A';
    dallocx(block, 0); /* DALLOCX */
}

/* The same, in the midst of memory that is in use. */
void lose_beside(void)
{
    static void **each[8];
    for (int i = 0; i < 8; i++)
        each[i] = (void **)make(12000);
    each[5][700] = make(334);
    for (int i = 1; i < 8; i++)
        drop(each[i]);
}

/* Writes to a block that is free. */
void write_late(char *block)
{
    drop(block);
    block[8] = 'A'; /* LATE */
}

/* Frees more. */
void go_on(void)
{
    for (int i = 0; i < 30; i++)
        drop(make(100));
}

char read_late(char *block)
{
    drop(block);
    return block[8]; /* READ */
}

/* While the thread has a stack for signals as short as there may be, with 1 KiB for a handler; below it is
 * no memory. */
static void with_short_stack(char *block)
{
    size_t page = 4096, least = getauxval(AT_MINSIGSTKSZ);
    char *room = mmap(NULL, 20 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(room + page, 19 * page, PROT_READ | PROT_WRITE);
    stack_t stack = {.ss_sp = room + page, .ss_size = (least > 2048 ? least : 2048) + 1024};
    if (sigaltstack(&stack, NULL) != 0)
        exit(3);
    write_late(block);
}

static void *in_thread(void *block)
{
    with_short_stack(block);
    return NULL;
}

static void from_thread(char *block)
{
    pthread_t thread;
    pthread_create(&thread, NULL, in_thread, block);
    pthread_join(thread, NULL);
}

/* More blocks than there may be on pages of their own. */
static void make_many(int overflow)
{
    static char *each[20100];
    for (int i = 0; i < 20100; i++)
        each[i] = make(24);
    each[20099][24] = overflow ? 'A' : each[20099][24];
    for (int i = 0; i < 20100; i++)
        drop(each[20099 - i]);
}

static void *drop_twice(void *barrier)
{
    char *block = make(100);
    pthread_barrier_wait(barrier);
    drop(block);
    drop(block);
    return NULL;
}

/* Several threads misuse it at one moment. */
static void in_threads(void)
{
    pthread_t thread;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 8);
    for (int i = 0; i < 7; i++)
        pthread_create(&thread, NULL, drop_twice, &barrier);
    drop_twice(&barrier);
    pause();
}

/* So many bytes of address space for more. */
static void leave_room(size_t bytes)
{
    drop(make(10)); /* and all records are there */
    FILE *file = fopen("/proc/self/statm", "r");
    size_t pages = 0;
    if (file == NULL || fscanf(file, "%zu", &pages) != 1)
        exit(3);
    fclose(file);
    rlim_t most = pages * sysconf(_SC_PAGESIZE) + bytes;
    setrlimit(RLIMIT_AS, &(struct rlimit){most, most});
}

/* Nothing of what it had is there any more: no file for reports, no /proc. */
static void new_root(const char *folder)
{
    if (chroot(folder) != 0 || chdir("/") != 0)
        exit(77);
}

static void new_user(void)
{
    if (setgid(65534) != 0 || setuid(65534) != 0)
        exit(77);
}

static void own_handler(int number)
{
    _exit(number == SIGSEGV ? 33 : 34);
}

/* What a finished call has left on the stack is no pointer. */
void lose_deep(void)
{
    void *volatile room[30000];
    room[100] = make(222);
}

/* Nothing here is lost. */
static void keep(void)
{
    global = list(5);
    of_thread = make(30);
    void **outside =
        mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    outside[1000] = make(40) + 8; /* into it */
    make(0);                      /* it is lost, and has no bytes */
    void **large = (void **)make(1 << 20);
    large[100000] = make(60);
    outside[2000] = large;
}

/* Parts of a block that cannot be read, as a stack with a guard has them; nothing here is lost. */
static void keep_beside_guard(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    void *block;
    if (posix_memalign(&block, page, 8 * page) != 0)
        exit(3);
    void **words = global = block;
    words[0] = make(81);
    words[8 * page / sizeof *words - 1] = make(82);
    mprotect((char *)block + page, page, PROT_NONE);
}

/* In memory that was made read-only since. */
static void keep_read_only(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    void **outside = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    outside[10] = make(83);
    mprotect(outside, page, PROT_READ);
}

static void *wait_for_ever(void *unused)
{
    void *volatile mine = make(70);
    *(void *volatile *)&global = &mine; /* let main know */
    for (;;)
        pause();
    return mine;
}

static void keep_in_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    while (*(void *volatile *)&global == NULL)
        usleep(1000);
}

static void *lose_later(void *main_thread)
{
    pthread_join(*(pthread_t *)main_thread, NULL);
    lose_list();
    return NULL;
}

/* The process goes on without its first thread, and ends with its last one. */
static void end_main(void)
{
    static pthread_t self, thread;
    self = pthread_self();
    pthread_create(&thread, NULL, lose_later, &self);
    pthread_exit(NULL);
}

static void in_child(void)
{
    if (fork() == 0) {
        lose_list();
        scrub();
        exit(0);
    }
    wait(NULL);
}

static void in_handler(int number)
{
    char *block = make(100);
    drop(block);
    drop(block);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    char *block = make(100), *other;
#define CASE(text, statement)                                                                      \
    if (strcmp(name, text) == 0) {                                                                 \
        statement;                                                                                 \
    }
    CASE("double", drop(block); drop(block)) /* MAIN */
    CASE("double-threads", in_threads())
    CASE("overflow", block[100] = 'A'; block[101] = 'B'; drop(block))
    CASE("underflow", block[-1] = 'A'; drop(block))
    CASE("overflow-realloc", block[100] = 'A'; block = realloc(block, 200)) /* REALLOC */
    CASE("overflow-live", global = block; block[103] = 'A'; block = NULL)
    CASE("interior", drop(block + 16))
    CASE("misaligned", drop(block + 1))
    CASE("foreign", drop(&block))
    CASE("after-free", drop(block); block = realloc(block, 200))
    CASE("into-freed", drop(block); drop(block + 16))
    CASE("usable", drop(block); malloc_usable_size(block))
    CASE("late", write_late(block); block = NULL)
    CASE("late-seen", write_late(block); go_on(); block = NULL)
    CASE("late-read", sink = read_late(block))
    CASE("late-short", with_short_stack(block))
    CASE("late-thread", from_thread(block))
    CASE("late-own", signal(SIGSEGV, own_handler); write_late(block))
    CASE("beyond", block[112] = 'A')
    CASE("before", block[-4000] = 'A')
    CASE("many", make_many(0))
    CASE("many-overflow", make_many(1))
    CASE("null", *(volatile char *)8 = 1)
    CASE("sent", raise(SIGSEGV))
    CASE("handler", signal(SIGUSR1, in_handler); raise(SIGUSR1))
    CASE("lose", lose())
    CASE("lose-list", lose_list())
    CASE("lose-many", lose_many())
    CASE("lose-everywhere", lose_everywhere())
    CASE("lose-behind", lose_behind())
    CASE("lose-beside", lose_beside())
    CASE("keep-jemalloc", keep_jemalloc())
    CASE("overflow-jemalloc", drop(block); block = NULL; overflow_jemalloc())
    CASE("lose-deep", lose_deep())
    CASE("keep", keep())
    CASE("keep-guard", keep_beside_guard())
    CASE("keep-read-only", keep_read_only())
    CASE("little-room", lose_list(); leave_room(1 << 20))
    CASE("thread", keep_in_thread())
    CASE("end-main", end_main())
    CASE("child", in_child())
    CASE("root", new_root(argv[2]); lose_list())
    CASE("root-double", new_root(argv[2]); drop(block); drop(block))
    CASE("user", new_user(); lose_list())
    CASE("signal", raise(SIGKILL))
    CASE("quick", _exit(7))
    CASE("quick-large", _exit(200)) /* as if by a signal */
    CASE("status", exit(7))
    CASE("close", for (int i = 3; i < 100; i++) close(i); lose_list())
    CASE("chdir", chdir("/"); lose_list())
    if (block != NULL && strncmp(name, "overflow", 8) != 0)
        drop(block);
    block = NULL;
    scrub();
    return 0;
}
