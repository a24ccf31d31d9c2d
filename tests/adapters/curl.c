/* SPDX-License-Identifier: MIT */
/* libcurl from a heap (F108): a file and a page from a server of the test's own. */
#include "adapter.h"

#include "freehold/adapters/curl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define BYTES (1024 * 1024)

static gate memory;
static unsigned char content[BYTES];

static void fill_content(void)
{
    for (size_t i = 0; i < BYTES; i++)
        content[i] = (unsigned char)(i * 7 + i / 251);
}

/* ---- a server for one request ---------------------------------------------------------------- */

typedef struct server {
    int socket;
    unsigned short port;
    pthread_t thread;
} server;

static bool readable(int descriptor)
{
    struct pollfd wait = {descriptor, POLLIN, 0};
    return poll(&wait, 1, 5000) == 1;
}

static void answer(int connection)
{
    char request[4096] = "";
    size_t have = 0;
    while (
        strstr(request, "\r\n\r\n") == NULL && have < sizeof request - 1 && readable(connection)) {
        ssize_t got = read(connection, request + have, sizeof request - 1 - have);
        if (got <= 0)
            return;
        have += (size_t)got;
        request[have] = '\0';
    }
    char head[128];
    int bytes = snprintf(head, sizeof head,
        "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n", BYTES);
    bool sent = send(connection, head, (size_t)bytes, MSG_NOSIGNAL) == bytes;
    for (size_t at = 0; sent && at < BYTES;) {
        ssize_t put = send(connection, content + at, BYTES - at, MSG_NOSIGNAL);
        sent = put > 0;
        at += sent ? (size_t)put : 0;
    }
}

static void *serve(void *context)
{
    server *s = context;
    int connection = readable(s->socket) ? accept(s->socket, NULL, NULL) : -1;
    if (connection >= 0) {
        answer(connection);
        close(connection);
    }
    return NULL;
}

static void server_start(server *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->socket >= 0);
    assert_int_equal(bind(s->socket, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(s->socket, 1), 0);
    assert_int_equal(getsockname(s->socket, (struct sockaddr *)&address, &bytes), 0);
    s->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_end(server *s)
{
    pthread_join(s->thread, NULL);
    close(s->socket);
}

/* ---- what comes from libcurl ----------------------------------------------------------------- */

typedef struct received {
    size_t bytes;
    bool right;
    size_t live; /* the most that was live in the heap meanwhile */
} received;

static size_t receive(char *data, size_t size, size_t count, void *context)
{
    received *r = context;
    size_t bytes = size * count;
    r->right =
        r->right && r->bytes + bytes <= BYTES && memcmp(content + r->bytes, data, bytes) == 0;
    r->bytes += bytes;
    size_t live = live_bytes(&memory);
    r->live = live > r->live ? live : r->live;
    return bytes;
}

/* Gets what is at the address into *result. */
static CURLcode get(const char *url, received *result)
{
    *result = (received){0, true, 0};
    CURL *handle = curl_easy_init();
    if (handle == NULL)
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = curl_easy_setopt(handle, CURLOPT_URL, url);
    if (code == CURLE_OK)
        code = curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 5000L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, result);
    if (code == CURLE_OK)
        code = curl_easy_perform(handle);
    curl_easy_cleanup(handle);
    return code;
}

/* A file with the content, and its address. */
static void make_file(char *path, char *url, size_t bytes)
{
    strcpy(path, "/tmp/freehold-curl-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, content, BYTES), BYTES);
    close(file);
    snprintf(url, bytes, "file://%s", path);
}

static void begin(void)
{
    gate_init(&memory);
    assert_int_equal(freehold_curl_init(&memory.base, CURL_GLOBAL_DEFAULT), CURLE_OK);
}

static void end(void)
{
    freehold_curl_cleanup();
    assert_int_equal(live_blocks(&memory), 0);
    gate_deinit(&memory);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void all_bytes_are_the_heaps(void **unused)
{
    (void)unused;
    begin();
    uint64_t before = live_blocks(&memory);
    char path[64], url[128];
    received file, page;
    make_file(path, url, sizeof url);
    assert_int_equal(get(url, &file), CURLE_OK);
    unlink(path);
    assert_true(file.right && file.bytes == BYTES && file.live > 16 * 1024);
    assert_int_equal(live_blocks(&memory), before);

    server s;
    server_start(&s);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/page?with=%s", s.port, "query");
    assert_int_equal(get(url, &page), CURLE_OK);
    server_end(&s);
    assert_true(page.right && page.bytes == BYTES && page.live > 16 * 1024);
    assert_int_equal(live_blocks(&memory), before);
    assert_true(freehold_stats(&memory.heap).allocations > 100);

    char *escaped = curl_easy_escape(NULL, "a b", 0);
    assert_string_equal(escaped, "a%20b");
    assert_true(freehold_owns(&memory.heap, escaped));
    curl_free(escaped);
    end();
}

static void a_heap_ends_with_all_of_it(void **unused)
{
    (void)unused;
    begin();
    struct curl_slist *list = NULL;
    for (int i = 0; i < 100; i++)
        list = curl_slist_append(list, "a header");
    freehold_curl_cleanup();
    assert_true(live_blocks(&memory) >= 200);
    gate_deinit(&memory);
}

/* Memory runs out at one request after the other. */
static void without_memory_it_says_so(void **unused)
{
    (void)unused;
    char path[64], url[128];
    received file;
    make_file(path, url, sizeof url);
    begin();
    CURLcode result = CURLE_OUT_OF_MEMORY;
    uint64_t before = live_blocks(&memory);
    unsigned failed = 0;
    for (size_t grants = 0; result != CURLE_OK; grants++) {
        gate_grant(&memory, grants);
        result = get(url, &file);
        gate_grant(&memory, UNLIMITED);
        failed += result != CURLE_OK;
        assert_int_equal(live_blocks(&memory), before);
    }
    unlink(path);
    assert_true(file.right && file.bytes == BYTES);
    assert_true(failed > 10 && memory.refused >= failed);
    end();
}

/* libcurl alone would count the second init, and say that it went well. */
static void in_use_is_refused(void **unused)
{
    (void)unused;
    gate_init(&memory);
    assert_int_equal(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
    assert_int_equal(freehold_curl_init(&memory.base, CURL_GLOBAL_DEFAULT), CURLE_FAILED_INIT);
    curl_slist_free_all(curl_slist_append(NULL, "text"));
    assert_int_equal(freehold_stats(&memory.heap).allocations, 0);
    curl_global_cleanup();
    gate_deinit(&memory);

    begin();
    freehold_heap other;
    freehold_heap_init(&other);
    assert_int_equal(freehold_curl_init(&other.base, CURL_GLOBAL_DEFAULT), CURLE_FAILED_INIT);
    assert_int_equal(freehold_curl_init(NULL, CURL_GLOBAL_DEFAULT), CURLE_FAILED_INIT);
    assert_int_equal(freehold_curl_init(&memory.base, CURL_GLOBAL_DEFAULT), CURLE_OK);
    freehold_curl_cleanup();
    freehold_heap_deinit(&other);
    struct curl_slist *list = curl_slist_append(NULL, "text"); /* still in use, by the first init */
    assert_true(freehold_owns(&memory.heap, list));
    curl_slist_free_all(list);
    end();

    /* And NULL is malloc. */
    gate_init(&memory);
    assert_int_equal(freehold_curl_init(NULL, CURL_GLOBAL_DEFAULT), CURLE_OK);
    curl_slist_free_all(curl_slist_append(NULL, "text"));
    freehold_curl_cleanup();
    gate_deinit(&memory);
}

/* calloc's product may be more than there can be. */
static void the_functions_are_cs(void **unused)
{
    (void)unused;
    begin();
    unsigned char *block = freehold__curl_calloc(100, 10);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(block[i], 0);
    block = freehold__curl_realloc(block, 5000);
    assert_true(freehold_usable_size(&memory.heap, block) >= 5000);
    assert_null(freehold__curl_realloc(block, SIZE_MAX - 5));
    assert_null(freehold__curl_realloc(block, 0));
    assert_null(freehold__curl_calloc(SIZE_MAX / 2 + 1, 2));
    assert_null(freehold__curl_calloc(2, SIZE_MAX / 2 + 1));
    assert_null(freehold__curl_calloc((size_t)1 << 33, (size_t)1 << 33));
    void *none[] = {freehold__curl_malloc(0), freehold__curl_calloc(0, 8),
        freehold__curl_calloc(8, 0), freehold__curl_realloc(NULL, 0)};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_non_null(none[i]);
        freehold__curl_free(none[i]);
    }
    freehold__curl_free(NULL);
    end();
}

int main(void)
{
    fill_content();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_use_is_refused),
        cmocka_unit_test(all_bytes_are_the_heaps),
        cmocka_unit_test(a_heap_ends_with_all_of_it),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(the_functions_are_cs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
