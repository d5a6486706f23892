/* SPDX-License-Identifier: GPL-2.0-or-later */
/* limits: what this machine can do at best with the bytes of a state.  The trainer calls in. */
#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "clock.h"

#define THREADS_MOST 64
#define COPY_PIECE ((size_t)4 << 20)  /* what one thread takes at a time of a copy past the caches */
#define LIBC_PIECE ((size_t)64 << 20) /* memcpy goes past the caches only where it is given enough at once */

/* ---- several threads at the same work ---------------------------------------------------------------------------- */

struct crew;
typedef int crew_fn(struct crew *crew, size_t at, size_t bytes); /* one piece of the image; -1 with errno */

struct crew {
        crew_fn *does;
        struct limits *l;
        enum limits_way way;
        int fd, reading;
        size_t piece, bytes;
        _Atomic size_t next; /* where the image is that nobody has taken */
        _Atomic int failed;  /* errno of the first that failed */
        pthread_barrier_t begin;
};

static void *work(void *arg)
{
        struct crew *crew = arg;
        size_t at, n;

        while (!atomic_load(&crew->failed)) {
                at = atomic_fetch_add(&crew->next, crew->piece);
                if (at >= crew->bytes)
                        break;
                n = crew->bytes - at < crew->piece ? crew->bytes - at : crew->piece;
                if (crew->does(crew, at, n) < 0)
                        atomic_store(&crew->failed, errno ? errno : EIO);
        }
        return NULL;
}

static void *work_when_all_are_there(void *arg)
{
        struct crew *crew = arg;

        pthread_barrier_wait(&crew->begin);
        return work(crew);
}

/* Runs the work on so many threads, this one among them; nanoseconds from when all of them are there. */
static int64_t crew_run(struct crew *crew, unsigned threads)
{
        pthread_t thread[THREADS_MOST];
        unsigned i, n;
        int64_t begin_ns;

        if (threads < 1 || threads > THREADS_MOST) {
                errno = EINVAL;
                return -1;
        }
        pthread_barrier_init(&crew->begin, NULL, threads);
        for (n = 0; n + 1 < threads; n++) {
                errno = pthread_create(&thread[n], NULL, work_when_all_are_there, crew);
                if (errno)
                        return -1; /* the others wait for ever, in a program that ends now */
        }
        pthread_barrier_wait(&crew->begin);
        begin_ns = clock_now();
        work(crew);
        for (i = 0; i < n; i++)
                pthread_join(thread[i], NULL);
        pthread_barrier_destroy(&crew->begin);
        errno = atomic_load(&crew->failed);
        return errno ? -1 : clock_now() - begin_ns;
}

/* ---- the copy ---------------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
static void copy_nt16(unsigned char *to, const unsigned char *from, size_t bytes)
{
        size_t i;

        for (i = 0; i + 64 <= bytes; i += 64) {
                __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
                __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(from + i + 16));
                __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(from + i + 32));
                __m128i d = _mm_loadu_si128((const __m128i *)(const void *)(from + i + 48));

                _mm_stream_si128((__m128i *)(void *)(to + i), a);
                _mm_stream_si128((__m128i *)(void *)(to + i + 16), b);
                _mm_stream_si128((__m128i *)(void *)(to + i + 32), c);
                _mm_stream_si128((__m128i *)(void *)(to + i + 48), d);
        }
        memcpy(to + i, from + i, bytes - i);
}

__attribute__((target("avx"))) static void copy_nt32(unsigned char *to, const unsigned char *from, size_t bytes)
{
        size_t i;

        for (i = 0; i + 128 <= bytes; i += 128) {
                __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(from + i));
                __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(from + i + 32));
                __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)(from + i + 64));
                __m256i d = _mm256_loadu_si256((const __m256i *)(const void *)(from + i + 96));

                _mm256_stream_si256((__m256i *)(void *)(to + i), a);
                _mm256_stream_si256((__m256i *)(void *)(to + i + 32), b);
                _mm256_stream_si256((__m256i *)(void *)(to + i + 64), c);
                _mm256_stream_si256((__m256i *)(void *)(to + i + 96), d);
        }
        memcpy(to + i, from + i, bytes - i);
}

static void copy_bytes(enum limits_way way, unsigned char *to, const unsigned char *from, size_t bytes)
{
        if (way == LIMITS_NT16)
                copy_nt16(to, from, bytes);
        else if (way == LIMITS_NT32)
                copy_nt32(to, from, bytes);
        else
                memcpy(to, from, bytes);
}

int limits_has_way(enum limits_way way)
{
        return way != LIMITS_NT32 || __builtin_cpu_supports("avx");
}
#else
static void copy_bytes(enum limits_way way, unsigned char *to, const unsigned char *from, size_t bytes)
{
        (void)way;
        memcpy(to, from, bytes);
}

int limits_has_way(enum limits_way way)
{
        return way == LIMITS_LIBC;
}
#endif

const char *limits_way_name(enum limits_way way)
{
        static const char *const names[LIMITS_WAYS] = { "libc", "nt16", "nt32" };

        return names[way];
}

/* The last tensor that begins at or before this place of the image. */
static size_t piece_at(const struct state *s, size_t at)
{
        size_t low = 0, high = s->n;

        while (high - low > 1) {
                const size_t middle = low + (high - low) / 2;

                if (s->pieces[middle].at <= at)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

/* What of the tensors lies between two places of the image. */
static int copy_piece(struct crew *crew, size_t at, size_t bytes)
{
        const struct state *s = crew->l->state;
        const size_t end = at + bytes;
        size_t i, from, to;

        for (i = piece_at(s, at); i < s->n && s->pieces[i].at < end; i++) {
                const struct piece *p = &s->pieces[i];

                from = p->at > at ? p->at : at;
                to = p->at + p->bytes < end ? p->at + p->bytes : end;
                if (from < to)
                        copy_bytes(crew->way, crew->l->image + from, (const unsigned char *)p->data + (from - p->at),
                                   to - from);
        }
#if defined(__x86_64__)
        _mm_sfence();
#endif
        return 0;
}

int64_t limits_copy(struct limits *l, enum limits_way way, unsigned threads)
{
        struct crew crew = { .does = copy_piece, .l = l, .way = way, .bytes = l->state->image_bytes };

        crew.piece = way == LIMITS_LIBC ? LIBC_PIECE : COPY_PIECE;
        return crew_run(&crew, threads);
}

/* ---- the disk ---------------------------------------------------------------------------------------------------- */

static int transfer(struct crew *crew, size_t at, size_t bytes)
{
        unsigned char *memory = crew->l->image + at;
        ssize_t n;

        while (bytes > 0) {
                n = crew->reading ? pread(crew->fd, memory, bytes, (off_t)at) : pwrite(crew->fd, memory, bytes, (off_t)at);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        errno = n < 0 ? errno : ENODATA;
                        return -1;
                }
                memory += n;
                at += (size_t)n;
                bytes -= (size_t)n;
        }
        return 0;
}

/* Past the page cache where that is wanted and can be. */
static int open_file(struct limits_io *io, int flags)
{
        int fd = io->cached ? -1 : open(io->path, flags | O_DIRECT | O_CLOEXEC, 0666);

        io->direct = fd >= 0;
        if (fd >= 0 || (!io->cached && errno != EINVAL))
                return fd;
        if (flags & O_EXCL) /* a filesystem may refuse the flag after it made the file */
                unlink(io->path);
        return open(io->path, flags | O_CLOEXEC, 0666);
}

static int64_t transfer_all(struct limits *l, const struct limits_io *io, int fd, int reading)
{
        struct crew crew = { .does = transfer, .l = l, .fd = fd, .reading = reading, .piece = io->block };

        crew.bytes = l->state->image_bytes;
        return crew_run(&crew, io->threads);
}

int64_t limits_write(struct limits *l, struct limits_io *io)
{
        const int64_t begin_ns = clock_now();
        int64_t took_ns = -1;
        int fd, code;

        fd = open_file(io, io->fresh ? O_WRONLY | O_CREAT | O_EXCL : O_WRONLY);
        if (fd < 0)
                return -1;
        if (io->fresh && fallocate(fd, 0, 0, (off_t)l->state->image_bytes) < 0 && errno != EOPNOTSUPP)
                goto out;
        took_ns = transfer_all(l, io, fd, 0);
        if (took_ns >= 0 && fdatasync(fd) < 0)
                took_ns = -1;
out:
        code = errno;
        if (close(fd) < 0 && took_ns >= 0)
                return -1;
        errno = code;
        return took_ns < 0 ? -1 : clock_now() - begin_ns;
}

int64_t limits_read(struct limits *l, struct limits_io *io)
{
        int64_t begin_ns, took_ns;
        int fd, code;

        fd = open_file(io, O_RDONLY);
        if (fd < 0)
                return -1;
        if (!io->direct)
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        begin_ns = clock_now();
        took_ns = transfer_all(l, io, fd, 1);
        code = errno;
        close(fd);
        errno = code;
        return took_ns < 0 ? -1 : clock_now() - begin_ns;
}

/* ---- its memory -------------------------------------------------------------------------------------------------- */

int limits_open(struct limits *l, const struct state *state)
{
        *l = (struct limits){ .state = state };
        l->fd = memfd_create("limits", MFD_CLOEXEC);
        if (l->fd < 0 || ftruncate(l->fd, (off_t)state->image_bytes) < 0)
                return -1;
        l->image = mmap(NULL, state->image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
        if (l->image == MAP_FAILED)
                return -1;
        memset(l->image, 0, state->image_bytes);
        return 0;
}

void limits_close(struct limits *l)
{
        munmap(l->image, l->state->image_bytes);
        close(l->fd);
}
