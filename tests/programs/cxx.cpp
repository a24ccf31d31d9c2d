/* SPDX-License-Identifier: MIT */
/* A C++ program for the drop-in: containers, strings, threads that hand blocks to each other,
 * exceptions (in one thread and carried to another), aligned and nothrow new, new-handlers, sizes
 * that cannot be had, thread_local and static destructors. What it prints does not depend on
 * timing or on addresses; it is compared with the same program under glibc. A false CHECK is told
 * on standard output as well. */
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

static std::atomic<int> failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::printf("false at line %d: %s\n", __LINE__, #condition);                           \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static uint64_t fnv(const std::string &text, uint64_t hash = 0xcbf29ce484222325u)
{
    for (unsigned char c : text)
        hash = (hash ^ c) * 0x100000001b3u;
    return hash;
}

/* A generator of its own for each thread. */
class Random
{
  public:
    explicit Random(uint64_t seed) : state(seed * 2654435769u + 1) {}
    uint32_t below(uint32_t n)
    {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return static_cast<uint32_t>(state >> 33) % n;
    }

  private:
    uint64_t state;
};

static void containers(unsigned scale)
{
    Random random(1);
    std::map<std::string, std::vector<std::string>> index;
    std::unordered_map<uint32_t, std::list<std::string>> by_number;
    for (unsigned i = 0; i < 60000 * scale; i++) {
        uint32_t n = random.below(5000);
        std::string key = "key " + std::to_string(n);
        if (random.below(5) == 0) {
            index.erase(key);
            by_number.erase(n);
        } else {
            index[key].push_back(std::string(random.below(100), 'a' + i % 26));
            by_number[n].push_front(key);
        }
    }
    uint64_t hash = 0;
    for (const auto &[key, values] : index) {
        hash = fnv(key, hash);
        for (const auto &value : values)
            hash = fnv(value, hash);
    }
    size_t listed = 0;
    for (const auto &entry : by_number)
        listed += entry.second.size();
    std::printf("containers %zu %zu %016llx\n", index.size(), listed, (unsigned long long)hash);

    std::deque<std::unique_ptr<std::string>> queue;
    size_t length = 0;
    for (unsigned i = 0; i < 50000 * scale; i++) {
        queue.push_back(
            std::make_unique<std::string>(std::to_string(i) + std::string(i % 50, 'q')));
        if (queue.size() > 300) {
            length += queue.front()->size();
            queue.pop_front();
        }
    }
    std::printf("queue %zu %zu\n", queue.size(), length);

    std::pmr::unsynchronized_pool_resource pool;
    std::pmr::vector<std::pmr::string> pooled(&pool);
    for (int i = 0; i < 20000; i++)
        pooled.emplace_back(std::string(i % 200, 'p'));
    std::printf("pooled %zu\n", std::accumulate(pooled.begin(), pooled.end(), size_t(0),
                                    [](size_t sum, const auto &s) { return sum + s.size(); }));

    std::vector<std::string> sorted;
    for (int i = 0; i < 50000; i++)
        sorted.push_back(
            std::to_string(random.below(1000000)) + " is a number too long for the inline buffer");
    std::sort(sorted.begin(), sorted.end());
    std::ostringstream stream;
    for (const auto &s : sorted)
        stream << s << '\n';
    std::printf("sorted %016llx\n", (unsigned long long)fnv(stream.str()));

    std::regex word("([a-z]+) ([a-z]+)");
    std::string text;
    for (int i = 0; i < 400; i++)
        text += "free hold slab span ";
    text = std::regex_replace(text, word, "$2 $1");
    std::printf("regex %016llx\n", (unsigned long long)fnv(text));
}

/* Blocks that one thread allocates and another frees. */
static void hand_over(unsigned scale)
{
    struct Message {
        std::string text;
        std::vector<uint32_t> numbers;
    };
    std::mutex lock;
    std::condition_variable filled;
    std::deque<std::unique_ptr<Message>> queue;
    int producing = 4;
    std::atomic<uint64_t> total{0}, count{0};

    auto produce = [&](unsigned id) {
        Random random(id);
        for (unsigned i = 0; i < 15000 * scale; i++) {
            auto message = std::make_unique<Message>();
            message->text = std::string(random.below(300), 'm');
            message->numbers.assign(random.below(40), id);
            std::lock_guard<std::mutex> hold(lock);
            queue.push_back(std::move(message));
            filled.notify_one();
        }
        std::lock_guard<std::mutex> hold(lock);
        producing--;
        filled.notify_all();
    };
    auto consume = [&] {
        std::map<size_t, std::unique_ptr<Message>> kept;
        for (;;) {
            std::unique_lock<std::mutex> hold(lock);
            filled.wait(hold, [&] { return !queue.empty() || producing == 0; });
            if (queue.empty())
                return;
            auto message = std::move(queue.front());
            queue.pop_front();
            hold.unlock();
            total += message->text.size() +
                     std::accumulate(message->numbers.begin(), message->numbers.end(), 0u);
            size_t slot = ++count % 1000;
            kept[slot] = std::move(message);
        }
    };
    std::vector<std::thread> threads;
    for (unsigned id = 1; id <= 4; id++)
        threads.emplace_back(produce, id);
    for (int i = 0; i < 3; i++)
        threads.emplace_back(consume);
    for (auto &thread : threads)
        thread.join();
    std::printf("handed over %llu %llu\n", (unsigned long long)count, (unsigned long long)total);
}

/* A thread_local whose destructor frees and allocates while the thread is ending. */
struct Local {
    std::vector<std::string> strings;
    std::atomic<uint64_t> *sum = nullptr;
    ~Local()
    {
        if (sum) {
            strings.push_back(std::string(200, 'e'));
            for (const auto &s : strings)
                *sum += s.size();
        }
    }
};
static thread_local Local local;

static void short_lived(unsigned scale)
{
    std::atomic<uint64_t> sum{0};
    std::vector<std::shared_ptr<std::string>> left; /* outlives the thread that allocated it */
    for (unsigned round = 0; round < 100 * scale; round++) {
        std::vector<std::thread> threads;
        std::vector<std::shared_ptr<std::string>> made(8);
        for (unsigned i = 0; i < made.size(); i++)
            threads.emplace_back([&, i] {
                local.sum = &sum;
                for (unsigned n = 0; n < 100; n++)
                    local.strings.push_back(std::string(n * (i + 1), 'l'));
                made[i] = std::make_shared<std::string>(round % 50 + i + 100, 's');
            });
        for (auto &thread : threads)
            thread.join();
        if (round % 3 == 0)
            left.clear();
        left.insert(left.end(), made.begin(), made.end());
    }
    size_t rest = 0;
    for (const auto &s : left)
        rest += s->size();
    std::printf("short-lived %llu %zu\n", (unsigned long long)sum, rest);
}

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
    std::vector<int> payload = std::vector<int>(1000, 7);
};

static int deep(int n, const std::string &text)
{
    std::string copy = text + std::to_string(n); /* to be destroyed by the unwinder */
    if (n == 0)
        throw Failure(copy);
    return deep(n - 1, copy) + 1;
}

static void exceptions()
{
    size_t caught = 0, length = 0;
    for (int i = 0; i < 500; i++) {
        try {
            deep(30, "depth ");
        } catch (const Failure &failure) {
            caught += failure.payload.size();
            length += std::string(failure.what()).size();
        }
    }
    std::vector<std::future<int>> futures;
    for (int i = 0; i < 50; i++)
        futures.push_back(std::async(std::launch::async, [i] {
            if (i % 2)
                return deep(i, "async ");
            return i;
        }));
    int fine = 0, carried = 0;
    for (auto &future : futures) {
        try {
            fine += future.get();
        } catch (const std::exception &e) {
            carried += static_cast<int>(std::string(e.what()).size());
        }
    }
    size_t nested = 0;
    try {
        try {
            throw std::out_of_range("inner");
        } catch (...) {
            std::throw_with_nested(std::logic_error("outer"));
        }
    } catch (const std::exception &outer) {
        try {
            std::rethrow_if_nested(outer);
        } catch (const std::exception &inner) {
            nested = std::string(outer.what()).size() * 100 + std::string(inner.what()).size();
        }
    }
    std::printf("exceptions %zu %zu %d %d %zu\n", caught, length, fine, carried, nested);
}

template <typename Allocate> static const char *outcome(Allocate allocate)
{
    try {
        allocate();
    } catch (const std::bad_array_new_length &) {
        return "bad_array_new_length";
    } catch (const std::bad_alloc &) {
        return "bad_alloc";
    } catch (const std::length_error &) {
        return "length_error";
    }
    return "no exception";
}

static int handled;
static void handler_that_gives_up()
{
    if (++handled == 3)
        std::set_new_handler(nullptr);
}
static void handler_that_throws()
{
    handled++;
    throw std::bad_alloc();
}

static void refusals()
{
    /* Volatile, or the compiler leaves out the pairs of new and delete, as it may. */
    static volatile size_t absurd[] = {
        PTRDIFF_MAX, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 4096, SIZE_MAX - 1, SIZE_MAX};
    for (size_t size : absurd) {
        size_t n = size;
        std::printf("%zx: %s,", n, outcome([n] { ::operator delete(::operator new(n)); }));
        std::printf(" %s,", outcome([n] { ::operator delete[](::operator new[](n)); }));
        CHECK(::operator new(n, std::nothrow) == nullptr);
        CHECK(::operator new[](n, std::nothrow) == nullptr);
        CHECK(std::malloc(n) == nullptr);
        std::printf(" %s\n", outcome([n] { delete[] new double[n]; }));
        if (n > SIZE_MAX - 4096) /* libstdc++ 12 itself rounds these up to 0, and succeeds */
            continue;
        CHECK(::operator new(n, std::align_val_t(64), std::nothrow) == nullptr);
        std::printf("  aligned: %s\n", outcome([n] {
            ::operator delete(::operator new(n, std::align_val_t(128)), std::align_val_t(128));
        }));
    }
    std::printf("vector: %s, %s\n", outcome([] { std::vector<double>().reserve(PTRDIFF_MAX / 8); }),
        outcome([] { std::vector<double>().reserve(SIZE_MAX); }));

    size_t n = absurd[0];
    std::set_new_handler(handler_that_gives_up);
    std::printf("handler: %s", outcome([n] { ::operator delete(::operator new(n)); }));
    std::printf(" after %d calls\n", handled);
    handled = 0;
    std::set_new_handler(handler_that_throws);
    std::printf("throwing handler: %s", outcome([n] { ::operator delete(::operator new(n)); }));
    CHECK(::operator new(n, std::nothrow) == nullptr);
    std::printf(" after %d calls\n", handled);
    std::set_new_handler(nullptr);
}

static void alignments()
{
    std::vector<std::pair<void *, std::align_val_t>> blocks;
    std::set<void *> distinct;
    for (size_t alignment = 16; alignment <= 65536; alignment *= 2)
        for (size_t size : {size_t(0), size_t(1), alignment - 1, alignment, 3 * alignment + 1}) {
            void *p = ::operator new(size, std::align_val_t(alignment));
            CHECK(reinterpret_cast<uintptr_t>(p) % alignment == 0);
            std::fill_n(static_cast<char *>(p), size, 'x');
            blocks.emplace_back(p, std::align_val_t(alignment));
            distinct.insert(p);
        }
    for (int i = 0; i < 100; i++) {
        void *p = ::operator new(0);
        distinct.insert(p);
        blocks.emplace_back(p, std::align_val_t(0));
    }
    std::printf("alignments %zu %zu\n", blocks.size(), distinct.size());
    for (auto &[p, alignment] : blocks)
        alignment == std::align_val_t(0) ? ::operator delete(p) : ::operator delete(p, alignment);

    struct alignas(256) Wide {
        char bytes[300];
    };
    std::vector<std::unique_ptr<Wide>> wide;
    for (int i = 0; i < 1000; i++) {
        wide.push_back(std::make_unique<Wide>());
        CHECK(reinterpret_cast<uintptr_t>(wide.back().get()) % 256 == 0);
    }
}

/* Destroyed after main, when the library's own exit handlers may already have run. */
struct AtExit {
    std::map<int, std::string> table;
    AtExit()
    {
        for (int i = 0; i < 1000; i++)
            table[i] = std::string(i, 'x');
    }
    ~AtExit()
    {
        size_t sum = 0;
        for (const auto &entry : table)
            sum += entry.second.size();
        std::string text = "at exit " + std::to_string(sum) + std::string(100, '.');
        std::printf("%s\n", text.c_str());
        std::fflush(stdout);
    }
};
static AtExit at_exit;

int main(int argc, char **argv)
{
    unsigned scale = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1;
    containers(scale);
    hand_over(scale);
    short_lived(scale);
    exceptions();
    refusals();
    alignments();
    std::printf("failures %d\n", failures.load());
    return failures != 0;
}
