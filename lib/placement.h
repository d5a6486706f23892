/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placement: where state goes when the devices have changed: the map of map_location, the table that makes a place
 * of a role, and what contradicts them.  stint_place asks it, layout at every attach, and fit before the
 * first byte is copied.
 */
#ifndef STINT_PLACEMENT_H
#define STINT_PLACEMENT_H

#include "error.h"
#include "wish.h"

struct layout;

struct placement {
        struct wish_model model;               /* AUTO, or AT when model_device says so */
        struct wish map[STINT_ROLE_OTHER + 1]; /* by role: what map_location says */
        int allow_host;
        int on_device;                         /* something that was attached lies on a device */
};

/*
 * From the options and STINT_MODEL_DEVICE; options NULL: from that alone.  -1 with EINVAL for words that are none, and
 * where the device of the model and a map are both said.
 */
int placement_init(struct placement *p, const struct stint_options *options, struct stint_error *err);

/* A tensor whose place is asked for. */
struct placement_question {
        enum stint_role role; /* not AUTO */
        int ndim;
        const struct stint_place *parameter; /* of the optimizer's: where its parameter is; NULL: not said */
        int parameter_ndim;
        const struct stint_place *saved;     /* where it was when it was saved; NULL: it was not */
};

/* The table.  -1 with ENODEV when that device is not there, or no device is although the tensor comes from one. */
int placement_of(const struct placement *p, const struct placement_question *q, struct stint_place *place,
                 struct stint_error *err);

/*
 * Whether a tensor, its role and device resolved, may lie where it does, by what was said; what nobody said forbids
 * nothing.  -1 with EINVAL.  Remembers that something is on a device.
 */
int placement_allows(struct placement *p, const char *name, const struct stint_tensor *tensor, int index,
                     struct stint_error *err);

/*
 * Whether a tensor may come back to `now` that was saved in `saved`: -1 with ENODEV when it was on a device and nothing
 * is on one any more, EINVAL when it shall be where it was, and is not.
 */
int placement_returns(const struct placement *p, const char *name, enum stint_role role,
                      const struct stint_place *saved, const struct stint_place *now, struct stint_error *err);

/* The same for all that was attached and has its record (fit_check). */
int placement_check(const struct placement *p, const struct layout *l, struct stint_error *err);

#define PLACE_TEXT 24

/* "host memory", "sim:1".  Answers out. */
const char *place_format(char out[PLACE_TEXT], const struct stint_place *place);

#endif
