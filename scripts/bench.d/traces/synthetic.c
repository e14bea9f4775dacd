/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synthetic.c - traces drawn by chance.
 *
 * The numbers of purpose in key_length() and key_unit() keep a key's properties apart.
 */
#include <stdbool.h>
#include <string.h>

#include "generate.h"

/* ---- Popularity by Zipf's law, sizes of ETC
 * --------------------------------------------- */

enum disturbance {
    NONE,
    SCANS, /* eight times a scan of many keys that are asked for once, between the others
            */
    LOOPS  /* three in ten requests go round in a long loop */
};

struct popular {
    const char *name;
    uint32_t keys;
    double exponent;
    uint64_t requests;
    enum disturbance disturbance;
};

static const struct popular POPULAR[] = {
    { "zipf08", 1000000, .8, 5000000, NONE },
    { "zipf10", 1000000, 1.0, 5000000, NONE },
    { "zipf12", 1000000, 1.2, 5000000, NONE },
    { "zipf10L", 6000000, 1.0, 9000000, NONE },
    { "scan", 600000, .9, 2600000, SCANS },
    { "looping", 800000, 1.0, 4500000, LOOPS },
};

#define POPULAR_SECONDS 14400u

static void
put_etc(uint32_t second, uint32_t key, uint32_t ttl)
{
    put(second, key, etc_value(key), ttl, etc_key(key), OP_GET);
}

static void
popular(const struct popular *p)
{
    struct zipf zipf = zipf_make(p->keys, p->exponent);
    uint32_t once = p->keys + 8, looped = 0;

    for (uint64_t i = 0; i < p->requests; i++) {
        uint32_t second = (uint32_t)(i * POPULAR_SECONDS / p->requests);

        if (p->disturbance == SCANS && i % (p->requests / 8) == p->requests / 16)
            for (uint32_t j = 0; j < p->keys / 3; j++) {
                put_etc(second, once++, 0);
                uint32_t key = zipf_draw(&zipf);
                put_etc(second, key, etc_ttl(key));
            }
        uint32_t key = zipf_draw(&zipf);
        if (p->disturbance == LOOPS && chance_unit() < .3)
            put_etc(second, p->keys + 8 + looped++ % (p->keys / 4), 0);
        else
            put_etc(second, key, etc_ttl(key));
    }
}

/* ---- Clusters of Twitter, by the figures of twitter/cache-trace
 * -------------------------- */

struct cluster {
    const char *name;
    uint32_t keys;
    double exponent;
    uint64_t requests;
    int key;
    double value_median, value_sigma;
    double sets, fresh, drift; /* shares of requests; popular keys replaced by each */
    double ttl_share[3];
    uint32_t ttl[3];
};

static const struct cluster CLUSTERS[] = {
    { "tw52", 1500000, 1.21, 6000000, 20, 190, .85, .05, .02, .01, { .65, .27, .08 },
        { 86400, 1209600, 43200 } },
    { "tw19", 1000000, .735, 5000000, 42, 101, .15, .25, .01, .004, { .5, .5 },
        { 24000, 26500 } },
    { "tw29", 1200000, 1.23, 6000000, 36, 560, .85, .13, .04, .01, { .67, .33 },
        { 3600, 7200 } },
};

static uint32_t
cluster_ttl(const struct cluster *c, uint32_t key)
{
    double u = key_unit(key, 7);

    for (int i = 0; i < 3 && c->ttl[i] != 0; i++) {
        if (u < c->ttl_share[i])
            return c->ttl[i];
        u -= c->ttl_share[i];
    }
    return 0;
}

static void
cluster(const struct cluster *c)
{
    struct zipf zipf = zipf_make(c->keys, c->exponent);
    uint32_t *key_of = allocate(c->keys, sizeof *key_of), next = c->keys, key;
    double drifted = 0;

    for (uint32_t i = 0; i < c->keys; i++)
        key_of[i] = i;
    for (uint64_t i = 0; i < c->requests; i++) {
        enum operation operation = chance_unit() < c->sets ? OP_SET : OP_GET;

        for (drifted += c->drift; drifted >= 1; drifted--)
            key_of[chance() % c->keys] = next++;
        if (chance_unit() < c->fresh)
            key = next++;
        else
            key = key_of[zipf_draw(&zipf)];
        put((uint32_t)(i * 86400 / c->requests), key,
            key_length(key, 5, c->value_median, c->value_sigma, 1, 400000),
            cluster_ttl(c, key), c->key, operation);
    }
}

/* ---- A site made with Django
 * -------------------------------------------------------------- */

enum flood { QUIET, FLOOD, FLOOD_READ };

struct site {
    struct zipf sessions, fragments, limits, queries;
    uint32_t next; /* key that was never used */
    enum flood flood;
};

/* Somebody's three sets for each request of the others, as small as counters. */
static void
attack(struct site *site, uint32_t second)
{
    for (int i = 0; i < 3; i++) {
        uint32_t key = site->next++;

        put(second, key, 8 + key % 40, 1209600, 44, OP_SET);
        if (site->flood == FLOOD_READ)
            put(second, key, 8 + key % 40, 1209600, 44, OP_GET);
    }
}

/* Counts a user's requests of a minute; each user's minute begins at another second. */
static void
limit(struct site *site, uint32_t second)
{
    uint32_t user = zipf_draw(&site->limits);
    uint32_t minute = (second + (uint32_t)(key_unit(user, 25) * 60)) / 60;
    uint32_t key = dense_id(scramble((uint64_t)user << 32 | minute)) + 20000000u;

    put(second, key, 1 + (user < 2000), 60, 45, OP_INCR);
}

static void
visit(struct site *site, uint32_t second)
{
    double kind = chance_unit();
    uint32_t key;

    if (kind < .34) {
        key = zipf_draw(&site->sessions);
        put(second, key, key_length(key, 21, 380, .7, 80, 6000), 1209600, 40,
            chance_unit() < .12 ? OP_SET : OP_GET);
    } else if (kind < .45) { /* a bot's session, never asked for */
        key = site->next++;
        put(second, key, key_length(key, 22, 220, .4, 80, 2000), 1209600, 40, OP_SET);
    } else if (kind < .75) {
        key = 2000000 + zipf_draw(&site->fragments);
        put(second, key, key_length(key, 23, 6000, .9, 1000, 50000),
            key_unit(key, 24) < .5 ? 300 : 3600, 60, OP_GET);
    } else if (kind < .95) {
        limit(site, second);
    } else {
        key = 2100000 + zipf_draw(&site->queries);
        put(second, key, key_length(key, 26, 700, 1.2, 20, 100000), 600, 52, OP_GET);
    }
}

static void
django(uint64_t requests, uint32_t seconds, enum flood flood)
{
    struct site site = { zipf_make(300000, .8), zipf_make(40000, .9),
        zipf_make(200000, 1.0), zipf_make(60000, 1.0), 4000000, flood };

    for (uint64_t i = 0; i < requests; i++) {
        uint32_t second = (uint32_t)(i * seconds / requests);

        if (flood != QUIET && i > requests / 2 && i < requests * 3 / 4)
            attack(&site, second);
        visit(&site, second);
    }
    dense_forget();
    for (size_t i = 0; i < trace.count; i++)
        trace.events[i].id = dense_id((uint64_t)trace.events[i].id + 77);
}

/* ---- Others
 * ------------------------------------------------------------------------------- */

/* Half way all values grow from about 90 to about 900 bytes. */
static void
shift(void)
{
    struct zipf zipf = zipf_make(500000, .9);

    for (uint32_t i = 0; i < 4000000; i++) {
        bool later = i >= 2000000;
        uint32_t key = zipf_draw(&zipf) + (later ? 500000 : 0);

        put(i / 400, key, key_length(key, 41, later ? 900 : 90, .5, 1, 20000), 0, 30,
            OP_GET);
    }
}

static void
pure_loop(void)
{
    for (uint32_t i = 0; i < 3000000; i++)
        put(i / 300, i % 300000, 300, 0, 30, OP_GET);
}

int
synthetic(const char *name)
{
    for (size_t i = 0; i < sizeof POPULAR / sizeof *POPULAR; i++)
        if (strcmp(name, POPULAR[i].name) == 0)
            return popular(&POPULAR[i]), 1;
    for (size_t i = 0; i < sizeof CLUSTERS / sizeof *CLUSTERS; i++)
        if (strcmp(name, CLUSTERS[i].name) == 0)
            return cluster(&CLUSTERS[i]), 1;
    if (strcmp(name, "django") == 0)
        return django(5000000, 7200, QUIET), 1;
    if (strcmp(name, "flood") == 0)
        return django(3000000, 3600, FLOOD), 1;
    if (strcmp(name, "flood2") == 0)
        return django(3000000, 3600, FLOOD_READ), 1;
    if (strcmp(name, "shift") == 0)
        return shift(), 1;
    if (strcmp(name, "pure_loop") == 0)
        return pure_loop(), 1;
    return 0;
}
