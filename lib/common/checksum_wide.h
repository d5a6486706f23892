/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * checksum_wide: XXH3 for processors with AVX2, which hashes what lies in their caches at twice the speed and what
 * comes from memory as quickly as it comes.  Called by checksum alone.
 */
#ifndef STINT_CHECKSUM_WIDE_H
#define STINT_CHECKSUM_WIDE_H

#include <stddef.h>
#include <stdint.h>

/* Whether this processor has it; asked before each of the others. */
int checksum_wide(void);

/* XXH3_64bits and XXH3_64bits_update; state is an XXH3_state_t. */
uint64_t checksum_wide_whole(const void *bytes, size_t n);
void checksum_wide_add(void *state, const void *bytes, size_t n);

#endif
