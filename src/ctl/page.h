/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page.h - the lines of `top`, as text of a given size; screen.h or stdout shows them.
 *
 *   title                                     server, version, how long it is up
 *   figures: requests, hits, memory, evictions, clients, latency
 *   message                                   when something is wrong
 *   size classes                              as many as fit
 *   hot keys                                  if the server has them
 *   keys                                      what can be pressed
 */
#ifndef LARDER_CTL_PAGE_H
#define LARDER_CTL_PAGE_H

#include "ctl/args.h"
#include "ctl/sample.h"

#define PAGE_ROWS_MAX    200u
#define PAGE_COLUMNS_MAX 300u

enum page_style { PAGE_PLAIN, PAGE_TITLE, PAGE_HEADER, PAGE_WARNING };

struct page {
    unsigned rows, columns;
    unsigned used; /* lines */
    enum page_style styles[PAGE_ROWS_MAX];
    char lines[PAGE_ROWS_MAX][PAGE_COLUMNS_MAX + 1];
};

/* What is to be shown. */
struct page_view {
    const char *server;
    const struct sample *sample; /* NULL: nothing yet */
    const struct rates *rates;
    const char *message; /* "" when all is well; any bytes */
    enum args_sort sort;
    enum sample_ranking ranking;
    uint32_t interval_ms;
    bool interactive; /* tell what can be pressed */
};

/* Fills a page of this size; larger ones are cut to the maxima, any smaller one is filled
 * as far as it goes. */
void page_make(struct page *page, unsigned rows, unsigned columns,
    const struct page_view *view);

/* A number in at most 6 characters: 0, 1234, 12.3k, 4.5M; "-" for NAN. */
#define PAGE_NUMBER_MAX 16
char *page_number(char to[PAGE_NUMBER_MAX], double number);

#endif
