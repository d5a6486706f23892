/* SPDX-License-Identifier: BSD-3-Clause */
/* stream: copies past the caches.  lib/copy.c calls in, from each thread that copies. */
#include "stream.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__

#include <immintrin.h>

#define LINE ((size_t)64)  /* of the cache: what is stored in full needs no fetching */
#define BLOCK ((size_t)128) /* the bytes of one turn of the loops: two lines */

/* Both: `to` is at the beginning of a line, bytes are whole blocks; `from` may be anywhere. */
static void blocks_sse2(char *to, const char *from, size_t bytes)
{
        __m128i held[BLOCK / sizeof(__m128i)];
        size_t i;

        for (; bytes; to += BLOCK, from += BLOCK, bytes -= BLOCK) {
                for (i = 0; i < BLOCK / sizeof held[0]; i++)
                        held[i] = _mm_loadu_si128((const __m128i *)(const void *)from + i);
                for (i = 0; i < BLOCK / sizeof held[0]; i++)
                        _mm_stream_si128((__m128i *)(void *)to + i, held[i]);
        }
}

__attribute__((target("avx2"))) static void blocks_avx2(char *to, const char *from, size_t bytes)
{
        const __m256i *source;
        __m256i a, b, c, d, *target;

        for (; bytes; to += BLOCK, from += BLOCK, bytes -= BLOCK) {
                source = (const __m256i *)(const void *)from;
                target = (__m256i *)(void *)to;
                a = _mm256_loadu_si256(source);
                b = _mm256_loadu_si256(source + 1);
                c = _mm256_loadu_si256(source + 2);
                d = _mm256_loadu_si256(source + 3);
                _mm256_stream_si256(target, a);
                _mm256_stream_si256(target + 1, b);
                _mm256_stream_si256(target + 2, c);
                _mm256_stream_si256(target + 3, d);
        }
}

void stream_copy(void *to, const void *from, size_t bytes)
{
        size_t head = (size_t)(-(uintptr_t)to & (LINE - 1)), body;
        const char *source = from;
        char *target = to;

        if (bytes < STREAM_LEAST) {
                memcpy(target, source, bytes);
                return;
        }
        body = (bytes - head) & ~(BLOCK - 1);
        memcpy(target, source, head);
        if (__builtin_cpu_supports("avx2"))
                blocks_avx2(target + head, source + head, body);
        else
                blocks_sse2(target + head, source + head, body);
        memcpy(target + head + body, source + head + body, bytes - head - body);
}

void stream_fence(void)
{
        _mm_sfence();
}

#else /* other machines: their memcpy knows them best */

void stream_copy(void *to, const void *from, size_t bytes)
{
        memcpy(to, from, bytes);
}

void stream_fence(void)
{
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
