/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * checksum: XXH3 with 64 bits, the one hash of stint's files.  It finds damage, not malice: whoever can write the
 * checkpoint can write its hash.  Built into whoever uses it (header form of xxhash), so that libstint needs only libc.
 */
#ifndef STINT_CHECKSUM_H
#define STINT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The hash of n bytes; n may be 0. */
uint64_t checksum(const void *bytes, size_t n);

/* The same, in pieces: checksum_begin, checksum_add as often as needed, checksum_end (which frees it). */
struct checksum;
struct checksum *checksum_begin(void); /* NULL when there is no memory */
void checksum_add(struct checksum *, const void *bytes, size_t n);
uint64_t checksum_end(struct checksum *);

/* "a1b2c3d4e5f60718" into out (17 bytes), and back (exactly 16 lower-case digits): 0, or -1. */
const char *checksum_hex(char out[17], uint64_t value);
int checksum_from_hex(const char *hex, uint64_t *value);

#endif
