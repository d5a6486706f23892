/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * seal: the fields of a seal to bytes and back.  The agent's writer encodes; whoever commits, settles, verifies or
 * restores decodes.  Every byte is written explicitly, little-endian, so that a seal means the same on every machine,
 * and all that is not a field is zero and checked to be, so that no bit of a seal can change without being noticed.
 */
#include "seal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include "checksum.h"
#include "clock.h"
#include "durable.h"

#define SEAL_VERSION 1
#define SEAL_CHECKSUM_AT (SEAL_BYTES - 8)
#define SEAL_USED 376 /* bytes from the magic to the last metric; zeros from there to the checksum */

#define PENDING_VERSION 1
#define PENDING_USED 88 /* magic, version, size, time and node; zeros from there to the checksum */

static const char seal_magic[8] = { 'S', 'T', 'N', 'T', 'S', 'E', 'A', 'L' };
static const char pending_magic[8] = { 'S', 'T', 'N', 'T', 'P', 'E', 'N', 'D' };

/* One walk over the fields serves both directions, so that they cannot come apart: a cursor that puts, or gets. */
struct seal_cursor {
        unsigned char *put;       /* encoding: where the next byte goes; else NULL */
        const unsigned char *get; /* decoding: where the next byte comes from */
};

static void walk_u64(struct seal_cursor *c, uint64_t *value, int n_bytes)
{
        uint64_t v = 0;
        int i;

        for (i = 0; i < n_bytes; i++) {
                if (c->put)
                        *c->put++ = (unsigned char)(*value >> (8 * i));
                else
                        v |= (uint64_t)*c->get++ << (8 * i);
        }
        if (!c->put)
                *value = v;
}

static void walk_u32(struct seal_cursor *c, uint32_t *value)
{
        uint64_t v = *value;

        walk_u64(c, &v, 4);
        *value = (uint32_t)v;
}

static void walk_i64(struct seal_cursor *c, int64_t *value)
{
        uint64_t v = (uint64_t)*value;

        walk_u64(c, &v, 8);
        *value = (int64_t)v;
}

static void walk_double(struct seal_cursor *c, double *value)
{
        uint64_t v;

        memcpy(&v, value, sizeof v);
        walk_u64(c, &v, 8);
        memcpy(value, &v, sizeof v);
}

/* A text field: what is behind its NUL is not the caller's to choose, so zeros are written whatever memory held. */
static void walk_text(struct seal_cursor *c, char *text, size_t size)
{
        if (c->put) {
                size_t n = strnlen(text, size - 1);

                memcpy(c->put, text, n);
                memset(c->put + n, 0, size - n);
                c->put += size;
        } else {
                memcpy(text, c->get, size);
                c->get += size;
        }
}

/* The fields in the order of the file; docs/checkpoint-format.md numbers them. */
static void walk_fields(struct seal_cursor *c, struct seal *s)
{
        int i;

        walk_u32(c, &s->rank);
        walk_u32(c, &s->ranks);
        walk_u32(c, &s->stint);
        walk_u32(c, &s->lineage);
        walk_i64(c, &s->step);
        walk_u64(c, &s->file_bytes, 8);
        walk_u64(c, &s->table_offset, 8);
        walk_u64(c, &s->table_count, 8);
        walk_u32(c, &s->record_bytes);
        walk_u32(c, &s->metric_count);
        walk_u64(c, &s->hashes_offset, 8);
        walk_u64(c, &s->rest_hash, 8);
        walk_u64(c, &s->root, 8);
        walk_u64(c, &s->state_bytes, 8);
        walk_i64(c, &s->wall_ns);
        walk_text(c, s->run_id, sizeof s->run_id);
        for (i = 0; i < SEAL_METRICS; i++) {
                walk_text(c, s->metrics[i].name, sizeof s->metrics[i].name);
                walk_double(c, &s->metrics[i].value);
                walk_u32(c, &s->metrics[i].goal);
                walk_u32(c, &s->metrics[i].reserved);
        }
}

void seal_encode(const struct seal *seal, unsigned char out[SEAL_BYTES])
{
        struct seal copy = *seal;
        struct seal_cursor c = { .put = out + sizeof seal_magic };
        uint32_t version = SEAL_VERSION, size = SEAL_BYTES;
        uint64_t sum;
        uint32_t i;

        memset(out, 0, SEAL_BYTES);
        memcpy(out, seal_magic, sizeof seal_magic);
        if (copy.metric_count > SEAL_METRICS)
                copy.metric_count = SEAL_METRICS;
        memset(copy.run_id + SEAL_RUN_ID, 0, sizeof copy.run_id - SEAL_RUN_ID);
        copy.run_id[SEAL_RUN_ID - 1] = '\0';
        for (i = copy.metric_count; i < SEAL_METRICS; i++)
                copy.metrics[i] = (struct seal_metric){ .value = 0 };
        for (i = 0; i < SEAL_METRICS; i++)
                copy.metrics[i].reserved = 0;
        walk_u32(&c, &version);
        walk_u32(&c, &size);
        walk_fields(&c, &copy);
        sum = checksum(out, SEAL_CHECKSUM_AT);
        c.put = out + SEAL_CHECKSUM_AT;
        walk_u64(&c, &sum, 8);
}

static int all_zero(const void *bytes, size_t n)
{
        const unsigned char *p = bytes;
        size_t i;

        for (i = 0; i < n; i++)
                if (p[i])
                        return 0;
        return 1;
}

/* Whether a text field ends within its first `most` bytes and holds only zeros from there on. */
static int text_holds(const char *text, size_t size, size_t most)
{
        size_t n = strnlen(text, size);

        return n < most && all_zero(text + n, size - n);
}

/* What seal_encode never writes: a checksum that is right over it was made by something that is not a writer of seals.
 */
static const char *fields_wrong(const struct seal *s)
{
        uint32_t i;

        if (s->ranks == 0 || s->rank >= s->ranks)
                return "its rank is outside its number of ranks";
        if (s->metric_count > SEAL_METRICS)
                return "it has more metrics than fit";
        if (!text_holds(s->run_id, sizeof s->run_id, SEAL_RUN_ID))
                return "its run id does not end";
        for (i = 0; i < SEAL_METRICS; i++) {
                const struct seal_metric *m = &s->metrics[i];

                if (i >= s->metric_count && !all_zero(m, sizeof *m))
                        return "an unused metric is not empty";
                if (!text_holds(m->name, sizeof m->name, sizeof m->name))
                        return "the name of a metric does not end";
                if (m->goal > STINT_GOAL_MAX || m->reserved != 0)
                        return "the goal of a metric is none";
        }
        return NULL;
}

/* Everything that can be said before the fields are looked at. */
static const char *frame_wrong(const unsigned char *bytes, uint32_t *version)
{
        struct seal_cursor c = { .get = bytes + sizeof seal_magic };
        uint32_t size = 0;
        uint64_t sum = 0;

        if (memcmp(bytes, seal_magic, sizeof seal_magic) != 0)
                return "it does not begin as one";
        walk_u32(&c, version);
        walk_u32(&c, &size);
        c.get = bytes + SEAL_CHECKSUM_AT;
        walk_u64(&c, &sum, 8);
        if (sum != checksum(bytes, SEAL_CHECKSUM_AT))
                return "its checksum does not match";
        if (size != SEAL_BYTES)
                return "it names another size";
        if (!all_zero(bytes + SEAL_USED, SEAL_CHECKSUM_AT - SEAL_USED))
                return "there is something where nothing may be";
        return NULL;
}

int seal_decode(struct seal *seal, const unsigned char *bytes, size_t n, struct stint_error *err)
{
        struct seal_cursor c;
        struct seal read = { 0 };
        struct seal_pending pending;
        uint32_t version = 0;
        const char *wrong;
        char until[32];

        if (n == 0)
                return error_set(err, ENODATA, "not sealed: the seal is empty, so the save was not finished");
        if (seal_pending_decode(&pending, bytes, n, NULL) == 0)
                return error_set(err, ENODATA, "not sealed: stintd of node %s was to finish the save by %s", pending.node,
                                 clock_format(until, sizeof until, pending.until_wall_ns));
        if (n != SEAL_BYTES)
                return error_set(err, EBADMSG, "damaged seal: it has %zu bytes instead of %d", n, SEAL_BYTES);
        wrong = frame_wrong(bytes, &version);
        if (wrong)
                return error_set(err, EBADMSG, "damaged seal: %s", wrong);
        if (version != SEAL_VERSION)
                return error_set(err, EBADMSG, "seal of format %u, and this stint reads format %d: use a newer one",
                                 version, SEAL_VERSION);
        c = (struct seal_cursor){ .get = bytes + sizeof seal_magic + 8 };
        walk_fields(&c, &read);
        wrong = fields_wrong(&read);
        if (wrong)
                return error_set(err, EBADMSG, "damaged seal: %s", wrong);
        *seal = read;
        return 0;
}

/* ---- what stands in the place of a seal -------------------------------------------------------------------------- */

static void walk_pending(struct seal_cursor *c, uint32_t *version, uint32_t *size, struct seal_pending *p)
{
        walk_u32(c, version);
        walk_u32(c, size);
        walk_i64(c, &p->until_wall_ns);
        walk_text(c, p->node, sizeof p->node);
}

void seal_pending_encode(const struct seal_pending *pending, unsigned char out[SEAL_BYTES])
{
        struct seal_pending copy = *pending;
        struct seal_cursor c = { .put = out + sizeof pending_magic };
        uint32_t version = PENDING_VERSION, size = SEAL_BYTES;
        uint64_t sum;

        memset(out, 0, SEAL_BYTES);
        memcpy(out, pending_magic, sizeof pending_magic);
        walk_pending(&c, &version, &size, &copy);
        sum = checksum(out, SEAL_CHECKSUM_AT);
        c.put = out + SEAL_CHECKSUM_AT;
        walk_u64(&c, &sum, 8);
}

int seal_pending_decode(struct seal_pending *pending, const unsigned char *bytes, size_t n, struct stint_error *err)
{
        struct seal_cursor c = { .get = bytes + sizeof pending_magic };
        struct seal_pending read;
        uint32_t version = 0, size = 0;
        uint64_t sum = 0;

        if (n != SEAL_BYTES || memcmp(bytes, pending_magic, sizeof pending_magic) != 0)
                return error_set(err, ENODATA, "no save is pending there");
        walk_pending(&c, &version, &size, &read);
        c.get = bytes + SEAL_CHECKSUM_AT;
        walk_u64(&c, &sum, 8);
        if (sum != checksum(bytes, SEAL_CHECKSUM_AT) || version != PENDING_VERSION || size != SEAL_BYTES ||
            !text_holds(read.node, sizeof read.node, sizeof read.node) ||
            !all_zero(bytes + PENDING_USED, SEAL_CHECKSUM_AT - PENDING_USED))
                return error_set(err, ENODATA, "what says that a save is pending does not hold");
        *pending = read;
        return 0;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Up to SEAL_BYTES + 1 bytes, so that a file too long is noticed.  Answers how many, -1 with errno. */
static ssize_t read_up_to(int fd, unsigned char *bytes, size_t most)
{
        size_t have = 0;

        while (have < most) {
                ssize_t n = read(fd, bytes + have, most - have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                if (n == 0)
                        break;
                have += (size_t)n;
        }
        return (ssize_t)have;
}

/* The whole file, or one byte more than a seal has.  Answers how many; -1 with the reason. */
static ssize_t read_file(const char *path, unsigned char bytes[SEAL_BYTES + 1], struct stint_error *err)
{
        ssize_t n;
        int fd = durable_open(path, NULL, err), code;

        if (fd < 0)
                return -1;
        n = read_up_to(fd, bytes, SEAL_BYTES + 1);
        code = errno;
        close(fd);
        return n < 0 ? error_system(err, code, "cannot read the seal %s", path) : n;
}

uint64_t seal_sums(const struct seal_sum *sums, uint32_t ranks)
{
        return checksum(sums, (size_t)ranks * sizeof *sums);
}

int seal_read(struct seal *seal, const char *path, struct stint_error *err)
{
        unsigned char bytes[SEAL_BYTES + 1];
        const ssize_t n = read_file(path, bytes, err);

        if (n < 0)
                return -1;
        if (seal_decode(seal, bytes, (size_t)n, err) < 0)
                return error_wrap(err, "%s", path);
        return 0;
}

int seal_pending_read(struct seal_pending *pending, const char *path, struct stint_error *err)
{
        unsigned char bytes[SEAL_BYTES + 1];
        const ssize_t n = read_file(path, bytes, err);
        struct seal seal;

        if (n < 0)
                return -1;
        if (seal_decode(&seal, bytes, (size_t)n, NULL) == 0)
                return 1;
        return seal_pending_decode(pending, bytes, (size_t)n, err);
}

_Static_assert(sizeof pending_magic + 8 + 8 + sizeof((struct seal_pending *)0)->node == PENDING_USED,
               "the used part of a pending mark is the sum of its fields");
_Static_assert(sizeof seal_magic + 8 + 96 + (SEAL_RUN_ID + 7) + SEAL_METRICS * (SEAL_METRIC_NAME + 16) == SEAL_USED,
               "the used part of a seal is the sum of its fields");
_Static_assert(SEAL_USED <= SEAL_CHECKSUM_AT, "the fields fit before the checksum");
