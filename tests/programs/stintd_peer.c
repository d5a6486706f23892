/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stintd_peer SOCKET: the other end of a connection to stintd, as an agent, a verb or an enemy has it.  What it says it
 * reads from its stdin, a line each; what it hears it prints, a line each; a script can play every part with it.
 *
 *      hello                            as an agent
 *      plan LEFT_MS LEAD_MS RANKS       a plan; LEFT_MS "-" for no deadline; a final save costs LEAD_MS
 *      asked                            the plans that follow say that the final save was asked for
 *      saving begun|landed|failed WORD  a save with this reason
 *      memory BYTES                     staging
 *      find BYTES ROOT                  a snapshot of rank 0 of 1 that is still there
 *      handover FILE SEAL MS [BYTES]    a write from that memory.  Both are opened, made where they are not there, and the
 *                                       seal is marked; "r:PATH", "w:PATH", "a:PATH", "p:PATH": only to be read, written,
 *                                       appended to, or named; "u:PATH": not marked; "-": no descriptor.  BYTES: of the
 *                                       file, instead of the memory's
 *      written BYTES                    so far
 *      sealed ROOT                      it is on disk; 0: it was given up
 *      request list|save|drain [JOB]
 *      bytes TYPE SIZE SENT             a header that says TYPE and SIZE, in a datagram of SENT bytes
 *      descriptor                       a plan with a descriptor beside it
 *      flood N                          so many plans, as fast as they are taken
 *      map                              the memory that came: mapped, filled, and looked at at `look`
 *      look
 *      hangup                           closes the connection, and goes on
 *      quit                             closes; so does the end of stdin
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "deadline.h"
#include "seal.h"
#include "table.h"
#include "wire.h"

#define RUN_ID "00112233445566778899aabbccddeeff"

static int line_fd = -1, memory_fd = -1;
static int final_asked;
static unsigned char *memory;
static uint64_t memory_bytes;

static void tell(const void *message, size_t n, const int *fds, int n_fds)
{
        struct stint_error err = { 0 };
        struct pollfd room = { .fd = line_fd, .events = POLLOUT };

        while (channel_send(line_fd, message, n, fds, n_fds, &err) < 0) {
                if (err.code != EAGAIN) {
                        printf("cannot send: %s\n", err.text);
                        return;
                }
                poll(&room, 1, -1);
        }
}

/* ---- what is said ------------------------------------------------------------------------------------------------ */

static void say_hello(void)
{
        struct wire_daemon_hello m = { .oldest = WIRE_VERSION, .newest = WIRE_VERSION, .stint = 3 };

        WIRE_INIT(&m, WIRE_DAEMON_HELLO);
        wire_text(m.run_id, sizeof m.run_id, RUN_ID);
        tell(&m, sizeof m, NULL, 0);
}

static struct wire_daemon_plan plan(int64_t left_ns, int64_t lead_ns, uint32_t ranks)
{
        struct wire_daemon_plan m = { .left_ns = left_ns, .since_save_ns = CLOCK_SECOND, .flying_ns = -1 };

        m.interval_ns = CLOCK_NEVER;
        WIRE_INIT(&m, WIRE_DAEMON_PLAN);
        m.begun_ns = 1000 * CLOCK_SECOND;
        m.told_ns = 0;
        m.cause = DEADLINE_LIMIT;
        m.steps = m.saves = 100;
        m.write_ns = lead_ns;
        m.agree_every = 1;
        m.ranks = ranks;
        m.step = 7;
        m.mtbf_ns = 3600 * CLOCK_SECOND;
        m.final_asked = (uint32_t)final_asked;
        return m;
}

static void say_plan(const char *words)
{
        struct wire_daemon_plan m;
        char left[32] = "-";
        long lead_ms = 0;
        unsigned ranks = 1;

        sscanf(words, "%31s %ld %u", left, &lead_ms, &ranks);
        m = plan(left[0] == '-' ? CLOCK_NEVER : strtol(left, NULL, 10) * CLOCK_MS, lead_ms * CLOCK_MS, ranks);
        tell(&m, sizeof m, NULL, 0);
}

static void say_saving(const char *words)
{
        struct wire_daemon_saving m = { .save_id = 4, .step = 8 };
        char state[16] = "", reason[32] = "";

        sscanf(words, "%15s %31[a-z ]", state, reason);
        WIRE_INIT(&m, WIRE_DAEMON_SAVING);
        m.state = state[0] == 'b' ? DAEMON_SAVING_BEGUN : state[0] == 'l' ? DAEMON_SAVING_LANDED : DAEMON_SAVING_FAILED;
        m.reason = save_reason_from_name(reason);
        tell(&m, sizeof m, NULL, 0);
}

static void say_request(const char *words)
{
        struct wire_daemon_request m = { .what = 0 };
        char what[16] = "", job[64] = "";

        sscanf(words, "%15s %63s", what, job);
        WIRE_INIT(&m, WIRE_DAEMON_REQUEST);
        m.what = what[0] == 'l' ? DAEMON_LIST : what[0] == 's' ? DAEMON_SAVE : what[0] == 'd' ? DAEMON_DRAIN : 99;
        wire_text(m.job, sizeof m.job, job);
        tell(&m, sizeof m, NULL, 0);
}

static void say_memory(const char *words)
{
        struct wire_daemon_memory m = { .bytes = strtoull(words, NULL, 10) };

        WIRE_INIT(&m, WIRE_DAEMON_MEMORY);
        tell(&m, sizeof m, NULL, 0);
}

static void say_find(const char *words)
{
        struct wire_daemon_find m = { .ranks = 1 };

        WIRE_INIT(&m, WIRE_DAEMON_FIND);
        sscanf(words, "%" SCNu64 " %" SCNu64, &m.bytes, &m.root);
        wire_text(m.run_id, sizeof m.run_id, RUN_ID);
        tell(&m, sizeof m, NULL, 0);
}

/* ---- a write that is handed over ---------------------------------------------------------------------------------- */

static int open_as(const char *word)
{
        const int has_mode = word[0] && word[1] == ':';
        const char *path = has_mode ? word + 2 : word;
        int fd;

        switch (has_mode ? word[0] : ' ') {
        case 'r':
                fd = open(path, O_RDONLY | O_CLOEXEC);
                break;
        case 'w':
                fd = open(path, O_WRONLY | O_CLOEXEC);
                break;
        case 'a':
                fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
                break;
        case 'p':
                fd = open(path, O_PATH | O_CLOEXEC);
                break;
        default:
                fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                break;
        }
        if (fd < 0)
                printf("cannot open %s: %s\n", path, strerror(errno));
        return fd;
}

static void mark(int fd)
{
        struct seal_pending pending = { .until_wall_ns = clock_wall() + 60 * CLOCK_SECOND, .node = "here" };
        unsigned char bytes[SEAL_BYTES];

        seal_pending_encode(&pending, bytes);
        if (pwrite(fd, bytes, sizeof bytes, 0) < 0)
                printf("cannot mark: %s\n", strerror(errno));
}

/* An image without a tensor: all of it is what is around them. */
static struct seal seal_of(uint64_t bytes)
{
        struct seal seal = { .ranks = 1, .stint = 3, .step = 8, .file_bytes = bytes, .record_bytes = TABLE_RECORD_FIXED };

        strcpy(seal.run_id, RUN_ID);
        return seal;
}

static void say_handover(const char *words)
{
        struct wire_daemon_handover m = { .within_ns = 0 };
        char file[128] = "-", seal_file[128] = "-";
        uint64_t bytes = memory_bytes;
        struct seal seal;
        int fds[2], n_fds = 0;
        long ms = 0;

        sscanf(words, "%127s %127s %ld %" SCNu64, file, seal_file, &ms, &bytes);
        WIRE_INIT(&m, WIRE_DAEMON_HANDOVER);
        m.within_ns = ms * CLOCK_MS;
        seal = seal_of(bytes);
        seal_encode(&seal, m.seal);
        if (strcmp(file, "-") != 0)
                fds[n_fds++] = open_as(file);
        if (strcmp(seal_file, "-") != 0)
                fds[n_fds++] = open_as(seal_file);
        if (n_fds == 2 && seal_file[1] != ':')
                mark(fds[1]);
        tell(&m, sizeof m, fds, n_fds);
        while (n_fds > 0)
                close(fds[--n_fds]);
}

static void say_written(const char *words)
{
        struct wire_daemon_written m = { .bytes = strtoull(words, NULL, 10) };

        WIRE_INIT(&m, WIRE_DAEMON_WRITTEN);
        tell(&m, sizeof m, NULL, 0);
}

static void say_sealed(const char *words)
{
        struct wire_daemon_sealed m = { .root = strtoull(words, NULL, 10) };

        WIRE_INIT(&m, WIRE_DAEMON_SEALED);
        m.sealed = m.root != 0;
        tell(&m, sizeof m, NULL, 0);
}

/* ---- what nobody should say --------------------------------------------------------------------------------------- */

static void say_bytes(const char *words)
{
        static unsigned char bytes[2 * WIRE_MOST];
        struct wire_header h = { .version = WIRE_VERSION };
        unsigned type = 0, size = 0, sent = 0;

        sscanf(words, "%u %u %u", &type, &size, &sent);
        h.type = (uint16_t)type;
        h.size = size;
        memcpy(bytes, &h, sizeof h);
        tell(bytes, sent, NULL, 0);
}

static void say_descriptor(void)
{
        const struct wire_daemon_plan m = plan(CLOCK_NEVER, 0, 1);
        const int fds[CHANNEL_FDS] = { 0, 1, 2, 0 };

        tell(&m, sizeof m, fds, CHANNEL_FDS);
}

static void flood(long n)
{
        const struct wire_daemon_plan m = plan(CLOCK_NEVER, 0, 1);

        while (n-- > 0)
                tell(&m, sizeof m, NULL, 0);
        printf("flooded\n");
}

static int reach(void)
{
        if (memory)
                return 0;
        memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
        if (memory != MAP_FAILED)
                return 0;
        printf("cannot map: %s\n", strerror(errno));
        memory = NULL;
        return -1;
}

static void map(void)
{
        if (reach() < 0)
                return;
        memset(memory, 0x5a, memory_bytes);
        printf("mapped\n");
}

static void look(void)
{
        uint64_t i, kept = 0;

        if (reach() < 0)
                return;
        for (i = 0; i < memory_bytes; i += 4096)
                kept += memory[i] == 0x5a;
        printf("kept %" PRIu64 " pages\n", kept);
}

/* ---- what is heard ----------------------------------------------------------------------------------------------- */

static void hear_grant(const struct wire_daemon_grant *m, int fd)
{
        struct stint_error err = { 0 };

        printf("GRANT %s %" PRIu64 "\n", m->ready ? "ready" : "soon", m->bytes);
        if (!m->ready)
                return;
        if (channel_memory_check(fd, m->bytes, &err) < 0)
                printf("the memory does not hold: %s\n", err.text);
        memory_fd = fd;
        memory_bytes = m->bytes;
}

static void hear(const void *message, int fd)
{
        const struct wire_header *h = message;
        const struct wire_daemon_welcome *welcome = message;
        const struct wire_daemon_refused *refused = message;
        const struct wire_daemon_trigger *trigger = message;
        const struct wire_daemon_job *job = message;
        const struct wire_daemon_done *done = message;

        switch (h->type) {
        case WIRE_DAEMON_WELCOME:
                printf("WELCOME job '%s'\n", welcome->job);
                break;
        case WIRE_DAEMON_REFUSED:
                printf("REFUSED %d %s\n", refused->code, refused->text);
                break;
        case WIRE_DAEMON_TRIGGER:
                printf("TRIGGER %s left %" PRId64 " ms lead %" PRId64 " ms\n",
                       save_reason_name((enum save_reason)trigger->reason),
                       trigger->left_ns == CLOCK_NEVER ? -1 : trigger->left_ns / CLOCK_MS, trigger->lead_ns / CLOCK_MS);
                break;
        case WIRE_DAEMON_GRANT:
                hear_grant(message, fd);
                break;
        case WIRE_DAEMON_JOB:
                printf("JOB '%s' uid %u %s drain %u landed %" PRId64 "\n", job->job, job->uid, job->state, job->drain,
                       job->landed_step);
                break;
        case WIRE_DAEMON_DONE:
                printf("DONE %d %u %s\n", done->code, done->count, done->text);
                break;
        default:
                printf("%s\n", wire_name(h->type));
                break;
        }
}

static int receive(void)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        struct stint_error err = { 0 };
        int fds[CHANNEL_FDS] = { -1, -1, -1, -1 }, n_fds = 0;
        ssize_t n = channel_receive(line_fd, bytes, sizeof bytes, fds, &n_fds, &err);

        if (n < 0 && err.code == EAGAIN)
                return 1;
        if (n <= 0) {
                printf("closed\n");
                return 0;
        }
        if (wire_check(bytes, (size_t)n, &err) < 0)
                printf("wrong: %s\n", err.text);
        else
                hear(bytes, fds[0]);
        return 1;
}

/* ---- the script -------------------------------------------------------------------------------------------------- */

static void carry_out(char *text)
{
        char *words = text + strcspn(text, " ");

        if (*words)
                *words++ = '\0';
        if (!strcmp(text, "hello"))
                say_hello();
        else if (!strcmp(text, "plan"))
                say_plan(words);
        else if (!strcmp(text, "asked"))
                final_asked = 1;
        else if (!strcmp(text, "saving"))
                say_saving(words);
        else if (!strcmp(text, "memory"))
                say_memory(words);
        else if (!strcmp(text, "find"))
                say_find(words);
        else if (!strcmp(text, "handover"))
                say_handover(words);
        else if (!strcmp(text, "written"))
                say_written(words);
        else if (!strcmp(text, "sealed"))
                say_sealed(words);
        else if (!strcmp(text, "request"))
                say_request(words);
        else if (!strcmp(text, "bytes"))
                say_bytes(words);
        else if (!strcmp(text, "descriptor"))
                say_descriptor();
        else if (!strcmp(text, "flood"))
                flood(strtol(words, NULL, 10));
        else if (!strcmp(text, "map"))
                map();
        else if (!strcmp(text, "look"))
                look();
        else if (!strcmp(text, "hangup"))
                shutdown(line_fd, SHUT_RDWR);
        else
                printf("'%s' is no word of this script\n", text);
}

/* Reads byte by byte, so that nothing waits unseen in a buffer while poll(2) looks at the descriptor. */
static int read_word(void)
{
        static char text[256];
        static size_t used;
        char c;

        if (read(STDIN_FILENO, &c, 1) != 1)
                return 0;
        if (c != '\n') {
                if (used < sizeof text - 1)
                        text[used++] = c;
                return 1;
        }
        text[used] = '\0';
        used = 0;
        if (!strcmp(text, "quit"))
                return 0;
        carry_out(text);
        return 1;
}

int main(int argc, char **argv)
{
        struct stint_error err = { 0 };
        struct pollfd p[2];
        int open = 1;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc != 2) {
                fprintf(stderr, "usage: stintd_peer SOCKET\n");
                return 2;
        }
        line_fd = channel_connect_path(argv[1], NULL, &err);
        if (line_fd < 0) {
                printf("cannot connect: %s\n", err.text);
                return 1;
        }
        printf("connected\n");
        for (;;) {
                p[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
                p[1] = (struct pollfd){ .fd = open ? line_fd : -1, .events = POLLIN };
                if (poll(p, 2, -1) < 0 && errno != EINTR)
                        return 1;
                if (p[1].revents)
                        open = receive();
                if (p[0].revents && !read_word())
                        return 0;
        }
}
