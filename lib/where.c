/* SPDX-License-Identifier: BSD-3-Clause */
/* where: a tensor's place before it has one.  stint_place, and whoever takes memory of the library's own, call in. */
#include "where.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "memory.h"
#include "names.h"
#include "safepoint.h"

/* Host memory is not asked about for fewer bytes: to ask takes longer than such a tensor is worth. */
#define ROOM_LEAST (UINT64_C(16) << 20)

/* What is asked for, from the program's words or the checkpoint's. */
struct wanted {
        struct placement_question question;
        struct stint_place parameter, saved;
        uint64_t bytes;
};

/* ---- the checkpoint that will come back ----------------------------------------------------------------------- */

static const struct table_record *record_at(const struct generation *g, uint64_t i)
{
        return table_at(g->table, g->seal.record_bytes, i);
}

static int by_name(const void *a, const void *b)
{
        const struct table_record *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

/* Programs ask for each of their tensors, and there may be very many. */
static void sort_records(struct where *w)
{
        uint64_t i, n = w->newest.seal.table_count;

        w->by_name = calloc(n + 1, sizeof *w->by_name);
        for (i = 0; w->by_name && i < n; i++)
                w->by_name[i] = record_at(&w->newest, i);
        if (w->by_name)
                qsort(w->by_name, n, sizeof *w->by_name, by_name);
}

static int to_record(const void *name, const void *record)
{
        const struct table_record *const *r = record;

        return strcmp(name, (*r)->name);
}

static const struct table_record *find_record(const struct where *w, const char *name)
{
        const struct seal *seal = &w->newest.seal;
        const struct table_record *const *found;

        if (!w->by_name)
                return table_find(w->newest.table, seal->table_count, seal->record_bytes, name);
        found = bsearch(name, w->by_name, seal->table_count, sizeof *w->by_name, to_record);
        return found ? *found : NULL;
}

/* Looked for once.  What cannot be read is not there: stint_restore will say what is the matter with it. */
static const struct generation *glimpse(struct stint *s)
{
        struct where *w = &s->where;
        struct stint_error why;
        int found;

        if (w->looked || s->restored.asked || !*s->session.dir)
                return w->has ? &w->newest : NULL;
        w->looked = 1;
        found = generation_find(&w->newest, s->session.dir, STINT_NEWEST, s->session.rank, s->session.ranks, NULL,
                                &why);
        w->has = found == 1;
        if (w->has)
                sort_records(w);
        if (found < 0)
                session_log(&s->session, STINT_LOG_DEBUG, "where tensors go is told without the newest checkpoint: %s",
                            why.text);
        return w->has ? &w->newest : NULL;
}

void where_forget(struct where *w)
{
        if (w->has)
                generation_close(&w->newest);
        free(w->by_name);
        w->by_name = NULL;
        w->has = 0;
        w->looked = 1;
}

/* ---- the question --------------------------------------------------------------------------------------------- */

static void saved_in(struct wanted *q, enum stint_device device, int index)
{
        q->saved = (struct stint_place){ device, index };
        q->question.saved = &q->saved;
}

static int from_tensor(const char *name, const struct stint_tensor *t, struct wanted *q, struct stint_error *err)
{
        if (layout_role(t->role) < STINT_ROLE_AUTO || layout_role(t->role) > STINT_ROLE_OTHER)
                return error_set(err, EINVAL, "tensor '%s': %d is no role", name, (int)t->role);
        q->question.role = layout_role(t->role);
                if (q->question.role == STINT_ROLE_AUTO)
                        q->question.role = role_from_name(name);
        q->question.ndim = t->ndim;
        if (shape_bytes(t->dtype, t->ndim, t->shape, &q->bytes, err) < 0)
                return error_wrap(err, "tensor '%s'", name);
        return 0;
}

static void from_record(const struct table_record *r, struct wanted *q)
{
        q->question.role = (enum stint_role)r->role;
        q->question.ndim = (int)r->ndim;
        q->bytes = r->bytes;
}

/* Where it was when it was saved: by the glimpse, and after the restore by what is carried along still. */
static const struct table_record *look_up(struct stint *s, const char *name, struct wanted *q)
{
        const struct generation *g = glimpse(s);
        const struct layout_tensor *t = layout_find(&s->layout, name);
        const struct table_record *r = g ? find_record(&s->where, name) : NULL;

        if (r)
                saved_in(q, (enum stint_device)r->device, r->device_index);
        else if (t && !t->device)
                saved_in(q, t->tensor.device, t->device_index);
        return r;
}

static int understand(struct stint *s, const char *name, const struct stint_tensor *tensor, struct wanted *q,
                      struct stint_error *err)
{
        const struct table_record *r;
        const struct layout_tensor *t;

        if (tensor_name_check(name, err) < 0)
                return -1;
        r = look_up(s, name, q);
        if (tensor)
                return from_tensor(name, tensor, q, err);
        if (r) {
                from_record(r, q);
                return 0;
        }
        t = layout_find(&s->layout, name);
        if (t)
                return from_tensor(name, &t->tensor, q, err);
        return error_set(err, ENOENT, "no checkpoint has a tensor '%s': say its dtype and shape", name);
}

static int understand_parameter(struct stint *s, const char *name, const char *parameter, struct wanted *q,
                                struct stint_error *err)
{
        const struct layout_tensor *t;

        if (!parameter)
                return 0;
        t = layout_find(&s->layout, parameter);
        if (!t || !t->device)
                return error_set(err, ENOENT, "tensor '%s' goes where its parameter '%s' is, which is not attached: "
                                 "attach that first", name, parameter);
        q->parameter = (struct stint_place){ t->tensor.device, t->device_index };
        q->question.parameter = &q->parameter;
        q->question.parameter_ndim = t->tensor.ndim;
        return 0;
}

/* ---- room ----------------------------------------------------------------------------------------------------- */

int where_room(uint64_t bytes, struct stint_error *err)
{
        const int64_t left = memory_available();
        char need[32], have[32];

        if (left < 0 || bytes <= (uint64_t)left)
                return 0;
        return error_set(err, ENOMEM, "%s of host memory are needed, and %s are free",
                         size_format(need, sizeof need, (int64_t)bytes), size_format(have, sizeof have, left));
}

static int same_place(const struct stint_place *a, const struct stint_place *b)
{
        return a->device == b->device && a->index == b->index;
}

/* What the checkpoint will put there, by role, and is not attached yet: the sum. */
static uint64_t sum_there(struct stint *s, const struct generation *g, const struct stint_place *place,
                          uint64_t by_role[STINT_ROLE_OTHER + 1])
{
        uint64_t i, sum = 0;

        for (i = 0; i < g->seal.table_count; i++) {
                const struct table_record *r = record_at(g, i);
                struct stint_place saved = { (enum stint_device)r->device, r->device_index }, there;
                struct placement_question q = { (enum stint_role)r->role, (int)r->ndim, .saved = &saved };

                if (layout_find(&s->layout, r->name) || placement_of(&s->placement, &q, &there, NULL) < 0 ||
                    !same_place(&there, place))
                        continue;
                by_role[r->role] += r->bytes;
                sum += r->bytes;
        }
        return sum;
}

/* "model 64.0 MiB, optimizer 32.0 MiB" */
static const char *list_roles(char *out, size_t size, const uint64_t by_role[STINT_ROLE_OTHER + 1])
{
        char words[32];
        size_t at = 0;
        int i;

        *out = '\0';
        for (i = STINT_ROLE_MODEL; i <= STINT_ROLE_OTHER && at < size; i++)
                if (by_role[i])
                        at += (size_t)snprintf(out + at, size - at, "%s%s %s", at ? ", " : "",
                                               role_name((enum stint_role)i),
                                               size_format(words, sizeof words, (int64_t)by_role[i]));
        return out;
}

static uint64_t *counted_at(struct stint *s, const struct stint_place *place)
{
        return &s->where.counted[place->device == STINT_DEVICE_CUDA];
}

static uint64_t bit_of(const struct stint_place *place)
{
        return place->index < 64 ? UINT64_C(1) << place->index : 0;
}

/* What a device has, in the words of a refusal. */
struct room {
        int in_use; /* by the program: then what is free is known, else only what there is */
        uint64_t left, all;
};

/* ", of whose 64.0 GiB are 63.5 GiB free", ", which has 64.0 GiB" */
static const char *room_format(char *out, size_t size, const struct room *room)
{
        char left[32], all[32];

        size_format(all, sizeof all, (int64_t)room->all);
        if (room->in_use)
                snprintf(out, size, ", of whose %s are %s free", all,
                         size_format(left, sizeof left, (int64_t)room->left));
        else
                snprintf(out, size, ", which has %s", all);
        return out;
}

static int count_all(struct stint *s, const struct stint_place *place, const struct room *room, struct stint_error *err)
{
        uint64_t by_role[STINT_ROLE_OTHER + 1] = { 0 };
        const struct generation *g = glimpse(s);
        char roles[200], there[PLACE_TEXT], need[32], has[100];
        uint64_t sum;

        if (!g || *counted_at(s, place) & bit_of(place))
                return 0;
        sum = sum_there(s, g, place, by_role);
        if (sum <= room->left) {
                *counted_at(s, place) |= bit_of(place);
                return 0;
        }
        return error_set(err, ENOMEM,
                         "checkpoint %s will put %s on %s (%s)%s: it needs a device with more memory, or a "
                         "map_location that puts less there", g->name, size_format(need, sizeof need, (int64_t)sum),
                         place_format(there, place), list_roles(roles, sizeof roles, by_role),
                         room_format(has, sizeof has, room));
}

/* 1: nothing is known of it. */
static int room_of(const struct stint_place *place, struct room *room, struct stint_error *err)
{
        const struct device *device = device_of_kind(place->device, err);
        int rc;

        *room = (struct room){ .left = 0 };
        if (!device)
                return -1;
        rc = device->memory ? device->memory(place->index, &room->left, &room->all, err) : 1;
        room->in_use = rc == 0;
        return rc < 0 ? -1 : room->all == 0;
}

/* Whether it is free there, and the first time whether all is that will go there. */
static int check_room(struct stint *s, const char *name, uint64_t bytes, const struct stint_place *place,
                      struct stint_error *err)
{
        char there[PLACE_TEXT], need[32], has[100];
        struct room room;
        int rc;

        if (place->device == STINT_DEVICE_HOST)
                return bytes >= ROOM_LEAST && where_room(bytes, err) < 0 ? error_wrap(err, "tensor '%s'", name) : 0;
        rc = room_of(place, &room, err);
        if (rc < 0)
                return error_wrap(err, "tensor '%s'", name);
        if (rc == 1) { /* what is there already is not known later either, so the sum is not compared any more */
                if (s)
                        *counted_at(s, place) |= bit_of(place);
                return 0;
        }
        if (s && count_all(s, place, &room, err) < 0)
                return -1;
        if (bytes <= room.left)
                return 0;
        return error_set(err, ENOMEM, "tensor '%s' has %s, and is to be on %s%s", name,
                         size_format(need, sizeof need, (int64_t)bytes), place_format(there, place),
                         room_format(has, sizeof has, &room));
}

/* ---- the answer ----------------------------------------------------------------------------------------------- */

/*
 * In a run that begins it is no error that "auto" comes to the host; but somebody may have meant a GPU, and training
 * goes on for days without one.  So the log says it once, and what CUDA says.
 */
static void tell_host(struct stint *s, enum stint_role role, const struct stint_place *found)
{
        const struct wish *map = &s->placement.map[role];
        const enum wish_word word = map->word != WISH_UNSAID ? map->word : s->placement.model.first.word;
        const struct device *cuda;
        struct stint_error why;
        int count, current;

        if (role != STINT_ROLE_MODEL || found->device != STINT_DEVICE_HOST || word != WISH_AUTO || s->where.told_host)
                return;
        s->where.told_host = 1;
        cuda = device_of_kind(STINT_DEVICE_CUDA, &why);
        if (!cuda || cuda->present(&count, &current, &why) < 0)
                session_log(&s->session, STINT_LOG_NOTICE, "the model goes to host memory, as there is no device: %s",
                            why.text);
}

int where_is(struct stint *s, const char *name, const struct stint_tensor *tensor, const char *parameter,
             struct stint_place *place)
{
        struct wanted q = { .bytes = 0 };
        struct stint_place found;
        struct stint_error *err = &s->why;

        if (!name || !place)
                return error_set(err, EINVAL, "stint_place needs a name, and room for its answer");
        if (understand(s, name, tensor, &q, err) < 0 || understand_parameter(s, name, parameter, &q, err) < 0)
                return -1;
        if (placement_of(&s->placement, &q.question, &found, err) < 0)
                return error_wrap(err, "tensor '%s'", name);
        if (check_room(s, name, q.bytes, &found, err) < 0)
                return -1;
        tell_host(s, q.question.role, &found);
        *place = found;
        return 0;
}

int where_without(const char *name, const struct stint_tensor *tensor, struct stint_place *place)
{
        struct wanted q = { .bytes = 0 };
        struct placement p;
        struct stint_place found;

        if (!name || !tensor || !place || tensor_name_check(name, NULL) < 0 ||
            from_tensor(name, tensor, &q, NULL) < 0 || placement_init(&p, NULL, NULL) < 0 ||
            placement_of(&p, &q.question, &found, NULL) < 0 || check_room(NULL, name, q.bytes, &found, NULL) < 0)
                return -1;
        *place = found;
        return 0;
}
