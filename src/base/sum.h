/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sum.h - a checksum of 64 bits at the speed of memory.
 *
 * Against accidents only: whoever can choose the bytes can choose them so that the sum stays.
 * Data is summed in blocks, and the sums of blocks are added up, each weighed by its place. A
 * block of zeros counts nothing, so that the holes of a sparse file need not be read; within
 * a block any change of one word, and nearly any other, gives another sum.
 */
#ifndef LARDER_BASE_SUM_H
#define LARDER_BASE_SUM_H

#include <stddef.h>
#include <stdint.h>

#define SUM_BLOCK 4096u

/* Of `n` blocks, of which the first is number `first` of whatever is summed up. `data` is
 * aligned to 8 bytes. */
uint64_t sum_blocks(const void *data, uint64_t first, uint64_t n);

#endif
