/* SPDX-License-Identifier: BSD-3-Clause */
/* placement: from roles and words to places.  where, layout and fit call in. */
#include "placement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "names.h"

#define LIST_TEXT ((1 + WISH_MORE) * PLACE_TEXT)

const char *place_format(char out[PLACE_TEXT], const struct stint_place *place)
{
        if (place->device == STINT_DEVICE_HOST)
                snprintf(out, PLACE_TEXT, "host memory");
        else
                snprintf(out, PLACE_TEXT, "%s:%d", device_name(place->device), place->index);
        return out;
}

static int is_on_device(const struct stint_place *place)
{
        return place->device == STINT_DEVICE_SIM || place->device == STINT_DEVICE_CUDA;
}

/* What a wish for one place is called: "cuda" is any of them. */
static const char *format_wish(char out[PLACE_TEXT], const struct wish *wish)
{
        const struct stint_place place = { wish->device, wish->index };

        if (wish->device == STINT_DEVICE_HOST || wish->index >= 0)
                return place_format(out, &place);
        snprintf(out, PLACE_TEXT, "%s", device_name(wish->device));
        return out;
}

/* "sim:2,sim:0", when it is the model's and a list. */
static const char *said_format(char out[LIST_TEXT], const struct placement *p, const struct wish *wish)
{
        char first[PLACE_TEXT];
        int i, at = snprintf(out, LIST_TEXT, "%s", format_wish(first, wish));

        for (i = 0; i < p->model.more; i++)
                at += snprintf(out + at, (size_t)(LIST_TEXT - at), ",%s:%d", device_name(wish->device),
                               p->model.also[i]);
        return out;
}

/* ---- words ---------------------------------------------------------------------------------------------------- */

static int read_role(const char *word, enum stint_role *role)
{
        int i;

        for (i = STINT_ROLE_MODEL; i <= STINT_ROLE_OTHER; i++)
                if (!strcmp(role_name((enum stint_role)i), word)) {
                        *role = (enum stint_role)i;
                        return 0;
                }
        return -1;
}

/* One word for every role: a generator of the CPU stays where it is. */
static int map_all(struct placement *p, const char *text, struct stint_error *err)
{
        struct wish wish;
        int i;

        if (wish_read(&wish, text) < 0)
                return error_set(err, EINVAL, "map_location has '%s': a place is saved, " WISH_WORDS, text);
        for (i = STINT_ROLE_MODEL; i <= STINT_ROLE_OTHER; i++)
                if (i != STINT_ROLE_RNG)
                        p->map[i] = wish;
        return 0;
}

static int map_one(struct placement *p, char *pair, struct stint_error *err)
{
        char *place = strchr(pair, '=');
        struct wish wish;
        enum stint_role role;

        if (!place)
                return error_set(err, EINVAL, "map_location has '%s' among its roles: each is ROLE=PLACE", pair);
        *place++ = '\0';
        if (read_role(pair, &role) < 0)
                return error_set(err, EINVAL,
                                 "map_location has '%s', which is no role: model, loss, optimizer, rng, rng_device, "
                                 "data, metrics, other", pair);
        if (wish_read(&wish, place) < 0)
                return error_set(err, EINVAL, "map_location has '%s=%s': a place is saved, " WISH_WORDS, pair, place);
        if (role == STINT_ROLE_RNG && (wish.word != WISH_AT || wish.device != STINT_DEVICE_HOST))
                return error_set(err, EINVAL,
                                 "map_location has 'rng=%s': the state of the CPU's generator is never mapped to a "
                                 "device", place);
        if (p->map[role].word != WISH_UNSAID)
                return error_set(err, EINVAL, "map_location has '%s' twice", pair);
        p->map[role] = wish;
        return 0;
}

static int read_map(struct placement *p, const char *text, struct stint_error *err)
{
        char copy[256], *pair, *rest = copy;

        if (!strchr(text, '='))
                return map_all(p, text, err);
        if (strlen(text) >= sizeof copy)
                return error_set(err, EINVAL, "map_location is longer than %zu bytes", sizeof copy - 1);
        strcpy(copy, text);
        while ((pair = strsep(&rest, ",")))
                if (map_one(p, pair, err) < 0)
                        return -1;
        return 0;
}

int placement_init(struct placement *p, const struct stint_options *options, struct stint_error *err)
{
        const char *env = getenv("STINT_MODEL_DEVICE"), *map = options ? options->map_location : NULL;
        const char *own = options ? options->model_device : NULL;
        const char *model = own ? own : env && *env ? env : NULL, *who = own ? "model_device" : "STINT_MODEL_DEVICE";

        *p = (struct placement){ .model.first.word = WISH_AUTO, .allow_host = options && options->allow_host };
        if (model && map)
                return error_set(err, EINVAL,
                                 "map_location (\"%s\") and %s (\"%s\") are both given: say where the model goes in "
                                 "one of them", map, who, model);
        if (map)
                return read_map(p, map, err);
        if (model && wish_read_model(&p->model, model) < 0)
                return error_set(err, EINVAL, "%s is '%s': it is " WISH_WORDS ", or " WISH_LISTS, who, model);
        return 0;
}

/* ---- places --------------------------------------------------------------------------------------------------- */

static const struct stint_place host = { STINT_DEVICE_HOST, -1 };

static int find_at(enum stint_device kind, int index, struct stint_place *place, struct stint_error *err)
{
        const struct device *device;
        int count, current;

        *place = host;
        if (kind == STINT_DEVICE_HOST)
                return 0;
        device = device_of_kind(kind, err);
        if (!device)
                return -1;
        if (!device->present)
                return error_set(err, ENODEV, "this libstint knows of no %s device", device_name(kind));
        if (device->present(&count, &current, err) < 0)
                return -1;
        if (index >= count)
                return error_set(err, ENODEV, "there is no %s:%d: this process sees %d, counted from 0",
                                 device_name(kind), index, count);
        *place = (struct stint_place){ kind, index < 0 ? current : index };
        return 0;
}

/* The model goes to the first of a list; that the others are there is found out before anything is allocated. */
static int find_model(const struct placement *p, struct stint_place *place, struct stint_error *err)
{
        int i;

        for (i = 0; i < p->model.more; i++)
                if (find_at(p->model.first.device, p->model.also[i], place, err) < 0)
                        return -1;
        return find_at(p->model.first.device, p->model.first.index, place, err);
}

/* The simulated device is there where somebody asked for it, who means it then; nothing is loaded for another. */
static int find_auto(const struct placement *p, const struct stint_place *saved, struct stint_place *place,
                     struct stint_error *err)
{
        struct stint_error cuda, sim;
        char was[PLACE_TEXT];

        if (find_at(STINT_DEVICE_SIM, -1, place, &sim) == 0 || find_at(STINT_DEVICE_CUDA, -1, place, &cuda) == 0)
                return 0;
        *place = host;
        if (!saved || !is_on_device(saved) || p->allow_host)
                return 0;
        return error_set(err, ENODEV,
                         "it was on %s when it was saved, and this process has no device (%s): for host memory say "
                         "model_device=cpu (STINT_MODEL_DEVICE=cpu), or set options.allow_host",
                         place_format(was, saved), saved->device == STINT_DEVICE_SIM ? sim.text : cuda.text);
}

static int find(const struct placement *p, const struct wish *wish, const struct stint_place *saved,
                struct stint_place *place, struct stint_error *err)
{
        switch (wish->word) {
        case WISH_AT:
                return wish == &p->model.first ? find_model(p, place, err)
                                               : find_at(wish->device, wish->index, place, err);
        case WISH_SAVED:
                if (saved)
                        return find_at(saved->device, saved->index, place, err);
                return find_auto(p, NULL, place, err);
        case WISH_UNSAID:
        case WISH_AUTO:
                break;
        }
        return find_auto(p, saved, place, err);
}

/* What stays on the host whatever was said, but where it was saved elsewhere and shall go back there. */
static int bound_to_host(const struct placement *p, const struct placement_question *q)
{
        if (q->role == STINT_ROLE_OPTIMIZER)
                return q->ndim == 0 && p->map[q->role].word != WISH_SAVED &&
                       !(q->parameter && q->parameter_ndim == 0);
        return q->role == STINT_ROLE_RNG;
}

/* The destination table, by role; what the map says comes first. */
int placement_of(const struct placement *p, const struct placement_question *q, struct stint_place *place,
                 struct stint_error *err)
{
        const struct wish *wish = &p->map[q->role];
        struct stint_place found = host;

        if (bound_to_host(p, q)) {
                *place = host;
                return 0;
        }
        if (wish->word == WISH_UNSAID)
                switch (q->role) {
                case STINT_ROLE_OPTIMIZER:
                        if (q->parameter) {
                                *place = *q->parameter;
                                return 0;
                        }
                        wish = p->map[STINT_ROLE_MODEL].word != WISH_UNSAID ? &p->map[STINT_ROLE_MODEL]
                                                                            : &p->model.first;
                        break;
                case STINT_ROLE_MODEL:
                case STINT_ROLE_LOSS:
                case STINT_ROLE_RNG_DEVICE:
                        wish = &p->model.first;
                        break;
                default:
                        *place = host;
                        return 0;
                }
        if (find(p, wish, q->saved, &found, err) < 0)
                return -1;
        *place = found;
        return 0;
}

/* ---- contradictions ------------------------------------------------------------------------------------------- */

/* What somebody said of this role in so many words; UNSAID or AUTO where nothing follows from it. */
static struct wish said_of(const struct placement *p, enum stint_role role, int ndim)
{
        const struct wish nothing = { .word = WISH_UNSAID };

        if (role == STINT_ROLE_OPTIMIZER && ndim == 0)
                return nothing; /* where the program keeps its counters is its own affair */
        if (p->map[role].word != WISH_UNSAID)
                return p->map[role];
        return role == STINT_ROLE_MODEL || role == STINT_ROLE_LOSS || role == STINT_ROLE_OPTIMIZER ||
                               role == STINT_ROLE_RNG_DEVICE
                       ? p->model.first
                       : nothing;
}

/* A list is the model's, and then there is no map: the wish is the list's first. */
static int is_there(const struct placement *p, const struct wish *wish, const struct stint_place *place)
{
        return wish->device == place->device &&
               (wish->index < 0 || wish->index == place->index || (p->model.more && wish_has(&p->model, place->index)));
}

int placement_allows(struct placement *p, const char *name, const struct stint_tensor *tensor, int index,
                     struct stint_error *err)
{
        const struct stint_place now = { tensor->device, index };
        const struct wish wish = said_of(p, tensor->role, tensor->ndim);
        char is[PLACE_TEXT], wanted[LIST_TEXT];

        if (!tensor->data)
                return 0;
        if (tensor->role == STINT_ROLE_RNG && is_on_device(&now))
                return error_set(err, EINVAL,
                                 "tensor '%s' is in the memory of %s, and the state of the CPU's generator belongs in "
                                 "host memory; if it is a device's generator, attach it as STINT_ROLE_RNG_DEVICE",
                                 name, place_format(is, &now));
        /* The state of a device's generator is mostly handed out as bytes of the host. */
        if (wish.word == WISH_AT && !is_there(p, &wish, &now) &&
            !(tensor->role == STINT_ROLE_RNG_DEVICE && now.device == STINT_DEVICE_HOST))
                return error_set(err, EINVAL,
                                 "tensor '%s' (role %s) is in %s, and %s says %s: ask stint_place before allocating it",
                                 name, role_name(tensor->role), place_format(is, &now),
                                 p->map[tensor->role].word != WISH_UNSAID ? "map_location" : "model_device",
                                 said_format(wanted, p, &wish));
        p->on_device |= is_on_device(&now);
        return 0;
}

/* Dataset, metrics and the CPU's generator are at home on the host, so that they are there says nothing. */
static int at_home_on_host(enum stint_role role)
{
        return role == STINT_ROLE_RNG || role == STINT_ROLE_DATA || role == STINT_ROLE_METRICS;
}

int placement_returns(const struct placement *p, const char *name, enum stint_role role,
                      const struct stint_place *saved, const struct stint_place *now, struct stint_error *err)
{
        const struct wish *wish = p->map[role].word != WISH_UNSAID ? &p->map[role] : &p->model.first;
        char was[PLACE_TEXT], is[PLACE_TEXT];

        if (wish->word == WISH_SAVED && (saved->device != now->device || saved->index != now->index))
                return error_set(err, EINVAL,
                                 "tensor '%s' is in %s, and was in %s when it was saved, where map_location says that "
                                 "it shall be", name, place_format(is, now), place_format(was, saved));
        if (!is_on_device(saved) || is_on_device(now) || p->on_device || p->allow_host || wish->word != WISH_AUTO ||
            at_home_on_host(role))
                return 0;
        return error_set(err, ENODEV,
                         "tensor '%s' was on %s when it was saved and is in host memory now, as all that is attached: "
                         "training would go on without a device unnoticed; if it shall, say model_device=cpu "
                         "(STINT_MODEL_DEVICE=cpu), or set options.allow_host", name, place_format(was, saved));
}

int placement_check(const struct placement *p, const struct layout *l, struct stint_error *err)
{
        const struct layout_tensor *t;

        for (t = l->tensors; t; t = layout_next(t)) {
                const struct table_record *r = t->record;

                if (r && t->device && t->bytes &&
                    placement_returns(p, t->name, t->tensor.role,
                                      &(struct stint_place){ (enum stint_device)r->device, r->device_index },
                                      &(struct stint_place){ t->tensor.device, t->device_index }, err) < 0)
                        return -1;
        }
        return 0;
}
