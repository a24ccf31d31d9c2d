/* SPDX-License-Identifier: MIT */
/* OpenSSL from a heap (F108): keys, digests and certificates, short of memory, and its end. */
#include "adapter.h"

#include "freehold/adapters/openssl.h"

#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

static gate memory; /* for the whole process, as OpenSSL wants it */

/* What a test does in a process of its own, because it cannot be undone; true: it was right. */
static void assert_in_child(bool (*test)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(test() ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* OpenSSL that has allocated takes no other functions any more. */
static bool late_init_is_refused(void)
{
    void *block = OPENSSL_malloc(10);
    freehold_heap heap;
    freehold_heap_init(&heap);
    bool accepted = freehold_openssl_init(&heap.base);
    OPENSSL_free(block);
    block = OPENSSL_malloc(10);
    return !accepted && block != NULL && !freehold_owns(&heap, block);
}

static void too_late_is_refused(void **unused)
{
    (void)unused;
    assert_in_child(late_init_is_refused);
}

static void it_begins_once(void **unused)
{
    (void)unused;
    gate_init(&memory);
    assert_int_equal(freehold_openssl_init(NULL), 0);
    assert_int_equal(freehold_openssl_init(&memory.base), 1);
    assert_int_equal(freehold_openssl_init(&memory.base), 1);
    freehold_heap other;
    freehold_heap_init(&other);
    assert_int_equal(freehold_openssl_init(&other.base), 0);
    assert_int_equal(freehold_openssl_init(NULL), 0);
    freehold_heap_deinit(&other);
    void *block = OPENSSL_malloc(100);
    assert_true(freehold_owns(&memory.heap, block));
    assert_null(OPENSSL_malloc(0));
    assert_null(OPENSSL_realloc(block, 0)); /* has freed it */
    assert_int_equal(live_blocks(&memory), 0);
}

/* A certificate of the key's own, as DER: the caller frees it. */
static int certify(EVP_PKEY *key, unsigned char **der)
{
    X509 *certificate = X509_new();
    int bytes = -1;
    if (certificate != NULL && ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), 0) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL &&
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
            (const unsigned char *)"freehold", -1, -1, 0) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) &&
        X509_set_pubkey(certificate, key) && X509_sign(certificate, key, EVP_sha256()) > 0)
        bytes = i2d_X509(certificate, der);
    X509_free(certificate);
    return bytes;
}

/* True if the certificate can be read, and is signed by the key. */
static bool parse_and_verify(const unsigned char *der, int bytes, EVP_PKEY *key)
{
    X509 *certificate = d2i_X509(NULL, &der, bytes);
    bool good = certificate != NULL && X509_verify(certificate, key) == 1;
    X509_free(certificate);
    return good;
}

static bool digest_is_right(void)
{
    static const unsigned char expected[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned bytes = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, "abc", 3) == 1 &&
                EVP_DigestFinal_ex(context, digest, &bytes) == 1;
    EVP_MD_CTX_free(context);
    return good && bytes == 32 && memcmp(digest, expected, sizeof expected) == 0;
}

/* Everything once with a key; what is live meanwhile goes into *loaded. */
static bool work(EVP_PKEY *key, size_t *loaded)
{
    unsigned char *der = NULL;
    int bytes = key != NULL ? certify(key, &der) : -1;
    bool good = bytes > 100 && parse_and_verify(der, bytes, key) && digest_is_right();
    *loaded = live_bytes(&memory);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    return good;
}

static bool cleanup_leaves_nothing(void)
{
    OPENSSL_cleanup();
    return live_blocks(&memory) == 0;
}

static void all_bytes_are_the_heaps(void **unused)
{
    (void)unused;
    size_t loaded;
    assert_true(work(EVP_RSA_gen(2048), &loaded)); /* fills OpenSSL's own stores as well */
    assert_true(work(EVP_EC_gen("P-256"), &loaded));
    assert_true(freehold_stats(&memory.heap).allocations > 5000);
    assert_true(loaded > 100 * 1024);

    /* From now on all of it comes back. */
    uint64_t blocks = live_blocks(&memory);
    size_t bytes = live_bytes(&memory);
    for (int round = 0; round < 20; round++) {
        assert_true(work(EVP_EC_gen("P-256"), &loaded));
        assert_true(loaded > bytes);
        assert_int_equal(live_blocks(&memory), blocks);
        assert_int_equal(live_bytes(&memory), bytes);
    }
    assert_in_child(cleanup_leaves_nothing);
}

/* Memory runs out at one request after the other, and OpenSSL works again when there is some. */
static void without_memory_it_says_so(void **unused)
{
    (void)unused;
    unsigned failed = 0;
    bool good = false;
    size_t loaded;
    for (size_t grants = 0; !good; grants += grants / 8 + 1) {
        gate_grant(&memory, grants);
        good = work(EVP_EC_gen("P-256"), &loaded);
        gate_grant(&memory, UNLIMITED);
        failed += !good;
        ERR_clear_error();
    }
    assert_true(failed > 20 && memory.refused >= failed);
    assert_true(work(EVP_EC_gen("P-256"), &loaded));
    assert_null(freehold_check(&memory.heap));
}

/* The last one: there is no OpenSSL in this process any more. */
static void a_heap_ends_with_all_of_it(void **unused)
{
    (void)unused;
    assert_non_null(EVP_EC_gen("P-256"));
    OPENSSL_cleanup();
    assert_true(live_blocks(&memory) > 0);
    gate_deinit(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_late_is_refused),
        cmocka_unit_test(it_begins_once),
        cmocka_unit_test(all_bytes_are_the_heaps),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(a_heap_ends_with_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
