/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk: how much of the disk's speed a save and a restore reach.  In each round, one after another: the bytes of an
 * image written past the page cache and nothing else, the same image saved by the agent's writer, and both once more
 * for a file that is there already; then the file read past the page cache and nothing else, and read and checked by
 * the agent's reader.  What is told are the rates and, round by round, the agent's rate as a part of the bare one.
 *
 * The bare read goes to memory that is there; a restore makes new memory, which some virtual machines give more slowly
 * than their disks read.  How quickly this one does is told beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "disk.h"
#include "duration.h"
#include "durable.h"
#include "memory.h"
#include "names.h"
#include "pipeline.h"
#include "reader.h"
#include "rundir.h"
#include "table.h"
#include "writer.h"

#define ROUNDS_MOST 99
#define RAW_THREADS 4
#define RAW_BLOCK (UINT64_C(8) << 20)
#define SMALLEST 1024.0
#define LARGEST (64.0 * 1048576)

enum what { RAW_FRESH, SAVE_FRESH, RAW_OVER, SAVE_OVER, RAW_READ, RESTORE, NEW_MEMORY, WHATS };
static const char *const names[WHATS] = { "raw_write_fresh", "save_fresh", "raw_write_over", "save_over", "raw_read",
                                          "restore_cold", "new_memory" };
enum { PAIRS = NEW_MEMORY / 2 };
static const char *const pair_names[PAIRS] = { "save_fresh", "save_over", "restore_cold" };

struct bench {
        uint64_t bytes, tensors;
        int rounds, json;
        const char *dir;

        char folder[RUNDIR_PATH], checkpoints[RUNDIR_PATH + 16];
        char raw_path[RUNDIR_PATH + 16], over_path[RUNDIR_PATH + 16];
        struct staging *staging;
        unsigned char *memory; /* as large as the image, and there already */
        double rates[WHATS][ROUNDS_MOST], hash_ms[ROUNDS_MOST];
        uint64_t own_bytes; /* most that a save or a restore took for itself */
};

static void fail(const char *what, const struct stint_error *why)
{
        fprintf(stderr, "bench/disk: %s: %s\n", what, why ? why->text : strerror(errno));
        exit(EXIT_FAILURE);
}

/* ---- the image --------------------------------------------------------------------------------------------------- */

/* Sizes spread evenly over the powers of two from 1 KiB to 64 MiB, or all alike where they are small on average. */
static void tensor_sizes(const struct bench *b, uint64_t *elements)
{
        uint64_t i, x = 88172645463325252u;
        double *wish = calloc(b->tensors, sizeof *wish), sum = 0;

        if (!wish)
                fail("no memory", NULL);
        for (i = 0; i < b->tensors; i++) {
                double part, size = SMALLEST;

                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                part = (double)(x >> 40) / (double)(1 << 24) * 16;
                for (; part >= 1; part--)
                        size *= 2;
                wish[i] = b->bytes / b->tensors <= 4096 ? 1 : size * (1 + part);
                sum += wish[i];
        }
        for (i = 0; i < b->tensors; i++)
                elements[i] = (uint64_t)(wish[i] / sum * (double)b->bytes / 4) + 1;
        free(wish);
}

static int layout(const struct bench *b, uint32_t record_bytes)
{
        const int fd = memfd_create("layout", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        uint64_t *elements = calloc(b->tensors, sizeof *elements), i;
        struct table_record *r = calloc(1, record_bytes);

        if (fd < 0 || !elements || !r)
                fail("no memory", NULL);
        tensor_sizes(b, elements);
        for (i = 0; i < b->tensors; i++) {
                memset(r, 0, record_bytes);
                r->bytes = elements[i] * 4;
                r->dtype = STINT_F32;
                r->role = STINT_ROLE_MODEL;
                r->device = STINT_DEVICE_HOST;
                r->device_index = -1;
                r->ndim = 1;
                r->shape[0] = (int64_t)elements[i];
                snprintf(r->name, record_bytes - TABLE_RECORD_FIXED, "model/layer%llu/weight%llu",
                         (unsigned long long)(i / 10), (unsigned long long)(i % 10));
                if (write(fd, r, record_bytes) != (ssize_t)record_bytes)
                        fail("the layout", NULL);
        }
        free(elements);
        free(r);
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                fail("the layout", NULL);
        return fd;
}

static void fill(struct staging *s)
{
        uint64_t i, at, x = 1;

        for (i = 0; i < s->count; i++) {
                const struct table_record *r = table_at(s->image + s->table_offset, s->record_bytes, i);

                for (at = 0; at + 8 <= r->bytes; at += 8) {
                        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
                        memcpy(s->image + r->file_offset + at, &x, 8);
                }
        }
}

static void make_staging(struct bench *b)
{
        struct staging_job *job = calloc(1, sizeof *job);

        if (!job)
                fail("no memory", NULL);
        job->record_bytes = table_record_bytes(48);
        job->count = b->tensors;
        job->table_fd = layout(b, job->record_bytes);
        staging_job_run(&job->work);
        if (!job->made)
                fail("staging", &job->err);
        b->staging = job->made;
        job->made = NULL;
        staging_job_free(job);
        fill(b->staging);
        b->memory = mmap(NULL, b->staging->image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (b->memory == MAP_FAILED || memory_populate(b->memory, b->staging->image_bytes, MEMORY_SMALL, NULL) < 0)
                fail("no memory", NULL);
}

/* ---- the disk, and nothing else ---------------------------------------------------------------------------------- */

struct raw {
        int fd, writes;
        unsigned char *memory;
        uint64_t bytes;
        _Atomic uint64_t taken;
        atomic_int failed;
};

static void *move_blocks(void *arg)
{
        struct raw *r = arg;
        uint64_t at, n, done;

        while ((at = atomic_fetch_add(&r->taken, RAW_BLOCK)) < r->bytes) {
                n = r->bytes - at < RAW_BLOCK ? r->bytes - at : RAW_BLOCK;
                for (done = 0; done < n;) {
                        unsigned char *from = r->memory + at + done;
                        ssize_t some = r->writes ? pwrite(r->fd, from, n - done, (off_t)(at + done))
                                                 : pread(r->fd, from, n - done, (off_t)(at + done));

                        if (some <= 0) {
                                atomic_store(&r->failed, some < 0 ? errno : EIO);
                                return NULL;
                        }
                        done += (uint64_t)some;
                }
        }
        return NULL;
}

static void move_all(struct raw *r)
{
        pthread_t threads[RAW_THREADS];
        int i;

        for (i = 0; i < RAW_THREADS; i++)
                if (pthread_create(&threads[i], NULL, move_blocks, r) != 0)
                        fail("no threads", NULL);
        for (i = 0; i < RAW_THREADS; i++)
                pthread_join(threads[i], NULL);
        errno = atomic_load(&r->failed);
        if (errno)
                fail("the bare disk", NULL);
}

/* Whole pages only: the rest of an image is less than one. */
static struct raw raw_of(const struct bench *b, int flags, unsigned char *memory)
{
        struct raw r = { .memory = memory, .bytes = b->staging->image_bytes & ~UINT64_C(4095) };

        r.fd = open(b->raw_path, flags | O_DIRECT | O_CLOEXEC, 0666);
        if (r.fd < 0 && errno == EINVAL)
                r.fd = open(b->raw_path, flags | O_CLOEXEC, 0666);
        if (r.fd < 0)
                fail(b->raw_path, NULL);
        return r;
}

static int64_t raw_write(const struct bench *b, int fresh)
{
        const int64_t begin_ns = (fresh ? unlink(b->raw_path) : 0, clock_now());
        struct raw r = raw_of(b, O_RDWR | (fresh ? O_CREAT | O_EXCL : 0), b->staging->image);

        r.writes = 1;
        if (fresh && fallocate(r.fd, 0, 0, (off_t)r.bytes) < 0 && errno != EOPNOTSUPP)
                fail(b->raw_path, NULL);
        move_all(&r);
        if (fsync(r.fd) < 0 || close(r.fd) < 0)
                fail(b->raw_path, NULL);
        return clock_now() - begin_ns;
}

static int64_t raw_read(const struct bench *b)
{
        struct raw r = raw_of(b, O_RDONLY, b->memory);
        int64_t begin_ns;

        posix_fadvise(r.fd, 0, 0, POSIX_FADV_DONTNEED);
        begin_ns = clock_now();
        move_all(&r);
        close(r.fd);
        return clock_now() - begin_ns;
}

/* ---- the agent --------------------------------------------------------------------------------------------------- */

static struct writer *new_writer(const struct bench *b)
{
        struct writer *w = calloc(1, sizeof *w);

        if (!w)
                fail("no memory", NULL);
        snprintf(w->checkpoints, sizeof w->checkpoints, "%s", b->checkpoints);
        w->checkpoint_step = 1;
        w->staging = staging_hold(b->staging);
        w->seal.ranks = 1;
        w->seal.step = 1;
        w->seal.wall_ns = clock_wall();
        memset(w->seal.run_id, 'a', SEAL_RUN_ID - 1);
        for (size_t i = 32; i < sizeof w->seal.run_id; i++)
                w->seal.run_id[i] = '\0';
        strcpy(w->program, "bench");
        return w;
}

static int64_t save_fresh(struct bench *b, struct seal *seal, double *hash_ms)
{
        struct writer *w = new_writer(b);
        int64_t begin_ns, took_ns;

        durable_remove_tree(b->checkpoints, NULL);
        begin_ns = clock_now();
        writer_run(&w->work);
        took_ns = clock_now() - begin_ns;
        if (w->failed)
                fail("save", &w->err);
        *seal = w->seal;
        *hash_ms = (double)w->hash_ns / 1e6;
        writer_free(w);
        return took_ns;
}

/* The steps of writer_run for a file that is there. */
static int64_t save_over(struct bench *b, const struct seal *like)
{
        const struct staging *s = b->staging;
        struct seal seal = *like;
        struct source_memory memory;
        struct disk disk = { .fd = -1 };
        struct stint_error err = { 0 };
        unsigned char bytes[SEAL_BYTES];
        char seal_path[sizeof b->over_path + 8];
        const int64_t begin_ns = clock_now();
        struct pipeline p = { .disk = &disk, .source = &memory.source, .image_bytes = s->image_bytes,
                              .table = s->image + s->table_offset, .hashes = s->image + s->hashes_offset,
                              .seal = &seal };
        const int fd = open(b->over_path, O_RDWR | O_CLOEXEC | O_CREAT, 0666);
        int seal_fd;

        snprintf(seal_path, sizeof seal_path, "%s.seal", b->over_path);
        seal_fd = open(seal_path, O_RDWR | O_CLOEXEC | O_CREAT | O_TRUNC, 0666);
        disk_to_write(&disk, fd, b->over_path);
        source_memory_init(&memory, s->image);
        if (disk_reserve(&disk, s->image_bytes, &err) < 0 || pipeline_run(&p, &err) < 0 ||
            durable_sync(fd, b->over_path, &err) < 0)
                fail("save over a file", &err);
        seal_encode(&seal, bytes);
        if (durable_pwrite(seal_fd, bytes, sizeof bytes, 0, seal_path, &err) < 0 ||
            durable_sync(seal_fd, seal_path, &err) < 0 || durable_sync_dir(b->folder, &err) < 0)
                fail("seal", &err);
        close(seal_fd);
        close(fd);
        return clock_now() - begin_ns;
}

static int64_t restore(const struct bench *b, const struct seal *seal)
{
        struct reader *r = calloc(1, sizeof *r);
        char part[RUNDIR_NAME], name[RUNDIR_NAME], path[2 * RUNDIR_PATH];
        int64_t took_ns;
        int fd;

        if (!r)
                fail("no memory", NULL);
        snprintf(r->checkpoint, sizeof r->checkpoint, "%s/%s", b->checkpoints, rundir_part(part, 1, 0));
        snprintf(path, sizeof path, "%s/%s", r->checkpoint, rundir_rank_file(name, 0, 1));
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
                close(fd);
        }
        r->fd = -1;
        r->ranks = 1;
        r->checkpoint_step = 1;
        r->file_bytes = seal->file_bytes;
        r->root = seal->root;
        memcpy(r->run_id, seal->run_id, sizeof r->run_id);
        reader_run(&r->work);
        took_ns = r->took_ns;
        if (r->fd < 0)
                fail("restore", &r->err);
        reader_free(r);
        return took_ns;
}

/* New shared memory of the image's size, filled from memory that is there. */
static int64_t new_memory(const struct bench *b)
{
        const uint64_t bytes = b->staging->image_bytes;
        const int64_t begin_ns = clock_now();
        const int fd = channel_memory("bench", bytes, NULL);
        int64_t took_ns;

        if (fd < 0 || durable_pwrite(fd, b->memory, bytes, 0, "new memory", NULL) < 0)
                fail("new memory", NULL);
        took_ns = clock_now() - begin_ns;
        close(fd);
        return took_ns;
}

/* ---- what the agent takes for itself ----------------------------------------------------------------------------- */

static atomic_int watching;

static uint64_t own_memory(void)
{
        char line[128];
        unsigned long long kib = 0;
        FILE *f = fopen("/proc/self/status", "re");

        while (f && fgets(line, sizeof line, f) && sscanf(line, "RssAnon: %llu kB", &kib) != 1)
                ;
        if (f)
                fclose(f);
        return kib * 1024;
}

static void *watch_memory(void *arg)
{
        const struct timespec pause = { .tv_nsec = 2000000 };
        uint64_t most = 0, now;

        while (atomic_load(&watching)) {
                now = own_memory();
                most = now > most ? now : most;
                nanosleep(&pause, NULL);
        }
        *(uint64_t *)arg = most;
        return NULL;
}

/* A round whose speed does not count: caches are filled, and memory is watched. */
static void warm_up(struct bench *b, struct seal *seal)
{
        const uint64_t before = own_memory();
        uint64_t most = 0;
        pthread_t thread;
        double hash_ms;

        raw_write(b, 1);
        raw_write(b, 0);
        atomic_store(&watching, 1);
        if (pthread_create(&thread, NULL, watch_memory, &most) != 0)
                fail("no threads", NULL);
        save_fresh(b, seal, &hash_ms);
        save_over(b, seal);
        restore(b, seal);
        atomic_store(&watching, 0);
        pthread_join(thread, NULL);
        b->own_bytes = most > before ? most - before : 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
        const double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

struct spread {
        double min, median, max;
};

static struct spread spread_of(const double *values, int n)
{
        double sorted[ROUNDS_MOST];

        memcpy(sorted, values, (size_t)n * sizeof *values);
        qsort(sorted, (size_t)n, sizeof *sorted, by_value);
        return (struct spread){ sorted[0], n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2,
                                sorted[n - 1] };
}

static struct spread ratio_of(const struct bench *b, int pair)
{
        double ratios[ROUNDS_MOST];
        int i;

        for (i = 0; i < b->rounds; i++)
                ratios[i] = b->rates[2 * pair + 1][i] / b->rates[2 * pair][i];
        return spread_of(ratios, b->rounds);
}

static void tell_words(const struct bench *b)
{
        char size[32], own[32];
        int i;

        printf("%s in %llu tensors, %d rounds; the agent's own memory %s\n",
               size_format(size, sizeof size, (int64_t)b->staging->image_bytes), (unsigned long long)b->tensors,
               b->rounds, size_format(own, sizeof own, (int64_t)b->own_bytes));
        printf("%-24s %4s %8s %8s %8s\n", "GB/s", "n", "min", "median", "max");
        for (i = 0; i < WHATS; i++) {
                const struct spread s = spread_of(b->rates[i], b->rounds);

                printf("%-24s %4d %8.2f %8.2f %8.2f\n", names[i], b->rounds, s.min, s.median, s.max);
        }
        printf("%-24s\n", "of the bare disk");
        for (i = 0; i < PAIRS; i++) {
                const struct spread s = ratio_of(b, i);

                printf("%-24s %4d %8.3f %8.3f %8.3f\n", pair_names[i], b->rounds, s.min, s.median, s.max);
        }
}

static void tell_spread(const char *name, struct spread s, int n, const char *end)
{
        printf("    \"%s\": {\"n\": %d, \"min\": %.4f, \"median\": %.4f, \"max\": %.4f}%s\n", name, n, s.min, s.median,
               s.max, end);
}

static void tell_json(const struct bench *b)
{
        int i;

        printf("{\n  \"bytes\": %llu, \"tensors\": %llu, \"rounds\": %d, \"own_bytes\": %llu,\n  \"gb_per_s\": {\n",
               (unsigned long long)b->staging->image_bytes, (unsigned long long)b->tensors, b->rounds,
               (unsigned long long)b->own_bytes);
        for (i = 0; i < WHATS; i++)
                tell_spread(names[i], spread_of(b->rates[i], b->rounds), b->rounds, i + 1 < WHATS ? "," : "");
        printf("  },\n  \"of_the_bare_disk\": {\n");
        for (i = 0; i < PAIRS; i++)
                tell_spread(pair_names[i], ratio_of(b, i), b->rounds, i + 1 < PAIRS ? "," : "");
        printf("  }\n}\n");
}

/* ---- main -------------------------------------------------------------------------------------------------------- */

static void one_round(struct bench *b, int round, struct seal *seal)
{
        const double bytes = (double)b->staging->image_bytes;

        b->rates[RAW_FRESH][round] = bytes / (double)raw_write(b, 1);
        b->rates[SAVE_FRESH][round] = bytes / (double)save_fresh(b, seal, &b->hash_ms[round]);
        b->rates[RAW_OVER][round] = bytes / (double)raw_write(b, 0);
        b->rates[SAVE_OVER][round] = bytes / (double)save_over(b, seal);
        b->rates[RAW_READ][round] = bytes / (double)raw_read(b);
        b->rates[RESTORE][round] = bytes / (double)restore(b, seal);
        b->rates[NEW_MEMORY][round] = bytes / (double)new_memory(b);
}

static void usage(void)
{
        fprintf(stderr, "usage: disk [--bytes SIZE] [--tensors N] [--rounds N] [--dir FOLDER] [--json]\n");
        exit(2);
}

static void read_options(struct bench *b, int argc, char **argv)
{
        static const struct option options[] = { { "bytes", required_argument, NULL, 'b' },
                                                 { "tensors", required_argument, NULL, 't' },
                                                 { "rounds", required_argument, NULL, 'r' },
                                                 { "dir", required_argument, NULL, 'd' },
                                                 { "json", no_argument, NULL, 'j' },
                                                 { NULL, 0, NULL, 0 } };
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case 'b': b->bytes = strtoull(optarg, NULL, 0); break;
                case 't': b->tensors = strtoull(optarg, NULL, 0); break;
                case 'r': b->rounds = atoi(optarg); break;
                case 'd': b->dir = optarg; break;
                case 'j': b->json = 1; break;
                default: usage();
                }
        if (optind != argc || b->bytes < 4096 || b->tensors < 1 || b->rounds < 1 || b->rounds > ROUNDS_MOST)
                usage();
}

int main(int argc, char **argv)
{
        struct bench b = { .bytes = UINT64_C(2) << 30, .tensors = 500, .rounds = 5, .dir = "/var/tmp" };
        struct seal seal = { 0 };
        int round;

        read_options(&b, argc, argv);
        snprintf(b.folder, sizeof b.folder, "%s/stint-bench-disk.XXXXXX", b.dir);
        if (!mkdtemp(b.folder))
                fail(b.folder, NULL);
        snprintf(b.raw_path, sizeof b.raw_path, "%s/raw", b.folder);
        snprintf(b.over_path, sizeof b.over_path, "%s/over", b.folder);
        snprintf(b.checkpoints, sizeof b.checkpoints, "%s/saved", b.folder);
        make_staging(&b);
        warm_up(&b, &seal);
        for (round = 0; round < b.rounds; round++)
                one_round(&b, round, &seal);
        if (b.json)
                tell_json(&b);
        else
                tell_words(&b);
        durable_remove_tree(b.folder, NULL);
        staging_drop(b.staging);
        return EXIT_SUCCESS;
}
