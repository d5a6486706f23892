/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot: staging, the copy into it, and what became of it.  Safe points and the end of a stint call in. */
#include "snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "duration.h"
#include "fault.h"

/* ---- staging -------------------------------------------------------------------------------------------------- */

static void refuse_layout(struct snapshot *n, uint32_t layout, const char *text)
{
        n->refused_layout = layout;
        wire_text(n->refused_text, sizeof n->refused_text, text);
        session_log(n->session, STINT_LOG_ERROR, "this state cannot be saved: %s", text);
}

/* Without a further image a save waits for the write before it, as it does anyway until there is one. */
static void take_image(struct snapshot *n, const struct wire_staging *told, int fd)
{
        struct stint_error why;

        if (told->layout != n->layout->id || n->layout->dirty)
                return;
        if (told->image == 0 && n->streaming.layout) { /* there is memory for a whole image after all */
                streaming_drop(&n->streaming);
                layout_unplace(n->layout);
        }
        if (images_map(&n->images, n->layout, told, fd, &why) == 0)
                return;
        if (told->image == 0)
                refuse_layout(n, n->layout->id, why.text);
        else
                session_log(n->session, STINT_LOG_DEBUG, "a second image cannot be used: %s", why.text);
}

/* What there is without an image: where the tensors go, and the window for the next save. */
static void take_window(struct snapshot *n)
{
        struct session_inbox *inbox = &n->session->inbox;
        struct stint_error why = { 0 };
        int rc = 0;

        if (inbox->places_fd >= 0 && inbox->places.layout == n->layout->id && !n->layout->dirty)
                rc = streaming_take_places(&n->streaming, n->layout, &inbox->places, inbox->places_fd, &why);
        if (rc == 0 && inbox->window_fd >= 0 && n->streaming.layout && inbox->window.layout == n->streaming.layout)
                rc = streaming_take_window(&n->streaming, &inbox->window, inbox->window_fd, &why);
        if (inbox->places_fd >= 0)
                close(inbox->places_fd);
        if (inbox->window_fd >= 0)
                close(inbox->window_fd);
        inbox->places_fd = inbox->window_fd = -1;
        if (rc < 0)
                refuse_layout(n, n->layout->id, why.text);
}

/* Takes what came in answer to the layout; anything for an older one is let go. */
static void take_staging(struct snapshot *n)
{
        struct session_inbox *inbox = &n->session->inbox;
        struct session_staging *come;
        int i;

        if (inbox->has_refused_layout) {
                inbox->has_refused_layout = 0;
                if (inbox->refused_layout.layout == n->layout->id)
                        refuse_layout(n, n->layout->id, inbox->refused_layout.text);
        }
        take_window(n);
        for (i = 0; i < STAGING_IMAGES; i++) {
                come = &inbox->staging[i];
                if (!come->has)
                        continue;
                come->has = 0;
                take_image(n, &come->told, come->fd);
                if (come->fd >= 0)
                        close(come->fd);
                come->fd = -1;
        }
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
        images_drop(&n->images);
        streaming_drop(&n->streaming);
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
        return n->images.layout != 0 || n->streaming.layout != 0 || n->refused_layout == n->layout->id;
}

int snapshot_flies(const struct snapshot *n, uint32_t save_id)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (n->flight[i].save_id && n->flight[i].save_id == save_id)
                        return 1;
        return 0;
}

uint32_t snapshot_flying(const struct snapshot *n)
{
        uint32_t newest = 0;
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (n->flight[i].save_id > newest)
                        newest = n->flight[i].save_id;
        return newest;
}

/* Where a snapshot can be noted that is about to go on its way; NULL: as many are as can be. */
static struct snapshot_flight *free_flight(struct snapshot *n)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (!n->flight[i].save_id)
                        return &n->flight[i];
        return NULL;
}

/* An image with nothing in it that is being written; -1: there is none. */
static int free_image(const struct snapshot *n)
{
        int image, i, busy;

        for (image = 0; image < STAGING_IMAGES; image++) {
                for (i = busy = 0; i < STAGING_IMAGES; i++)
                        busy |= n->flight[i].save_id && n->flight[i].layout == n->images.layout &&
                                n->flight[i].image == image;
                if (n->images.area[image].base && !busy)
                        return image;
        }
        return -1;
}

/* There is memory for the next snapshot: an image, or a window where there is none at all. */
static int is_room(const struct snapshot *n)
{
        return n->images.layout ? free_image(n) >= 0 : n->streaming.window.ring != NULL;
}

/* The state of this step is on its way already: when it has landed, it need not be written again. */
static int is_flying(const struct snapshot *n, int64_t own_step)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (n->flight[i].save_id && n->flight[i].own_step == own_step &&
                    n->flight[i].changes == n->layout->changes)
                        return 1;
        return 0;
}

struct place_awaited {
        struct snapshot *snapshot;
        int64_t own_step;
};

static int there_is_a_place(void *arg)
{
        struct place_awaited *a = arg;

        take_staging(a->snapshot);
        return free_flight(a->snapshot) && is_room(a->snapshot) && !is_flying(a->snapshot, a->own_step);
}

int snapshot_await_ready(struct snapshot *n, int64_t own_step, int64_t until_ns, struct stint_error *err)
{
        struct place_awaited place = { n, own_step };
        int64_t begin_ns;
        int rc;

        n->waited_ns = 0;
        begin_ns = clock_now();
        if (!n->layout->count)
                return error_set(err, ENODATA, "nothing is attached: there is no state to save");
        if (snapshot_prepare(n, err) < 0)
                return -1;
        rc = session_await(n->session, layout_is_answered, n, until_ns, err);
        if (rc == 0)
                error_set(err, ETIMEDOUT, "the agent has not made staging for %" PRIu64 " tensors in time",
                          n->layout->count);
        if (rc == 1 && !n->images.layout && !n->streaming.layout)
                return error_set(err, ENOTSUP, "this state cannot be saved: %s", n->refused_text);
        if (rc != 1)
                return -1;
        rc = session_await(n->session, there_is_a_place, &place, is_flying(n, own_step) ? CLOCK_NEVER : until_ns, err);
        n->waited_ns = clock_now() - begin_ns;
        if (rc == 0)
                error_set(err, EBUSY, "the agent is still writing the snapshot before");
        return rc == 1 ? 0 : -1;
}

/* ---- the copy ------------------------------------------------------------------------------------------------- */

/* What the host can read is listed, and copied by copy_run; for the rest a copy begins here. */
static int copy_tensor(struct snapshot *n, int image, const struct layout_tensor *t, struct stint_error *err)
{
        char *to = n->images.area[image].base + t->offset;

        if (!t->device || t->device->kind == STINT_DEVICE_HOST)
                copy_add(&n->copy, to, t->tensor.data, t->bytes);
        else if (t->bytes && t->device->copy_out(to, t->tensor.data, t->bytes, t->name, err) < 0)
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
static int copy_each(struct snapshot *n, int image, struct stint_error *err)
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
                if (t->placed != n->images.layout)
                        return error_set(err, EPROTO, "tensor '%s' has no place in staging", t->name);
                if (!t->elsewhere && copy_tensor(n, image, t, err) < 0)
                        return -1;
        }
        copy_run(&n->copy, COPY_OUT);
        return device_sync_all(err) < 0 ? -1 : fault("snapshot.after_copy", err);
}

/* Nothing is on its way into an image any more when this returns. */
static int copy_all(struct snapshot *n, int image, struct stint_error *err)
{
        const int rc = copy_each(n, image, err);

        if (rc < 0)
                device_sync_all(NULL);
        return rc;
}

#define NO_IMAGE (-1)

/* copy_ns -1: it is only beginning, and comes through the window. */
static int hand_over(struct snapshot *n, const struct snapshot_job *job, int image, int64_t copy_ns,
                     struct stint_error *err)
{
        struct snapshot_flight *flight = free_flight(n);
        struct wire_snapshot m = { 0 };

        WIRE_INIT(&m, WIRE_SNAPSHOT);
        m.save_id = job->save_id;
        m.layout = n->layout->id;
        m.image = image >= 0 ? (uint32_t)image : 0;
        m.step = job->step;
        m.checkpoint_step = job->checkpoint_step;
        m.delay_ns = job->delay_ns;
        m.wait_ns = n->waited_ns;
        m.copy_ns = copy_ns >= 0 ? copy_ns : 0;
        m.wall_ns = clock_wall();
        m.flags = job->unchanged ? SNAPSHOT_UNCHANGED : copy_ns < 0 ? SNAPSHOT_STREAMED : 0;
        m.metric_count = (uint32_t)n->metric_count;
        memcpy(m.metrics, n->metrics, (size_t)n->metric_count * sizeof m.metrics[0]);
        snapshot_note_best(n, flight);
        flight->save_id = job->save_id;
        flight->layout = image == NO_IMAGE ? 0 : n->images.layout;
        flight->image = image;
        flight->step = job->checkpoint_step;
        flight->own_step = job->step;
        flight->changes = n->layout->changes;
        if (session_send(n->session, &m, sizeof m, -1, err) == 0)
                return 0;
        flight->save_id = 0;
        return -1;
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

/* There is no room in the window, and may be none for long: an agent that is gone will make none. */
static int goes_on(void *arg, struct stint_error *err)
{
        struct awaited *a = arg;
        const int rc = session_await(a->snapshot->session, has_result, a, clock_now(), err);

        return rc == 1 ? error_set(err, ECANCELED, "that save was given up") : rc;
}

void snapshot_lost(struct snapshot *n, uint32_t save_id)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (n->flight[i].save_id == save_id)
                        n->flight[i].save_id = 0;
}

static int hand_over_streamed(struct snapshot *n, const struct snapshot_job *job, struct stint_error *err)
{
        struct wire_streamed m = { .save_id = job->save_id };
        struct awaited a = { n, job->save_id };
        const struct streaming_watch watch = { goes_on, &a };
        const int64_t began_ns = clock_now();

        if (hand_over(n, job, NO_IMAGE, -1, err) < 0)
                return -1;
        if (streaming_copy(&n->streaming, n->layout, &n->copy, &watch, err) < 0) {
                snapshot_lost(n, job->save_id);
                snapshot_decline(n, job->save_id, job->step, err);
                return -1;
        }
        WIRE_INIT(&m, WIRE_STREAMED);
        m.copy_ns = clock_now() - began_ns;
        m.blocked_ns = n->streaming.blocked_ns;
        return session_send(n->session, &m, sizeof m, -1, err);
}

int snapshot_take(struct snapshot *n, const struct snapshot_job *job, struct stint_error *err)
{
        int64_t began_ns = clock_now();
        int image;

        take_staging(n);
        image = free_image(n);
        if (!free_flight(n) || (!job->unchanged && !is_room(n)))
                error_set(err, EBUSY, "the agent is still writing the snapshot before");
        else if (job->unchanged)
                return hand_over(n, job, NO_IMAGE, 0, err);
        else if (!n->images.layout)
                return hand_over_streamed(n, job, err);
        else if (copy_all(n, image, err) == 0)
                return hand_over(n, job, image, clock_now() - began_ns, err);
        snapshot_decline(n, job->save_id, job->step, err);
        return -1;
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

static void say_result(struct snapshot *n, const struct snapshot_flight *flight, const struct wire_result *result)
{
        char took[32], bytes[32];

        if (result->landed)
                session_log(n->session, STINT_LOG_DEBUG, "saved step %" PRId64 ", %s, in %s", result->step,
                            size_format(bytes, sizeof bytes, (int64_t)result->bytes),
                            duration_format(took, sizeof took, result->took_ns));
        else
                session_log(n->session, STINT_LOG_WARNING, "step %" PRId64 " was NOT saved: %s", flight->step,
                            result->text);
}

/* The session calls this from within its reading: a RESULT has come. */
static void on_result(void *arg, const struct wire_result *result)
{
        struct snapshot *n = arg;
        struct snapshot_flight *flight = NULL;
        int i;

        memmove(&n->result[1], &n->result[0], sizeof n->result - sizeof n->result[0]);
        n->result[0] = *result;
        for (i = 0; i < STAGING_IMAGES; i++)
                if (n->flight[i].save_id == result->save_id)
                        flight = &n->flight[i];
        if (!flight)
                return; /* of a save that this rank declined, or that an agent before this one had */
        flight->save_id = 0;
        if (result->landed) {
                n->landed_step = flight->step;
                n->landed_own_step = flight->own_step;
                n->landed_changes = flight->changes;
                snapshot_settle_best(n, flight);
        }
        say_result(n, flight, result);
}

/* Of one of the saves that ended last; NULL when it has not. */
static const struct wire_result *result_of(const struct snapshot *n, uint32_t save_id)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (n->result[i].save_id && n->result[i].save_id == save_id)
                        return &n->result[i];
        return NULL;
}

int snapshot_is_over(const struct snapshot *n, uint32_t save_id)
{
        return result_of(n, save_id) != NULL;
}

int snapshot_await_result(struct snapshot *n, uint32_t save_id, struct stint_error *err)
{
        const struct wire_result *result;
        struct awaited a = { n, save_id };

        if (session_await(n->session, has_result, &a, CLOCK_NEVER, err) < 0)
                return -1;
        result = result_of(n, save_id);
        if (result->landed)
                return 1;
        error_set(err, EIO, "%s", *result->text ? result->text : "the save did not land; `stint run` says why");
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
        memset(n->flight, 0, sizeof n->flight);
        memset(n->result, 0, sizeof n->result);
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
        n->images.copy = &n->copy;
        if (copy_init(&n->copy, &why) < 0)
                session_log(session, STINT_LOG_WARNING, "%s", why.text);
        session->on_result = on_result;
        session->on_result_arg = n;
}

void snapshot_fini(struct snapshot *n)
{
        images_drop(&n->images);
        streaming_drop(&n->streaming);
        copy_fini(&n->copy);
}
