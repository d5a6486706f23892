/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings: the table, the reader of the file (libinih), and what --help and --check-config print.  Called by main. */
#include "settings.h"

#include <errno.h>
#include <inttypes.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include "deadline.h"
#include "duration.h"
#include "nearest.h"
#include "wire.h"

enum kind { TEXT, SIZE, COUNT, DURATION, WORD };

struct word {
        const char *word;
        int64_t value;
};

struct setting {
        const char *name;
        enum kind kind;
        const char *unit, *standard, *help;
        size_t at, size;     /* within struct settings */
        int64_t least, most; /* of a number */
        const struct word *words; /* that stand for a number, or, of a WORD, all there are */
};

static const struct word off[] = { { "off", 0 }, { NULL, 0 } };
static const struct word all[] = { { "all", SETTINGS_ALL }, { NULL, 0 } };
static const struct word yes_no[] = { { "yes", 1 }, { "no", 0 }, { NULL, 0 } };
static const struct word ask_as[] = { { "owner", ASK_AS_OWNER }, { NULL, 0 } };
static const struct word levels[] = { { "error", STINT_LOG_ERROR },
                                      { "warning", STINT_LOG_WARNING },
                                      { "notice", STINT_LOG_NOTICE },
                                      { "debug", STINT_LOG_DEBUG },
                                      { NULL, 0 } };

#define AT(member) offsetof(struct settings, member), sizeof(((struct settings *)0)->member)
#define TERABYTES (INT64_C(1) << 50)

static const struct setting table[] = {
        { "Socket", TEXT, "path", DAEMON_SOCKET,
          "Where agents and verbs connect. %n in it stands for the node's name.", AT(socket), 0, 0, NULL },
        { "NodeName", TEXT, "name", "",
          "The node as slurmd calls it. Empty: SLURMD_NODENAME, else the host's name up to its first dot.", AT(node),
          0, 0, NULL },
        { "StagingMemory", SIZE, "size or off", "off",
          "Memory for the snapshots of all jobs together. It is charged to stintd and not to the jobs, so give Slurm a "
          "MemSpecLimit of at least this.",
          AT(staging_bytes), 0, TERABYTES, off },
        { "StagingMemoryPerUser", SIZE, "size or all", "all", "The most of StagingMemory that one user may have.",
          AT(staging_user_bytes), 0, TERABYTES, all },
        { "KeepStaging", DURATION, "duration or off", "600s",
          "How long a snapshot stays in memory after its job, for a job of the same user that restores it on this node. "
          "It goes earlier when the memory is wanted.",
          AT(keep_ns), 0, 24 * 3600 * CLOCK_SECOND, off },
        { "OutliveJobs", WORD, "yes or no", "yes",
          "Whether stintd goes on writing a snapshot in its memory whose job was killed meanwhile, to the files that the "
          "job had opened.",
          AT(outlive), 0, 0, yes_no },
        { "OutliveLimit", DURATION, "duration", "300s",
          "The longest that stintd goes on writing after a job. An agent asks for about twice of what the write should "
          "take, and the next stint waits no longer than that.",
          AT(outlive_ns), CLOCK_SECOND, 3600 * CLOCK_SECOND, NULL },
        { "AskAs", WORD, "owner", "owner",
          "With whose rights the controller is asked about a job: owner, by the job's own stint run.", AT(ask_as), 0, 0,
          ask_as },
        { "AskEvery", DURATION, "duration", "300s",
          "The controller is not asked about a job more often than this because of stintd.", AT(ask_every_ns),
          CLOCK_SECOND, 24 * 3600 * CLOCK_SECOND, NULL },
        { "Margin", DURATION, "duration", "0s",
          "The least that every job of this node keeps free before its deadline. A longer margin of the job's own "
          "stands.",
          AT(margin_ns), 0, 24 * 3600 * CLOCK_SECOND, NULL },
        { "MaxConnections", COUNT, "number", "1024", "Connections of all users together. A few more are kept for root.",
          AT(connections), 1, 65536, NULL },
        { "MaxConnectionsPerUser", COUNT, "number", "64",
          "Connections of one user. An agent has one, and up to two more for each of its training processes.",
          AT(connections_per_user), 1, 65536, NULL },
        { "MessagesPerSecond", COUNT, "number", "50",
          "Messages of one user in a second. What comes faster is read later.", AT(messages_per_second), 1, 100000,
          NULL },
        { "MaxJobs", COUNT, "number", "256", "Agents that are served at the same time.", AT(jobs), 1, 4096, NULL },
        { "LogLevel", WORD, "error, warning, notice or debug", "notice", "What is logged: this and what is worse.",
          AT(log_level), 0, 0, levels },
};

#define SETTINGS (sizeof table / sizeof table[0])

static int64_t *number_at(struct settings *s, const struct setting *row)
{
        return (int64_t *)(void *)((char *)s + row->at);
}

/* ---- one value --------------------------------------------------------------------------------------------------- */

static const struct word *word_of(const struct setting *row, const char *value)
{
        const struct word *w;

        for (w = row->words; w && w->word; w++)
                if (strcmp(w->word, value) == 0)
                        return w;
        return NULL;
}

static int read_count(const char *value, int64_t *out, struct stint_error *err)
{
        char *end;

        errno = 0;
        *out = strtoll(value, &end, 10);
        if (errno || end == value || *end)
                return error_set(err, EINVAL, "'%s' is no whole number", value);
        return 0;
}

static int read_text(struct settings *s, const struct setting *row, const char *value, struct stint_error *err)
{
        char *out = (char *)s + row->at;

        if (strlen(value) >= row->size)
                return error_set(err, EINVAL, "%s is longer than %zu bytes", row->name, row->size - 1);
        memset(out, 0, row->size);
        strcpy(out, value);
        return 0;
}

/* A number of the row's kind, or one of its words. */
static int read_number(const struct setting *row, const char *value, int64_t *out, struct stint_error *err)
{
        const struct word *w = word_of(row, value);
        int rc;

        if (w) {
                *out = w->value;
                return 0;
        }
        if (row->kind == WORD)
                return error_set(err, EINVAL, "%s is %s, and not '%s'", row->name, row->unit, value);
        rc = row->kind == SIZE ? size_parse(value, out, err)
             : row->kind == DURATION ? duration_parse(value, out, err)
                                     : read_count(value, out, err);
        if (rc < 0)
                return error_wrap(err, "%s (%s)", row->name, row->unit);
        if (*out < row->least || *out > row->most)
                return error_set(err, EINVAL, "%s: '%s' is too %s", row->name, value,
                                 *out < row->least ? "small" : "large");
        return 0;
}

static int unknown(const char *name, struct stint_error *err)
{
        struct nearest n;
        size_t i;

        nearest_begin(&n, name);
        for (i = 0; i < SETTINGS; i++)
                nearest_see(&n, table[i].name);
        if (n.best)
                return error_set(err, EINVAL, "there is no setting '%s'; did you mean %s?", name, n.best);
        return error_set(err, EINVAL, "there is no setting '%s'; stintd --help lists them all", name);
}

int settings_set(struct settings *s, const char *name, const char *value, struct stint_error *err)
{
        int64_t number;
        size_t i;

        for (i = 0; i < SETTINGS && strcmp(table[i].name, name) != 0; i++)
                ;
        if (i == SETTINGS)
                return unknown(name, err);
        if (strcmp(name, "AskAs") == 0 && strcmp(value, "service") == 0)
                return error_set(err, EINVAL,
                                 "AskAs=service is not in this version: write AskAs=owner, which asks with the rights "
                                 "of the job's owner");
        if (table[i].kind == TEXT)
                return read_text(s, &table[i], value, err);
        if (read_number(&table[i], value, &number, err) < 0)
                return -1;
        *number_at(s, &table[i]) = number;
        return 0;
}

void settings_default(struct settings *s)
{
        struct stint_error err = { 0 };
        size_t i;

        memset(s, 0, sizeof *s);
        for (i = 0; i < SETTINGS; i++)
                if (settings_set(s, table[i].name, table[i].standard, &err) < 0) {
                        fprintf(stderr, "stintd: its own default does not hold: %s\n", err.text);
                        abort();
                }
}

int settings_check(const struct settings *s, struct stint_error *err)
{
        char path[SETTINGS_PATH];

        if (s->socket[0] != '/')
                return error_set(err, EINVAL, "Socket must be an absolute path, and '%s' is none", s->socket);
        return node_expand(path, sizeof path, s->socket, s->node[0] ? s->node : NULL, err);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

struct reading {
        struct settings s;
        struct stint_error first; /* what was wrong first; libinih goes on, and tells the line of the first */
};

/* libinih's callback: 1 to go on, 0 for a line that does not hold. */
static int on_line(void *arg, const char *section, const char *name, const char *value)
{
        struct reading *r = arg;
        int rc;

        if (r->first.code)
                return 0;
        if (section[0])
                rc = error_set(&r->first, EINVAL, "there are no sections here, and '[%s]' begins one", section);
        else
                rc = settings_set(&r->s, name, value, &r->first);
        return rc == 0;
}

int settings_read(struct settings *s, const char *path, struct stint_error *err)
{
        struct reading r = { .s = *s };
        FILE *file = fopen(path, "re");
        int line;

        if (!file)
                return error_system(err, errno, "cannot read the settings in %s", path);
        line = ini_parse_file(file, on_line, &r);
        if (line == 0 && ferror(file))
                line = -1;
        fclose(file);
        if (line > 0)
                return error_set(err, EINVAL, "%s, line %d: %s", path, line,
                                 r.first.code ? r.first.text : "this is neither 'Name=value' nor a comment");
        if (line < 0)
                return error_set(err, EIO, "cannot read the settings in %s", path);
        if (settings_check(&r.s, err) < 0)
                return error_wrap(err, "%s", path);
        *s = r.s;
        return 0;
}

const char *settings_renew(struct settings *s, const struct settings *fresh)
{
        const struct settings old = *s;

        *s = *fresh;
        memcpy(s->socket, old.socket, sizeof s->socket);
        memcpy(s->node, old.node, sizeof s->node);
        if (strcmp(old.socket, fresh->socket) != 0)
                return "Socket";
        return strcmp(old.node, fresh->node) != 0 ? "NodeName" : NULL;
}

/* ---- what is printed --------------------------------------------------------------------------------------------- */

static void print_number(const struct setting *row, int64_t value, FILE *out)
{
        const struct word *w;

        for (w = row->words; w && w->word; w++)
                if (w->value == value) {
                        fputs(w->word, out);
                        return;
                }
        if (row->kind == DURATION && value % CLOCK_SECOND == 0)
                fprintf(out, "%" PRId64 "s", value / CLOCK_SECOND);
        else if (row->kind == DURATION)
                fprintf(out, "%" PRId64 "ms", value / CLOCK_MS);
        else
                fprintf(out, "%" PRId64, value);
}

void settings_print(const struct settings *s, FILE *out)
{
        size_t i;

        for (i = 0; i < SETTINGS; i++) {
                fprintf(out, "%s=", table[i].name);
                if (table[i].kind == TEXT)
                        fputs((const char *)s + table[i].at, out);
                else
                        print_number(&table[i], *(const int64_t *)(const void *)((const char *)s + table[i].at), out);
                fputc('\n', out);
        }
}

void settings_help(FILE *out)
{
        size_t i;

        for (i = 0; i < SETTINGS; i++)
                fprintf(out, "  %s=%s (%s)\n      %s\n", table[i].name, table[i].standard, table[i].unit,
                        table[i].help);
}
