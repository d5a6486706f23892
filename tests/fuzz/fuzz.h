/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz: what the targets in tests/fuzz share. Each is one C file that takes bytes nobody vouches for. `make check`
 * links it with self.c, which mutates the target's own seeds for a second, always in the same way; `make fuzz` links it
 * with clang's libFuzzer, which learns from what the bytes reach.
 */
#ifndef STINT_FUZZ_H
#define STINT_FUZZ_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUZZ_MOST 16384 /* bytes of an input of self.c */
#define FUZZ_MODE                                                                                                      \
        8 /* bytes before the input proper, where a target has modes; the first one counts. It stays aligned so */

/* One input; 0. What must hold and does not ends the process, as a crash does. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The number-th seed, from 0, into out (FUZZ_MOST bytes): its size, 0 when there are no more. */
size_t fuzz_seed(unsigned number, uint8_t *out);

#define FUZZ_CHECK(holds)                                                                                              \
        do {                                                                                                           \
                if (!(holds)) {                                                                                        \
                        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);                     \
                        abort();                                                                                       \
                }                                                                                                      \
        } while (0)

/* A copy of exactly n bytes, at a multiple of 16, so that a sanitizer or valgrind sees the first byte read beyond them.
 */
static inline void *fuzz_copy(const void *bytes, size_t n)
{
        void *copy = malloc(n ? n : 1);

        FUZZ_CHECK(copy != NULL);
        memcpy(copy, bytes, n);
        return copy;
}

static char fuzz_dir[256];

static inline void fuzz_forget(void)
{
        char command[300];

        snprintf(command, sizeof command, "rm -rf '%s'", fuzz_dir);
        if (system(command) != 0)
                fprintf(stderr, "%s stays\n", fuzz_dir);
}

/* A folder of this process's own, removed at its end. */
static inline const char *fuzz_folder(void)
{
        const char *tmp = getenv("TMPDIR");

        if (fuzz_dir[0])
                return fuzz_dir;
        snprintf(fuzz_dir, sizeof fuzz_dir, "%.200s/stint-fuzz.XXXXXX", tmp ? tmp : "/tmp");
        FUZZ_CHECK(mkdtemp(fuzz_dir) != NULL);
        atexit(fuzz_forget);
        return fuzz_dir;
}

/* Makes the file `name` in fuzz_folder() hold these bytes. */
static inline void fuzz_write(const char *name, const void *bytes, size_t n)
{
        char path[400];
        int fd;

        snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        FUZZ_CHECK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && close(fd) == 0);
}

static inline size_t fuzz_seed_text(uint8_t *out, const char *text)
{
        const size_t n = strlen(text);

        memcpy(out, text, n);
        return n;
}

#endif
