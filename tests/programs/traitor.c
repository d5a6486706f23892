/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * traitor: a training program that turned against its own agent, which must serve the other programs of the job all the
 * same.  The agent believes its uid, and may believe nothing else.  Run under `stint run`, by tests/security/traitor.sh:
 *
 *   traitor layouts     says what tensors it has with every kind of descriptor that is no table: none, pipes, devices,
 *                       memory that can still change, tables that lie.  Prints how many of them were refused
 *   traitor staging     has a right layout; while its snapshot is written it punches holes into that memory, writes over
 *                       its table and tries to change its size.  Prints what became of the save
 *   traitor orders      says what only an agent or `stint run` may say, and what nobody may.  Prints how often it was cut off
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "deadline.h"
#include "node.h"
#include "table.h"
#include "wire.h"

#define PATIENCE (30 * CLOCK_SECOND)
#define TENSOR_BYTES (UINT64_C(32) << 20) /* so that writing it takes a while */

static _Alignas(8) unsigned char message[WIRE_MOST];
static const struct wire_header *const heard = (const void *)message;
static int agent = -1, came_fd = -1;

static void give_up(const char *what)
{
        printf("traitor: %s\n", what);
        exit(1);
}

static int tell(const void *m, int fd)
{
        const struct wire_header *h = m;

        return channel_send(agent, m, h->size, &fd, fd >= 0, NULL);
}

/* The next message; 0 when the agent has closed the connection. */
static int hear(void)
{
        int fds[CHANNEL_FDS], n_fds = 0;
        ssize_t n;

        if (!channel_wait(agent, PATIENCE))
                give_up("the agent says nothing");
        n = channel_receive(agent, message, sizeof message, fds, &n_fds, NULL);
        came_fd = n_fds ? fds[0] : -1;
        return n > 0;
}

static void hear_until(unsigned type)
{
        do
                if (!hear())
                        give_up("the agent has gone");
        while (heard->type != type);
}

static void enter(void)
{
        struct wire_hello hello = { .ranks = 1, .oldest = WIRE_VERSION, .newest = WIRE_VERSION,
                                    .agree_every = 1 };
        char name[CHANNEL_NAME];
        struct stint_error err = { 0 };

        if (node_expand(name, sizeof name, getenv("STINT_AGENT") ? getenv("STINT_AGENT") : "", NULL, &err) < 0 ||
            (agent = channel_connect(name, NULL, &err)) < 0)
                give_up(err.text);
        WIRE_INIT(&hello, WIRE_HELLO);
        wire_text(hello.program, sizeof hello.program, "traitor");
        wire_text(hello.devices, sizeof hello.devices, "unset");
        tell(&hello, -1);
        hear_until(WIRE_WELCOME);
}

/* ---- layouts ----------------------------------------------------------------------------------------------------- */

static int memory(uint64_t bytes, const void *content, size_t n, int seals)
{
        int fd = memfd_create("traitor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || pwrite(fd, content, n, 0) != (ssize_t)n ||
            (seals && fcntl(fd, F_ADD_SEALS, seals) < 0))
                give_up("no memory");
        return fd;
}

/* One tensor, as it should be. */
static struct table_record *right_table(uint32_t *record_bytes)
{
        static _Alignas(8) unsigned char bytes[1024];
        struct table_record *r = (void *)bytes;

        *record_bytes = table_record_bytes(strlen("model/w"));
        memset(bytes, 0, sizeof bytes);
        r->bytes = TENSOR_BYTES;
        r->dtype = STINT_F32;
        r->role = STINT_ROLE_MODEL;
        r->device_index = -1;
        r->ndim = 1;
        r->shape[0] = r->global_shape[0] = (int64_t)(TENSOR_BYTES / 4);
        strcpy(r->name, "model/w");
        return r;
}

static int refused(uint64_t count, uint32_t record_bytes, int fd)
{
        static uint32_t layout;
        struct wire_layout m = { .layout = ++layout, .count = count, .record_bytes = record_bytes };

        WIRE_INIT(&m, WIRE_LAYOUT);
        tell(&m, fd);
        if (fd >= 0)
                close(fd);
        while (hear())
                if (heard->type == WIRE_LAYOUT_REFUSED || heard->type == WIRE_STAGING)
                        break;
        if (heard->type != WIRE_LAYOUT_REFUSED)
                printf("layout %u was not refused\n", layout);
        return heard->type == WIRE_LAYOUT_REFUSED;
}

static int layouts(void)
{
        const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
        uint32_t record_bytes;
        struct table_record *r = right_table(&record_bytes);
        int pipes[2], count = 0, sum = 0;

        enter();
        if (pipe2(pipes, O_CLOEXEC) < 0)
                give_up("no pipe");
#define TRY(count_, bytes_, fd_) (sum++, count += refused(count_, bytes_, fd_))
        TRY(1, record_bytes, -1);
        TRY(1, record_bytes, pipes[0]);
        TRY(1, record_bytes, open("/dev/zero", O_RDWR | O_CLOEXEC));
        TRY(1, record_bytes, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
        TRY(1, record_bytes, open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
        TRY(1, record_bytes, dup(agent));
        TRY(1, record_bytes, memory(4096, r, record_bytes, 0));
        TRY(1, record_bytes, memory(4096, r, record_bytes, F_SEAL_SHRINK | F_SEAL_GROW));
        TRY(1, record_bytes, memory(record_bytes - 8, r, record_bytes - 8, all));
        TRY(UINT64_MAX, record_bytes, memory(4096, r, record_bytes, all));
        TRY(UINT64_C(1) << 40, record_bytes, memory(INT64_C(1) << 40, r, record_bytes, all));
        TRY(1, 0, memory(4096, r, record_bytes, all));
        TRY(1, UINT32_MAX, memory(4096, r, record_bytes, all));
        TRY(TABLE_MOST, record_bytes, memory(INT64_C(1) << 40, r, record_bytes, all)); /* sparse: nameless tensors */
        r->bytes++;
        TRY(1, record_bytes, memory(4096, r, record_bytes, all));
        right_table(&record_bytes)->shape[0] = INT64_MAX;
        TRY(1, record_bytes, memory(4096, r, record_bytes, all));
        strcpy(right_table(&record_bytes)->name, "../../x");
        TRY(1, record_bytes, memory(4096, r, record_bytes, all));
        memset(right_table(&record_bytes)->name, 'x', record_bytes - TABLE_RECORD_FIXED);
        TRY(1, record_bytes, memory(4096, r, record_bytes, all));
        r = right_table(&record_bytes);
        r->bytes = UINT64_C(1) << 60;
        r->shape[0] = r->global_shape[0] = INT64_C(1) << 58;
        TRY(1, record_bytes, memory(4096, r, record_bytes, all));
#undef TRY
        printf("%d of %d layouts were refused\n", count, sum);
        return count != sum;
}

/* ---- staging ----------------------------------------------------------------------------------------------------- */

static void spoil(int fd, unsigned char *image, uint64_t bytes, uint64_t table_offset)
{
        uint64_t at;

        for (at = 0;; at = (at + (1 << 20)) % bytes) {
                fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, 1 << 20);
                memset(image + table_offset, 0xff, sizeof(struct table_record));
                memset(image + at, (int)at, 4096);
        }
}

static int staging(void)
{
        struct wire_ask_save ask = { .reason = SAVE_PROGRAM, .step = 5 };
        struct wire_snapshot snapshot = { .layout = 1, .step = 5, .checkpoint_step = 5 };
        struct wire_layout layout = { .layout = 1, .count = 1 };
        struct wire_bye bye = { .step = 5 };
        const struct wire_staging *at = (const void *)message;
        uint64_t bytes, table_offset;
        unsigned char *image;
        pid_t spoiler;
        int fd;

        enter();
        WIRE_INIT(&layout, WIRE_LAYOUT);
        fd = memory(4096, right_table(&layout.record_bytes), 512, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        tell(&layout, fd);
        hear_until(WIRE_STAGING);
        bytes = at->image_bytes;
        table_offset = at->table_offset;
        fd = came_fd;
        image = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (image == MAP_FAILED)
                give_up("staging cannot be mapped");
        printf("staging %s\n", ftruncate(fd, 0) < 0 && ftruncate(fd, (off_t)bytes * 2) < 0 ? "keeps its size" : "CHANGED ITS SIZE");
        WIRE_INIT(&ask, WIRE_ASK_SAVE);
        tell(&ask, -1);
        hear_until(WIRE_WAKE);
        snapshot.save_id = ((const struct wire_wake *)(const void *)message)->save_id;
        spoiler = fork();
        if (spoiler == 0)
                spoil(fd, image, bytes, table_offset);
        WIRE_INIT(&snapshot, WIRE_SNAPSHOT);
        tell(&snapshot, -1);
        hear_until(WIRE_RESULT);
        kill(spoiler, SIGKILL);
        waitpid(spoiler, NULL, 0);
        printf("the save %s\n", ((const struct wire_result *)(const void *)message)->landed ? "landed" : "did not land");
        WIRE_INIT(&bye, WIRE_BYE);
        tell(&bye, -1);
        return 0;
}

/* ---- orders ------------------------------------------------------------------------------------------------------ */

static int cut_off(unsigned type)
{
        static unsigned char bytes[WIRE_MOST];
        struct wire_header h = { .size = (uint32_t)wire_size(type), .version = WIRE_VERSION, .type = (uint16_t)type };

        enter();
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, &h, sizeof h);
        channel_send(agent, bytes, h.size, NULL, 0, NULL);
        while (hear())
                ;
        close(agent);
        return 1;
}

static int orders(void)
{
        unsigned type;
        int count = 0;

        for (type = WIRE_WELCOME; type < 256; type++)
                if (wire_size(type))
                        count += cut_off(type);
        printf("cut off %d times\n", count);
        return 0;
}

int main(int argc, char **argv)
{
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc == 2 && !strcmp(argv[1], "layouts"))
                return layouts();
        if (argc == 2 && !strcmp(argv[1], "staging"))
                return staging();
        if (argc == 2 && !strcmp(argv[1], "orders"))
                return orders();
        fprintf(stderr, "usage: traitor layouts|staging|orders, under stint run\n");
        return 2;
}
