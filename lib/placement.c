/* SPDX-License-Identifier: BSD-3-Clause */
/* placement: from roles and words to places.  where, layout and fit call in. */
#include "placement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "names.h"

#define WORDS "auto, cuda, cuda:N, sim, sim:N or cpu"
#define MOST_INDEX 4095 /* of a device: more are in no machine */
#define LIST_TEXT ((1 + PLACE_MORE) * PLACE_TEXT)

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
static const char *wish_format(char out[PLACE_TEXT], const struct place_wish *wish)
{
        const struct stint_place place = { wish->device, wish->index };

        if (wish->device == STINT_DEVICE_HOST || wish->index >= 0)
                return place_format(out, &place);
        snprintf(out, PLACE_TEXT, "%s", device_name(wish->device));
        return out;
}

/* "sim:2,sim:0", when it is the model's and a list. */
static const char *said_format(char out[LIST_TEXT], const struct placement *p, const struct place_wish *wish)
{
        char first[PLACE_TEXT];
        int i, at = snprintf(out, LIST_TEXT, "%s", wish_format(first, wish));

        for (i = 0; i < p->more; i++)
                at += snprintf(out + at, (size_t)(LIST_TEXT - at), ",%s:%d", device_name(wish->device), p->also[i]);
        return out;
}

/* ---- words ---------------------------------------------------------------------------------------------------- */

/* ":N" behind the name of a device, or nothing. */
static int read_index(const char *text, int *index)
{
        char *end;
        long n;

        *index = -1;
        if (!*text)
                return 0;
        if (*text++ != ':' || *text < '0' || *text > '9')
                return -1;
        n = strtol(text, &end, 10);
        if (*end || n > MOST_INDEX)
                return -1;
        *index = (int)n;
        return 0;
}

static int read_wish(const char *text, struct place_wish *wish)
{
        *wish = (struct place_wish){ .word = PLACE_AT, .device = STINT_DEVICE_HOST, .index = -1 };
        if (!strcmp(text, "cpu"))
                return 0;
        if (!strcmp(text, "auto") || !strcmp(text, "saved")) {
                wish->word = *text == 'a' ? PLACE_AUTO : PLACE_SAVED;
                return 0;
        }
        wish->device = !strncmp(text, "cuda", 4) ? STINT_DEVICE_CUDA : STINT_DEVICE_SIM;
        if (wish->device == STINT_DEVICE_SIM && strncmp(text, "sim", 3))
                return -1;
        return read_index(text + strlen(device_name(wish->device)), &wish->index);
}

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
        struct place_wish wish;
        int i;

        if (read_wish(text, &wish) < 0)
                return error_set(err, EINVAL, "map_location has '%s': a place is saved, " WORDS, text);
        for (i = STINT_ROLE_MODEL; i <= STINT_ROLE_OTHER; i++)
                if (i != STINT_ROLE_RNG)
                        p->map[i] = wish;
        return 0;
}

static int map_one(struct placement *p, char *pair, struct stint_error *err)
{
        char *place = strchr(pair, '=');
        struct place_wish wish;
        enum stint_role role;

        if (!place)
                return error_set(err, EINVAL, "map_location has '%s' among its roles: each is ROLE=PLACE", pair);
        *place++ = '\0';
        if (read_role(pair, &role) < 0)
                return error_set(err, EINVAL,
                                 "map_location has '%s', which is no role: model, loss, optimizer, rng, rng_device, "
                                 "data, metrics, other", pair);
        if (read_wish(place, &wish) < 0)
                return error_set(err, EINVAL, "map_location has '%s=%s': a place is saved, " WORDS, pair, place);
        if (role == STINT_ROLE_RNG && (wish.word != PLACE_AT || wish.device != STINT_DEVICE_HOST))
                return error_set(err, EINVAL,
                                 "map_location has 'rng=%s': the state of the CPU's generator is never mapped to a "
                                 "device", place);
        if (p->map[role].word != PLACE_UNSAID)
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

static int is_in_list(const struct placement *p, int index)
{
        int i;

        for (i = 0; i < p->more; i++)
                if (p->also[i] == index)
                        return 1;
        return p->model.index == index;
}

/* One that follows the first of a list: another one, of the same kind, by its number. */
static int read_also(struct placement *p, const char *word)
{
        struct place_wish wish;

        if (read_wish(word, &wish) < 0 || wish.word != PLACE_AT || wish.device == STINT_DEVICE_HOST ||
            wish.device != p->model.device || wish.index < 0 || is_in_list(p, wish.index) || p->more == PLACE_MORE)
                return -1;
        p->also[p->more++] = wish.index;
        return 0;
}

static int read_model(struct placement *p, const char *text)
{
        char copy[LIST_TEXT], *word, *rest = copy;

        if (strlen(text) >= sizeof copy)
                return -1;
        strcpy(copy, text);
        if (read_wish(strsep(&rest, ","), &p->model) < 0 || p->model.word == PLACE_SAVED ||
            (rest && (p->model.word != PLACE_AT || p->model.index < 0)))
                return -1;
        while ((word = strsep(&rest, ",")))
                if (read_also(p, word) < 0)
                        return -1;
        return 0;
}

int placement_init(struct placement *p, const struct stint_options *options, struct stint_error *err)
{
        const char *env = getenv("STINT_MODEL_DEVICE"), *map = options ? options->map_location : NULL;
        const char *own = options ? options->model_device : NULL;
        const char *model = own ? own : env && *env ? env : NULL, *who = own ? "model_device" : "STINT_MODEL_DEVICE";

        *p = (struct placement){ .model = { .word = PLACE_AUTO }, .allow_host = options && options->allow_host };
        if (model && map)
                return error_set(err, EINVAL,
                                 "map_location (\"%s\") and %s (\"%s\") are both given: say where the model goes in "
                                 "one of them", map, who, model);
        if (map)
                return read_map(p, map, err);
        if (model && read_model(p, model) < 0)
                return error_set(err, EINVAL,
                                 "%s is '%s': it is " WORDS ", or a list of devices by their numbers, such as "
                                 "cuda:0,cuda:1", who, model);
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

        for (i = 0; i < p->more; i++)
                if (find_at(p->model.device, p->also[i], place, err) < 0)
                        return -1;
        return find_at(p->model.device, p->model.index, place, err);
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

static int find(const struct placement *p, const struct place_wish *wish, const struct stint_place *saved,
                struct stint_place *place, struct stint_error *err)
{
        switch (wish->word) {
        case PLACE_AT:
                return wish == &p->model ? find_model(p, place, err)
                                         : find_at(wish->device, wish->index, place, err);
        case PLACE_SAVED:
                if (saved)
                        return find_at(saved->device, saved->index, place, err);
                return find_auto(p, NULL, place, err);
        case PLACE_UNSAID:
        case PLACE_AUTO:
                break;
        }
        return find_auto(p, saved, place, err);
}

/* What stays on the host whatever was said, but where it was saved elsewhere and shall go back there. */
static int bound_to_host(const struct placement *p, const struct placement_question *q)
{
        if (q->role == STINT_ROLE_OPTIMIZER)
                return q->ndim == 0 && p->map[q->role].word != PLACE_SAVED &&
                       !(q->parameter && q->parameter_ndim == 0);
        return q->role == STINT_ROLE_RNG;
}

/* The destination table, by role; what the map says comes first. */
int placement_of(const struct placement *p, const struct placement_question *q, struct stint_place *place,
                 struct stint_error *err)
{
        const struct place_wish *wish = &p->map[q->role];
        struct stint_place found = host;

        if (bound_to_host(p, q)) {
                *place = host;
                return 0;
        }
        if (wish->word == PLACE_UNSAID)
                switch (q->role) {
                case STINT_ROLE_OPTIMIZER:
                        if (q->parameter) {
                                *place = *q->parameter;
                                return 0;
                        }
                        wish = p->map[STINT_ROLE_MODEL].word != PLACE_UNSAID ? &p->map[STINT_ROLE_MODEL] : &p->model;
                        break;
                case STINT_ROLE_MODEL:
                case STINT_ROLE_LOSS:
                case STINT_ROLE_RNG_DEVICE:
                        wish = &p->model;
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
static struct place_wish said_of(const struct placement *p, enum stint_role role, int ndim)
{
        const struct place_wish nothing = { .word = PLACE_UNSAID };

        if (role == STINT_ROLE_OPTIMIZER && ndim == 0)
                return nothing; /* where the program keeps its counters is its own affair */
        if (p->map[role].word != PLACE_UNSAID)
                return p->map[role];
        return role == STINT_ROLE_MODEL || role == STINT_ROLE_LOSS || role == STINT_ROLE_OPTIMIZER ||
                               role == STINT_ROLE_RNG_DEVICE
                       ? p->model
                       : nothing;
}

/* A list is the model's, and then there is no map: the wish is the list's first. */
static int is_there(const struct placement *p, const struct place_wish *wish, const struct stint_place *place)
{
        return wish->device == place->device &&
               (wish->index < 0 || wish->index == place->index || (p->more && is_in_list(p, place->index)));
}

int placement_allows(struct placement *p, const char *name, const struct stint_tensor *tensor, int index,
                     struct stint_error *err)
{
        const struct stint_place now = { tensor->device, index };
        const struct place_wish wish = said_of(p, tensor->role, tensor->ndim);
        char is[PLACE_TEXT], wanted[LIST_TEXT];

        if (!tensor->data)
                return 0;
        if (tensor->role == STINT_ROLE_RNG && is_on_device(&now))
                return error_set(err, EINVAL,
                                 "tensor '%s' is in the memory of %s, and the state of the CPU's generator belongs in "
                                 "host memory; if it is a device's generator, attach it as STINT_ROLE_RNG_DEVICE",
                                 name, place_format(is, &now));
        /* The state of a device's generator is mostly handed out as bytes of the host. */
        if (wish.word == PLACE_AT && !is_there(p, &wish, &now) &&
            !(tensor->role == STINT_ROLE_RNG_DEVICE && now.device == STINT_DEVICE_HOST))
                return error_set(err, EINVAL,
                                 "tensor '%s' (role %s) is in %s, and %s says %s: ask stint_place before allocating it",
                                 name, role_name(tensor->role), place_format(is, &now),
                                 p->map[tensor->role].word != PLACE_UNSAID ? "map_location" : "model_device",
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
        const struct place_wish *wish = p->map[role].word != PLACE_UNSAID ? &p->map[role] : &p->model;
        char was[PLACE_TEXT], is[PLACE_TEXT];

        if (wish->word == PLACE_SAVED && (saved->device != now->device || saved->index != now->index))
                return error_set(err, EINVAL,
                                 "tensor '%s' is in %s, and was in %s when it was saved, where map_location says that "
                                 "it shall be", name, place_format(is, now), place_format(was, saved));
        if (!is_on_device(saved) || is_on_device(now) || p->on_device || p->allow_host || wish->word != PLACE_AUTO ||
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
