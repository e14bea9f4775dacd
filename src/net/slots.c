/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/slots.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* Where AddressSanitizer looks on each thing is malloc()'s, so that it sees what is used
 * after its end. */
#if defined(__SANITIZE_ADDRESS__)
#define APART 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define APART 1
#endif
#endif
#ifndef APART
#define APART 0
#endif

struct tray {
    struct tray *next, *previous; /* of slots->roomy, while it has room */
    void *free;                   /* things put back; each begins with the next */
    unsigned used;                /* things that are out */
    unsigned fresh;               /* things from this one on were never out */
};

static unsigned
tray_room(const struct slots *slots)
{
    return (unsigned)((TRAY_BYTES - SLOTS_ALIGN) / slots->size);
}

static char *
tray_thing(const struct slots *slots, struct tray *tray, unsigned i)
{
    return (char *)tray + SLOTS_ALIGN + i * slots->size;
}

static struct tray *
tray_of(void *thing)
{
    uintptr_t within = (uintptr_t)thing % TRAY_ALIGN;

    return (struct tray *)(void *)((char *)thing - within);
}

static void
enlist(struct slots *slots, struct tray *tray)
{
    tray->previous = NULL;
    tray->next = slots->roomy;
    if (tray->next != NULL)
        tray->next->previous = tray;
    slots->roomy = tray;
}

static void
delist(struct slots *slots, struct tray *tray)
{
    if (tray->next != NULL)
        tray->next->previous = tray->previous;
    if (tray->previous != NULL)
        tray->previous->next = tray->next;
    else
        slots->roomy = tray->next;
}

void
slots_init(struct slots *slots, size_t size)
{
    _Static_assert(sizeof(struct tray) <= SLOTS_ALIGN, "the head takes one line");

    assert(size <= TRAY_BYTES / 4);
    *slots = (struct slots){
        .size = (size + SLOTS_ALIGN - 1) / SLOTS_ALIGN * SLOTS_ALIGN,
    };
}

/* Enlists a tray with room. False: out of memory. */
static bool
add_tray(struct slots *slots)
{
    void *memory = slots->spare;
    struct tray *tray;

    slots->spare = NULL;
    if (memory == NULL && posix_memalign(&memory, TRAY_ALIGN, TRAY_BYTES) != 0)
        return false;
    tray = memory;
    *tray = (struct tray){ .free = NULL };
    enlist(slots, tray);
    return true;
}

void *
slots_get(struct slots *slots)
{
    void *thing;

    if (APART)
        return calloc(1, slots->size);
    if (slots->roomy == NULL && !add_tray(slots))
        return NULL;
    struct tray *tray = slots->roomy;
    thing = tray->free;
    if (thing != NULL)
        memcpy(&tray->free, thing, sizeof tray->free);
    else
        thing = tray_thing(slots, tray, tray->fresh++);
    if (++tray->used == tray_room(slots))
        delist(slots, tray);
    memset(thing, 0, slots->size);
    return thing;
}

void
slots_put(struct slots *slots, void *thing)
{
    struct tray *tray = tray_of(thing);

    if (APART) {
        free(thing);
        return;
    }
    assert(tray->used > 0);
    if (tray->used == tray_room(slots))
        enlist(slots, tray);
    memcpy(thing, &tray->free, sizeof tray->free);
    tray->free = thing;
    if (--tray->used > 0)
        return;
    delist(slots, tray);
    if (slots->spare == NULL)
        slots->spare = tray;
    else
        free(tray);
}

void
slots_fini(struct slots *slots)
{
    assert(slots->roomy == NULL);
    free(slots->spare);
    slots->spare = NULL;
}
