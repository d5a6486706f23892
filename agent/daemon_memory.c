/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon_memory: ask, "soon" or a refusal, then the memory.  Called by staging and by readers, on a thread. */
#include "daemon_memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "node.h"
#include "wire.h"

#define DECIDE_NS (2 * CLOCK_SECOND)      /* for yes or no */
#define SILENT_NS (60 * CLOCK_SECOND)
#define POPULATE_RATE (INT64_C(200) << 20) /* bytes per second: a node where everybody makes pages at once */

int daemon_socket(char out[DAEMON_PATH], struct stint_error *err)
{
        const char *named = getenv("STINT_DAEMON_SOCKET");

        return node_expand(out, DAEMON_PATH, named && *named ? named : DAEMON_SOCKET, NULL, err);
}

/* What came: the memory, -1 while it is still being made, and on what terms. */
struct answer {
        int memory;
        int64_t outlive_ns;
};

/* One GRANT within the limit; anything else, and nothing, is why there will be no memory. */
/* When it may be asked again: one that has just let somebody wait would only cost the next one the same. */
static _Atomic int64_t silent_until_ns;

static int await(int fd, int64_t limit_ns, uint64_t bytes, struct answer *a, struct stint_error *err)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        const struct wire_daemon_refused *refused = (const void *)message;
        const struct wire_daemon_grant *grant = (const void *)message;
        int fds[CHANNEL_FDS], n_fds = 0, i;
        ssize_t n;

        if (!channel_wait(fd, limit_ns)) {
                atomic_store(&silent_until_ns, clock_now() + SILENT_NS);
                return error_set(err, ETIMEDOUT, "stintd did not answer in time");
        }
        n = channel_receive(fd, message, sizeof message, fds, &n_fds, err);
        if (n == 0)
                error_set(err, ECONNRESET, "stintd closed the connection");
        else if (n > 0 && wire_check(message, (size_t)n, err) == 0 && grant->header.type == WIRE_DAEMON_REFUSED)
                error_set(err, refused->code > 0 ? refused->code : EPERM, "%s", refused->text);
        else if (n > 0 && grant->header.type == WIRE_DAEMON_GRANT && grant->bytes == bytes &&
                 n_fds == (grant->ready ? 1 : 0)) {
                a->memory = grant->ready ? fds[0] : -1;
                a->outlive_ns = grant->outlive_s * CLOCK_SECOND;
                return 0;
        } else if (n > 0) {
                error_set(err, EBADMSG, "stintd answered with something that is no memory");
        }
        for (i = 0; i < n_fds; i++)
                close(fds[i]);
        return -1;
}

/* A descriptor is no memory yet: of another size, or one that can shrink, it would be a trap. */
static int take(struct answer *a, uint64_t bytes, struct stint_error *err)
{
        if (a->memory < 0)
                return error_set(err, EBADMSG, "stintd promised memory twice");
        if (channel_memory_check(a->memory, bytes, err) == 0)
                return 0;
        close(a->memory);
        return -1;
}

static int ask(int fd, uint64_t bytes, struct answer *a, struct stint_error *err)
{
        const int64_t limit_ns = DECIDE_NS + (int64_t)(bytes / POPULATE_RATE) * CLOCK_SECOND;
        struct wire_daemon_memory m = { .bytes = bytes };

        WIRE_INIT(&m, WIRE_DAEMON_MEMORY);
        if (channel_send(fd, &m, sizeof m, NULL, 0, err) < 0 || await(fd, DECIDE_NS, bytes, a, err) < 0)
                return -1;
        if (a->memory < 0 && await(fd, limit_ns, bytes, a, err) < 0)
                return -1;
        return take(a, bytes, err);
}

static int ask_for(int fd, const struct daemon_wanted *wanted, struct answer *a, struct stint_error *err)
{
        struct wire_daemon_find m = { .bytes = wanted->bytes, .root = wanted->root };

        WIRE_INIT(&m, WIRE_DAEMON_FIND);
        m.rank = wanted->rank;
        m.ranks = wanted->ranks;
        wire_text(m.run_id, sizeof m.run_id, wanted->run_id);
        if (channel_send(fd, &m, sizeof m, NULL, 0, err) < 0 || await(fd, DECIDE_NS, wanted->bytes, a, err) < 0)
                return -1;
        return take(a, wanted->bytes, err);
}

static int reach(struct stint_error *err)
{
        char path[DAEMON_PATH];

        if (clock_now() < atomic_load(&silent_until_ns))
                return error_set(err, ETIMEDOUT, "stintd did not answer in time");
        return daemon_socket(path, err) < 0 ? -1 : channel_connect_path(path, NULL, err);
}

int daemon_memory(uint64_t bytes, int *line, int64_t *outlive_ns, struct stint_error *err)
{
        const int fd = reach(err);
        struct answer a = { .memory = -1 };

        if (fd < 0)
                return -1;
        if (ask(fd, bytes, &a, err) < 0) {
                close(fd);
                return -1;
        }
        *line = fd;
        *outlive_ns = a.outlive_ns;
        return a.memory;
}

int daemon_memory_find(const struct daemon_wanted *wanted, int *line, struct stint_error *err)
{
        const int fd = reach(err);
        struct answer a = { .memory = -1 };

        if (fd < 0)
                return -1;
        if (ask_for(fd, wanted, &a, err) < 0) {
                close(fd);
                return -1;
        }
        *line = fd;
        return a.memory;
}
