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

#define MOST_BYTES ((size_t)1 << 30)

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

json_t *journal_read(const char *run_dir, size_t *torn, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        struct stint_error problem = { 0 };
        json_t *lines = json_array();
        char *text = NULL, *line, *end;
        size_t n = 0, passed_over = 0;

        if (rundir_join(path, sizeof path, run_dir, RUNDIR_JOURNAL, NULL, err) != 0) {
                json_decref(lines);
                return NULL;
        }
        if (durable_read(path, MOST_BYTES, &text, &n, &problem) != 0 && problem.code != ENOENT) {
                error_set(err, problem.code, "%s", problem.text);
                json_decref(lines);
                return NULL;
        }
        for (line = text; line != NULL && line < text + n; line = end + 1) {
                end = memchr(line, '\n', (size_t)(text + n - line));
                if (end == NULL)
                        end = text + n;
                take_line(lines, line, (size_t)(end - line), &passed_over);
        }
        free(text);
        if (torn != NULL)
                *torn = passed_over;
        return lines;
}
