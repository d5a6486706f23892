/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * checksum: XXH3 compiled in; this file and checksum_wide are the only ones that include xxhash.h.  Whoever writes or
 * checks a checkpoint calls in.
 */
#include "checksum.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The header form, so that libstint needs no libxxhash at run time.  It uses the vector unit that the compiler was told
 * of (SSE2 on any x86-64); checksum_wide is the same for AVX2, about a third quicker on what comes from memory.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "checksum_wide.h"

#define SHORT 1024 /* bytes that are not worth the question which of the two */

struct checksum {
        XXH3_state_t state; /* aligned to 64 bytes by its type */
};

uint64_t checksum(const void *bytes, size_t n)
{
        if (n >= SHORT && checksum_wide())
                return checksum_wide_whole(bytes, n);
        return XXH3_64bits(n ? bytes : "", n);
}

struct checksum *checksum_begin(void)
{
        struct checksum *c = aligned_alloc(_Alignof(struct checksum), sizeof *c);

        if (c)
                XXH3_64bits_reset(&c->state);
        return c;
}

void checksum_add(struct checksum *c, const void *bytes, size_t n)
{
        if (n >= SHORT && checksum_wide())
                checksum_wide_add(&c->state, bytes, n);
        else if (n > 0)
                XXH3_64bits_update(&c->state, bytes, n);
}

uint64_t checksum_end(struct checksum *c)
{
        uint64_t value = XXH3_64bits_digest(&c->state);

        free(c);
        return value;
}

const char *checksum_hex(char out[17], uint64_t value)
{
        snprintf(out, 17, "%016llx", (unsigned long long)value);
        return out;
}

int checksum_from_hex(const char *hex, uint64_t *value)
{
        uint64_t v = 0;

        for (int i = 0; i < 16; i++) {
                char c = hex[i];

                if (c >= '0' && c <= '9')
                        v = v << 4 | (uint64_t)(c - '0');
                else if (c >= 'a' && c <= 'f')
                        v = v << 4 | (uint64_t)(c - 'a' + 10);
                else
                        return -1;
        }
        if (hex[16] != '\0')
                return -1;
        *value = v;
        return 0;
}
