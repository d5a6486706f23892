/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * whose_stand_in: stands in for stint-slurm where stintd asks it whose job a process is.  What it answers stands in the
 * file that SLURM_CONF names, read anew at every question: lines "PID JOB UID" (PID 0: every process), or one word: "hang" (never answers),
 * "die" (ends at the question), "away" (says that slurmd does not answer).  A process that is not listed has no job.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "scheduler.h"
#include "wire.h"

static void look_up(unsigned pid, struct wire_scheduler_answer *a)
{
        const char *path = getenv("SLURM_CONF");
        FILE *f = path ? fopen(path, "r") : NULL;
        char line[128], job[64];
        unsigned of, uid;

        a->failed = ESRCH;
        while (f && fgets(line, sizeof line, f)) {
                if (!strncmp(line, "hang", 4))
                        pause();
                if (!strncmp(line, "die", 3))
                        exit(1);
                if (!strncmp(line, "away", 4)) {
                        a->failed = ECONNREFUSED;
                        wire_text(a->text, sizeof a->text, "slurmd does not answer");
                }
                if (sscanf(line, "%u %63s %u", &of, job, &uid) == 3 && (of == pid || of == 0)) {
                        a->failed = 0;
                        a->uid = uid;
                        wire_text(a->job, sizeof a->job, job);
                }
        }
        if (f)
                fclose(f);
}

int main(void)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        const struct wire_scheduler_ask *ask = (const void *)bytes;

        for (;;) {
                struct wire_scheduler_answer a = { .question = SCHEDULER_WHOSE, .uid = UINT32_MAX };
                ssize_t n = channel_receive(STDIN_FILENO, bytes, sizeof bytes, NULL, NULL, NULL);

                if (n <= 0 || wire_check(bytes, (size_t)n, NULL) < 0 || ask->header.type != WIRE_SCHEDULER_ASK)
                        return n < 0;
                WIRE_INIT(&a, WIRE_SCHEDULER_ANSWER);
                if (ask->question == SCHEDULER_WHOSE)
                        look_up(ask->pid, &a);
                else
                        a.failed = ENOTSUP;
                if (channel_send(STDIN_FILENO, &a, sizeof a, NULL, 0, NULL) < 0)
                        return 1;
        }
}
