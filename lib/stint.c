/* SPDX-License-Identifier: BSD-3-Clause */
/* stint: the public functions of stint.h, one by one; what they do is in the rooms that they call. */
#include "stint.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "finish.h"
#include "model.h"
#include "names.h"
#include "safepoint.h"

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

const char *stint_version(void)
{
        return STRING(STINT_VERSION_MAJOR) "." STRING(STINT_VERSION_MINOR) ".0";
}

void stint_log_stderr(void *arg, enum stint_log_level level, const char *line)
{
        (void)arg;
        if (level <= STINT_LOG_NOTICE)
                fprintf(stderr, "stint: %s\n", line);
}

size_t stint_dtype_size(enum stint_dtype dtype)
{
        return dtype_size(dtype);
}

/* No stint: NULL, or the copy of a handle that a forked child has. */
static int absent(const struct stint *s)
{
        return !s || s->session.forked;
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

/* The options as this version knows them: a program built with an older header gave fewer. */
static int read_options(struct stint_options *own, const struct stint_options *given, struct stint_error *err)
{
        *own = (struct stint_options)STINT_OPTIONS;
        if (!given)
                return 0;
        if (given->size < offsetof(struct stint_options, rank))
                return error_set(err, EINVAL, "options.size is %zu: begin with struct stint_options o = STINT_OPTIONS",
                                 given->size);
        memset(own, 0, sizeof *own);
        memcpy(own, given, given->size < sizeof *own ? given->size : sizeof *own);
        own->size = sizeof *own;
        return 0;
}

/* All ranks take the highest agree_every, so that they agree at the same safe points. */
static int agree_how_often(struct stint *s, struct stint_error *err)
{
        int64_t words[AGREE_WORDS];

        agreement_silence(words);
        words[AGREE_EVERY] = s->agreement.every;
        if (agreement_now(&s->agreement, words, err) < 0)
                return -1;
        s->agreement.every = (int)s->agreement.all[AGREE_EVERY];
        return 0;
}

/* When no rank at all has an agent, there will never be anything to agree on. */
static int agree_who_is_there(struct stint *s, struct stint_error *err)
{
        int64_t words[AGREE_WORDS];

        safepoint_words(s, words);
        if (agreement_now(&s->agreement, words, err) < 0)
                return -1;
        if (!s->agreement.all[AGREE_ABLE])
                s->agreement.ranks = 1;
        return 0;
}

static void join_run(struct stint *s, const struct stint_options *options)
{
        struct agreement *a = &s->agreement;
        struct stint_error why;

        if (agree_how_often(s, &why) == 0) {
                session_open(&s->session, options, a->rank, a->ranks, a->every);
                snapshot_init(&s->snapshot, &s->session, &s->layout);
                if (agree_who_is_there(s, &why) == 0)
                        return;
        } else {
                session_open_off(&s->session, options);
                snapshot_init(&s->snapshot, &s->session, &s->layout);
        }
        s->agreement.ranks = 1;
        session_log(&s->session, STINT_LOG_WARNING, "training goes on without checkpoints: %s", why.text);
        session_give_up(&s->session);
}

struct stint *stint_open(const struct stint_options *options, struct stint_error *err)
{
        struct stint_options own;
        struct stint *s;

        error_clear(err);
        if (read_options(&own, options, err) < 0)
                return NULL;
        s = aligned_alloc(_Alignof(struct stint), sizeof *s);
        if (!s) {
                error_set(err, ENOMEM, "no memory for a handle");
                return NULL;
        }
        memset(s, 0, sizeof *s);
        s->step = -1;
        s->active = 1;
        s->allow_missing = own.allow_missing;
        s->layout.placement = &s->placement;
        s->layout.rank = own.rank;
        if (placement_init(&s->placement, &own, err) < 0 ||
            agreement_init(&s->agreement, own.rank, own.ranks, own.agree, own.agree_every, err) < 0) {
                free(s);
                return NULL;
        }
        join_run(s, &own);
        s->connects = s->session.connects;
        s->handled = s->session.over_id;
        restore_look_ahead(s);
        return s;
}

/* The attach of that name that was refused is forgotten, NULL: of every name.  1 when there was one. */
static int forget_refused(struct stint *s, const char *name)
{
        struct refused_attach **link = &s->refused, *r;
        int had = 0;

        while ((r = *link)) {
                if (name && strcmp(r->name, name)) {
                        link = &r->next;
                        continue;
                }
                *link = r->next;
                free(r);
                had = 1;
        }
        return had;
}

void stint_close(struct stint *s)
{
        if (absent(s))
                return;
        if (!s->finished)
                finish_stint(s, 0);
        session_close(&s->session, s->step, s->stopped);
        snapshot_fini(&s->snapshot);
        layout_fini(&s->layout);
        restore_release(s);
        where_forget(&s->where);
        mapping_fini(&s->mapping);
        forget_refused(s, NULL);
        free(s);
}

/* ---- the state ------------------------------------------------------------------------------------------------ */

/*
 * Programs may ignore what stint_attach answers, so a refused attach stands in the handle: nothing is restored or saved
 * without that tensor.  Where there is no memory to remember it, nothing is saved at all.
 */
static int refuse_attach(struct stint *s, const char *given)
{
        const char *name = given ? given : "";
        struct refused_attach *r, **link = &s->refused;
        size_t n = strlen(name) + 1;

        session_log(&s->session, STINT_LOG_ERROR,
                    "stint_attach refused '%.*s': %s; nothing is restored or saved until this name is attached or "
                    "detached", STINT_MAX_NAME, name, s->why.text);
        forget_refused(s, name);
        r = malloc(sizeof *r + n);
        if (!r) {
                safepoint_refuse(s, &s->why);
                return -1;
        }
        r->next = NULL;
        r->why = s->why;
        memcpy(r->name, name, n);
        while (*link)
                link = &(*link)->next;
        *link = r;
        return -1;
}

int stint_attach(struct stint *s, const char *name, const struct stint_tensor *tensor)
{
        int rc;

        if (absent(s))
                return 0;
        rc = layout_attach(&s->layout, name, tensor, &s->why);
        if (rc < 0)
                return refuse_attach(s, name);
        forget_refused(s, name);
        if (s->layout.dirty)
                s->look_ns = 0;
        restore_release(s);
        restore_look_ahead(s);
        return rc == LAYOUT_CLAIMED ? STINT_RESTORED : rc;
}

int stint_detach(struct stint *s, const char *name)
{
        int rc, had;

        if (absent(s))
                return 0;
        if (!name)
                return error_set(&s->why, EINVAL, "stint_detach needs a name");
        had = forget_refused(s, name);
        if (had && !layout_find(&s->layout, name))
                return 0;
        rc = layout_detach(&s->layout, name, &s->why);
        if (s->layout.dirty)
                s->look_ns = 0;
        restore_release(s);
        return rc;
}

int stint_restore(struct stint *s, int64_t *step)
{
        return absent(s) ? STINT_FRESH : restore_state(s, step);
}

int stint_place(struct stint *s, const char *name, const struct stint_tensor *tensor, const char *parameter,
                struct stint_place *place)
{
        return absent(s) ? where_without(name, tensor, place) : where_is(s, name, tensor, parameter, place);
}

int stint_restore_model(struct stint *s, const char *dir, enum stint_which which, int64_t *step)
{
        return absent(s) ? STINT_FRESH : model_restore(s, dir, which, step);
}

int stint_saved_ranks(const struct stint *s)
{
        return absent(s) ? 0 : (int)s->restored.saved_ranks;
}

/* ---- training ------------------------------------------------------------------------------------------------- */

int stint_step(struct stint *s, int64_t step)
{
        return s ? safepoint_fast(s, step) : STINT_CONTINUE;
}

int stint_save(struct stint *s, int64_t step)
{
        return absent(s) ? -1 : safepoint_save(s, step, clock_now());
}

int stint_poll(struct stint *s)
{
        struct control_page *page;

        if (!s)
                return 0;
        page = s->session.page;
        atomic_store_explicit(&page->safe_ns, clock_now(), memory_order_relaxed);
        atomic_fetch_add_explicit(&page->polls, 1, memory_order_relaxed);
        return CONTROL_SAVE_ID(atomic_load_explicit(&page->word, memory_order_relaxed)) > s->handled;
}

int stint_metric(struct stint *s, const char *name, double value, enum stint_goal goal)
{
        if (!s)
                return 0;
        if (snapshot_metric(&s->snapshot, name, value, goal, &s->why) < 0)
                return -1;
        s->look_ns = 0;
        return 0;
}

double stint_time_left(struct stint *s)
{
        int64_t until_ns, left_ns;

        if (!s)
                return INFINITY;
        until_ns = atomic_load_explicit(&s->session.page->trigger_ns, memory_order_relaxed);
        if (until_ns == CLOCK_NEVER)
                until_ns = atomic_load_explicit(&s->session.page->deadline_ns, memory_order_relaxed);
        if (until_ns == CLOCK_NEVER)
                return INFINITY;
        left_ns = until_ns - clock_now();
        return left_ns > 0 ? (double)left_ns / (double)CLOCK_SECOND : 0;
}

int stint_fits(struct stint *s, double seconds)
{
        return seconds < stint_time_left(s);
}

int stint_complete(struct stint *s)
{
        return absent(s) ? 0 : finish_stint(s, 1);
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

const char *stint_why(const struct stint *s)
{
        return s ? s->why.text : "";
}

const char *stint_dir(const struct stint *s)
{
        return s ? s->session.dir : "";
}
