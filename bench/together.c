/* SPDX-License-Identifier: GPL-2.0-or-later */
/* together: the ranks of one machine agree by way of memory.  The trainer calls in. */
#include "together.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RANKS_MOST 16
#define VALUES_MOST 24
#define PAUSE_NS 20000

/* Two boards in turns: a rank that is quick may write its next values while a slow one still reads the last. */
struct board {
        _Atomic uint64_t written[RANKS_MOST]; /* number of the reduction whose values stand here */
        int64_t values[RANKS_MOST][VALUES_MOST];
};

struct boards {
        struct board board[2];
};

static struct together {
        struct stint_agree agree;
        struct boards *boards;
        int rank, ranks;
        uint64_t number;
        int64_t *values;
        int n;
} together;

static int begin(void *arg, int64_t *values, int n)
{
        struct together *t = arg;
        struct board *b = &t->boards->board[++t->number % 2];

        if (n > VALUES_MOST)
                return -1;
        t->values = values;
        t->n = n;
        memcpy(b->values[t->rank], values, (size_t)n * sizeof *values);
        atomic_store_explicit(&b->written[t->rank], t->number, memory_order_release);
        return 0;
}

static int wait(void *arg)
{
        const struct timespec pause = { 0, PAUSE_NS };
        struct together *t = arg;
        struct board *b = &t->boards->board[t->number % 2];
        int rank, i;

        for (rank = 0; rank < t->ranks; rank++) {
                while (atomic_load_explicit(&b->written[rank], memory_order_acquire) < t->number)
                        nanosleep(&pause, NULL);
                for (i = 0; i < t->n; i++)
                        if (b->values[rank][i] > t->values[i])
                                t->values[i] = b->values[rank][i];
        }
        return 0;
}

const struct stint_agree *together_open(const char *path, int rank, int ranks)
{
        int fd;

        if (rank < 0 || rank >= ranks || ranks > RANKS_MOST) {
                errno = EINVAL;
                return NULL;
        }
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        together.boards = mmap(NULL, sizeof *together.boards, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (together.boards == MAP_FAILED)
                return NULL;
        together.rank = rank;
        together.ranks = ranks;
        together.agree = (struct stint_agree){ begin, wait, &together };
        return &together.agree;
}
