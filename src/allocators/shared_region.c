/* SPDX-License-Identifier: MIT */
/*
 * A region for several processes (freehold/shared_region.h): a header with a robust lock, and behind it a
 * region whose hooks are that lock.
 *
 *     memory   | header, 256 bytes | to the next granule | region: header, bins, tags, blocks |
 *
 * The order in which the header says things, since whoever writes it may be killed after any store:
 *
 *     create   magic = MAKING, everything, magic = MAGIC        the last store makes it a region
 *     attach   unready = 1, the lock anew, repair, unready = 0  only by who has it alone
 *     section  lock, section++, the user's stores, section--, unlock
 *
 * and the region's own: busy before its first store to the tags, idle after the last (objects/region.h).
 */
#include "freehold/shared_region.h"

#include <string.h>

#include "allocators/allocator.h"
#include "allocators/region.h"
#include "base/fatal.h"
#include "objects/region.h"
#include "port/port.h"

#define MAGIC   UINT64_C(0x6672656873686431) /* "frehshd1" */
#define MAKING  UINT64_C(0x6d616b696e672e2e) /* "making..": no few bits away from it */
#define VERSION 1
#define ORDER   UINT32_C(0x01020304) /* reads 0x04030201 in the other byte order */
#define TRIES   1000

typedef freehold__region engine;
typedef freehold_shared_region_options options_of_user;

/* All of it has this layout everywhere, but for the bytes of the lock. */
typedef struct header {
    /* Never change, and are in the checksum. */
    uint64_t magic;
    uint32_t version, order;
    uint64_t bytes;     /* of the memory */
    uint64_t region_at; /* where in it the region begins */
    uint64_t checksum;

    uint64_t lock_kind; /* freehold__port_shared_lock_kind: may change when somebody has it alone */
    uint64_t unready;   /* whoever had it alone has not ended */

    /* Under the lock. */
    uint64_t section; /* depth of freehold_shared_region_lock */
    uint64_t suspect; /* somebody died in a section, and nobody has mended it */
    uint64_t deaths, sections;
    uint64_t reserved[4];
    freehold__shared_lock lock;
    uint64_t more[8];
} header;

_Static_assert(sizeof(header) == 256 && sizeof(header) % FREEHOLD_ALIGNMENT == 0,
    "the layout is the same everywhere");

/* What comes before is in memory before what comes after, for who looks when this process was killed. */
static void in_order(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void store(uint64_t *word, uint64_t value)
{
    in_order();
    *(volatile uint64_t *)word = value;
    in_order();
}

static header *header_of(const freehold_shared_region *shared)
{
    return shared->memory;
}

static engine *engine_of(const freehold_shared_region *shared)
{
    return (engine *)(void *)((char *)shared->memory + header_of(shared)->region_at);
}

static uint64_t checksum_of(const header *h)
{
    const uint64_t constant[] = {
        MAGIC, (uint64_t)h->version << 32 | h->order, h->bytes, h->region_at};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof constant / sizeof *constant; i++) {
        sum = (sum ^ constant[i]) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }
    return sum;
}

/* ---- the lock -------------------------------------------------------------------------------- */

static void report(
    freehold_misuse kind, const char *what, const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__text_add(&text, what);
    freehold__report_end(&text, kind, function, pointer);
}

/* Somebody died with the lock: whether in a section of the user's is kept for the next one who asks. */
static void count_death(header *h)
{
    if (h->section != 0) {
        store(&h->suspect, 1);
        h->sections++;
        store(&h->section, 0);
    }
    h->deaths++;
}

/* The hook of the region, which repairs when this says false. */
static bool take_lock(void *context)
{
    header *h = context;
    freehold__shared_taken taken = freehold__port_shared_lock_take(&h->lock);
    if (freehold__likely(taken == FREEHOLD__SHARED_TAKEN))
        return true;
    if (taken == FREEHOLD__SHARED_BROKEN)
        report(FREEHOLD_CORRUPT, "corrupt: the lock of the shared region is damaged",
            "freehold_shared_region_lock", h);
    count_death(h);
    return false;
}

static void drop_lock(void *context)
{
    header *h = context;
    freehold__port_shared_lock_drop(&h->lock);
}

/* As the region does when a call of its own takes the lock. */
static void take_and_repair(freehold_shared_region *shared, const char *function)
{
    engine *r = engine_of(shared);
    take_lock(shared->memory);
    if (!freehold__region_is_busy(r) || freehold__region_repair(r))
        return;
    drop_lock(shared->memory);
    report(FREEHOLD_CORRUPT,
        "corrupt: the region cannot be repaired: a process was killed in the middle of a call, and "
        "its "
        "tags are damaged",
        function, shared->memory);
}

/* Whether this thread is between lock and unlock: then it has the lock, and in a section is who has it. */
static bool is_inside(const freehold_shared_region *shared)
{
    header *h = header_of(shared);
    freehold__shared_taken taken = freehold__port_shared_lock_try(&h->lock);
    if (taken == FREEHOLD__SHARED_HELD || taken == FREEHOLD__SHARED_BROKEN)
        return false;
    if (taken == FREEHOLD__SHARED_INHERITED)
        count_death(h);
    bool inside = h->section != 0;
    drop_lock(h);
    return inside;
}

/* False: what it was given was wrong, so that it has no memory. */
static bool is_attached(const freehold_shared_region *shared, const char *function)
{
    if (!freehold__sealed(&shared->region.base, FREEHOLD__REGION_TYPE))
        freehold__allocator_wrong(&shared->region.base, function, "region");
    return shared->memory != NULL;
}

bool freehold_shared_region_lock(freehold_shared_region *shared)
{
    if (!is_attached(shared, "freehold_shared_region_lock"))
        return true;
    take_and_repair(shared, "freehold_shared_region_lock");
    header *h = header_of(shared);
    store(&h->section, h->section + 1);
    return h->suspect == 0;
}

void freehold_shared_region_unlock(freehold_shared_region *shared)
{
    if (!is_attached(shared, "freehold_shared_region_unlock"))
        return;
    header *h = header_of(shared);
    if (!is_inside(shared))
        report(FREEHOLD_WRONG_SCOPE, "wrong scope: this thread has not locked the shared region",
            "freehold_shared_region_unlock", shared);
    store(&h->section, h->section - 1);
    drop_lock(h);
}

void freehold_shared_region_mended(freehold_shared_region *shared)
{
    if (!is_attached(shared, "freehold_shared_region_mended"))
        return;
    take_and_repair(shared, "freehold_shared_region_mended");
    store(&header_of(shared)->suspect, 0);
    drop_lock(shared->memory);
}

freehold_shared_region_history freehold_shared_region_get_history(freehold_shared_region *shared)
{
    freehold_shared_region_history history = {0, 0, 0};
    if (!is_attached(shared, "freehold_shared_region_get_history"))
        return history;
    take_and_repair(shared, "freehold_shared_region_get_history");
    const header *h = header_of(shared);
    history = (freehold_shared_region_history){h->deaths, engine_of(shared)->repairs, h->sections};
    drop_lock(shared->memory);
    return history;
}

/* ---- what is wrong --------------------------------------------------------------------------- */

static const char *judge_memory(
    const freehold_shared_region *shared, const void *memory, size_t bytes)
{
    if (memory == NULL)
        return "the region has no memory";
    if ((uintptr_t)memory % FREEHOLD_ALIGNMENT != 0)
        return "the memory of the region is not a multiple of its granule";
    if (bytes > UINTPTR_MAX - (uintptr_t)memory)
        return "the memory of the region goes beyond the end of memory";
    if (freehold__overlap((uintptr_t)shared, sizeof *shared, (uintptr_t)memory, bytes))
        return "the structure of the region lies in its memory";
    if (bytes < sizeof(header))
        return "the memory is smaller than the header of a region";
    return NULL;
}

static bool is_there(const header *h)
{
    return h->magic == MAGIC || h->magic == __builtin_bswap64(MAGIC);
}

/* Of memory that is good for a header. */
static const char *judge_header(const header *h, size_t bytes, bool alone)
{
    if (h->magic == __builtin_bswap64(MAGIC))
        return "the region has the byte order of another kind of machine";
    if (h->magic == MAKING)
        return "the region was not laid out to its end: who did so was killed";
    if (h->magic != MAGIC)
        return "the memory holds no region";
    if (h->order != ORDER || h->version != VERSION)
        return "the region has the layout of another version";
    if (h->checksum != checksum_of(h))
        return "the header of the region is damaged";
    if (bytes < h->bytes)
        return "the memory is smaller than the region in it";
    if (!alone && h->unready != 0)
        return "the region was not attached to its end: who did so was killed";
    if (!alone && h->lock_kind != freehold__port_shared_lock_kind())
        return "the region is in use by programs with another kind of lock";
    const void *region = (const char *)h + h->region_at;
    return freehold__region_judge(region, (size_t)(h->bytes - h->region_at));
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static const options_of_user no_options;

static void begin(freehold_shared_region *shared, void *memory, size_t bytes)
{
    shared->hooks =
        (freehold_region_hooks){.lock = take_lock, .unlock = drop_lock, .context = memory};
    shared->memory = memory;
    shared->bytes = bytes;
    shared->has_file = 0;
}

/* From now on every allocation is refused. */
static const char *refuse(freehold_shared_region *shared, const char *wrong)
{
    freehold_region_attach(&shared->region, NULL, 0, NULL);
    begin(shared, NULL, 0);
    return wrong;
}

/* The header, but for its magic. */
static bool write_header(header *h, size_t bytes, size_t region_at)
{
    store(&h->magic, MAKING);
    memset(&h->version, 0, sizeof *h - offsetof(header, version));
    h->version = VERSION;
    h->order = ORDER;
    h->bytes = bytes;
    h->region_at = region_at;
    h->checksum = checksum_of(h);
    h->lock_kind = freehold__port_shared_lock_kind();
    return freehold__port_shared_lock_init(&h->lock);
}

static freehold_region_options region_options(
    const freehold_shared_region *shared, const options_of_user *options)
{
    return (freehold_region_options){
        .granule = options->granule, .overwrite = true, .hooks = &shared->hooks};
}

static size_t region_place(const options_of_user *options)
{
    size_t granule = options->granule;
    return freehold__is_power_of_two(granule) && granule > sizeof(header) ? granule
                                                                          : sizeof(header);
}

const char *freehold_shared_region_create(
    freehold_shared_region *shared, void *memory, size_t bytes, const options_of_user *options)
{
    options = options != NULL ? options : &no_options;
    const char *wrong = judge_memory(shared, memory, bytes);
    header *h = memory, before;
    size_t at = region_place(options);
    if (wrong == NULL && bytes <= at)
        wrong = "the memory of the region is too small for its header, its tags and one block";
    if (wrong == NULL && !options->overwrite && is_there(h))
        wrong = "the memory holds a region already: attach it, or say that it is to be overwritten";
    if (wrong != NULL)
        return refuse(shared, wrong);
    before = *h;
    begin(shared, memory, bytes);
    freehold_region_options inner = region_options(shared, options);
    if (!write_header(h, bytes, at))
        wrong = "the system has no lock that processes can share";
    if (wrong == NULL)
        wrong = freehold_region_init_with(&shared->region, (char *)memory + at, bytes - at, &inner);
    if (wrong != NULL) {
        *h = before;
        return refuse(shared, wrong);
    }
    store(&h->magic, MAGIC);
    return NULL;
}

/* Nobody else has it: what they have left is put in order. */
static const char *make_ready(header *h)
{
    engine *r = (engine *)(void *)((char *)h + h->region_at);
    store(&h->unready, 1);
    if (!freehold__port_shared_lock_init(&h->lock))
        return "the system has no lock that processes can share";
    h->lock_kind = freehold__port_shared_lock_kind();
    if (h->section != 0 || freehold__region_is_busy(r))
        count_death(h);
    if (freehold__region_is_busy(r) && !freehold__region_repair(r))
        return "a call in the region has not ended, and its tags are damaged";
    freehold__region_forget_zero(r); /* what a file says of zeros may be damaged */
    store(&h->unready, 0);
    return NULL;
}

const char *freehold_shared_region_attach(
    freehold_shared_region *shared, void *memory, size_t bytes, const options_of_user *options)
{
    bool alone = options != NULL && options->alone;
    const char *wrong = judge_memory(shared, memory, bytes);
    header *h = memory;
    if (wrong == NULL)
        wrong = judge_header(h, bytes, alone);
    if (wrong == NULL && alone)
        wrong = make_ready(h);
    if (wrong != NULL)
        return refuse(shared, wrong);
    begin(shared, memory, bytes);
    freehold_region_options inner = region_options(shared, &no_options);
    wrong = freehold_region_attach(
        &shared->region, (char *)h + h->region_at, (size_t)(h->bytes - h->region_at), &inner);
    if (wrong == NULL)
        wrong = freehold_check(&shared->region);
    return wrong == NULL ? NULL : refuse(shared, wrong);
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool reads_zero(const void *memory, size_t bytes)
{
    const unsigned char *byte = memory;
    return bytes == 0 || (byte[0] == 0 && memcmp(byte, byte + 1, bytes - 1) == 0);
}

/* A file in which nothing is yet: who made it may have been killed before he laid it out. */
static bool is_unmade(const freehold__shared_file *file)
{
    const header *h = file->base;
    if (file->fresh || file->bytes < sizeof *h)
        return file->fresh;
    return h->magic == MAKING || (reads_zero(h, sizeof *h) && reads_zero(file->base, file->bytes));
}

/* Whoever had the file alone was killed, while others waited for him: somebody has to be alone once more. */
static bool is_left_unready(const freehold__shared_file *file)
{
    const header *h = file->base;
    return !file->alone && file->bytes >= sizeof *h &&
           (is_unmade(file) || (h->magic == MAGIC && h->unready != 0));
}

static const char *open_file(
    freehold__shared_file *file, const char *name, const options_of_user *options)
{
    const char *wrong = freehold__port_file_open(file, name, options->in_memory, options->bytes);
    for (unsigned tries = 0; wrong == NULL && is_left_unready(file) && tries < TRIES; tries++) {
        freehold__port_file_close(file);
        freehold__port_pause(tries);
        wrong = freehold__port_file_open(file, name, options->in_memory, options->bytes);
    }
    return wrong;
}

static const char *settle_file(
    freehold_shared_region *shared, freehold__shared_file *file, const options_of_user *options)
{
    options_of_user so = *options;
    so.alone = file->alone;
    if (options->overwrite && !file->alone)
        return refuse(shared, "the file is in use");
    if (options->overwrite || (file->alone && options->bytes != 0 && is_unmade(file)))
        return freehold_shared_region_create(shared, file->base, file->bytes, &so);
    return freehold_shared_region_attach(shared, file->base, file->bytes, &so);
}

/* A new file is not made only to be found too small. */
static const char *judge_new(const options_of_user *options)
{
    size_t at = region_place(options), bytes = options->bytes;
    freehold_region_options inner = {.granule = options->granule};
    if (bytes == 0)
        return NULL;
    size_t front = bytes > at ? freehold_region_front(bytes - at, &inner) : SIZE_MAX;
    if (front == 0)
        return "the granule of the region is no power of two from 16 to 16777216";
    return front < bytes - at
               ? NULL
               : "the memory of the region is too small for its header, its tags and one block";
}

const char *freehold_shared_region_open(
    freehold_shared_region *shared, const char *name, const options_of_user *options)
{
    freehold__shared_file file;
    options = options != NULL ? options : &no_options;
    const char *wrong = judge_new(options);
    if (wrong == NULL)
        wrong = open_file(&file, name, options);
    if (wrong != NULL)
        return refuse(shared, wrong);
    wrong = settle_file(shared, &file, options);
    if (wrong != NULL) {
        if (file.fresh)
            freehold__port_file_remove(name, options->in_memory);
        freehold__port_file_close(&file);
        return wrong;
    }
    if (file.alone)
        freehold__port_file_admit(&file);
    shared->file = file.handle;
    shared->has_file = 1;
    return NULL;
}

static freehold__shared_file file_of(const freehold_shared_region *shared)
{
    return (freehold__shared_file){
        .base = shared->memory, .bytes = shared->bytes, .handle = shared->file};
}

void freehold_shared_region_detach(freehold_shared_region *shared)
{
    if (shared == NULL)
        return;
    if (is_attached(shared, "freehold_shared_region_detach") && is_inside(shared))
        report(FREEHOLD_WRONG_SCOPE, "wrong scope: this thread has locked the shared region",
            "freehold_shared_region_detach", shared);
    freehold_region_detach(&shared->region);
    if (shared->has_file != 0) {
        freehold__shared_file file = file_of(shared);
        freehold__port_file_close(&file);
    }
    begin(shared, NULL, 0);
}

bool freehold_shared_region_sync(freehold_shared_region *shared)
{
    if (!is_attached(shared, "freehold_shared_region_sync") || shared->has_file == 0)
        return false;
    freehold__shared_file file = file_of(shared);
    take_and_repair(shared, "freehold_shared_region_sync");
    bool done = freehold__port_file_sync(&file);
    drop_lock(shared->memory);
    return done;
}

bool freehold_shared_region_remove(const char *name, bool in_memory)
{
    return freehold__port_file_remove(name, in_memory);
}
