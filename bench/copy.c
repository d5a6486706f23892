/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy: how fast the state of a program goes into staging and back, beside the limits of this machine in the same run.
 * A program of its own, without an agent: it makes staging as the agent does, in a memfd that another process made
 * present.  Not part of `make check`.
 *
 *   bench/copy [--bytes N] [--tensors N] [--rounds N] [--json]
 *
 * The limits are copies of the same bytes as one block, both sides warm, by memcpy and past the caches, with 1, 2, 4...
 * threads that each have a half, a quarter...  `ratio` is the time of a row in units of the best limit's median.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "copy.h"
#include "cores.h"
#include "memory.h"
#include "stream.h"

#define MOST_ROUNDS 101
#define MOST_ROWS 32
#define MOST_THREADS 16
#define LEARNS_NS (2 * CLOCK_SECOND) /* more than enough for the product to find out how many helpers pay */

struct row {
        char name[48];
        int counts_as_limit;
        int rounds;
        double seconds[MOST_ROUNDS];
        long faults; /* minor page faults in the last round */
};

struct bench {
        uint64_t bytes, tensors;
        int rounds, json;
        char **tensor; /* where each is */
        uint64_t *size, *offset;
        char *block, *other; /* warm, as large as all tensors together */
        char *staging;
        int staging_fd;
        struct copy copy;
        struct row rows[MOST_ROWS];
        int row_count;
};

static void die(const char *what)
{
        fprintf(stderr, "copy: %s: %s\n", what, strerror(errno));
        exit(1);
}

static char *reserve(uint64_t bytes)
{
        char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                die("no memory");
        madvise(p, bytes, MADV_DONTFORK); /* or each fork would have every page written anew at its next copy */
        return p;
}

static char *warm(uint64_t bytes, int value)
{
        char *p = reserve(bytes);

        memset(p, value, bytes);
        return p;
}

/* ---- rows ----------------------------------------------------------------------------------------------------- */

static struct row *row_of(struct bench *b, const char *name, int counts_as_limit)
{
        int i;

        for (i = 0; i < b->row_count; i++)
                if (!strcmp(b->rows[i].name, name))
                        return &b->rows[i];
        if (b->row_count == MOST_ROWS)
                abort();
        snprintf(b->rows[i].name, sizeof b->rows[i].name, "%s", name);
        b->rows[i].counts_as_limit = counts_as_limit;
        return &b->rows[b->row_count++];
}

static long faults_now(void)
{
        struct rusage r;

        getrusage(RUSAGE_SELF, &r);
        return r.ru_minflt;
}

struct watch {
        struct row *row;
        long faults;
        int64_t began_ns;
};

static struct watch start(struct bench *b, const char *name, int counts_as_limit)
{
        struct watch w = { .row = row_of(b, name, counts_as_limit) };

        w.faults = faults_now();
        w.began_ns = clock_now();
        return w;
}

static void stop(struct watch *w)
{
        int64_t took_ns = clock_now() - w->began_ns;

        w->row->faults = faults_now() - w->faults;
        w->row->seconds[w->row->rounds++] = (double)took_ns / (double)CLOCK_SECOND;
}

/* ---- the limits ----------------------------------------------------------------------------------------------- */

struct share {
        pthread_t thread;
        pthread_barrier_t *gate;
        char *to;
        const char *from;
        uint64_t bytes;
        int streams;
};

static void *copy_share(void *arg)
{
        struct share *s = arg;

        pthread_barrier_wait(s->gate);
        if (s->streams)
                stream_copy(s->to, s->from, s->bytes);
        else
                memcpy(s->to, s->from, s->bytes);
        stream_fence();
        pthread_barrier_wait(s->gate);
        return NULL;
}

static void limit(struct bench *b, int threads, int streams)
{
        struct share shares[MOST_THREADS];
        uint64_t each = b->bytes / (uint64_t)threads & ~(uint64_t)4095;
        pthread_barrier_t gate;
        struct watch w;
        char name[48];
        int i;

        pthread_barrier_init(&gate, NULL, (unsigned)threads + 1);
        for (i = 0; i < threads; i++) {
                shares[i] = (struct share){ .gate = &gate, .streams = streams, .to = b->other + each * (uint64_t)i,
                                            .from = b->block + each * (uint64_t)i,
                                            .bytes = i + 1 < threads ? each : b->bytes - each * (uint64_t)i };
                if (pthread_create(&shares[i].thread, NULL, copy_share, &shares[i]))
                        die("no thread");
        }
        snprintf(name, sizeof name, "limit: %s, %d thread%s", streams ? "streaming" : "memcpy", threads,
                 threads > 1 ? "s" : "");
        w = start(b, name, 1);
        pthread_barrier_wait(&gate);
        pthread_barrier_wait(&gate);
        stop(&w);
        for (i = 0; i < threads; i++)
                pthread_join(shares[i].thread, NULL);
        pthread_barrier_destroy(&gate);
}

static void limits(struct bench *b)
{
        int threads, cores = cores_usable();

        for (threads = 1; threads <= cores && threads <= MOST_THREADS; threads *= 2) {
                limit(b, threads, 0);
                limit(b, threads, 1);
        }
}

/* ---- the product ---------------------------------------------------------------------------------------------- */

static void check(struct bench *b, const char *image, const char *what)
{
        uint64_t i;

        for (i = 0; i < b->tensors; i++)
                if (memcmp(image + b->offset[i], b->tensor[i], b->size[i])) {
                        fprintf(stderr, "copy: %s: tensor %" PRIu64 " is not what it was\n", what, i);
                        exit(1);
                }
}

static void save(struct bench *b, char *image, const char *name)
{
        struct watch w = start(b, name, 0);
        uint64_t i;

        for (i = 0; i < b->tensors; i++)
                copy_add(&b->copy, image + b->offset[i], b->tensor[i], b->size[i]);
        copy_run(&b->copy, COPY_OUT);
        stop(&w);
}

/* The agent's side: a process of its own makes the pages of a memfd. */
static int make_staging(uint64_t bytes)
{
        int fd = memfd_create("staging", MFD_CLOEXEC), status;
        pid_t pid;
        char *p;

        if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
                die("no staging");
        pid = fork();
        if (pid == 0) {
                p = memory_map(fd, 0, bytes, PROT_READ | PROT_WRITE);
                _exit(!p || memory_populate(p, bytes, MEMORY_LARGE, NULL) < 0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
                die("staging cannot be made present");
        return fd;
}

static char *map_staging(int fd, uint64_t bytes, int protection)
{
        char *p = memory_map(fd, 0, bytes, protection);

        if (!p)
                die("staging cannot be mapped");
        return p;
}

/* The first save of a process: its own page tables were made in the background, and nothing was copied there yet. */
static void first_save(struct bench *b, uint64_t image_bytes)
{
        int fd = make_staging(image_bytes);
        char *image = map_staging(fd, image_bytes, PROT_READ | PROT_WRITE);

        if (memory_populate(image, image_bytes, MEMORY_SMALL, NULL) < 0)
                die("staging cannot be made present");
        save(b, image, "save, the first into its staging");
        munmap(image, image_bytes);
        close(fd);
}

/* A restore: the image was made by another process, and is mapped anew. */
static void restore(struct bench *b, uint64_t image_bytes, char *state, const char *name)
{
        char *image = map_staging(b->staging_fd, image_bytes, PROT_READ);
        struct watch w = start(b, name, 0);
        uint64_t i;

        for (i = 0; i < b->tensors; i++)
                copy_add(&b->copy, state + (b->tensor[i] - b->block), image + b->offset[i], b->size[i]);
        copy_run(&b->copy, COPY_BACK);
        stop(&w);
        munmap(image, image_bytes);
}

static void one_round(struct bench *b, uint64_t image_bytes)
{
        char *fresh;

        limits(b);
        save(b, b->staging, "save");
        first_save(b, image_bytes);
        restore(b, image_bytes, b->other, "restore, over memory in use");
        fresh = reserve(b->bytes);
        restore(b, image_bytes, fresh, "restore, into new memory");
        munmap(fresh, b->bytes);
}

/* ---- the state ------------------------------------------------------------------------------------------------ */

/*
 * Tensors of 1 KiB to 64 MiB as a training has them: most bytes in few large ones.  Sizes go up by a factor that is
 * the same from each to the next, and are then brought to the sum asked for; a single size when they all fit in 1 KiB.
 */
static void choose_sizes(struct bench *b)
{
        uint64_t i, sum = 0, rest = b->bytes, even = b->bytes / b->tensors;
        double weight, total = 0, most = 65536;

        if (b->tensors == 1 || even <= 1024)
                most = 1;
        for (i = 0; i < b->tensors; i++)
                total += 1 + (most - 1) * (double)(i * i * i) / (double)(b->tensors * b->tensors * b->tensors);
        for (i = 0; i < b->tensors; i++) {
                weight = 1 + (most - 1) * (double)(i * i * i) / (double)(b->tensors * b->tensors * b->tensors);
                b->size[i] = (uint64_t)((double)b->bytes * weight / total) & ~(uint64_t)3;
                b->size[i] = b->size[i] < 4 ? 4 : b->size[i];
                b->size[i] = b->size[i] > rest || i + 1 == b->tensors ? rest : b->size[i];
                rest -= b->size[i];
                b->offset[i] = sum;
                sum += (b->size[i] + 4095) & ~(uint64_t)(b->size[i] < 4096 ? 7 : 4095);
        }
}

static uint64_t make_state(struct bench *b)
{
        uint64_t i, at = 0, end = 0;

        b->tensor = calloc(b->tensors, sizeof *b->tensor);
        b->size = calloc(b->tensors, sizeof *b->size);
        b->offset = calloc(b->tensors, sizeof *b->offset);
        if (!b->tensor || !b->size || !b->offset)
                die("no memory");
        choose_sizes(b);
        b->block = warm(b->bytes, 1);
        b->other = warm(b->bytes, 2);
        for (i = 0; i < b->bytes / sizeof(uint64_t); i++)
                ((uint64_t *)(void *)b->block)[i] = i * UINT64_C(0x9e3779b97f4a7c15);
        for (i = 0; i < b->tensors; at += b->size[i++]) {
                b->tensor[i] = b->block + at;
                end = b->offset[i] + b->size[i];
        }
        return (end + 4095) & ~(uint64_t)4095;
}

/* ---- what came out -------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static double best_limit(const struct bench *b)
{
        double best = 0;
        int i;

        for (i = 0; i < b->row_count; i++)
                if (b->rows[i].counts_as_limit && (!best || b->rows[i].seconds[b->rounds / 2] < best))
                        best = b->rows[i].seconds[b->rounds / 2];
        return best;
}

static void print_row(const struct bench *b, const struct row *r, double best, int last)
{
        double gb = (double)b->bytes / 1e9, median = r->seconds[r->rounds / 2];

        if (b->json)
                printf("    { \"name\": \"%s\", \"n\": %d, \"min_s\": %.6f, \"median_s\": %.6f, \"max_s\": %.6f, "
                       "\"gb_per_s\": %.3f, \"ratio\": %.3f, \"faults\": %ld }%s\n",
                       r->name, r->rounds, r->seconds[0], median, r->seconds[r->rounds - 1], gb / median,
                       median / best, r->faults, last ? "" : ",");
        else
                printf("%-34s %3d %9.2f %9.2f %9.2f %8.2f %6.2f %8ld\n", r->name, r->rounds, 1e3 * r->seconds[0],
                       1e3 * median, 1e3 * r->seconds[r->rounds - 1], gb / median, median / best, r->faults);
}

static void report(struct bench *b)
{
        double best;
        int i;

        for (i = 0; i < b->row_count; i++)
                qsort(b->rows[i].seconds, (size_t)b->rows[i].rounds, sizeof b->rows[i].seconds[0], by_value);
        best = best_limit(b);
        if (b->json)
                printf("{\n  \"bytes\": %" PRIu64 ", \"tensors\": %" PRIu64 ", \"cores\": %d, \"threads\": %d,\n"
                       "  \"rows\": [\n", b->bytes, b->tensors, cores_usable(), b->copy.helpers + 1);
        else
                printf("%" PRIu64 " bytes in %" PRIu64 " tensors, %d cores; the product copies with %d thread%s\n"
                       "%-34s %3s %9s %9s %9s %8s %6s %8s\n", b->bytes, b->tensors, cores_usable(),
                       b->copy.helpers + 1, b->copy.helpers ? "s" : "", "", "n", "min ms", "median", "max", "GB/s",
                       "ratio", "faults");
        for (i = 0; i < b->row_count; i++)
                print_row(b, &b->rows[i], best, i + 1 == b->row_count);
        if (b->json)
                printf("  ]\n}\n");
}

/* ---- from the command line ------------------------------------------------------------------------------------ */

static uint64_t number(const char *text)
{
        char *end;
        uint64_t n = strtoull(text, &end, 10);

        if (*end || !n) {
                fprintf(stderr, "copy: '%s' is not a number above 0\n", text);
                exit(2);
        }
        return n;
}

static void read_arguments(struct bench *b, int argc, char **argv)
{
        static const struct option options[] = { { "bytes", required_argument, NULL, 'b' },
                                                 { "tensors", required_argument, NULL, 't' },
                                                 { "rounds", required_argument, NULL, 'r' },
                                                 { "json", no_argument, NULL, 'j' },
                                                 { 0 } };
        int c;

        *b = (struct bench){ .bytes = UINT64_C(1) << 30, .tensors = 500, .rounds = 7 };
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                if (c == '?')
                        exit(2);
                if (c == 'b')
                        b->bytes = number(optarg);
                if (c == 't')
                        b->tensors = number(optarg);
                if (c == 'r')
                        b->rounds = (int)(number(optarg) % MOST_ROUNDS);
                if (c == 'j')
                        b->json = 1;
        }
        if (b->bytes / 8 < b->tensors) {
                fprintf(stderr, "copy: that is less than 8 bytes in each tensor\n");
                exit(2);
        }
}

int main(int argc, char **argv)
{
        static struct bench b;
        uint64_t image_bytes;
        int64_t until_ns;
        int i;

        read_arguments(&b, argc, argv);
        image_bytes = make_state(&b);
        if (copy_init(&b.copy, NULL) < 0)
                return 2;
        copy_learn(&b.copy);
        b.staging_fd = make_staging(image_bytes);
        b.staging = map_staging(b.staging_fd, image_bytes, PROT_READ | PROT_WRITE);
        if (memory_populate(b.staging, image_bytes, MEMORY_SMALL, NULL) < 0)
                die("staging cannot be made present");
        for (until_ns = clock_now() + LEARNS_NS; clock_now() < until_ns;)
                usleep(10000);
        for (i = 0; i < b.rounds; i++)
                one_round(&b, image_bytes);
        check(&b, b.staging, "save");
        report(&b);
        copy_fini(&b.copy);
        return 0;
}
