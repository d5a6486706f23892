/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_stand_in: stands in for stint-slurm where there is no Slurm.  Tests put it in a folder of theirs under the name
 * stint-slurm, with that folder as STINT_LIBEXEC_DIR (beside a link to stint-agent), and its script as SLURM_CONF, which is
 * one of the two variables that reach it.
 *
 * A line of the script says what becomes of the next question of its kind; the last line of a kind goes for all later
 * ones; a kind without a line is refused with EINVAL.  The kinds: state, requeue, cancel, comment, whose, cluster.
 *
 *     state end=20s cause=limit can_requeue=1 # answers; end counts from the first question of all, left from now
 *     state delay=300ms state=cancelled
 *     state silence                           # never answers
 *     state die=3 text=words                  # ends with that exit status; the words are its last on stderr
 *     requeue failed=1 text=all the rest of the line
 *
 * Words of an answer: state, left, end, cause (limit, preempted, reservation), can_requeue, restarts, uid, nodes, gone,
 * wait, submit, job, failed, text (the last one); of a cluster: grace, kill_wait, requeue, failed, text.  What was asked
 * is in SCRIPT.log, a line each: nanoseconds since boot, kind, job, text.  That file also remembers how far the script is,
 * over all stand-ins that were started.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "duration.h"
#include "scheduler.h"
#include "wire.h"

#define LINE 1024

static const char *const kinds[] = { NULL, "state", "requeue", "cancel", "comment", "whose", "cluster" };
static char script[LINE], log_name[LINE + 8];

static void broken(const char *what, const char *line)
{
        fprintf(stderr, "slurm_stand_in: %s: %s\n", what, line);
        exit(99);
}

/* ---- script and log -------------------------------------------------------------------------------------------- */

/* How often this kind was asked before; *begun_ns is when the first question of all was. Then notes this one. */
static int note(const struct wire_scheduler_ask *ask, int64_t *begun_ns)
{
        const char *kind = kinds[ask->question];
        char line[LINE], was[16];
        FILE *f = fopen(log_name, "a+");
        int64_t at;
        int count = 0;

        if (f == NULL)
                broken("cannot write", log_name);
        *begun_ns = 0;
        rewind(f);
        while (fgets(line, sizeof line, f) != NULL) {
                if (sscanf(line, "%" SCNd64 " %15s", &at, was) != 2)
                        broken("this is no log of mine", line);
                if (*begun_ns == 0)
                        *begun_ns = at;
                count += strcmp(was, kind) == 0;
        }
        if (*begun_ns == 0)
                *begun_ns = clock_now();
        fprintf(f, "%" PRId64 " %s %s %s\n", clock_now(), kind, ask->job, ask->text);
        fclose(f);
        return count;
}

/* The line for the question of this kind that `count` came before; whether there is one. */
static int find_line(const char *kind, int count, char *out)
{
        FILE *f = fopen(script, "r");
        size_t n = strlen(kind);
        char line[LINE];
        int seen = 0;

        if (f == NULL)
                broken("cannot read", script);
        while (seen <= count && fgets(line, sizeof line, f) != NULL) {
                line[strcspn(line, "#\n")] = '\0';
                if (strncmp(line, kind, n) != 0 || (line[n] != ' ' && line[n] != '\0'))
                        continue;
                seen++;
                strcpy(out, line + n);
        }
        fclose(f);
        return seen > 0;
}

/* ---- words ----------------------------------------------------------------------------------------------------- */

static int64_t time_of(const char *text)
{
        int64_t ns;

        if (strcmp(text, "never") == 0)
                return CLOCK_NEVER;
        if (duration_parse(text, &ns, NULL) < 0)
                broken("not a duration", text);
        return ns;
}

static uint32_t state_of(const char *word)
{
        uint32_t i;

        for (i = 0; i <= SCHEDULER_SUSPENDED; i++)
                if (strcmp(scheduler_state_name((enum scheduler_state)i), word) == 0)
                        return i;
        broken("not a state", word);
        return 0;
}

static uint32_t cause_of(const char *word)
{
        if (strcmp(word, "limit") == 0)
                return DEADLINE_LIMIT;
        if (strcmp(word, "preempted") == 0)
                return DEADLINE_PREEMPTED;
        if (strcmp(word, "reservation") == 0)
                return DEADLINE_RESERVATION;
        broken("not a cause", word);
        return 0;
}

/* What a line says about the stand-in itself, and of both kinds of answer. */
struct behaviour {
        int silence, die, failed;
        int64_t delay_ns;
        char text[WIRE_TEXT];
};

static int take_behaviour(struct behaviour *b, const char *name, const char *value)
{
        if (strcmp(name, "silence") == 0)
                b->silence = 1;
        else if (strcmp(name, "die") == 0)
                b->die = atoi(value);
        else if (strcmp(name, "failed") == 0)
                b->failed = atoi(value);
        else if (strcmp(name, "delay") == 0)
                b->delay_ns = time_of(value);
        else if (strcmp(name, "text") == 0)
                wire_text(b->text, sizeof b->text, value);
        else
                return 0;
        return 1;
}

static int take_answer(struct wire_scheduler_answer *a, int64_t begun_ns, const char *name, const char *value)
{
        if (strcmp(name, "state") == 0)
                a->state = state_of(value);
        else if (strcmp(name, "left") == 0)
                a->left_ns = time_of(value);
        else if (strcmp(name, "end") == 0)
                a->left_ns = begun_ns + time_of(value) - clock_now();
        else if (strcmp(name, "cause") == 0)
                a->cause = cause_of(value);
        else if (strcmp(name, "can_requeue") == 0)
                a->can_requeue = (uint32_t)atoi(value);
        else if (strcmp(name, "restarts") == 0)
                a->restarts = (uint32_t)atoi(value);
        else if (strcmp(name, "uid") == 0)
                a->uid = (uint32_t)atoi(value);
        else if (strcmp(name, "nodes") == 0)
                a->nodes = (uint32_t)atoi(value);
        else if (strcmp(name, "gone") == 0)
                a->gone = (uint32_t)atoi(value);
        else if (strcmp(name, "wait") == 0)
                a->wait_ns = time_of(value);
        else if (strcmp(name, "submit") == 0)
                a->submit_s = atoll(value);
        else if (strcmp(name, "job") == 0)
                wire_text(a->job, sizeof a->job, value);
        else
                return 0;
        return 1;
}

static int take_cluster(struct cluster *c, const char *name, const char *value)
{
        if (strcmp(name, "grace") == 0)
                c->part_grace_s = (uint32_t)atoi(value);
        else if (strcmp(name, "kill_wait") == 0)
                c->kill_wait_s = (uint32_t)atoi(value);
        else if (strcmp(name, "requeue") == 0)
                c->job_requeue = (uint32_t)atoi(value);
        else
                return 0;
        return 1;
}

/* Reads the line into what is to be done; exactly one of answer and cluster is not NULL. */
static void read_line(char *line, int64_t begun_ns, struct behaviour *b, struct wire_scheduler_answer *answer,
                      struct cluster *cluster)
{
        char *at = line, *name, *value;

        while (*(at += strspn(at, " ")) != '\0') {
                name = at;
                at += strcspn(at, strncmp(name, "text=", 5) == 0 ? "" : " ");
                if (*at != '\0')
                        *at++ = '\0';
                value = strchr(name, '=');
                if (value != NULL)
                        *value++ = '\0';
                else
                        value = name + strlen(name);
                if (!take_behaviour(b, name, value) && !(answer != NULL && take_answer(answer, begun_ns, name, value)) &&
                    !(cluster != NULL && take_cluster(cluster, name, value)))
                        broken("there is no such word", name);
        }
}

static void behave(const struct behaviour *b)
{
        struct timespec delay = { b->delay_ns / CLOCK_SECOND, b->delay_ns % CLOCK_SECOND };

        if (b->silence) {
                channel_wait(STDIN_FILENO, CLOCK_NEVER); /* only its end can come: a question is on its way */
                exit(0);
        }
        nanosleep(&delay, NULL);
        if (b->die != 0) {
                fprintf(stderr, "slurm_stand_in: %s\n", b->text);
                exit(b->die);
        }
}

static struct behaviour unless_said(int known)
{
        struct behaviour b = { .failed = known ? 0 : EINVAL };

        if (!known)
                wire_text(b.text, sizeof b.text, "the script of the stand-in says nothing about that");
        return b;
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static void answer_cluster(char *line, int known)
{
        struct wire_scheduler_cluster answer = { .cluster = { .name = "stand-in", .version = "0", .library = "0" } };
        struct behaviour b = unless_said(known);

        WIRE_INIT(&answer, WIRE_SCHEDULER_CLUSTER);
        read_line(line, 0, &b, NULL, &answer.cluster);
        behave(&b);
        answer.failed = b.failed;
        memcpy(answer.text, b.text, sizeof answer.text);
        channel_send(STDIN_FILENO, &answer, sizeof answer, NULL, 0, NULL);
}

static void answer_job(const struct wire_scheduler_ask *ask, char *line, int known, int64_t begun_ns)
{
        struct wire_scheduler_answer answer = { .question = ask->question, .state = SCHEDULER_RUNNING,
                                                .left_ns = CLOCK_NEVER, .uid = (uint32_t)getuid(), .nodes = 1 };
        struct behaviour b = unless_said(known);

        WIRE_INIT(&answer, WIRE_SCHEDULER_ANSWER);
        wire_text(answer.job, sizeof answer.job, ask->job);
        read_line(line, begun_ns, &b, &answer, NULL);
        behave(&b);
        answer.failed = b.failed;
        memcpy(answer.text, b.text, sizeof answer.text);
        channel_send(STDIN_FILENO, &answer, sizeof answer, NULL, 0, NULL);
}

int main(void)
{
        const char *name = getenv("SLURM_CONF");
        struct wire_scheduler_ask ask;
        int64_t begun_ns;
        ssize_t n;

        if (name == NULL)
                broken("SLURM_CONF does not name a script", "");
        snprintf(script, sizeof script, "%s", name);
        snprintf(log_name, sizeof log_name, "%s.log", script);
        while ((n = channel_receive(STDIN_FILENO, &ask, sizeof ask, NULL, NULL, NULL)) > 0) {
                char line[LINE] = "";
                int known;

                if (wire_check(&ask, (size_t)n, NULL) < 0 || ask.header.type != WIRE_SCHEDULER_ASK || ask.question < 1 ||
                    ask.question > SCHEDULER_CLUSTER)
                        broken("that is no question", "");
                known = find_line(kinds[ask.question], note(&ask, &begun_ns), line);
                if (ask.question == SCHEDULER_CLUSTER)
                        answer_cluster(line, known);
                else
                        answer_job(&ask, line, known, begun_ns);
        }
        return n < 0;
}
