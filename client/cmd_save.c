/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_save: `stint save`: asks the `stint run` that has the run's lease to save now, and waits for what became
 * of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "cmd.h"
#include "duration.h"
#include "pick.h"
#include "print.h"
#include "run.h"
#include "run_lease.h"
#include "run_verdict.h"
#include "wire.h"

#define EXIT_NOT_SAVED 1

struct save_options {
        int stop, json;
        int64_t wait_ns;
};

static const struct flag table[] = {
        {"--stop", NULL, offsetof(struct save_options, stop), flag_switch, "and end the stint when it landed", NULL},
        {"--wait", "D", offsetof(struct save_options, wait_ns), flag_duration,
         "wait for the answer at most that long (default: as long as it takes)", NULL},
        {"--json", NULL, offsetof(struct save_options, json), flag_switch, "as JSON", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] =
        "Usage: stint save [OPTION...] [RUN]\n\n"
        "Saves a run that is running, at its next safe point, and tells what landed. Exit code 1: it did not.";

/* Who runs it, when that is somebody on this host who can be asked. */
static int find_holder(const char *run, struct lease_holder *holder, struct stint_error *err)
{
        int over;

        if (lease_read(run, holder, &over, err))
                return err->code == ENOENT
                               ? error_set(err, ENOENT, "%s is not running now, so there is nothing to save", run)
                               : -1;
        if (over > 0)
                return error_set(err, ESRCH, "%s is not running now: stint %u on %s is over (pid %d is gone)", run,
                                 holder->stint, holder->host, (int)holder->pid);
        if (over < 0)
                return error_set(err, EHOSTUNREACH, "%s runs on %s: run `stint save` there", run, holder->host);
        if (!*holder->control)
                return error_set(err, EAGAIN, "%s is just starting (pid %d): try again in a moment", run,
                                 (int)holder->pid);
        return 0;
}

static int receive_answer(int fd, const char *run, struct wire_verb_answer *answer, struct stint_error *err)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        const struct wire_header *header = (const void *)message;
        int fds[CHANNEL_FDS], n_fds = 0;
        ssize_t n = channel_receive(fd, message, sizeof message, fds, &n_fds, err);

        while (n > 0 && n_fds > 0)
                close(fds[--n_fds]);
        if (n < 0)
                return -1;
        if (n == 0)
                return error_set(err, ECONNRESET, "%s ended before it answered; `stint show` tells what landed", run);
        if (wire_check(message, (size_t)n, err))
                return -1;
        if (header->type != WIRE_VERB_ANSWER)
                return error_set(err, EBADMSG, "%s answered with something else (%s)", run, wire_name(header->type));
        memcpy(answer, message, sizeof *answer);
        return 0;
}

static int ask(const struct lease_holder *holder, const char *run, const struct save_options *o,
               struct wire_verb_answer *answer, struct stint_error *err)
{
        struct wire_verb verb = {.what = o->stop ? VERB_STOP : VERB_SAVE};
        char text[32];
        int rc, fd = channel_connect(holder->control, NULL, err);

        if (fd < 0)
                return error_wrap(err, "%s (pid %d) cannot be asked", run, (int)holder->pid);
        WIRE_INIT(&verb, WIRE_VERB);
        rc = channel_send(fd, &verb, sizeof verb, NULL, 0, err);
        if (!rc && !channel_wait(fd, o->wait_ns))
                rc = error_set(err, ETIMEDOUT,
                               "no answer within %s; the save goes on, `stint status` tells what becomes of it",
                               duration_format(text, sizeof text, o->wait_ns));
        if (!rc)
                rc = receive_answer(fd, run, answer, err);
        close(fd);
        return rc;
}

/* A save that landed comes as numbers; one that did not, and one that was not needed, with words. */
static int show(struct wire_verb_answer *answer, int json, struct stint_error *err)
{
        char reason[WIRE_TEXT];

        if (!answer->code && !*answer->text)
                verdict_saved(answer->text, sizeof answer->text, answer->step, answer->bytes, answer->took_ns,
                              CLOCK_NEVER);
        if (answer->code && !json) {
                wire_text(reason, sizeof reason, answer->text);
                snprintf(answer->text, sizeof answer->text, "NOT saved: %.*s", (int)sizeof reason - 20, reason);
        }
        if (!json)
                return printf("%s\n", answer->text) < 0 ? error_set(err, EIO, "the answer cannot be written") : 0;
        return print_json(json_pack("{s:b, s:I, s:I, s:f, s:s}", "landed", !answer->code, "step",
                                    (json_int_t)answer->step, "bytes", (json_int_t)answer->bytes, "took_s",
                                    (double)answer->took_ns / 1e9, "text", answer->text),
                          stdout, err);
}

int cmd_save(int argc, char **argv)
{
        struct save_options o = {.wait_ns = CLOCK_NEVER};
        struct lease_holder holder;
        struct wire_verb_answer answer;
        struct stint_error err;
        char run[RUNDIR_PATH], **words, **rest;
        int rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        if (pick_from_words(run, words, 1, &rest, &err) || find_holder(run, &holder, &err) ||
            ask(&holder, run, &o, &answer, &err) || show(&answer, o.json, &err))
                return cmd_fail("save", &err);
        return answer.code ? EXIT_NOT_SAVED : 0;
}
