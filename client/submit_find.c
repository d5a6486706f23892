/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * submit_find: finds what a submission is about: the script, as sbatch would find it, the options that hold in the end,
 * and the run directory, as the `stint run` of the job will find it.  cmd_submit.c calls in.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "options.h"
#include "submit.h"

#define MOST_BYTES ((size_t)4 << 20) /* sbatch takes no larger ones either (SchedulerParameters=max_script_size) */

/* ---- options --------------------------------------------------------------------------------------------------- */

/* The variable that stands for an option: "SBATCH_OPEN_MODE"; not every option has one, and one has another name. */
static const char *variable(const char *name)
{
        char text[64];
        size_t n;

        if (!strcmp(name, "chdir") || !strcmp(name, "wrap"))
                return NULL;
        if (!strcmp(name, "array"))
                return getenv("SBATCH_ARRAY_INX");
        n = (size_t)snprintf(text, sizeof text, "SBATCH_%s", name);
        for (size_t i = 0; i < n && i < sizeof text; i++)
                text[i] = text[i] == '-' ? '_' : (char)toupper((unsigned char)text[i]);
        return getenv(text);
}

enum submit_where submit_option(const struct submit *s, const char *name, const char **value)
{
        const struct sbatch_option *o = sbatch_words_find(&s->words, name);
        enum submit_where where = SUBMIT_LINE;
        const char *set = NULL;

        if (!o && (set = variable(name)) != NULL)
                where = SUBMIT_ENVIRONMENT;
        else if (!o && (o = sbatch_words_find(&s->script_words, name)) != NULL)
                where = SUBMIT_SCRIPT;
        if (value)
                *value = set ? set : o && o->value ? o->value : "";
        return o || set ? where : SUBMIT_NOWHERE;
}

const char *submit_where_name(enum submit_where where)
{
        switch (where) {
        case SUBMIT_LINE:
                return "the command line";
        case SUBMIT_ENVIRONMENT:
                return "the environment";
        case SUBMIT_SCRIPT:
                return "the script";
        case SUBMIT_NOWHERE:
                break;
        }
        return "nothing";
}

/* Of the two words the later one counts. */
static int last_of_both(const struct sbatch_words *w)
{
        for (size_t i = w->n; i-- > 0;) {
                if (!strcmp(w->options[i].name, "requeue"))
                        return 1;
                if (!strcmp(w->options[i].name, "no-requeue"))
                        return 0;
        }
        return -1;
}

int submit_requeue(const struct submit *s, enum submit_where *where)
{
        int says = last_of_both(&s->words);

        *where = SUBMIT_LINE;
        if (says >= 0)
                return says;
        *where = SUBMIT_ENVIRONMENT;
        if (getenv("SBATCH_NO_REQUEUE"))
                return 0;
        if (getenv("SBATCH_REQUEUE"))
                return 1;
        says = last_of_both(&s->script_words);
        *where = says >= 0 ? SUBMIT_SCRIPT : SUBMIT_NOWHERE;
        return says;
}

/* ---- the script ------------------------------------------------------------------------------------------------ */

static int is_file(const char *path)
{
        struct stat st;

        return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* Here, or else in PATH when the name has no folder in it. */
static int open_script(const char *script, struct stint_error *err)
{
        const char *path = getenv("PATH");
        char place[RUNDIR_PATH];
        int fd = open(script, O_RDONLY | O_CLOEXEC | O_NONBLOCK), code = errno;

        while (fd < 0 && code == ENOENT && !strchr(script, '/') && path && *path) {
                size_t n = strcspn(path, ":");

                if ((size_t)snprintf(place, sizeof place, "%.*s/%s", (int)n, path, script) < sizeof place &&
                    is_file(place))
                        fd = open(place, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
                path += n + (path[n] == ':');
        }
        return fd >= 0 ? fd : error_system(err, code, "the script %s cannot be read", script);
}

static int read_all(int fd, struct submit *s, const char *name, struct stint_error *err)
{
        for (;;) {
                char *more = realloc(s->text, s->size + 65536);
                ssize_t n;

                if (!more)
                        return error_set(err, ENOMEM, "no memory for the script %s", name);
                s->text = more;
                n = read(fd, s->text + s->size, 65536);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_system(err, errno, "the script %s cannot be read", name);
                if (n == 0)
                        return 0;
                s->size += (size_t)n;
                if (s->size > MOST_BYTES)
                        return error_set(err, EFBIG, "%s is larger than 4 MiB: is that a script?", name);
        }
}

static int read_file(struct submit *s, struct stint_error *err)
{
        struct stat st;
        int rc, fd = open_script(s->script, err);

        if (fd < 0)
                return -1;
        if (fstat(fd, &st) || !S_ISREG(st.st_mode))
                rc = error_set(err, EINVAL, "%s is no file", s->script);
        else
                rc = read_all(fd, s, s->script, err);
        close(fd);
        return rc;
}

/* A terminal would wait for somebody who does not know it. */
static int read_stdin(struct submit *s, struct stint_error *err)
{
        if (isatty(STDIN_FILENO))
                return error_set(err, EINVAL, "no script was given: stint submit [OPTION...] SCRIPT [ARGUMENT...]");
        s->from_stdin = 1;
        return read_all(STDIN_FILENO, s, "on standard input", err);
}

int submit_find_script(struct submit *s, struct stint_error *err)
{
        const char *wrap;

        if (submit_option(s, "wrap", &wrap) == SUBMIT_LINE) {
                s->script = NULL;
                s->text = strdup(wrap);
                s->size = strlen(wrap);
                if (!s->text)
                        return error_set(err, ENOMEM, "no memory for the script");
        } else if (s->argv[s->words.script]) {
                s->script = s->argv[s->words.script];
                if (read_file(s, err))
                        return -1;
        } else if (read_stdin(s, err)) {
                return -1;
        }
        if (script_lines_read(&s->lines, s->text, s->size, err))
                return -1;
        if (sbatch_words_read(&s->script_words, s->lines.words, err))
                return error_wrap(err, "the #SBATCH lines of the script");
        return 0;
}

/* ---- the run directory ----------------------------------------------------------------------------------------- */

static int find_job_dir(struct submit *s, struct stint_error *err)
{
        const char *chdir;

        if (submit_option(s, "chdir", &chdir) != SUBMIT_NOWHERE && *chdir)
                return run_options_dir(s->job_dir, NULL, chdir, err);
        if (!getcwd(s->job_dir, sizeof s->job_dir))
                return error_system(err, errno, "the current directory has no usable path");
        return 0;
}

static int dir_of_name(char *out, const char *base, const char *name, struct stint_error *err)
{
        char file[128];

        if (run_options_name(file, name, err))
                return error_wrap(err, "--stint-name");
        snprintf(file + strlen(file), sizeof file - strlen(file), ".stint");
        return run_options_dir(out, base, file, err);
}

/* What the `stint run` of the script takes by itself, without STINT_DIR: by its own options, or by its default. */
static int dir_of_script(const struct submit *s, char *out, struct stint_error *err)
{
        if (s->lines.dir)
                return run_options_dir(out, s->job_dir, s->lines.dir, err);
        return dir_of_name(out, s->job_dir, s->lines.name ? s->lines.name : "run", err);
}

/* Each task of an array is a run of its own: %a is its number, before ".stint" where nobody said where else. */
static int mind_array(struct submit *s, struct stint_error *err)
{
        size_t n = strlen(s->run), end = strlen(".stint");
        int has_end = n > end && !strcmp(s->run + n - end, ".stint");

        if (!s->array || strstr(s->run, "%a"))
                return 0;
        if (s->lines.dir || s->lines.name)
                return error_set(
                        err, EINVAL,
                        "all tasks of this array would share the run directory %s, which the script names: with %%a in "
                        "it, as in --stint-name=run-%%a, each has its own",
                        s->run);
        if (n + 4 > sizeof s->run)
                return error_set(err, ENAMETOOLONG, "the path is too long: %s", s->run);
        snprintf(s->run + n - (has_end ? end : 0), sizeof s->run - n + end, "-%%a%s", has_end ? ".stint" : "");
        return 0;
}

/* The environment does not reach the job: 1 with --export=NONE, or a list that has neither ALL nor STINT_DIR. */
static int environment_is_lost(const struct submit *s)
{
        const char *list;

        if (submit_option(s, "export", &list) == SUBMIT_NOWHERE)
                return 0;
        while (*list) {
                size_t n = strcspn(list, ",");

                if ((n == 3 && !strncasecmp(list, "ALL", n)) || (n == 9 && !strncmp(list, "STINT_DIR", n)))
                        return 0;
                list += n + (list[n] == ',');
        }
        return 1;
}

/* The job has to come to the same directory that we have. */
static int check_same(const struct submit *s, struct stint_error *err)
{
        char own[RUNDIR_PATH];

        if (s->lines.hidden && !s->lines.dir && !s->lines.name) {
                if (s->dir_option || s->name_option)
                        return error_set(
                                err, EINVAL,
                                "the script's `stint run` has its own --stint-dir or --stint-name, which counts: "
                                "remove it there, or do not give one here");
                return 0;
        }
        if (dir_of_script(s, own, err))
                return -1;
        if (!strcmp(own, s->run))
                return 0;
        if (s->lines.dir || s->lines.name)
                return error_set(
                        err, EINVAL,
                        "the script's `stint run` will use %s, which it names itself, and not %s: remove it there, or "
                        "do not give another here",
                        own, s->run);
        if (environment_is_lost(s))
                return error_set(
                        err, EINVAL,
                        "with this --export the job is not told its run directory (%s): write it on the script's "
                        "`stint run` line, as --stint-dir=%s, or export STINT_DIR too",
                        s->run, s->run);
        return 0;
}

int submit_find_run(struct submit *s, struct stint_error *err)
{
        const char *named = getenv("STINT_DIR"), *array;
        int rc;

        if (find_job_dir(s, err))
                return -1;
        if (submit_option(s, "array", &array) != SUBMIT_NOWHERE && *array)
                s->array = array;
        if (s->dir_option)
                rc = run_options_dir(s->run, NULL, s->dir_option, err);
        else if (s->name_option)
                rc = dir_of_name(s->run, s->job_dir, s->name_option, err);
        else if (!s->lines.dir && !s->lines.name && named && *named && strcmp(named, "off") != 0)
                rc = run_options_dir(s->run, NULL, named, err);
        else
                rc = dir_of_script(s, s->run, err);
        return rc || mind_array(s, err) ? -1 : check_same(s, err);
}

const char *submit_task_run(const struct submit *s, int task, char *out)
{
        const char *place = s->array ? strstr(s->run, "%a") : NULL;

        if (place)
                snprintf(out, RUNDIR_PATH, "%.*s%d%s", (int)(place - s->run), s->run, task, place + 2);
        else
                snprintf(out, RUNDIR_PATH, "%s", s->run);
        return out;
}

void submit_fini(struct submit *s)
{
        sbatch_words_fini(&s->words);
        sbatch_words_fini(&s->script_words);
        script_lines_fini(&s->lines);
        free(s->text);
        *s = (struct submit){0};
}
