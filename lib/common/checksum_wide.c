/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * checksum_wide: XXH3 compiled in once more, for AVX2.  Which of the two is used is decided at run time, since a
 * program is built on one node and runs on another.  Called by checksum.
 */
#ifdef __x86_64__
#include <immintrin.h> /* before the pragmas, which its functions do not need; xxhash.h would leave it out */
#endif
#if defined(__x86_64__) && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define STINT_WIDE 1
#elif defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2")
#define STINT_WIDE 1
#endif

#ifdef STINT_WIDE
#define XXH_VECTOR 2 /* XXH_AVX2, which the header defines later */
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

#include "checksum_wide.h"

#ifdef STINT_WIDE

uint64_t checksum_wide_whole(const void *bytes, size_t n)
{
        return XXH3_64bits(bytes, n);
}

void checksum_wide_add(void *state, const void *bytes, size_t n)
{
        XXH3_64bits_update(state, bytes, n);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

int checksum_wide(void)
{
        return __builtin_cpu_supports("avx2");
}

#else

int checksum_wide(void)
{
        return 0;
}

uint64_t checksum_wide_whole(const void *bytes, size_t n)
{
        (void)bytes;
        (void)n;
        return 0;
}

void checksum_wide_add(void *state, const void *bytes, size_t n)
{
        (void)state;
        (void)bytes;
        (void)n;
}

#endif
