/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * layout: what the state of this process consists of: the tensors that the program attached, in the order of their
 * first attaching, and those that a restored checkpoint has and nobody has attached yet, which are carried along.  An
 * index by name finds them; a second one, of the parents of the names, keeps "a" and "a/b" apart.
 */
#ifndef STINT_LAYOUT_H
#define STINT_LAYOUT_H

#include <stdint.h>
#include <uthash.h>
#include "device.h"
#include "error.h"
#include "table.h"

struct layout_tensor {
        char *name;
        struct stint_tensor tensor;  /* role and device are resolved; dimensions behind ndim are zero */
        const struct device *device; /* NULL: carried along, and tensor.data is within the restored image */
        int device_index;            /* as device_of says; of what is carried along: when it was saved */
        uint64_t bytes;
        int elsewhere;               /* the file of rank 0 has its bytes (STINT_REPLICATED), and this rank's none */
        uint64_t offset;             /* in the image of the layout placed last */
        uint32_t placed;             /* which layout that was; 0: none */
        const struct table_record *record; /* what the image being restored has for it; restore's, NULL outside of it */
        int touched;                 /* bytes of an image that may not count went there; restore's, as `record` */
        int homeless;                /* there was no memory for its place in the index */
        UT_hash_handle hh;           /* by name; its list is in the order of attaching */
};

/* A name that is the parent of others, "a/b" of "a/b/c" and "a/b/d/e", and of how many. */
struct layout_group {
        char *name;
        uint64_t members;
        int homeless;
        UT_hash_handle hh;
};

struct layout {
        struct layout_tensor *tensors;
        struct layout_group *groups;
        uint64_t count, carried, bytes; /* tensors, how many of them are carried along, what all of them hold */
        uint32_t id;      /* of the layout that layout_table made last; counts from 1 */
        uint64_t changes; /* how often the shape of the state changed: moves whenever `dirty` is set */
        int dirty;        /* the state is not what layout_table said last */
        struct placement *placement; /* what was said of where tensors lie; NULL: anywhere */
        int rank;         /* of this process */
};

/* What of a tensor goes into this rank's file. */
static inline uint64_t layout_saved_bytes(const struct layout_tensor *t)
{
        return t->elsewhere ? 0 : t->bytes;
}

/* A role without STINT_REPLICATED. */
static inline enum stint_role layout_role(enum stint_role role)
{
        return (enum stint_role)((unsigned)role & ~(unsigned)STINT_REPLICATED);
}

enum layout_attached { LAYOUT_NEW = 0, LAYOUT_CLAIMED = 1 };

/*
 * Attaches as stint_attach says.  LAYOUT_CLAIMED: a tensor that was carried along has been copied into data.  A mere
 * new address is no change of the layout.
 */
int layout_attach(struct layout *l, const char *name, const struct stint_tensor *tensor, struct stint_error *err);
int layout_detach(struct layout *l, const char *name, struct stint_error *err);

/* Takes a tensor of a restored image along: bytes points to its `record->bytes` bytes there, which stay until
 * claimed. */
int layout_carry(struct layout *l, const struct table_record *record, const void *bytes, struct stint_error *err);

/* The tensor of that name, or NULL. */
struct layout_tensor *layout_find(const struct layout *l, const char *name);

/* All of them, in order:  for (t = l->tensors; t; t = layout_next(t)) */
static inline struct layout_tensor *layout_next(const struct layout_tensor *t)
{
        return t->hh.next;
}

/* -1 with EEXIST when name cannot be beside the others: it is the parent of one of them, or one of them is its
 * parent. */
int layout_conflict(const struct layout *l, const char *name, struct stint_error *err);

/* -1 with EPROTO when what the record describes is not what the program attached under its name. */
int layout_fits(const struct layout_tensor *t, const struct table_record *record, struct stint_error *err);

/* 0 when an image of that size holds a table there that keeps its promises (table_check); EPROTO or EBADMSG
 * otherwise. */
int layout_check_image(const void *image, uint64_t image_bytes, uint64_t table_offset, uint64_t count,
                       uint32_t record_bytes, struct stint_error *err);

/* The layout as a table (table.h) in a new memfd that nobody can change any more; counts ->id up and clears ->dirty.
 * ENODATA when nothing is attached. */
int layout_table(struct layout *l, uint32_t *record_bytes, struct stint_error *err);

/* The same for somebody who is to make nothing for it: what is elsewhere is whole in there, and it is no layout. */
int layout_list(const struct layout *l, uint32_t *record_bytes, struct stint_error *err);

/* Forgets them, so that the same layout can be placed anew. */
void layout_unplace(struct layout *l);

/* Takes the offsets from the table of an image that was made for layout `id`; the table has passed table_check.
 * EPROTO when it does not have exactly these tensors. */
int layout_place(struct layout *l, uint32_t id, const void *table, uint64_t count, uint32_t record_bytes,
                 struct stint_error *err);

void layout_fini(struct layout *l);

#endif
