/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attached: what a program says that it has attached.  ranks and restoring call in. */
#include "attached.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "table.h"

void attached_take(struct attached *a, const struct wire_wanted *m, int *fd)
{
        attached_drop(a);
        a->told = *m;
        a->fd = *fd;
        *fd = -1;
}

void attached_drop(struct attached *a)
{
        if (a->fd >= 0)
                close(a->fd);
        *a = (struct attached){ .fd = -1 };
}

/* ---- beside a file's table ----------------------------------------------------------------------------------------- */

struct records {
        const char *at;
        uint64_t count;
        uint32_t record_bytes;
};

static const struct table_record *record_at(const struct records *r, uint64_t i)
{
        return (const struct table_record *)(const void *)(r->at + i * r->record_bytes);
}

static size_t room_for_name(const struct records *r)
{
        return r->record_bytes - TABLE_RECORD_FIXED;
}

static int is_name(const struct records *r, const struct table_record *record)
{
        return strnlen(record->name, room_for_name(r)) < room_for_name(r);
}

static int has_name(const struct records *r, uint64_t i, const char *name)
{
        return i < r->count && is_name(r, record_at(r, i)) && strcmp(record_at(r, i)->name, name) == 0;
}

/* As a rule the same program made both tables, and the record is where it was before. */
static const struct table_record *find(const struct records *r, const char *name, uint64_t likely)
{
        uint64_t i;

        if (has_name(r, likely, name))
                return record_at(r, likely);
        for (i = 0; i < r->count; i++)
                if (has_name(r, i, name))
                        return record_at(r, i);
        return NULL;
}

static int same_piece(const struct table_record *a, const struct table_record *b)
{
        return a->ndim == b->ndim && a->flags == b->flags && memcmp(a->shape, b->shape, sizeof a->shape) == 0 &&
               memcmp(a->global_shape, b->global_shape, sizeof a->global_shape) == 0 &&
               memcmp(a->global_offset, b->global_offset, sizeof a->global_offset) == 0;
}

/* As STINT_REPLICATED has it in the files of all ranks but the first. */
static int is_elsewhere(const struct table_record *r)
{
        return (r->flags & TABLE_SHARD) && r->ndim > 0 && r->ndim <= STINT_MAX_DIMS && r->shape[0] == 0 &&
               memcmp(r->shape, r->shape + 1, (r->ndim - 1) * sizeof r->shape[0]) == 0;
}

static int compare(const struct records *mine, const struct records *file)
{
        const struct table_record *w, *r;
        uint64_t i;

        for (i = 0; i < mine->count; i++) {
                w = record_at(mine, i);
                r = is_name(mine, w) ? find(file, w->name, i) : NULL;
                if (r && ((w->flags | r->flags) & TABLE_SHARD) && !same_piece(w, r))
                        return 1;
        }
        for (i = 0; i < file->count; i++) {
                r = record_at(file, i);
                if (is_elsewhere(r) && is_name(file, r) && !find(mine, r->name, i))
                        return 1;
        }
        return 0;
}

/* Sealed memory stays as it is while it is looked at. */
static int is_sealed(const struct attached *a)
{
        const int seals = a->fd < 0 ? -1 : fcntl(a->fd, F_GET_SEALS);

        return seals >= 0 && (seals & F_SEAL_WRITE) && a->told.count <= TABLE_MOST &&
               a->told.record_bytes > TABLE_RECORD_FIXED && a->told.record_bytes % 8 == 0 &&
               channel_memory_check(a->fd, a->told.count * a->told.record_bytes, NULL) == 0;
}

int attached_is_cut_otherwise(const struct attached *a, const void *table, uint64_t count, uint32_t record_bytes)
{
        const struct records file = { table, count, record_bytes };
        struct records mine = { .count = a->told.count, .record_bytes = a->told.record_bytes };
        const size_t bytes = (size_t)mine.count * mine.record_bytes;
        void *memory;
        int rc;

        if (count == 0 || record_bytes <= TABLE_RECORD_FIXED || record_bytes % 8)
                return 0;
        if (mine.count == 0)
                return compare(&mine, &file);
        if (!is_sealed(a))
                return 0;
        memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, a->fd, 0);
        if (memory == MAP_FAILED)
                return 0;
        mine.at = memory;
        rc = compare(&mine, &file);
        munmap(memory, bytes);
        return rc;
}
