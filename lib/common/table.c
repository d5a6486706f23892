/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table: the array of tensor records that libstint builds, the agent fills in and every reader of a checkpoint relies
 * on. A table comes from another process or from a disk, so table_check believes nothing of it before it has looked.
 */
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "names.h"

_Static_assert(offsetof(struct table_record, name) == TABLE_RECORD_FIXED, "records have no padding");
_Static_assert(offsetof(struct table_record, shape) == 40, "records have no padding");
_Static_assert(TABLE_RECORD_FIXED % 8 == 0, "records keep each other aligned");

/* One tensor in the orders that the two questions need: by place, and by name. */
struct table_entry {
        uint64_t begin, end;
        const char *name;
        uint64_t index;
};

uint32_t table_record_bytes(size_t longest_name)
{
        return (uint32_t)((TABLE_RECORD_FIXED + longest_name + 1 + 7) / 8 * 8);
}

static const struct table_record *record_at(const void *table, uint32_t record_bytes, uint64_t i)
{
        return (const struct table_record *)(const void *)((const char *)table + i * record_bytes);
}

int shape_bytes(enum stint_dtype dtype, int ndim, const int64_t *shape, uint64_t *bytes, struct stint_error *err)
{
        uint64_t total = dtype_size(dtype);
        int i, empty = 0;

        if (total == 0)
                return error_set(err, EINVAL, "%d is no dtype", (int)dtype);
        if (ndim < 0 || ndim > STINT_MAX_DIMS)
                return error_set(err, EINVAL, "%d dimensions; there can be 0 to %d", ndim, STINT_MAX_DIMS);
        for (i = 0; i < ndim; i++) {
                if (shape[i] < 0)
                        return error_set(err, EINVAL, "dimension %d is negative (%" PRId64 ")", i, shape[i]);
                empty |= shape[i] == 0;
        }
        /* An empty tensor has no bytes, however large its other dimensions are. */
        for (i = 0; i < ndim && !empty; i++)
                if (__builtin_mul_overflow(total, (uint64_t)shape[i], &total) || total > INT64_MAX)
                        return error_set(err, EOVERFLOW, "a tensor of this shape has more bytes than can be counted");
        *bytes = empty ? 0 : total;
        return 0;
}

const char *shape_format(char *out, size_t size, enum stint_dtype dtype, int ndim, const int64_t *shape)
{
        const char *word = dtype_name(dtype);
        size_t at;
        int i;

        if (size == 0)
                return out;
        if (word)
                snprintf(out, size, "%s [", word);
        else
                snprintf(out, size, "dtype %d [", (int)dtype);
        for (i = 0; i < ndim && i < STINT_MAX_DIMS; i++) {
                at = strlen(out);
                snprintf(out + at, size - at, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
        }
        at = strlen(out);
        snprintf(out + at, size - at, "]");
        return out;
}

/* A piece of a larger array lies within it, in every dimension. */
static int check_shard(const struct table_record *r, struct stint_error *err)
{
        uint32_t i;

        for (i = 0; i < r->ndim; i++) {
                int64_t end;

                if (r->global_offset[i] < 0 || r->global_shape[i] < 0 ||
                    __builtin_add_overflow(r->global_offset[i], r->shape[i], &end) || end > r->global_shape[i])
                        return error_set(err, EBADMSG, "its dimension %u reaches out of the array it is a piece of", i);
        }
        return 0;
}

static int check_name(const struct table_record *r, size_t room, struct stint_error *err)
{
        size_t n = strnlen(r->name, room), i;

        if (n == room)
                return error_set(err, EBADMSG, "its name does not end");
        for (i = n; i < room; i++)
                if (r->name[i])
                        return error_set(err, EBADMSG, "there is something behind its name");
        return tensor_name_check(r->name, err);
}

/* What can be said of one record alone. */
static int check_record(const struct table_record *r, uint32_t record_bytes, uint64_t image_bytes,
                        struct stint_error *err)
{
        uint64_t bytes;

        if (check_name(r, record_bytes - TABLE_RECORD_FIXED, err) < 0)
                return -1;
        if (r->role == STINT_ROLE_AUTO || r->role > STINT_ROLE_OTHER)
                return error_set(err, EBADMSG, "its role (%u) is none", r->role);
        if (r->flags & ~TABLE_SHARD)
                return error_set(err, EBADMSG, "its flags (%#x) are not known", r->flags);
        if (r->ndim > STINT_MAX_DIMS)
                return error_set(err, EBADMSG, "it has %u dimensions; there can be %d", r->ndim, STINT_MAX_DIMS);
        if (r->dtype > STINT_BOOL)
                return error_set(err, EBADMSG, "its dtype (%u) is none", r->dtype);
        if (shape_bytes((enum stint_dtype)r->dtype, (int)r->ndim, r->shape, &bytes, err) < 0)
                return -1;
        if (bytes != r->bytes)
                return error_set(err, EBADMSG, "it has %" PRIu64 " bytes, but its shape has %" PRIu64, r->bytes, bytes);
        if ((r->flags & TABLE_SHARD) && check_shard(r, err) < 0)
                return -1;
        if (image_bytes > 0 && (r->bytes > image_bytes || r->file_offset > image_bytes - r->bytes))
                return error_set(err, EBADMSG, "it reaches out of the file");
        return 0;
}

static int by_place(const void *a, const void *b)
{
        const struct table_entry *x = a, *y = b;

        return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : (x->end > y->end) - (x->end < y->end);
}

/*
 * The order of names in which everything below a name follows directly after it: the slash sorts before whatever else a
 * name may contain, so that nothing ("a-b") comes between a parent ("a") and its children ("a/b").
 */
static int by_name(const void *a, const void *b)
{
        const unsigned char *x = (const void *)((const struct table_entry *)a)->name;
        const unsigned char *y = (const void *)((const struct table_entry *)b)->name;

        while (*x && *x == *y) {
                x++;
                y++;
        }
        if (*x == *y)
                return 0;
        if (*x == '\0' || *y == '\0')
                return *x ? 1 : -1;
        if (*x == '/' || *y == '/')
                return *x == '/' ? -1 : 1;
        return *x < *y ? -1 : 1;
}

static int check_places(struct table_entry *entries, uint64_t count, struct stint_error *err)
{
        uint64_t i, n = 0;

        /* Tensors without bytes are nowhere, and overlap nothing. */
        for (i = 0; i < count; i++)
                if (entries[i].end > entries[i].begin)
                        entries[n++] = entries[i];
        qsort(entries, n, sizeof *entries, by_place);
        for (i = 1; i < n; i++)
                if (entries[i].begin < entries[i - 1].end)
                        return error_set(err, EBADMSG, "record %" PRIu64 " ('%s') overlaps record %" PRIu64 " ('%s')",
                                         entries[i].index, entries[i].name, entries[i - 1].index, entries[i - 1].name);
        return 0;
}

static int check_names(struct table_entry *entries, uint64_t count, struct stint_error *err)
{
        uint64_t i;

        qsort(entries, count, sizeof *entries, by_name);
        for (i = 1; i < count; i++) {
                const char *before = entries[i - 1].name, *name = entries[i].name;
                size_t n = strlen(before);

                if (strcmp(before, name) == 0)
                        return error_set(err, EBADMSG, "records %" PRIu64 " and %" PRIu64 " have one name, '%s'",
                                         entries[i - 1].index, entries[i].index, name);
                if (strncmp(before, name, n) == 0 && name[n] == '/')
                        return error_set(err, EBADMSG, "'%s' (record %" PRIu64 ") is also the parent of '%s'", before,
                                         entries[i - 1].index, name);
        }
        return 0;
}

/* What can only be said of all records together; each has been checked. */
static int check_together(const void *table, uint64_t count, uint32_t record_bytes, uint64_t image_bytes,
                          struct stint_error *err)
{
        struct table_entry *entries = calloc(count, sizeof *entries);
        uint64_t i;
        int rc;

        if (!entries)
                return error_system(err, ENOMEM, "cannot check a table of %" PRIu64 " tensors", count);
        for (i = 0; i < count; i++) {
                const struct table_record *r = record_at(table, record_bytes, i);

                entries[i] = (struct table_entry){ r->file_offset, r->file_offset + r->bytes, r->name, i };
        }
        rc = check_names(entries, count, err);
        if (rc == 0 && image_bytes > 0)
                rc = check_places(entries, count, err);
        free(entries);
        return rc;
}

int table_check(const void *table, uint64_t count, uint32_t record_bytes, uint64_t image_bytes, struct stint_error *err)
{
        uint64_t i;

        if (count == 0)
                return 0;
        if (count > TABLE_MOST)
                return error_set(err, EBADMSG, "a table of %" PRIu64 " records; there can be %u", count, TABLE_MOST);
        if (record_bytes < table_record_bytes(1) || record_bytes > table_record_bytes(STINT_MAX_NAME) ||
            record_bytes % 8)
                return error_set(err, EBADMSG, "a table with records of %u bytes", record_bytes);
        if ((uintptr_t)table % 8)
                return error_set(err, EBADMSG, "a table that does not begin at a multiple of 8 bytes");
        for (i = 0; i < count; i++)
                if (check_record(record_at(table, record_bytes, i), record_bytes, image_bytes, err) < 0) {
                        if (err)
                                err->code = EBADMSG;
                        return error_wrap(err, "record %" PRIu64 " of the table", i);
                }
        return check_together(table, count, record_bytes, image_bytes, err);
}

const struct table_record *table_find(const void *table, uint64_t count, uint32_t record_bytes, const char *name)
{
        uint64_t i;

        for (i = 0; i < count; i++)
                if (strcmp(record_at(table, record_bytes, i)->name, name) == 0)
                        return record_at(table, record_bytes, i);
        return NULL;
}
