/* SPDX-License-Identifier: BSD-3-Clause */
/* layout: the tensors of this process and their index.  stint_attach, snapshot and restore call in. */
#define HASH_NONFATAL_OOM 1 /* a library must not exit where there is no memory */
#define uthash_nonfatal_oom(element) ((element)->homeless = 1)
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel.h"
#include "names.h"
#include "placement.h"

#define TEXT_SHAPE 300 /* room for shape_format */

/* ---- the index ------------------------------------------------------------------------------------------------ */

static struct layout_tensor *find(const struct layout *l, const char *name, size_t length)
{
        struct layout_tensor *t = NULL;

        HASH_FIND(hh, l->tensors, name, (unsigned)length, t);
        return t;
}

struct layout_tensor *layout_find(const struct layout *l, const char *name)
{
        return find(l, name, strlen(name));
}

static struct layout_group *find_group(const struct layout *l, const char *name, size_t length)
{
        struct layout_group *g = NULL;

        HASH_FIND(hh, l->groups, name, (unsigned)length, g);
        return g;
}

int layout_conflict(const struct layout *l, const char *name, struct stint_error *err)
{
        const char *slash;

        if (find_group(l, name, strlen(name)))
                return error_set(err, EEXIST,
                                 "'%s' cannot be a tensor: names below '%s/' exist; give it a name of its own", name,
                                 name);
        for (slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/'))
                if (find(l, name, (size_t)(slash - name)))
                        return error_set(err, EEXIST,
                                         "'%s' cannot be a tensor: '%.*s' is one already, and cannot hold others", name,
                                         (int)(slash - name), name);
        return 0;
}

static void forget_group(struct layout *l, struct layout_group *g)
{
        HASH_DEL(l->groups, g);
        free(g->name);
        free(g);
}

/* Leaves the parents of a name whose first `length` bytes were counted. */
static void leave_groups(struct layout *l, const char *name, size_t length)
{
        struct layout_group *g;
        const char *slash;

        for (slash = strchr(name, '/'); slash && (size_t)(slash - name) < length; slash = strchr(slash + 1, '/')) {
                g = find_group(l, name, (size_t)(slash - name));
                if (g && --g->members == 0)
                        forget_group(l, g);
        }
}

static struct layout_group *new_group(struct layout *l, const char *name, size_t length)
{
        struct layout_group *g = calloc(1, sizeof *g);

        if (!g || !(g->name = strndup(name, length))) {
                free(g);
                return NULL;
        }
        HASH_ADD_KEYPTR(hh, l->groups, g->name, (unsigned)length, g);
        if (g->homeless) {
                free(g->name);
                free(g);
                return NULL;
        }
        return g;
}

/* Counts a name in all of its parents: 0, or -1 when there is no memory, and then in none. */
static int join_groups(struct layout *l, const char *name)
{
        struct layout_group *g;
        const char *slash;

        for (slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
                g = find_group(l, name, (size_t)(slash - name));
                if (!g && !(g = new_group(l, name, (size_t)(slash - name)))) {
                        leave_groups(l, name, (size_t)(slash - name));
                        return -1;
                }
                g->members++;
        }
        return 0;
}

static void free_tensor(struct layout_tensor *t)
{
        free(t->name);
        free(t);
}

static void changed(struct layout *l)
{
        l->dirty = 1;
        l->changes++;
}

/* Adds a tensor under a name that is not there and conflicts with none. */
static int add(struct layout *l, const char *name, const struct layout_tensor *like, struct stint_error *err)
{
        struct layout_tensor *t = malloc(sizeof *t);

        if (!t)
                return error_set(err, ENOMEM, "no memory to attach '%s'", name);
        *t = *like;
        t->name = strdup(name);
        if (!t->name || join_groups(l, name) < 0) {
                free_tensor(t);
                return error_set(err, ENOMEM, "no memory to attach '%s'", name);
        }
        HASH_ADD_KEYPTR(hh, l->tensors, t->name, (unsigned)strlen(t->name), t);
        if (t->homeless) {
                leave_groups(l, name, strlen(name));
                free_tensor(t);
                return error_set(err, ENOMEM, "no memory to attach '%s'", name);
        }
        l->count++;
        l->bytes += t->bytes;
        l->carried += t->device == NULL;
        changed(l);
        return 0;
}

int layout_detach(struct layout *l, const char *name, struct stint_error *err)
{
        struct layout_tensor *t = layout_find(l, name);

        if (!t)
                return error_set(err, ENOENT, "'%s' is not attached", name);
        HASH_DEL(l->tensors, t);
        leave_groups(l, t->name, strlen(t->name));
        l->count--;
        l->bytes -= t->bytes;
        l->carried -= t->device == NULL;
        free_tensor(t);
        changed(l);
        return 0;
}

void layout_fini(struct layout *l)
{
        struct layout_tensor *t, *t_next;
        struct layout_group *g, *g_next;

        HASH_ITER(hh, l->tensors, t, t_next) {
                HASH_DEL(l->tensors, t);
                free_tensor(t);
        }
        HASH_ITER(hh, l->groups, g, g_next)
                forget_group(l, g);
        memset(l, 0, sizeof *l);
}

/* ---- attaching ------------------------------------------------------------------------------------------------ */

static int any_set(const int64_t *values)
{
        int i;

        for (i = 0; i < STINT_MAX_DIMS; i++)
                if (values[i])
                        return 1;
        return 0;
}

static int check_shard(const char *name, const struct stint_tensor *t, struct stint_error *err)
{
        int i;

        if (!any_set(t->global_shape) && !any_set(t->global_offset))
                return 0;
        for (i = 0; i < t->ndim; i++)
                if (t->global_offset[i] < 0 || t->global_shape[i] < t->shape[i] ||
                    t->global_offset[i] > t->global_shape[i] - t->shape[i])
                        return error_set(err, EINVAL,
                                         "tensor '%s': in dimension %d its piece does not lie within the larger array "
                                         "(global_offset + shape is more than global_shape)", name, i);
        return 0;
}

static void clear_behind(int64_t *values, int ndim)
{
        for (; ndim < STINT_MAX_DIMS; ndim++)
                values[ndim] = 0;
}

/* It becomes the piece that is the whole; of ranks but the first it is in their files as a piece without elements. */
static int replicate(const struct layout *l, const char *name, struct layout_tensor *t, struct stint_error *err)
{
        struct stint_tensor *own = &t->tensor;

        if (any_set(own->global_shape) || any_set(own->global_offset))
                return error_set(err, EINVAL,
                                 "tensor '%s' is a piece of a larger array (global_shape), and said to be the same on all "
                                 "ranks (STINT_REPLICATED): it is one or the other", name);
        memcpy(own->global_shape, own->shape, sizeof own->global_shape);
        t->elsewhere = l->rank > 0 && own->ndim > 0 && t->bytes > 0;
        return 0;
}

/* Checks what the program says of a tensor, and fills what follows from it. */
static int understand(const struct layout *l, const char *name, const struct stint_tensor *given,
                      struct layout_tensor *t, struct stint_error *err)
{
        struct stint_tensor *own = &t->tensor;

        memset(t, 0, sizeof *t);
        *own = *given;
        own->role = layout_role(given->role);
        if (!dtype_size(own->dtype))
                return error_set(err, EINVAL, "tensor '%s': %d is no dtype", name, (int)own->dtype);
        if (own->ndim < 0 || own->ndim > STINT_MAX_DIMS)
                return error_set(err, EINVAL, "tensor '%s' has %d dimensions; at most %d can be saved", name, own->ndim,
                                 STINT_MAX_DIMS);
        if (own->role < STINT_ROLE_AUTO || own->role > STINT_ROLE_OTHER)
                return error_set(err, EINVAL, "tensor '%s': %d is no role", name, (int)own->role);
        clear_behind(own->shape, own->ndim);
        clear_behind(own->global_shape, own->ndim);
        clear_behind(own->global_offset, own->ndim);
        if (shape_bytes(own->dtype, own->ndim, own->shape, &t->bytes, err) < 0)
                return error_wrap(err, "tensor '%s'", name);
        if (!own->data && t->bytes)
                return error_set(err, EINVAL, "tensor '%s' has %llu bytes, but its data is NULL", name,
                                 (unsigned long long)t->bytes);
        if (given->role != own->role && replicate(l, name, t, err) < 0)
                return -1;
        if (check_shard(name, own, err) < 0)
                return -1;
        t->device = device_of(own->device, own->data, t->bytes, &t->device_index, err);
        if (!t->device)
                return error_wrap(err, "tensor '%s'", name);
        own->device = t->device->kind;
        if (own->role == STINT_ROLE_AUTO)
                own->role = role_from_name(name);
        return 0;
}

static int same_dims(const int64_t *a, const int64_t *b)
{
        return memcmp(a, b, STINT_MAX_DIMS * sizeof *a) == 0;
}

static int same_kind(const struct layout_tensor *a, const struct layout_tensor *b)
{
        const struct stint_tensor *x = &a->tensor, *y = &b->tensor;

        return x->dtype == y->dtype && x->role == y->role && x->device == y->device && a->elsewhere == b->elsewhere &&
               a->device_index == b->device_index && x->ndim == y->ndim && same_dims(x->shape, y->shape) &&
               same_dims(x->global_shape, y->global_shape) && same_dims(x->global_offset, y->global_offset);
}

/* Why these two are not the same piece of state, in *err; 0 when they are. */
static int differs(const char *name, const struct stint_tensor *mine, const struct stint_tensor *saved,
                   struct stint_error *err)
{
        char have[TEXT_SHAPE], want[TEXT_SHAPE];

        if (mine->dtype != saved->dtype || mine->ndim != saved->ndim || !same_dims(mine->shape, saved->shape))
                return error_set(err, EPROTO, "tensor '%s' is %s in the program, but %s in the checkpoint", name,
                                 shape_format(have, sizeof have, mine->dtype, mine->ndim, mine->shape),
                                 shape_format(want, sizeof want, saved->dtype, saved->ndim, saved->shape));
        if (!same_dims(mine->global_shape, saved->global_shape) ||
            !same_dims(mine->global_offset, saved->global_offset))
                return error_set(
                        err, EPROTO,
                        "tensor '%s' is another piece of its larger array in the program than in the checkpoint", name);
        return 0;
}

/* Copies what was carried along into the program's memory. */
static int claim(struct layout *l, struct layout_tensor *carried, const struct layout_tensor *now,
                 struct stint_error *err)
{
        const struct device *device = now->device;

        if (differs(carried->name, &now->tensor, &carried->tensor, err) < 0)
                return -1;
        if (l->placement && now->bytes &&
            placement_returns(l->placement, carried->name, now->tensor.role,
                              &(struct stint_place){ carried->tensor.device, carried->device_index },
                              &(struct stint_place){ now->tensor.device, now->device_index }, err) < 0)
                return -1;
        if (now->bytes &&
            (device->copy_in(now->tensor.data, carried->tensor.data, now->bytes, carried->name, err) < 0 ||
             device->sync(err) < 0))
                return error_wrap(err, "tensor '%s' could not be restored", carried->name);
        l->carried--;
        if (carried->tensor.role != now->tensor.role || carried->elsewhere != now->elsewhere)
                changed(l);
        carried->tensor = now->tensor;
        carried->elsewhere = now->elsewhere;
        carried->device = now->device;
        carried->device_index = now->device_index;
        return LAYOUT_CLAIMED;
}

static void replace(struct layout *l, struct layout_tensor *old, const struct layout_tensor *now)
{
        int same = same_kind(old, now);

        l->bytes += now->bytes - old->bytes;
        old->tensor = now->tensor;
        old->device = now->device;
        old->device_index = now->device_index;
        old->bytes = now->bytes;
        old->elsewhere = now->elsewhere;
        if (!same)
                changed(l);
}

int layout_attach(struct layout *l, const char *name, const struct stint_tensor *tensor, struct stint_error *err)
{
        struct layout_tensor now, *old;

        if (!name || !tensor)
                return error_set(err, EINVAL, "stint_attach needs a name and a tensor");
        if (tensor_name_check(name, err) < 0 || understand(l, name, tensor, &now, err) < 0)
                return -1;
        if (l->placement && placement_allows(l->placement, name, &now.tensor, now.device_index, err) < 0)
                return -1;
        old = layout_find(l, name);
        if (old && !old->device)
                return claim(l, old, &now, err);
        if (old) {
                replace(l, old, &now);
                return LAYOUT_NEW;
        }
        return layout_conflict(l, name, err) < 0 ? -1 : add(l, name, &now, err);
}

/* ---- beside a restored image ---------------------------------------------------------------------------------- */

static void from_record(struct stint_tensor *t, const struct table_record *r)
{
        memset(t, 0, sizeof *t);
        t->dtype = (enum stint_dtype)r->dtype;
        t->role = (enum stint_role)r->role;
        t->device = (enum stint_device)r->device;
        t->ndim = (int)r->ndim;
        memcpy(t->shape, r->shape, (size_t)t->ndim * sizeof t->shape[0]);
        if (r->flags & TABLE_SHARD) {
                memcpy(t->global_shape, r->global_shape, (size_t)t->ndim * sizeof t->shape[0]);
                memcpy(t->global_offset, r->global_offset, (size_t)t->ndim * sizeof t->shape[0]);
        }
}

int layout_fits(const struct layout_tensor *t, const struct table_record *record, struct stint_error *err)
{
        struct stint_tensor saved;

        from_record(&saved, record);
        return differs(t->name, &t->tensor, &saved, err);
}

int layout_carry(struct layout *l, const struct table_record *record, const void *bytes, struct stint_error *err)
{
        struct layout_tensor t;

        if (layout_find(l, record->name))
                return error_set(err, EBADMSG, "'%s' stands twice in the table of tensors", record->name);
        memset(&t, 0, sizeof t);
        from_record(&t.tensor, record);
        if (t.tensor.role == STINT_ROLE_AUTO)
                t.tensor.role = STINT_ROLE_OTHER;
        t.tensor.data = (void *)(uintptr_t)bytes; /* only ever read: device is NULL */
        t.device_index = record->device_index;
        t.bytes = record->bytes;
        return layout_conflict(l, record->name, err) < 0 ? -1 : add(l, record->name, &t, err);
}

/* ---- the table ------------------------------------------------------------------------------------------------ */

static void fill_record(struct table_record *r, const struct layout_tensor *t, int whole)
{
        r->bytes = whole ? t->bytes : layout_saved_bytes(t);
        r->dtype = (uint32_t)t->tensor.dtype;
        r->role = (uint32_t)t->tensor.role;
        r->device = (uint32_t)t->tensor.device;
        r->device_index = t->device_index;
        r->ndim = (uint32_t)t->tensor.ndim;
        r->flags = any_set(t->tensor.global_shape) ? TABLE_SHARD : 0;
        if (whole || !t->elsewhere)
                memcpy(r->shape, t->tensor.shape, sizeof r->shape);
        memcpy(r->global_shape, t->tensor.global_shape, sizeof r->global_shape);
        memcpy(r->global_offset, t->tensor.global_offset, sizeof r->global_offset);
        memcpy(r->name, t->name, strlen(t->name));
}

static int write_table(const struct layout *l, int fd, uint32_t record_bytes, int whole, struct stint_error *err)
{
        size_t size = (size_t)l->count * record_bytes;
        const struct layout_tensor *t;
        uint64_t i = 0;
        void *table;

        table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (table == MAP_FAILED)
                return error_system(err, errno, "the table of %llu tensors cannot be mapped",
                                    (unsigned long long)l->count);
        for (t = l->tensors; t; t = layout_next(t))
                fill_record(table_at(table, record_bytes, i++), t, whole);
        munmap(table, size);
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0)
                return error_system(err, errno, "the table of tensors cannot be sealed against writing");
        return 0;
}

static int make_table(const struct layout *l, uint32_t *record_bytes, int whole, struct stint_error *err)
{
        const struct layout_tensor *t;
        size_t longest = 0, length;
        int fd;

        if (!l->count)
                return error_set(err, ENODATA,
                                 "nothing is attached: there is no state to save (stint_attach comes first)");
        for (t = l->tensors; t; t = layout_next(t))
                longest = (length = strlen(t->name)) > longest ? length : longest;
        *record_bytes = table_record_bytes(longest);
        fd = channel_memory("stint-layout", (size_t)l->count * *record_bytes, err);
        if (fd < 0)
                return -1;
        if (write_table(l, fd, *record_bytes, whole, err) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

int layout_list(const struct layout *l, uint32_t *record_bytes, struct stint_error *err)
{
        return make_table(l, record_bytes, 1, err);
}

int layout_table(struct layout *l, uint32_t *record_bytes, struct stint_error *err)
{
        const int fd = make_table(l, record_bytes, 0, err);

        if (fd < 0)
                return -1;
        l->id++;
        l->dirty = 0;
        return fd;
}

int layout_check_image(const void *image, uint64_t image_bytes, uint64_t table_offset, uint64_t count,
                       uint32_t record_bytes, struct stint_error *err)
{
        if (table_offset % 8 || table_offset > image_bytes || record_bytes <= TABLE_RECORD_FIXED ||
            count > TABLE_MOST || count > (image_bytes - table_offset) / record_bytes)
                return error_set(err, EPROTO, "the image that the agent gave has no table of tensors where it says");
        return table_check((const char *)image + table_offset, count, record_bytes, image_bytes, err);
}

void layout_unplace(struct layout *l)
{
        struct layout_tensor *t;

        for (t = l->tensors; t; t = layout_next(t))
                t->placed = 0;
}

int layout_place(struct layout *l, uint32_t id, const void *table, uint64_t count, uint32_t record_bytes,
                 struct stint_error *err)
{
        const struct table_record *r;
        struct layout_tensor *t;
        uint64_t i;

        if (count != l->count)
                return error_set(err, EPROTO, "the agent made room for %llu tensors, but %llu are attached",
                                 (unsigned long long)count, (unsigned long long)l->count);
        for (i = 0; i < count; i++) {
                r = (const struct table_record *)(const void *)((const char *)table + i * record_bytes);
                t = layout_find(l, r->name);
                if (!t || t->placed == id || layout_saved_bytes(t) != r->bytes)
                        return error_set(err, EPROTO,
                                         "the agent made room for other tensors than those attached ('%s')", r->name);
                t->placed = id;
                t->offset = r->file_offset;
        }
        return 0;
}
