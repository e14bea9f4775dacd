/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * screen.h - a page on the whole terminal, and keys from it. Built on ncurses; without it
 * screen_there() is false and nothing else may be called. One at a time, as there is one
 * terminal.
 */
#ifndef LARDER_CTL_SCREEN_H
#define LARDER_CTL_SCREEN_H

#include <stdbool.h>

#include "ctl/page.h"

/* Not a key: nothing was pressed; the terminal has another size. */
#define SCREEN_NOTHING 0
#define SCREEN_RESIZED 1

/* True if it was built in and stdin and stdout are a terminal. */
bool screen_there(void);
/* Takes the terminal. False: it is of a kind that is not known. */
bool screen_open(void);
/* Gives it back. */
void screen_close(void);
void screen_size(unsigned *rows, unsigned *columns);
void screen_draw(const struct page *page);
/* A key that was pressed, without waiting. */
int screen_key(void);

#endif
