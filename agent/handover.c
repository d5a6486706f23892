/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handover: the pending mark first, then the message, so that there is no moment at which stintd would go on with a part
 * that says of itself that nobody does.  What stintd answers is heard when there is more to tell; where it refuses, or is
 * gone, the mark is taken away again.
 */
#include "handover.h"

#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "deadline.h"
#include "durable.h"
#include "log.h"
#include "node.h"
#include "wire.h"

#define EVERY_BYTES (UINT64_C(64) << 20) /* between two messages of how far it is */
#define SPARE_NS (5 * CLOCK_SECOND)      /* for a write that had hardly begun, on a node that has just lost a job */

int64_t handover_within(int64_t expected_ns, uint64_t bytes, int64_t most_ns)
{
        const uint64_t guess_s = bytes / (uint64_t)DEADLINE_GUESS_RATE;
        int64_t within_ns = expected_ns;

        if (within_ns <= 0 && guess_s >= (uint64_t)(most_ns / CLOCK_SECOND))
                return most_ns;
        if (within_ns <= 0)
                within_ns = (int64_t)guess_s * CLOCK_SECOND + DEADLINE_GUESS_FIXED;
        if (within_ns > most_ns / 2)
                return most_ns;
        within_ns = 2 * within_ns + SPARE_NS;
        return within_ns < most_ns ? within_ns : most_ns;
}

/* ---- the mark ---------------------------------------------------------------------------------------------------- */

static int mark(const struct handover *h, int64_t within_ns)
{
        struct seal_pending pending = { .until_wall_ns = clock_wall() + within_ns };
        unsigned char bytes[SEAL_BYTES];
        char node[NODE_NAME];

        wire_text(pending.node, sizeof pending.node, node_name(node));
        seal_pending_encode(&pending, bytes);
        return durable_pwrite(h->seal_fd, bytes, sizeof bytes, 0, "the seal", NULL);
}

/* stintd does not go on: the next stint need not wait for it. */
static void unmark(struct handover *h, const char *why)
{
        h->line = -1;
        if (ftruncate(h->seal_fd, 0) < 0)
                log_debug("the seal says that stintd goes on, and it does not (%s)", why);
        else
                log_debug("stintd does not go on with this write after a kill: %s", why);
}

/* ---- the line ---------------------------------------------------------------------------------------------------- */

static int tell(struct handover *h, const void *message, size_t n, const int *fds, int n_fds)
{
        struct stint_error err = { 0 };

        if (channel_send(h->line, message, n, fds, n_fds, &err) == 0)
                return 0;
        unmark(h, err.text);
        return -1;
}

/* What stintd said meanwhile: that it took the write over, or why not. */
static void hear(struct handover *h)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        const struct wire_daemon_done *done = (const void *)bytes;
        struct stint_error err = { 0 };
        ssize_t n;

        while (h->line >= 0 && channel_wait(h->line, 0)) {
                n = channel_receive(h->line, bytes, sizeof bytes, NULL, NULL, &err);
                if (n == 0)
                        unmark(h, "it is gone");
                else if (n < 0 || wire_check(bytes, (size_t)n, &err) < 0)
                        unmark(h, err.text);
                else if (done->header.type != WIRE_DAEMON_DONE)
                        unmark(h, "it said something else");
                else if (done->code != 0)
                        unmark(h, done->text);
        }
}

void handover_begin(struct handover *h, const struct staging *staging, const struct seal *seal, int file_fd, int seal_fd,
                    int64_t expected_ns)
{
        struct wire_daemon_handover m = { .within_ns = 0 };
        const int fds[2] = { file_fd, seal_fd };

        *h = (struct handover){ .line = -1, .file_fd = file_fd, .seal_fd = seal_fd };
        if (staging->line < 0 || staging->outlive_ns <= 0)
                return;
        WIRE_INIT(&m, WIRE_DAEMON_HANDOVER);
        m.within_ns = handover_within(expected_ns, staging->image_bytes, staging->outlive_ns);
        seal_encode(seal, m.seal);
        h->line = staging->line;
        hear(h); /* of the hand-over before this one */
        if (h->line >= 0 && mark(h, m.within_ns) < 0)
                unmark(h, "its seal cannot be marked");
        if (h->line >= 0)
                tell(h, &m, sizeof m, fds, 2);
}

void handover_written(struct handover *h, uint64_t bytes)
{
        struct wire_daemon_written m = { .bytes = bytes };

        if (h->line < 0 || bytes < h->told + EVERY_BYTES)
                return;
        hear(h);
        if (h->line < 0)
                return;
        WIRE_INIT(&m, WIRE_DAEMON_WRITTEN);
        if (tell(h, &m, sizeof m, NULL, 0) == 0)
                h->told = bytes;
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

static void say_over(struct handover *h, int sealed, uint64_t root)
{
        struct wire_daemon_sealed m = { .sealed = (uint32_t)sealed, .root = root };
        const int line = h->line;

        WIRE_INIT(&m, WIRE_DAEMON_SEALED);
        h->line = -1;
        if (line >= 0)
                channel_send(line, &m, sizeof m, NULL, 0, NULL);
}

void handover_sealed(struct handover *h, uint64_t root)
{
        say_over(h, 1, root);
}

void handover_end(struct handover *h)
{
        if (h->line < 0)
                return;
        if (ftruncate(h->seal_fd, 0) < 0)
                log_debug("the seal of a save that was given up cannot be emptied");
        say_over(h, 0, 0);
}
