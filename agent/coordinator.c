/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coordinator: messages to and from `stint run`.  Called by main and by the rooms that report. */
#include "coordinator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "log.h"

#define BUSY_BYTES (1 << 20)

/* One message on its way out, or one line of one. */
struct letter {
        uv_write_t request;
        _Alignas(8) unsigned char bytes[];
};

/* The other side is gone, or what it says makes no sense: heard once, whatever comes after. */
static void over(struct coordinator *c, const char *why)
{
        if (c->over)
                return;
        c->over = 1;
        uv_read_stop((uv_stream_t *)&c->in);
        c->on_over(c->arg, why);
}

static void on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
        struct coordinator *c = handle->data;

        (void)suggested;
        *buffer = uv_buf_init(c->buffer, sizeof c->buffer);
}

/* One that is started again in the middle of a stream begins within a line, and that is none. */
static int on_line(void *arg, const char *line, size_t n)
{
        struct coordinator *c = arg;
        struct armour_piece piece;

        if (armour_read(line, n, &piece) < 0 || (piece.node != ARMOUR_ALL && piece.node != (uint64_t)c->node))
                return 0;
        switch (armour_add(&c->message, &piece, &c->err)) {
        case 1:
                return c->on_message(c->arg, (const struct wire_header *)(const void *)c->message.bytes);
        case 0:
                return 0;
        }
        return -1;
}

static int take(struct coordinator *c, const char *bytes, size_t n)
{
        if (c->node < 0)
                return frame_feed(&c->frame, bytes, n, c->on_message, c->arg, &c->err);
        return armour_feed(&c->lines, bytes, n, on_line, c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
        struct coordinator *c = stream->data;

        if (n == 0)
                return;
        if (n == UV_EOF)
                over(c, NULL);
        else if (n < 0)
                over(c, uv_strerror((int)n));
        else if (take(c, buffer->base, (size_t)n) < 0)
                over(c, c->err.text[0] ? c->err.text : "it sent a message that is not for an agent");
}

/* epoll cannot watch files, and libuv aborts when it is told to. */
static int check_kind(int fd, struct stint_error *err)
{
        struct stat status;

        if (fstat(fd, &status) < 0)
                return error_system(err, errno, "descriptor %d", fd);
        if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode))
                return error_set(err, EINVAL,
                                 "descriptor %d is no pipe: stint-agent is started by `stint run`, not by hand", fd);
        return 0;
}

static int open_pipe(struct coordinator *c, uv_pipe_t *pipe, uv_loop_t *loop, int fd, struct stint_error *err)
{
        int rc = uv_pipe_init(loop, pipe, 0);

        pipe->data = c;
        if (rc == 0)
                rc = uv_pipe_open(pipe, fd);
        return rc == 0 ? 0 : error_set(err, EIO, "cannot use descriptor %d: %s", fd, uv_strerror(rc));
}

int coordinator_open(struct coordinator *c, uv_loop_t *loop, int in_fd, int out_fd, int64_t node,
                     int (*on_message)(void *arg, const struct wire_header *message),
                     void (*on_over)(void *arg, const char *why), void *arg, struct stint_error *err)
{
        int rc;

        memset(c, 0, sizeof *c);
        frame_init(&c->frame);
        c->node = node;
        c->on_message = on_message;
        c->on_over = on_over;
        c->arg = arg;
        if (check_kind(in_fd, err) < 0 || check_kind(out_fd, err) < 0 || open_pipe(c, &c->in, loop, in_fd, err) < 0 ||
            open_pipe(c, &c->out, loop, out_fd, err) < 0)
                return -1;
        rc = uv_read_start((uv_stream_t *)&c->in, on_buffer, on_read);
        return rc == 0 ? 0 : error_set(err, EIO, "cannot read descriptor %d: %s", in_fd, uv_strerror(rc));
}

static void on_written(uv_write_t *request, int status)
{
        struct letter *letter = (struct letter *)request;
        struct coordinator *c = request->handle->data;

        free(letter);
        if (status < 0 && status != UV_ECANCELED)
                over(c, uv_strerror(status));
}

static struct letter *new_letter(size_t n)
{
        struct letter *letter = malloc(sizeof *letter + n);

        if (letter)
                return letter;
        /* A message that is lost would be waited for; an agent that is gone is noticed at once. */
        log_error("no memory for a message to `stint run`");
        abort();
}

static void post(struct coordinator *c, struct letter *letter, size_t n)
{
        uv_buf_t buffer = uv_buf_init((char *)letter->bytes, (unsigned)n);

        if (uv_write(&letter->request, (uv_stream_t *)&c->out, &buffer, 1, on_written) < 0)
                free(letter); /* closing already; what breaks later is heard by on_written */
}

void coordinator_send(struct coordinator *c, const void *message)
{
        const struct wire_header *header = message;
        struct letter *letter;
        unsigned piece;
        size_t n;

        if (c->over)
                return;
        if (c->node < 0) {
                letter = new_letter(header->size);
                memcpy(letter->bytes, message, header->size);
                post(c, letter, header->size);
                return;
        }
        /* Each line is a write(2) of its own, which a pipe takes whole: a kill does not leave half of one. */
        for (piece = 0; piece * ARMOUR_PIECE < header->size; piece++) {
                letter = new_letter(ARMOUR_LINE);
                n = armour_line((char *)letter->bytes, (uint32_t)c->node, message, header->size, piece);
                post(c, letter, n);
        }
}

int coordinator_busy(const struct coordinator *c)
{
        return uv_stream_get_write_queue_size((const uv_stream_t *)&c->out) > BUSY_BYTES;
}

void coordinator_close(struct coordinator *c)
{
        c->over = 1;
        if (!uv_is_closing((uv_handle_t *)&c->in))
                uv_close((uv_handle_t *)&c->in, NULL);
        if (!uv_is_closing((uv_handle_t *)&c->out))
                uv_close((uv_handle_t *)&c->out, NULL);
}
