/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pick: finds run directories by name, or in the current directory, and checkpoints in them.  The verbs call in. */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "pick.h"
#include "submission.h"

static int is_run(const char *dir)
{
        char path[RUNDIR_PATH + 16];
        struct stat st;

        snprintf(path, sizeof path, "%s/" RUNDIR_RUN, dir);
        if (!stat(path, &st) && S_ISREG(st.st_mode))
                return 1;
        snprintf(path, sizeof path, "%s/" SUBMISSION_FILE, dir); /* submitted, and not begun yet */
        return !stat(path, &st) && S_ISREG(st.st_mode);
}

static int take(char *out, const char *dir, struct stint_error *err)
{
        size_t n = strlen(dir);

        while (n > 1 && dir[n - 1] == '/')
                n--;
        if (n >= RUNDIR_PATH)
                return error_set(err, ENAMETOOLONG, "the path is longer than %d bytes: %s", RUNDIR_PATH - 1, dir);
        memcpy(out, dir, n);
        out[n] = '\0';
        return 0;
}

/* A run directory given by its name is also found without its ".stint". */
static int named_run(char *out, const char *named, struct stint_error *err)
{
        char with_end[RUNDIR_PATH];
        struct stat st;

        if (is_run(named))
                return take(out, named, err);
        snprintf(with_end, sizeof with_end, "%s.stint", named);
        if (is_run(with_end))
                return take(out, with_end, err);
        if (stat(named, &st))
                return error_system(err, errno, "there is no run directory %s", named);
        return error_set(err, ENOENT, "%s is no run directory: there is no " RUNDIR_RUN " in it", named);
}

int pick_run(char *out, const char *named, struct stint_error *err)
{
        static char *nothing[] = {NULL};
        struct pick_list list;
        int rc;

        if (named)
                return named_run(out, named, err);
        named = getenv("STINT_DIR"); /* within a stint: its own */
        if (named && *named && is_run(named))
                return take(out, named, err);
        if (pick_runs(&list, nothing, err))
                return -1;
        if (list.n == 1)
                rc = take(out, list.runs[0], err);
        else if (!list.n)
                rc = error_set(err, ENOENT, "there is no run directory (*.stint) here: name one");
        else
                rc = error_set(err, EINVAL, "there are %zu runs here (%s, %s%s): name one", list.n, list.runs[0],
                               list.runs[1], list.n > 2 ? ", ..." : "");
        pick_list_fini(&list);
        return rc;
}

static int has_end(const char *word)
{
        size_t n = strlen(word), end = strlen(".stint");

        return n > end && !strcmp(word + n - end, ".stint");
}

/* With all the words there may be, the first must be a run; with fewer, it is one when a run of that name is there. */
int pick_from_words(char *out, char **words, int most, char ***rest, struct stint_error *err)
{
        int n = 0, named;

        while (words[n])
                n++;
        if (n > most)
                return error_set(err, EINVAL, "'%s' is one word too many; --help tells which there are", words[most]);
        named = n && (n == most || strchr(words[0], '/') || has_end(words[0]) || !named_run(out, words[0], NULL));
        *rest = words + named;
        return pick_run(out, named ? words[0] : NULL, err);
}

/* The newest by its name: one whose manifest is damaged is not passed over, as a restore would have to. */
static const struct catalog_entry *newest(const struct catalog *c)
{
        const struct catalog_entry *found = c->whole ? c->entries : NULL;

        for (size_t i = c->whole; i < c->n; i++)
                if (c->entries[i].kind == RUNDIR_WHOLE && (!found || c->entries[i].step > found->step))
                        found = &c->entries[i];
        return found;
}

static const struct catalog_entry *by_step(const struct catalog *c, const char *word, struct stint_error *err)
{
        char *end;
        int64_t step = strtoll(word, &end, 10);

        if ((*end || end == word || step < 0) && rundir_parse(word, &step, NULL) != RUNDIR_WHOLE) {
                error_set(err, EINVAL, "'%s' is neither a step nor 'newest' nor 'best'", word);
                return NULL;
        }
        for (size_t i = 0; i < c->n; i++)
                if (c->entries[i].kind == RUNDIR_WHOLE && c->entries[i].step == step)
                        return &c->entries[i];
        error_set(err, ENOENT, "there is no checkpoint of step %" PRId64 "; `stint ls` lists those there are", step);
        return NULL;
}

const struct catalog_entry *pick_checkpoint(const struct catalog *c, const char *word, struct stint_error *err)
{
        const struct catalog_entry *e;

        if (word && strcmp(word, "newest") && strcmp(word, "best"))
                return by_step(c, word, err);
        e = word && !strcmp(word, "best") ? catalog_best(c) : newest(c);
        if (!e)
                error_set(err, ENOENT, "there is no %s checkpoint in this run", word ? word : "whole");
        return e;
}

static int list_add(struct pick_list *list, const char *dir, struct stint_error *err)
{
        char(*more)[RUNDIR_PATH] = realloc(list->runs, (list->n + 1) * sizeof *more);

        if (!more)
                return error_set(err, ENOMEM, "no memory for the list of runs");
        list->runs = more;
        return take(list->runs[list->n++], dir, err);
}

static int list_here(struct pick_list *list, struct stint_error *err)
{
        glob_t found;
        int rc = 0;

        if (is_run("."))
                return list_add(list, ".", err);
        switch (glob("*.stint", GLOB_NOESCAPE, NULL, &found)) {
        case 0:
                break;
        case GLOB_NOMATCH:
                return 0;
        default:
                return error_set(err, EIO, "the current directory cannot be searched for runs");
        }
        for (size_t i = 0; !rc && i < found.gl_pathc; i++)
                if (is_run(found.gl_pathv[i]))
                        rc = list_add(list, found.gl_pathv[i], err);
        globfree(&found);
        return rc;
}

int pick_runs(struct pick_list *list, char **words, struct stint_error *err)
{
        char dir[RUNDIR_PATH];
        int rc = 0;

        *list = (struct pick_list){0};
        if (!*words)
                rc = list_here(list, err);
        for (; !rc && *words; words++)
                rc = named_run(dir, *words, err) || list_add(list, dir, err) ? -1 : 0;
        if (rc)
                pick_list_fini(list);
        return rc;
}

void pick_list_fini(struct pick_list *list)
{
        free(list->runs);
        *list = (struct pick_list){0};
}
