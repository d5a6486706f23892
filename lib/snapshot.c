/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot: staging, the copy into it, and what became of it.  Safe points and the end of a stint call in. */
#include "snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "duration.h"
#include "fault.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define POPULATE_PIECE ((size_t)64 << 20) /* between two looks at `stop` */

/* ---- staging -------------------------------------------------------------------------------------------------- */

/* For kernels before 5.14: writes each page without changing it, whoever else writes there at the same moment. */
static void touch(char *base, size_t bytes)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE), at;

        for (at = 0; at < bytes; at += page)
                __atomic_fetch_or(base + at, 0, __ATOMIC_RELAXED);
}

/* Makes the pages of staging present, so that the first copy runs as fast as every other. */
static void *populate(void *arg)
{
        struct snapshot_staging *staging = arg;
        size_t at, piece;

        for (at = 0; at < staging->bytes && !atomic_load(&staging->stop); at += piece) {
                piece = staging->bytes - at < POPULATE_PIECE ? staging->bytes - at : POPULATE_PIECE;
                if (madvise(staging->base + at, piece, MADV_POPULATE_WRITE) == 0)
                        continue;
                if (errno != EINVAL)
                        break; /* no memory: the copy will find out */
                touch(staging->base + at, piece);
        }
        if (staging->bytes >= COPY_ALONE && !atomic_load(&staging->stop))
                copy_learn(staging->copy);
        return NULL;
}

static void start_populating(struct snapshot_staging *staging)
{
        sigset_t all, before;

        atomic_store(&staging->stop, 0);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        staging->populating = pthread_create(&staging->thread, NULL, populate, staging) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void drop_staging(struct snapshot_staging *staging)
{
        if (staging->populating) {
                atomic_store(&staging->stop, 1);
                pthread_join(staging->thread, NULL);
                staging->populating = 0;
        }
        if (staging->base)
                munmap(staging->base, staging->bytes);
        staging->base = NULL;
        staging->bytes = 0;
        staging->layout = 0;
}

static int map_staging(struct snapshot *n, const struct wire_staging *m, int fd, struct stint_error *err)
{
        struct snapshot_staging *staging = &n->staging;
        void *base;

        if (fd < 0)
                return error_set(err, EPROTO, "STAGING came without its memory");
        if (channel_memory_check(fd, m->image_bytes, err) < 0)
                return -1;
        base = mmap(NULL, m->image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base == MAP_FAILED)
                return error_system(err, errno, "%" PRIu64 " bytes of staging cannot be mapped", m->image_bytes);
        if (layout_check_image(base, m->image_bytes, m->table_offset, m->count, m->record_bytes, err) < 0 ||
            layout_place(n->layout, m->layout, (const char *)base + m->table_offset, m->count, m->record_bytes, err) <
                    0) {
                munmap(base, m->image_bytes);
                return -1;
        }
        staging->base = base;
        staging->bytes = m->image_bytes;
        staging->layout = m->layout;
        start_populating(staging);
        return 0;
}

static void refuse_layout(struct snapshot *n, uint32_t layout, const char *text)
{
        n->refused_layout = layout;
        wire_text(n->refused_text, sizeof n->refused_text, text);
        session_log(n->session, STINT_LOG_ERROR, "this state cannot be saved: %s", text);
}

/* Takes what came in answer to the layout; anything for an older one is let go. */
static void take_staging(struct snapshot *n)
{
        struct session_inbox *inbox = &n->session->inbox;
        struct stint_error why;

        if (inbox->has_refused_layout) {
                inbox->has_refused_layout = 0;
                if (inbox->refused_layout.layout == n->layout->id)
                        refuse_layout(n, n->layout->id, inbox->refused_layout.text);
        }
        if (!inbox->has_staging)
                return;
        inbox->has_staging = 0;
        if (inbox->staging.layout == n->layout->id && !n->layout->dirty) {
                drop_staging(&n->staging);
                if (map_staging(n, &inbox->staging, inbox->staging_fd, &why) < 0)
                        refuse_layout(n, n->layout->id, why.text);
        }
        if (inbox->staging_fd >= 0)
                close(inbox->staging_fd);
        inbox->staging_fd = -1;
}

static int send_layout(struct snapshot *n, struct stint_error *err)
{
        struct wire_layout m = { 0 };
        int fd, rc;

        WIRE_INIT(&m, WIRE_LAYOUT);
        fd = layout_table(n->layout, &m.record_bytes, err);
        if (fd < 0)
                return -1;
        m.layout = n->layout->id;
        m.count = n->layout->count;
        drop_staging(&n->staging);
        rc = session_send(n->session, &m, sizeof m, fd, err);
        close(fd);
        if (rc < 0)
                n->layout->dirty = 1;
        return rc;
}

int snapshot_prepare(struct snapshot *n, struct stint_error *err)
{
        if (!session_usable(n->session))
                return error_set(err, ENOTCONN, "there is no agent now");
        if (n->layout->dirty && n->layout->count && send_layout(n, err) < 0)
                return -1;
        take_staging(n);
        return 0;
}

/* ---- waiting for it ------------------------------------------------------------------------------------------- */

static int layout_is_answered(void *arg)
{
        struct snapshot *n = arg;

        take_staging(n);
        return n->staging.base != NULL || n->refused_layout == n->layout->id;
}

static int nothing_flies(void *arg)
{
        struct snapshot *n = arg;

        return n->in_flight == 0;
}

int snapshot_await_ready(struct snapshot *n, int64_t until_ns, struct stint_error *err)
{
        int rc;

        if (!n->layout->count)
                return error_set(err, ENODATA, "nothing is attached: there is no state to save");
        if (snapshot_prepare(n, err) < 0)
                return -1;
        rc = session_await(n->session, nothing_flies, n, until_ns, err);
        if (rc == 0)
                error_set(err, EBUSY, "the agent is still writing the snapshot before");
        if (rc != 1)
                return -1;
        rc = session_await(n->session, layout_is_answered, n, until_ns, err);
        if (rc == 0)
                error_set(err, ETIMEDOUT, "the agent has not made staging for %" PRIu64 " tensors in time",
                          n->layout->count);
        if (rc == 1 && !n->staging.base)
                return error_set(err, ENOTSUP, "this state cannot be saved: %s", n->refused_text);
        return rc == 1 ? 0 : -1;
}

/* ---- metrics -------------------------------------------------------------------------------------------------- */

/* The first metric that the program reports with a goal decides; what is known of another one does not count then. */
static void choose_best(struct snapshot_best *best, const char *name, enum stint_goal goal)
{
        if (goal == STINT_GOAL_NONE || best->chosen)
                return;
        if (strcmp(best->name, name) || best->goal != goal)
                memset(best, 0, sizeof *best);
        strcpy(best->name, name);
        best->goal = goal;
        best->chosen = 1;
}

int snapshot_metric(struct snapshot *n, const char *name, double value, enum stint_goal goal, struct stint_error *err)
{
        struct seal_metric *m;
        const char *c;
        int i;

        if (!name || !*name || strlen(name) >= SEAL_METRIC_NAME)
                return error_set(err, EINVAL, "a metric needs a name of 1 to %d bytes", SEAL_METRIC_NAME - 1);
        for (c = name; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 127)
                        return error_set(err, EINVAL, "the name of a metric has a control character in it");
        if (goal < STINT_GOAL_NONE || goal > STINT_GOAL_MAX)
                return error_set(err, EINVAL, "metric '%s': %d is no goal", name, (int)goal);
        for (i = 0; i < n->metric_count && strcmp(n->metrics[i].name, name); i++)
                ;
        if (i == SEAL_METRICS)
                return error_set(err, EINVAL, "metric '%s' is one too many: %d are kept with a step", name,
                                 SEAL_METRICS);
        m = &n->metrics[i];
        memset(m, 0, sizeof *m);
        strcpy(m->name, name);
        m->value = value;
        m->goal = (uint32_t)goal;
        n->metric_count = i == n->metric_count ? i + 1 : n->metric_count;
        choose_best(&n->best, name, goal);
        return 0;
}

void snapshot_clear_metrics(struct snapshot *n)
{
        memset(n->metrics, 0, sizeof n->metrics);
        n->metric_count = 0;
}

/* The metric that decides, as reported for this step; NULL when it was not, or is no number. */
static const struct seal_metric *deciding_metric(const struct snapshot *n)
{
        int i;

        for (i = 0; i < n->metric_count; i++)
                if (*n->best.name && !strcmp(n->metrics[i].name, n->best.name))
                        return isfinite(n->metrics[i].value) ? &n->metrics[i] : NULL;
        return NULL;
}

int snapshot_improves(const struct snapshot *n)
{
        const struct seal_metric *m = deciding_metric(n);
        const struct snapshot_best *best = &n->best;
        double before;

        if (!m || (!best->known && !best->flying))
                return m != NULL;
        before = best->flying ? best->flying_value : best->value;
        return best->goal == STINT_GOAL_MIN ? m->value < before : m->value > before;
}

void snapshot_best_known(struct snapshot *n, const char *name, enum stint_goal goal, double value)
{
        struct snapshot_best *best = &n->best;

        if (best->chosen && (strcmp(best->name, name) || best->goal != goal))
                return;
        memcpy(best->name, name, strnlen(name, sizeof best->name - 1) + 1);
        best->name[sizeof best->name - 1] = '\0';
        best->goal = goal;
        best->known = 1;
        best->value = value;
}

/* A snapshot goes on its way; when it lands, its metric is the one to beat. */
static void note_best(struct snapshot *n)
{
        if (!snapshot_improves(n))
                return;
        n->best.flying_value = deciding_metric(n)->value;
        n->best.flying = 1;
}

static void settle_best(struct snapshot *n, int landed)
{
        struct snapshot_best *best = &n->best;

        if (best->flying && landed) {
                best->value = best->flying_value;
                best->known = 1;
        }
        best->flying = 0;
}

/* ---- the copy ------------------------------------------------------------------------------------------------- */

/* What the host can read is listed, and copied by copy_run; for the rest a copy begins here. */
static int copy_tensor(struct snapshot *n, const struct layout_tensor *t, struct stint_error *err)
{
        char *to = n->staging.base + t->offset;

        if (!t->device || t->device->kind == STINT_DEVICE_HOST)
                copy_add(&n->copy, to, t->tensor.data, t->bytes);
        else if (t->bytes && t->device->copy_out(to, t->tensor.data, t->bytes, err) < 0)
                return error_wrap(err, "tensor '%s' could not be copied", t->name);
        return 0;
}

static int fault(const char *point, struct stint_error *err)
{
        int code = fault_point(point);

        return code ? error_system(err, code, "the copy failed at %s", point) : 0;
}

/*
 * The memory behind staging is the agent's; what it says of itself was checked once, and offsets are kept here.  Half of
 * the tensors are copied before the fault point in the middle, so that whoever dies there leaves half a copy.
 */
static int copy_all(struct snapshot *n, struct stint_error *err)
{
        const struct layout_tensor *t;
        uint64_t middle = n->layout->count / 2, i = 0;

        copy_forget(&n->copy);
        if (fault("snapshot.before_copy", err) < 0)
                return -1;
        for (t = n->layout->tensors; t; t = layout_next(t), i++) {
                if (i == middle) {
                        copy_run(&n->copy, COPY_OUT);
                        if (fault("snapshot.mid_copy", err) < 0)
                                return -1;
                }
                if (t->placed != n->staging.layout)
                        return error_set(err, EPROTO, "tensor '%s' has no place in staging", t->name);
                if (copy_tensor(n, t, err) < 0)
                        return -1;
        }
        copy_run(&n->copy, COPY_OUT);
        return device_sync_all(err) < 0 ? -1 : fault("snapshot.after_copy", err);
}

static int hand_over(struct snapshot *n, const struct snapshot_job *job, int64_t copy_ns, struct stint_error *err)
{
        struct wire_snapshot m = { 0 };

        WIRE_INIT(&m, WIRE_SNAPSHOT);
        m.save_id = job->save_id;
        m.layout = n->layout->id;
        m.step = job->step;
        m.checkpoint_step = job->checkpoint_step;
        m.delay_ns = job->delay_ns;
        m.copy_ns = copy_ns;
        m.wall_ns = clock_wall();
        m.flags = job->unchanged ? SNAPSHOT_UNCHANGED : 0;
        m.metric_count = (uint32_t)n->metric_count;
        memcpy(m.metrics, n->metrics, (size_t)n->metric_count * sizeof m.metrics[0]);
        n->in_flight = job->save_id;
        n->flying_step = job->checkpoint_step;
        n->flying_own_step = job->step;
        n->flying_changes = n->layout->changes;
        note_best(n);
        if (session_send(n->session, &m, sizeof m, -1, err) == 0)
                return 0;
        n->in_flight = 0;
        return -1;
}

int snapshot_take(struct snapshot *n, const struct snapshot_job *job, struct stint_error *err)
{
        int64_t began_ns = clock_now();

        if (!job->unchanged && copy_all(n, err) < 0) {
                snapshot_decline(n, job->save_id, job->step, err);
                return -1;
        }
        return hand_over(n, job, clock_now() - began_ns, err);
}

void snapshot_decline(struct snapshot *n, uint32_t save_id, int64_t step, const struct stint_error *why)
{
        struct wire_snapshot_failed m = { 0 };

        WIRE_INIT(&m, WIRE_SNAPSHOT_FAILED);
        m.save_id = save_id;
        m.code = why->code;
        m.step = step;
        wire_text(m.text, sizeof m.text, why->text);
        session_send(n->session, &m, sizeof m, -1, NULL);
}

/* ---- what became of it ---------------------------------------------------------------------------------------- */

static void say_result(struct snapshot *n, const struct wire_result *result)
{
        char took[32], bytes[32];

        if (result->landed)
                session_log(n->session, STINT_LOG_DEBUG, "saved step %" PRId64 ", %s, in %s", result->step,
                            size_format(bytes, sizeof bytes, (int64_t)result->bytes),
                            duration_format(took, sizeof took, result->took_ns));
        else
                session_log(n->session, STINT_LOG_WARNING, "step %" PRId64 " was NOT saved: %s", n->flying_step,
                            result->text);
}

/* The session calls this from within its reading: a RESULT has come. */
static void on_result(void *arg, const struct wire_result *result)
{
        struct snapshot *n = arg;

        n->result = *result;
        if (result->save_id != n->in_flight)
                return; /* of a save that this rank declined, or that an agent before this one had */
        n->in_flight = 0;
        if (result->landed) {
                n->landed_step = n->flying_step;
                n->landed_own_step = n->flying_own_step;
                n->landed_changes = n->flying_changes;
        }
        settle_best(n, result->landed != 0);
        say_result(n, result);
}

int snapshot_is_over(const struct snapshot *n, uint32_t save_id)
{
        return n->result.save_id == save_id;
}

struct awaited {
        struct snapshot *snapshot;
        uint32_t save_id;
};

static int has_result(void *arg)
{
        struct awaited *a = arg;

        return snapshot_is_over(a->snapshot, a->save_id);
}

int snapshot_await_result(struct snapshot *n, uint32_t save_id, struct stint_error *err)
{
        struct awaited a = { n, save_id };

        if (session_await(n->session, has_result, &a, CLOCK_NEVER, err) < 0)
                return -1;
        if (n->result.landed)
                return 1;
        error_set(err, EIO, "%s", *n->result.text ? n->result.text : "the save did not land; `stint run` says why");
        return 0;
}

void snapshot_landed(struct snapshot *n, int64_t checkpoint_step, int64_t own_step)
{
        n->landed_step = checkpoint_step;
        n->landed_own_step = own_step;
        n->landed_changes = n->layout->changes;
}

int64_t snapshot_held(const struct snapshot *n, int64_t own_step)
{
        return n->landed_changes == n->layout->changes && n->landed_own_step == own_step ? n->landed_step : -1;
}

void snapshot_forget(struct snapshot *n)
{
        n->in_flight = 0;
        n->result.save_id = 0;
        n->best.flying = 0;
        n->refused_layout = 0;
        n->layout->dirty = 1;
}

void snapshot_init(struct snapshot *n, struct session *session, struct layout *layout)
{
        struct stint_error why;

        memset(n, 0, sizeof *n);
        n->session = session;
        n->layout = layout;
        n->landed_step = n->landed_own_step = -1;
        n->staging.copy = &n->copy;
        if (copy_init(&n->copy, &why) < 0)
                session_log(session, STINT_LOG_WARNING, "%s", why.text);
        session->on_result = on_result;
        session->on_result_arg = n;
}

void snapshot_fini(struct snapshot *n)
{
        drop_staging(&n->staging);
        copy_fini(&n->copy);
}
