/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * budget.h - how much a turn may still do before others have theirs; inside src/cmd only.
 *
 * A turn is granted so many commands, and spends units: a key that is looked up for a
 * retrieval costs about an eighth of what a turn of its own costs, whether it comes in a
 * line with others or alone. So 100 pipelined gets take as many turns, and sends, as one
 * get of 100 keys: one. Work stays bounded by that of a get of 8 keys for each command.
 *
 * A grant of one command is one command: a client that is to be interrupted everywhere
 * (-R 1) is.
 */
#ifndef LARDER_CMD_BUDGET_H
#define LARDER_CMD_BUDGET_H

#include <limits.h>
#include <stdbool.h>

/* Units of a key of a retrieval line, and of any command but these. */
#define BUDGET_KEY     1
#define BUDGET_COMMAND 8
/* Besides those of its command: what an operator asks. A report of a hundred fields costs as
 * much as 20 gets, so a client has one of them a turn, lest a few clients that ask for
 * nothing else hold up all others. */
#define BUDGET_REPORT (20 * BUDGET_COMMAND)

struct budget {
    int left;   /* below 0 if what was done last cost more than was left */
    int single; /* what a retrieval of one key costs, apart from a line of keys */
};

static inline struct budget
budget_of(unsigned commands)
{
    unsigned most = INT_MAX / BUDGET_COMMAND;

    return (struct budget){
        .left = (int)(commands < most ? commands : most) * BUDGET_COMMAND,
        .single = commands > 1 ? BUDGET_KEY : BUDGET_COMMAND,
    };
}

static inline bool
budget_is_spent(const struct budget *budget)
{
    return budget->left <= 0;
}

static inline void
budget_spend(struct budget *budget, int units)
{
    budget->left -= units;
}

/* What was spent as a command proved to be a retrieval of one key. */
static inline void
budget_was_single(struct budget *budget)
{
    budget->left += BUDGET_COMMAND - budget->single;
}

#endif
