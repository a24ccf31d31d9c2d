// SPDX-License-Identifier: MIT
//
// T23, F83: allocation and free at the end of things: from a thread that never allocated, from
// destructors of pthread keys (made before the heap's own key and after it, up to the last round),
// of thread_local objects, of static objects, of a library; from atexit handlers, and from threads
// that run while the process ends.
#include <cstdlib>
#include <pthread.h>
#include <string>
#include <vector>

#include "check.h"
extern "C" {
#include "family.h"
void exit_library_hold(void *);
}

namespace
{
const size_t sizes[] = {1, 40, 100, 1000, 5000, 70000, 400000, 2000000};

void use_heap()
{
    void *block[8];
    for (int i = 0; i < 8; i++) {
        block[i] = malloc(sizes[i]);
        CHECK(block[i] != nullptr);
        memset(block[i], i, sizes[i]);
    }
    for (int i = 0; i < 8; i++) {
        block[i] = realloc(block[i], sizes[i] * 2);
        CHECK(static_cast<char *>(block[i])[sizes[i] - 1] == i);
        free(block[i]);
    }
    free(calloc(10, 10));
}

// ---- keys ---------------------------------------------------------------------------------------

// Made by a constructor that runs before any allocation: a key with a smaller number than the
// heap's.
pthread_key_t early_key, late_key;
thread_local int early_rounds, late_rounds;
int most_rounds;

void early_destroyed(void *block)
{
    free(block);
    use_heap();
    if (++early_rounds < 10) // as long as the system goes on
        pthread_setspecific(early_key, malloc(100));
    most_rounds = early_rounds > most_rounds ? early_rounds : most_rounds;
}

void late_destroyed(void *block)
{
    free(block);
    use_heap();
    if (++late_rounds < 10)
        pthread_setspecific(late_key, malloc(3000));
}

__attribute__((constructor(101))) void make_early_key()
{
    CHECK(pthread_key_create(&early_key, early_destroyed) == 0);
}

// ---- objects ------------------------------------------------------------------------------------

struct Owner {
    explicit Owner(const char *text)
        : words{text, "a string that is too long to be stored in place"}
    {
    }
    ~Owner()
    {
        use_heap();
        words.push_back(std::string(5000, 'x'));
        CHECK(words[1].size() == 47);
    }
    std::vector<std::string> words;
};

thread_local Owner of_thread("thread_local");
Owner of_process("static");

// ---- threads ------------------------------------------------------------------------------------

void *given_to_thread[8];
volatile size_t too_much = SIZE_MAX;

void *free_only(void *)
{
    for (void *block : given_to_thread)
        free(block);
    return nullptr;
}

// The thread's first and only call is one that fails, or that is not about memory.
void *ask_only(void *)
{
    CHECK(malloc_usable_size(given_to_thread[0]) >= sizes[0]);
    CHECK(malloc(too_much) == nullptr);
    malloc_trim(0);
    return nullptr;
}

void *use_and_end(void *)
{
    CHECK(of_thread.words.size() == 2);
    pthread_setspecific(early_key, malloc(10));
    pthread_setspecific(late_key, malloc(10));
    use_heap();
    return nullptr;
}

// Only the destructors allocate.
void *end(void *)
{
    static char nothing;
    pthread_setspecific(late_key, nullptr);
    pthread_setspecific(early_key, nullptr);
    (void)nothing;
    return nullptr;
}

void run(void *(*function)(void *), int times)
{
    for (int i = 0; i < times; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, nullptr, function, nullptr) == 0);
        CHECK(pthread_join(thread, nullptr) == 0);
    }
}

void *busy(void *)
{
    for (;;)
        use_heap();
    return nullptr;
}

void *kept_for_exit;

void at_exit()
{
    free(kept_for_exit);
    use_heap();
    run(use_and_end, 3);
    if (write(STDOUT_FILENO, "atexit ", 7) != 7)
        _exit(1);
}
} // namespace

int main()
{
    use_heap();
    CHECK(pthread_key_create(&late_key, late_destroyed) == 0);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 8; i++)
            given_to_thread[i] = malloc(sizes[i]);
        run(ask_only, 1);
        run(free_only, 1);
    }
    run(use_and_end, 300);
    run(end, 10);
    CHECK(most_rounds >= 4); // the last round was reached

    kept_for_exit = malloc(1000);
    exit_library_hold(malloc(1000));
    CHECK(atexit(at_exit) == 0);
    pthread_setspecific(late_key, malloc(10)); // main's are not run at exit; nothing may go wrong
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, nullptr, busy, nullptr) == 0);
    }
    return 0; // while they run
}
