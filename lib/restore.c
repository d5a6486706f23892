/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * restore: stint_restore, from asking the agent to the last byte copied.  stint.c and the first safe point call in.
 * What is in memory already comes as a whole image, and is copied when every rank has its own; what must be read from
 * the disk is streamed, and copied meanwhile.
 */
#include "restore.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "duration.h"
#include "fault.h"
#include "fit.h"
#include "reach.h"
#include "safepoint.h"
#include "fed.h"

/* What is being restored, while it is. */
struct image {
        struct wire_restore_image told; /* status FRESH: the rest is empty */
        char *base;                     /* mapped, unless it was streamed */
        size_t bytes;
        struct fed fed;
        uint32_t saved_ranks;
        int touched; /* attached memory has been written to */
        int64_t copy_ns;
};

/* ---- asking --------------------------------------------------------------------------------------------------- */

static int has_answer(void *arg)
{
        const struct session *session = arg;

        return session->inbox.has_image || session->inbox.has_stream;
}

/* One stream after the other, as long as what they bring turns out damaged, and then the answer. */
static int await_image(struct stint *s, struct image *image, const struct stint_error *forgone, struct stint_error *err)
{
        struct session_inbox *inbox = &s->session.inbox;

        while (session_await(&s->session, has_answer, &s->session, CLOCK_NEVER, err) == 1) {
                if (!inbox->has_stream)
                        return 0;
                if (fed_take(s, &image->fed, forgone, &image->touched, err) < 0)
                        return -1;
        }
        return -1;
}

/* What is attached, before the question: the agent may have to put it together of what other ranks had. */
static int say_wanted(struct stint *s, struct stint_error *err)
{
        struct wire_wanted m = { 0 };
        int fd = -1, rc;

        if (!(s->session.takes & WELCOME_TAKES_WANTED))
                return 0;
        WIRE_INIT(&m, WIRE_WANTED);
        m.count = s->layout.count;
        if (m.count > 0 && (fd = layout_list(&s->layout, &m.record_bytes, err)) < 0)
                return -1;
        rc = session_send(&s->session, &m, sizeof m, fd, err);
        if (fd >= 0)
                close(fd);
        return rc;
}

static int say_question(struct stint *s, struct stint_error *err)
{
        struct wire_restore m = { 0 };

        WIRE_INIT(&m, WIRE_RESTORE);
        m.which = RESTORE_NEWEST;
        s->session.inbox.saved_ranks = 0;
        return say_wanted(s, err) < 0 ? -1 : session_send(&s->session, &m, sizeof m, -1, err);
}

/* Asks, and asks again when the agent went away and came back. */
static int ask(struct stint *s, struct image *image, const struct stint_error *forgone, struct stint_error *err)
{
        int64_t back_ns;

        for (;;) {
                if (say_question(s, err) == 0 && await_image(s, image, forgone, err) == 0)
                        return 0;
                fed_drop(s, &image->fed);
                if (err->code != ENOTCONN)
                        return -1;
                back_ns = clock_now() + REACH_BACK_NS;
                if (reach_until(&s->session, back_ns) < 0)
                        return error_set(
                                err, ENOTCONN,
                                "the agent went away during the restore and did not come back: nothing was restored");
        }
}

static int map_image(struct stint *s, struct image *image, int fd, struct stint_error *err)
{
        const struct wire_restore_image *told = &image->told;
        void *base;

        if (fd < 0)
                return error_set(err, EPROTO, "the agent gave an image without its memory");
        if (channel_memory_check(fd, told->image_bytes, err) < 0)
                return -1;
        base = mapping_take(&s->mapping, fd, told->image_bytes, err);
        if (!base)
                return error_wrap(err, "checkpoint %s", told->checkpoint);
        image->base = base;
        image->bytes = told->image_bytes;
        return layout_check_image(base, told->image_bytes, told->table_offset, told->count, told->record_bytes, err);
}

/* What was streamed is what the answer is about, and went where it should. */
static int check_streamed(const struct image *image, struct stint_error *err)
{
        const struct fed *f = &image->fed;

        if (!f->complete || f->window.image_bytes != image->told.image_bytes ||
            strcmp(f->checkpoint, image->told.checkpoint) != 0)
                return error_set(err, EPROTO, "the agent counts %s as streamed, and has not streamed it",
                                 image->told.checkpoint);
        return f->why.code ? error_set(err, f->why.code, "%s", f->why.text) : 0;
}

/* Takes the agent's answer: image->told, and the image mapped where there is one. */
static int fetch(struct stint *s, struct image *image, const struct stint_error *forgone, struct stint_error *err)
{
        struct session_inbox *inbox = &s->session.inbox;
        int fd, rc = 0;

        if (ask(s, image, forgone, err) < 0)
                return -1;
        image->told = inbox->image;
        image->saved_ranks = inbox->saved_ranks ? inbox->saved_ranks : (uint32_t)s->session.ranks;
        fd = inbox->image_fd;
        inbox->has_image = 0;
        inbox->image_fd = -1;
        if (image->told.status == RESTORE_FAILED)
                rc = error_set(err, image->told.code > 0 ? image->told.code : EIO, "%s",
                               *image->told.text ? image->told.text
                                                 : "the checkpoints of this run cannot be used; `stint ls` shows them");
        else if (image->told.status == RESTORE_IMAGE && image->told.streamed)
                rc = check_streamed(image, err);
        else
                fed_drop(s, &image->fed);
        if (rc == 0 && image->told.status == RESTORE_IMAGE && !image->told.streamed)
                rc = map_image(s, image, fd, err);
        if (fd >= 0)
                close(fd);
        return rc;
}

/* ---- does it fit? --------------------------------------------------------------------------------------------- */

/* Everything that can be known before the first byte is copied. */
static int check_fit(struct stint *s, const struct image *image, struct stint_error *err)
{
        const struct wire_restore_image *told = &image->told;
        const struct fit fit = { image->base + told->table_offset, told->count, told->record_bytes, told->checkpoint,
                                 (uint32_t)s->session.rank >= image->saved_ranks };
        int code;

        if (fit_check(&s->layout, &fit, s->allow_missing, err) < 0 ||
            fit_carry(&s->layout, &fit, image->base, 0, err) < 0)
                return -1;
        code = fault_point("restore.before_copy");
        return code ? error_system(err, code, "the restore failed at restore.before_copy") : 0;
}

/* What was done to the layout is undone; then nobody needs the image any more. */
static void drop_image(struct stint *s, struct image *image)
{
        fed_drop(s, &image->fed);
        mapping_let_go(&s->mapping, image->base, image->bytes);
        image->base = NULL;
}

/* ---- the copy ------------------------------------------------------------------------------------------------- */

/* What the host can write is listed, and copied by copy_run; for the rest a copy begins here. */
static int copy_tensor(struct stint *s, const struct layout_tensor *t, const char *from, struct stint_error *err)
{
        if (t->device->kind == STINT_DEVICE_HOST)
                copy_add(&s->snapshot.copy, t->tensor.data, from, t->bytes);
        else if (t->bytes && t->device->copy_in(t->tensor.data, from, t->bytes, t->name, err) < 0)
                return error_wrap(err, "tensor '%s' could not be restored", t->name);
        return 0;
}

/* As snapshot.c does it: half of the tensors are there when the fault point in the middle is reached. */
static int copy_all(struct stint *s, const struct image *image, struct stint_error *err)
{
        uint64_t middle = s->layout.count / 2, i = 0;
        struct copy *copy = &s->snapshot.copy;
        const struct layout_tensor *t;
        int code;

        copy_forget(copy);
        copy_hire(copy, s->layout.bytes);
        for (t = s->layout.tensors; t; t = layout_next(t), i++) {
                if (i == middle) {
                        copy_run(copy, COPY_BACK);
                        if ((code = fault_point("restore.mid_copy")))
                                return error_system(err, code, "the restore failed at restore.mid_copy");
                }
                if (t->record && t->device && copy_tensor(s, t, image->base + t->record->file_offset, err) < 0)
                        return -1;
        }
        copy_run(copy, COPY_BACK);
        if (device_sync_all(err) < 0)
                return -1;
        code = fault_point("restore.after_copy");
        return code ? error_system(err, code, "the restore failed at restore.after_copy") : 0;
}

static int copy_timed(struct stint *s, struct image *image, struct stint_error *err)
{
        int64_t began_ns = clock_now();
        int rc;

        image->touched = 1;
        rc = copy_all(s, image, err);
        if (rc < 0)
                device_sync_all(NULL); /* nothing is read from the image any more */
        image->copy_ns = clock_now() - began_ns;
        return rc;
}

static void say_done(struct stint *s, const struct image *image, const struct stint_error *failed)
{
        struct wire_restore_done m = { 0 };

        WIRE_INIT(&m, WIRE_RESTORE_DONE);
        m.step = image->told.step;
        m.copy_ns = image->copy_ns;
        m.carries = !failed && image->base && s->layout.carried > 0;
        if (failed) {
                m.code = failed->code;
                wire_text(m.text, sizeof m.text, failed->text);
        }
        session_send(&s->session, &m, sizeof m, -1, NULL);
}

static void settle(struct stint *s, struct image *image)
{
        const struct wire_restore_image *told = &image->told;
        char bytes[32], took[32];

        fit_settle(&s->layout);
        s->restored.image = told->streamed ? image->fed.carried : image->base;
        s->restored.bytes = told->streamed ? image->fed.carried_bytes : image->bytes;
        if (told->streamed)
                fed_settle(s, &image->fed);
        s->restored.saved_ranks = image->saved_ranks;
        s->step = told->step;
        snapshot_landed(&s->snapshot, told->checkpoint_step, told->step);
        if (told->has_best)
                snapshot_best_known(&s->snapshot, told->best_name, (enum stint_goal)told->best_goal, told->best_value);
        say_done(s, image, NULL);
        session_log(&s->session, STINT_LOG_DEBUG,
                    "restored step %" PRId64 " from %s: %" PRIu64 " tensors, %s, copied in %s%s%s", told->step,
                    told->checkpoint, told->count, size_format(bytes, sizeof bytes, (int64_t)told->image_bytes),
                    duration_format(took, sizeof took, image->copy_ns), *told->text ? "; " : "", told->text);
        if (image->saved_ranks != (uint32_t)s->session.ranks)
                session_log(&s->session, STINT_LOG_DEBUG, "rank %d of %d has its state from what %u ranks had saved",
                            s->session.rank, s->session.ranks, image->saved_ranks);
        if (s->layout.carried)
                session_log(&s->session, STINT_LOG_DEBUG,
                            "tensors of the checkpoint that are not attached yet, and are carried along: %" PRIu64,
                            s->layout.carried);
        restore_release(s);
}

/* ---- all ranks together --------------------------------------------------------------------------------------- */

/* One reduction over how it went: 0, or -1 when it failed here (*err stays) or at another rank. */
static int agree_on(struct stint *s, int failed, int64_t checkpoint_step, struct stint_error *err)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS];

        agreement_silence(words);
        words[AGREE_FAILED] = failed ? a->rank + 1 : 0;
        words[AGREE_LANDED] = checkpoint_step;
        words[AGREE_LANDED_LEAST] = -checkpoint_step;
        if (agreement_now(a, words, failed ? NULL : err) < 0 || failed)
                return -1;
        if (a->all[AGREE_FAILED])
                return error_set(err, ECANCELED, "rank %d could not restore (its own log says why): no rank does",
                                 (int)a->all[AGREE_FAILED] - 1);
        if (a->all[AGREE_LANDED] != -a->all[AGREE_LANDED_LEAST])
                return error_set(err, EPROTO,
                                 "the ranks were given different checkpoints, of step %" PRId64 " to %" PRId64,
                                 -a->all[AGREE_LANDED_LEAST], a->all[AGREE_LANDED]);
        return 0;
}

static int fail(struct stint *s, struct image *image, struct stint_error *why)
{
        drop_image(s, image);
        if (image->touched)
                error_wrap(why, "the state is restored in part only, do not train with it");
        if (image->told.status == RESTORE_IMAGE)
                say_done(s, image, why);
        safepoint_refuse(s, why);
        s->why = *why;
        return -1;
}

/* Of a whole image that all ranks have; what was streamed has been seen to by then. */
static int look_at(struct stint *s, struct image *image, const struct stint_error *forgone, struct stint_error *err)
{
        if (s->refused)
                return error_set(err, s->refused->why.code, "%s", s->refused->why.text);
        if (image->told.status != RESTORE_IMAGE && image->touched)
                return error_set(err, ENODATA, "the checkpoint that was being restored is gone");
        if (image->told.status != RESTORE_IMAGE || image->told.streamed)
                return 0;
        return forgone ? error_set(err, forgone->code, "%s", forgone->text) : check_fit(s, image, err);
}

/* The copy, where it was not made already. */
static int copy_rest(struct stint *s, struct image *image, struct stint_error *err)
{
        if (!image->told.streamed)
                return copy_timed(s, image, err);
        image->copy_ns = image->fed.copy_ns;
        return 0;
}

/* The story, once it is sure that every rank has an agent. */
static int restore_together(struct stint *s, int64_t *step, const struct stint_error *forgone)
{
        struct image image = { .told = { .step = -1, .checkpoint_step = -1 } };
        struct stint_error why;
        int rc;

        rc = fetch(s, &image, forgone, &why);
        if (rc == 0)
                rc = look_at(s, &image, forgone, &why);
        if (rc == 0 && image.told.status != RESTORE_IMAGE)
                image.told.checkpoint_step = -1;
        if (agree_on(s, rc < 0, image.told.checkpoint_step, &why) < 0)
                return fail(s, &image, &why);
        if (image.told.status != RESTORE_IMAGE)
                return STINT_FRESH;
        rc = copy_rest(s, &image, &why);
        if (agree_on(s, rc < 0, image.told.checkpoint_step, &why) < 0)
                return fail(s, &image, &why);
        settle(s, &image);
        if (step)
                *step = image.told.step;
        return STINT_RESTORED;
}

/* 1 when every rank has an agent, 0 when none has, -1 when only some have. */
static int everybody_able(struct stint *s, struct stint_error *err)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS];

        if (!session_usable(&s->session))
                reach_until(&s->session, clock_now() + REACH_BACK_NS);
        agreement_silence(words);
        words[AGREE_ABLE] = session_usable(&s->session);
        words[AGREE_UNABLE] = session_usable(&s->session) ? 0 : a->rank + 1;
        if (agreement_now(a, words, err) < 0)
                return -1;
        if (!a->all[AGREE_UNABLE])
                return 1;
        if (!a->all[AGREE_ABLE] && s->session.off)
                return 0;
        return error_set(err, ENOTCONN, "rank %d has no agent: nothing can be restored",
                         (int)a->all[AGREE_UNABLE] - 1);
}

/* What was shown and not taken, or came too late to be of use. */
static void forget_ahead(struct stint *s, int rc)
{
        struct session_inbox *inbox = &s->session.inbox;

        if (rc != STINT_RESTORED)
                mapping_let_go(&s->mapping, NULL, 0);
        if (inbox->ahead_fd >= 0)
                close(inbox->ahead_fd);
        inbox->ahead_fd = -1;
        inbox->has_ahead = 0;
}

static int restore_any(struct stint *s, int64_t *step, const struct stint_error *forgone)
{
        struct image none = { .base = NULL };
        struct stint_error why;
        int able, rc;

        s->restored.asked = 1;
        where_forget(&s->where);
        able = everybody_able(s, &why);
        rc = able < 0 ? fail(s, &none, &why) : able ? restore_together(s, step, forgone) : STINT_FRESH;
        forget_ahead(s, rc);
        if (session_usable(&s->session))
                snapshot_prepare(&s->snapshot, NULL);
        s->look_ns = 0;
        return rc;
}

/*
 * The agent shows an image when it has read it and this process is there, whichever is later, and asks nothing.  The mail
 * counter tells that something has come, so this costs a load.
 */
void restore_look_ahead(struct stint *s)
{
        struct session_inbox *inbox = &s->session.inbox;

        if (s->restored.asked || !session_usable(&s->session))
                return;
        session_peek(&s->session);
        if (!inbox->has_ahead)
                return;
        if (channel_memory_check(inbox->ahead_fd, inbox->ahead_bytes, NULL) == 0)
                mapping_prepare(&s->mapping, inbox->ahead_fd, inbox->ahead_bytes);
        close(inbox->ahead_fd);
        inbox->ahead_fd = -1;
        inbox->has_ahead = 0;
}

int restore_state(struct stint *s, int64_t *step)
{
        if (s->restored.asked)
                return error_set(&s->why, EALREADY,
                                 "stint_restore was called after training began, or twice; call it once, before");
        return restore_any(s, step, NULL);
}

void restore_forgone(struct stint *s)
{
        struct stint_error why;

        error_set(&why, ECANCELED,
                  "the program did not call stint_restore although this run has checkpoints; call it, or use another "
                  "run directory");
        if (session_usable(&s->session))
                session_log(&s->session, STINT_LOG_WARNING,
                            "the program goes to its first safe point without stint_restore");
        restore_any(s, NULL, &why);
}

void restore_release(struct stint *s)
{
        if (!s->restored.image || s->layout.carried)
                return;
        mapping_let_go(&s->mapping, s->restored.image, s->restored.bytes);
        s->restored.image = NULL;
}
