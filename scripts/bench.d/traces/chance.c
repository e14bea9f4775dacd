/* SPDX-License-Identifier: BSD-3-Clause */
/* chance.c - chance with a fixed seed, and the distributions that traces are drawn from.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"

/* Buckets of the table of dense_id(); a trace has fewer keys. */
#define DENSE_SLOTS (1u << 23)

static uint64_t state[2] = { 0x9E3779B97F4A7C15u, 0xD1B54A32D192ED03u };

/* xorshift128+ (Vigna). */
uint64_t
chance(void)
{
    uint64_t a = state[0], b = state[1];

    state[0] = b;
    a ^= a << 23;
    state[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return state[1] + b;
}

static double
unit(uint64_t x)
{
    return ((double)(x >> 11) + 0.5) / 9007199254740992.0;
}

double
chance_unit(void)
{
    return unit(chance());
}

/* The finalizer of MurmurHash3 (Appleby). */
uint64_t
scramble(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

double
key_unit(uint64_t key, uint64_t purpose)
{
    return unit(scramble(key * 0x9E3779B97F4A7C15u + purpose * 0xD6E8FEB86659FD93u + 1));
}

/* Normally distributed (Box and Muller). */
static double
key_normal(uint64_t key, uint64_t purpose)
{
    double a = key_unit(key, purpose * 2 + 11), b = key_unit(key, purpose * 2 + 12);

    return sqrt(-2 * log(a)) * cos(6.283185307179586 * b);
}

static uint32_t
cut(double x, uint32_t least, uint32_t most)
{
    return x < least ? least : x > most ? most : (uint32_t)x;
}

uint32_t
key_length(uint64_t key, uint64_t purpose, double median, double sigma, uint32_t least,
    uint32_t most)
{
    return cut(median * exp(sigma * key_normal(key, purpose)), least, most);
}

int
etc_key(uint64_t key)
{
    double u = key_unit(key, 1);

    return (int)cut(
        30.7984 + 8.20449 / 0.078688 * (pow(-log(u), -0.078688) - 1), 12, 200);
}

uint32_t
etc_value(uint64_t key)
{
    double u = key_unit(key, 2);

    return cut(214.476 / 0.348238 * (pow(1 - u, -0.348238) - 1), 1, 400000);
}

uint32_t
etc_ttl(uint64_t key)
{
    double u = key_unit(key, 3);

    return u < .2 ? 600 : u < .45 ? 3600 : u < .7 ? 86400 : 0;
}

struct zipf
zipf_make(uint32_t n, double exponent)
{
    struct zipf zipf = { allocate(n, sizeof(double)), n };
    double sum = 0;

    for (uint32_t i = 0; i < n; i++) {
        sum += pow(i + 1, -exponent);
        zipf.up_to[i] = sum;
    }
    for (uint32_t i = 0; i < n; i++)
        zipf.up_to[i] /= sum;
    return zipf;
}

uint32_t
zipf_draw(const struct zipf *zipf)
{
    double u = chance_unit();
    uint32_t low = 0, high = zipf->n - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (zipf->up_to[middle] < u)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t *dense_keys;
static uint32_t *dense_ids;
static uint32_t dense_count;

uint32_t
dense_id(uint64_t key)
{
    uint64_t mixed = scramble(key) | 1;
    uint64_t at = mixed >> 20 & (DENSE_SLOTS - 1);

    if (dense_keys == NULL) {
        dense_keys = allocate(DENSE_SLOTS, sizeof *dense_keys);
        dense_ids = allocate(DENSE_SLOTS, sizeof *dense_ids);
    }
    while (dense_keys[at] != 0 && dense_keys[at] != mixed)
        at = (at + 1) & (DENSE_SLOTS - 1);
    if (dense_keys[at] == 0) {
        dense_keys[at] = mixed;
        dense_ids[at] = dense_count++;
    }
    return dense_ids[at];
}

void
dense_forget(void)
{
    if (dense_keys != NULL)
        memset(dense_keys, 0, DENSE_SLOTS * sizeof *dense_keys);
    dense_count = 0;
}
