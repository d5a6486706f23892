/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_journal: appending to and reading journal.jsonl.  `stint run` appends one line per event; the verbs and the next
 * stint read them.  A line is written with one write(2) at the end of the file and synced before the caller goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "durable.h"
#include "run_journal.h"
#include "rundir.h"

#define MOST_BYTES ((off_t)1 << 30)

/* ---- writing --------------------------------------------------------------------------------------------------- */

/* A crash in the middle of a write leaves a line without its end; whatever is appended to it would be lost with it. */
static int close_torn_line(struct journal *j, struct stint_error *err)
{
        struct stat st;
        char last;

        if (fstat(j->fd, &st) != 0)
                return error_system(err, errno, "%s cannot be looked at", j->path);
        if (st.st_size == 0)
                return 0;
        if (durable_pread(j->fd, &last, 1, st.st_size - 1, j->path, err) != 0)
                return -1;
        if (last != '\n' && write(j->fd, "\n", 1) != 1)
                return error_system(err, errno, "%s cannot be written", j->path);
        return 0;
}

int journal_open(struct journal *j, const char *run_dir, uint32_t stint, struct stint_error *err)
{
        struct journal opened = { .stint = stint };

        if (rundir_join(opened.path, sizeof opened.path, run_dir, RUNDIR_JOURNAL, NULL, err) != 0)
                return -1;
        opened.fd = open(opened.path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (opened.fd < 0 && errno == ELOOP)
                return error_set(err, ELOOP, "%s is a symbolic link, and stint does not write where it leads: remove it, and copy "
                                 "the file itself there", opened.path);
        if (opened.fd < 0)
                return error_system(err, errno, "%s cannot be opened", opened.path);
        if (close_torn_line(&opened, err) != 0) {
                close(opened.fd);
                return -1;
        }
        *j = opened;
        return 0;
}

/* On a full disk a part of the line may fit.  There is one writer, so what it just began can be taken back. */
static int append(struct journal *j, const char *line, size_t n, struct stint_error *err)
{
        struct stat before;
        ssize_t wrote;
        int code;

        if (fstat(j->fd, &before) != 0)
                return error_system(err, errno, "%s cannot be looked at", j->path);
        do {
                wrote = write(j->fd, line, n);
        } while (wrote < 0 && errno == EINTR);
        if (wrote == (ssize_t)n)
                return durable_sync(j->fd, j->path, err);
        code = wrote < 0 ? errno : ENOSPC;
        if (wrote > 0 && ftruncate(j->fd, before.st_size) != 0)
                code = errno;
        return error_system(err, code, "%s cannot be written", j->path);
}

int journal_add(struct journal *j, const char *event, json_t *fields, struct stint_error *err)
{
        char when[32];
        json_t *line = json_pack("{s:s, s:I, s:s}", "t", clock_format(when, sizeof when, clock_wall()), "stint",
                                 (json_int_t)j->stint, "event", event);
        char *text = NULL;
        size_t n;
        int rc;

        if (line != NULL && (fields == NULL || json_object_update_missing(line, fields) == 0))
                text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
        json_decref(fields);
        json_decref(line);
        if (text == NULL)
                return error_set(err, EINVAL, "the event '%s' cannot be written as JSON", event);
        n = strlen(text);
        text[n] = '\n'; /* in the place of its NUL: what is written has a length of its own */
        rc = append(j, text, n + 1, err);
        free(text);
        return rc;
}

void journal_close(struct journal *j)
{
        if (j->fd >= 0)
                close(j->fd);
        j->fd = -1;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static void take_line(json_t *lines, const char *line, size_t n, size_t *torn)
{
        json_t *object;

        if (n == 0)
                return;
        object = json_loadb(line, n, 0, NULL);
        if (json_is_object(object)) {
                json_array_append_new(lines, object);
                return;
        }
        json_decref(object);
        (*torn)++;
}

/* The bytes that are not read yet, in memory the caller frees; NULL without an error when there are none. */
static char *read_rest(struct journal_reading *g, const char *path, size_t *n, struct stint_error *err)
{
        struct stat st;
        char *text = NULL;
        const int fd = durable_open(path, &st, err);

        if (fd < 0)
                return NULL;
        if ((size_t)st.st_size < g->bytes) /* it is another file than before */
                journal_forget(g);
        *n = (size_t)st.st_size - g->bytes;
        if (st.st_size > MOST_BYTES)
                error_set(err, EFBIG, "%s has more than %lld bytes", path, (long long)MOST_BYTES);
        else if (*n > 0 && (text = malloc(*n)) == NULL)
                error_set(err, ENOMEM, "no memory to read %s", path);
        else if (*n > 0 && durable_pread(fd, text, *n, (off_t)g->bytes, path, err) != 0)
                free(text), text = NULL;
        close(fd);
        return text;
}

/* A last line that has no end yet counts as well when it is whole; else it may still get its rest. */
static void take_text(struct journal_reading *g, const char *text, size_t n, size_t *unfinished)
{
        const char *line, *end;

        for (line = text; line < text + n; line = end + 1) {
                end = memchr(line, '\n', (size_t)(text + n - line));
                if (end == NULL)
                        break;
                take_line(g->lines, line, (size_t)(end - line), &g->torn);
        }
        if (line < text + n) {
                take_line(g->lines, line, (size_t)(text + n - line), unfinished);
                g->bytes += *unfinished > 0 ? (size_t)(line - text) : n;
        } else {
                g->bytes += n;
        }
}

static int read_on(struct journal_reading *g, const char *run_dir, size_t *unfinished, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME], *text;
        struct stint_error problem = { 0 };
        size_t n = 0;

        if (rundir_join(path, sizeof path, run_dir, RUNDIR_JOURNAL, NULL, err) != 0)
                return -1;
        text = read_rest(g, path, &n, &problem);
        if (problem.code != 0 && problem.code != ENOENT)
                return error_set(err, problem.code, "%s", problem.text);
        if (g->lines == NULL)
                g->lines = json_array();
        if (text != NULL)
                take_text(g, text, n, unfinished);
        free(text);
        return 0;
}

json_t *journal_read_on(struct journal_reading *g, const char *run_dir, struct stint_error *err)
{
        size_t unfinished = 0;

        return read_on(g, run_dir, &unfinished, err) == 0 ? g->lines : NULL;
}

void journal_forget(struct journal_reading *g)
{
        json_decref(g->lines);
        *g = (struct journal_reading){ 0 };
}

json_t *journal_read(const char *run_dir, size_t *torn, struct stint_error *err)
{
        struct journal_reading g = { 0 };
        size_t unfinished = 0;

        if (read_on(&g, run_dir, &unfinished, err) != 0) {
                journal_forget(&g);
                return NULL;
        }
        if (torn != NULL)
                *torn = g.torn + unfinished;
        return g.lines;
}
