/* SPDX-License-Identifier: MIT */
/*
 * A small store of keys and values in a file, for several processes at once, any of which may be killed:
 *
 *     cc kv.c -lfreehold -o kv
 *     ./kv store put colour blue && ./kv store get colour && ./kv store list
 *
 *     put KEY VALUE | get KEY | delete KEY | list | check        without one: commands from standard input
 *
 * What one record says of another is a distance. A change is one store: a link that led to the old record
 * leads to the new one. Whoever is killed before it has changed nothing but a block that nobody finds, whoever
 * is killed after it has left the old one behind: check gives such blocks back.
 */
#include <freehold/freehold.h>
#include <stdio.h>
#include <string.h>

#define BUCKETS 1024

typedef struct record {
    uint64_t next; /* in its bucket; 0: the last */
    uint32_t key_bytes, value_bytes, sum;
    char text[]; /* the key, the value, each with its end */
} record;

typedef struct table {
    uint64_t buckets[BUCKETS];
} table;

typedef struct store {
    freehold_shared_region shared;
    table *table;
} store;

static uint32_t sum_of(const char *bytes, size_t count)
{
    uint32_t sum = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < count; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * 16777619u;
    return sum;
}

static record *record_at(store *s, uint64_t offset)
{
    return freehold_region_at(&s->shared.region, offset);
}

/* The link that leads to the record of a key, or to where it would be. */
static uint64_t *find(store *s, const char *key)
{
    uint64_t *link = &s->table->buckets[sum_of(key, strlen(key)) % BUCKETS];
    while (*link != 0 && strcmp(record_at(s, *link)->text, key) != 0)
        link = &record_at(s, *link)->next;
    return link;
}

/* The one store of a change. What was written before is there before, for whoever looks. */
static void set_link(uint64_t *link, uint64_t offset)
{
    __atomic_store_n(link, offset, __ATOMIC_RELEASE);
}

static int put(store *s, const char *key, const char *value)
{
    size_t key_bytes = strlen(key) + 1, value_bytes = strlen(value) + 1;
    record *fresh = freehold_alloc(&s->shared.region, sizeof *fresh + key_bytes + value_bytes);
    if (fresh == NULL)
        return fprintf(stderr, "kv: the store is full\n"), 1;
    memcpy(fresh->text, key, key_bytes);
    memcpy(fresh->text + key_bytes, value, value_bytes);
    fresh->key_bytes = (uint32_t)key_bytes;
    fresh->value_bytes = (uint32_t)value_bytes;
    fresh->sum = sum_of(fresh->text, key_bytes + value_bytes);
    uint64_t *link = find(s, key);
    record *old = record_at(s, *link);
    fresh->next = old != NULL ? old->next : 0;
    set_link(link, freehold_region_offset(&s->shared.region, fresh));
    freehold_free(&s->shared.region, old);
    return 0;
}

static int get(store *s, const char *key)
{
    const record *found = record_at(s, *find(s, key));
    if (found != NULL)
        puts(found->text + found->key_bytes);
    return found == NULL;
}

static int delete (store *s, const char *key)
{
    uint64_t *link = find(s, key);
    record *old = record_at(s, *link);
    if (old == NULL)
        return 1;
    set_link(link, old->next);
    freehold_free(&s->shared.region, old);
    return 0;
}

static int list(store *s)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (const record *r = record_at(s, s->table->buckets[i]); r; r = record_at(s, r->next))
            printf("%s %s\n", r->text, r->text + r->key_bytes);
    return 0;
}

/* ---- check ----------------------------------------------------------------------------------- */

typedef struct sweep {
    store *store;
    FILE *to;
    void *lost;
    size_t records, damaged;
} sweep;

/* Every block is the table, or a record that is found by its key, or lost. A lost one may have anything in it. */
static bool look_at(void *context, void *block, size_t bytes)
{
    sweep *w = context;
    const record *r = block;
    if (block == w->store->table)
        return true;
    bool has_key = bytes > sizeof *r && memchr(r->text, '\0', bytes - sizeof *r) != NULL;
    if (!has_key || record_at(w->store, *find(w->store, r->text)) != r) {
        w->lost = block;
        return false;
    }
    size_t text_bytes = (size_t)r->key_bytes + r->value_bytes;
    bool whole = text_bytes <= bytes - sizeof *r && sum_of(r->text, text_bytes) == r->sum;
    if (!whole)
        fprintf(w->to, "damaged: %s\n", r->text);
    w->damaged += !whole;
    w->records++;
    return true;
}

static int check(store *s, FILE *to)
{
    size_t lost = 0;
    sweep w = {.store = s, .to = to};
    while (!freehold_walk(&s->shared.region, look_at, &w)) {
        freehold_free(&s->shared.region, w.lost);
        lost++;
        w = (sweep){.store = s, .to = to};
    }
    const char *wrong = freehold_check(&s->shared.region);
    fprintf(to, "%zu records, %zu damaged; %zu lost blocks given back; region: %s\n", w.records,
        w.damaged, lost, wrong != NULL ? wrong : "good");
    return wrong != NULL || w.damaged != 0;
}

/* ---- commands -------------------------------------------------------------------------------- */

static int run(store *s, const char *command, const char *key, const char *value)
{
    if (strcmp(command, "put") == 0 && value != NULL)
        return put(s, key, value);
    if (strcmp(command, "get") == 0 && key != NULL)
        return get(s, key);
    if (strcmp(command, "delete") == 0 && key != NULL)
        return delete (s, key);
    if (strcmp(command, "list") == 0)
        return list(s);
    if (strcmp(command, "check") == 0)
        return check(s, stdout);
    return fprintf(stderr, "kv: put KEY VALUE | get KEY | delete KEY | list | check\n"), 2;
}

/* A command, with nobody else in the store. If somebody was killed in one, what he has lost is given back first. */
static int run_alone(store *s, const char *command, const char *key, const char *value)
{
    if (!freehold_shared_region_lock(&s->shared)) {
        fputs("kv: a process was killed in the middle\n", stderr);
        check(s, stderr);
        freehold_shared_region_mended(&s->shared);
    }
    int result = run(s, command, key, value);
    freehold_shared_region_unlock(&s->shared);
    return result;
}

static int run_all(store *s)
{
    char line[4096], command[8], key[256];
    int result = 0, end;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        key[0] = command[0] = '\0';
        end = 0;
        sscanf(line, "%7s %255s %n", command, key, &end);
        result |= run_alone(s, command, key[0] != '\0' ? key : NULL, end != 0 ? line + end : NULL);
        fflush(stdout);
    }
    return result;
}

/* The file, made if there is none, with its table. */
static const char *open_store(store *s, const char *name)
{
    const freehold_shared_region_options options = {.bytes = (size_t)4 << 20};
    const char *wrong = freehold_shared_region_open(&s->shared, name, &options);
    if (wrong != NULL)
        return wrong;
    freehold_shared_region_lock(&s->shared);
    s->table = freehold_region_root(&s->shared.region);
    if (s->table == NULL) {
        s->table = freehold_alloc_zeroed(&s->shared.region, sizeof *s->table);
        freehold_region_set_root(&s->shared.region, s->table);
    }
    freehold_shared_region_unlock(&s->shared);
    return s->table != NULL ? NULL : "it is full";
}

int main(int count, char **arguments)
{
    store s;
    if (count < 2)
        return fprintf(stderr, "usage: kv FILE [COMMAND [KEY [VALUE]]]\n"), 2;
    const char *wrong = open_store(&s, arguments[1]);
    if (wrong != NULL)
        return fprintf(stderr, "kv: %s: %s\n", arguments[1], wrong), 2;
    int result = count == 2 ? run_all(&s)
                            : run_alone(&s, arguments[2], count > 3 ? arguments[3] : NULL,
                                  count > 4 ? arguments[4] : NULL);
    freehold_shared_region_sync(&s.shared);
    freehold_shared_region_detach(&s.shared);
    return result;
}
