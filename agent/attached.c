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

static int has_name(const struct records *r, uint64_t i, const char *name)
{
        const size_t room = r->record_bytes - TABLE_RECORD_FIXED;

        return i < r->count && strncmp(record_at(r, i)->name, name, room) == 0 && strnlen(name, room) < room;
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

static int compare(const struct records *mine, const struct records *file)
{
        const struct table_record *w, *r;
        uint64_t i;

        for (i = 0; i < mine->count; i++) {
                w = record_at(mine, i);
                if (!(w->flags & TABLE_SHARD))
                        continue;
                if (strnlen(w->name, mine->record_bytes - TABLE_RECORD_FIXED) == mine->record_bytes - TABLE_RECORD_FIXED)
                        return 0; /* no table at all, which its reader says */
                r = find(file, w->name, i);
                if (r && !same_piece(w, r))
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

        if (mine.count == 0 || count == 0 || record_bytes <= TABLE_RECORD_FIXED || record_bytes % 8 || !is_sealed(a))
                return 0;
        memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, a->fd, 0);
        if (memory == MAP_FAILED)
                return 0;
        mine.at = memory;
        rc = compare(&mine, &file);
        munmap(memory, bytes);
        return rc;
}
