/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_submit: `stint submit`: hands a job to sbatch with a run directory of its own, after a look at what would go
 * wrong. Every word but our own goes to sbatch as it came; what sbatch says on stdout is all that is said there.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "cmd.h"
#include "log.h"
#include "run.h"
#include "run_begin.h"
#include "run_identity.h"
#include "submit.h"

#define TASKS_MOST 10000

struct own_options {
        const char *dir, *name, *mode;
        int anywhere;
};

/* For --help alone: sbatch's options stand among these, so sbatch_words reads them. */
static const struct flag table[] = {
        {"--stint-dir", "DIR", offsetof(struct own_options, dir), flag_text,
         "run directory, on a filesystem that all nodes see (default: as `stint run` in the script)", NULL},
        {"--stint-name", "NAME", offsetof(struct own_options, name), flag_text, "name of the run (default: run)", NULL},
        {"--stint-mode", "auto|requeue|chain", offsetof(struct own_options, mode), flag_text,
         "how it goes on after a limit: the same job requeued, or a successor that is queued early; auto requeues, and "
         "falls back to a successor where that is refused (default: auto)",
         NULL},
        {"--stint-anywhere", NULL, offsetof(struct own_options, anywhere), flag_switch,
         "take a run directory that looks as if only this host had it", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static void help(void)
{
        printf("Usage: stint submit [--stint-...] [SBATCH-OPTION...] SCRIPT [ARGUMENT...]\n\n"
               "Submits a batch script that has a `stint run` in it, and goes on with it, stint after stint, until the "
               "training\nis complete. All other options are sbatch's, and so is the answer on standard output.\n");
        flags_help(table, stdout);
}

/* ---- the command line ------------------------------------------------------------------------------------------ */

static int asks_for_help(const struct sbatch_words *w)
{
        return sbatch_words_find(w, "help") || sbatch_words_find(w, "usage");
}

static int read_own(struct submit *s, struct stint_error *err)
{
        const struct sbatch_option *o;

        if ((o = sbatch_words_find(&s->words, "stint-dir")) != NULL)
                s->dir_option = o->value;
        if ((o = sbatch_words_find(&s->words, "stint-name")) != NULL)
                s->name_option = o->value;
        s->anywhere = sbatch_words_find(&s->words, "stint-anywhere") != NULL;
        o = sbatch_words_find(&s->words, "stint-mode");
        if (o && submission_mode_read(&s->mode, o->value))
                return error_set(err, EINVAL, "--stint-mode: '%s' is none of auto, requeue, chain", o->value);
        return 0;
}

static int is_ours(const struct sbatch_words *w, int word)
{
        for (size_t i = 0; i < w->n; i++)
                if (w->options[i].ours && word >= w->options[i].first &&
                    word < w->options[i].first + w->options[i].words)
                        return 1;
        return 0;
}

/* "sbatch", what we add, and every word of the command line that is not ours, as it is.  The words are borrowed. */
static char **line_for_sbatch(const struct submit *s)
{
        static char sbatch[] = "sbatch", append[] = "--open-mode=append";
        size_t n = 0, words = 0;
        char **line;

        while (s->argv[words])
                words++;
        line = calloc(words + 3, sizeof *line);
        if (!line)
                return NULL;
        line[n++] = sbatch;
        if (submit_option(s, "open-mode", NULL) == SUBMIT_NOWHERE)
                line[n++] = append;
        for (size_t i = 0; i < words; i++)
                if ((int)i >= s->words.script || !is_ours(&s->words, (int)i))
                        line[n++] = s->argv[i];
        return line;
}

/* ---- the record ------------------------------------------------------------------------------------------------ */

static char **copy_words(char *const *words)
{
        size_t n = 0;
        char **copy;

        while (words[n])
                n++;
        copy = calloc(n + 1, sizeof *copy);
        for (size_t i = 0; copy && i < n; i++)
                if (!(copy[i] = strdup(words[i]))) {
                        submission_free_words(copy);
                        return NULL;
                }
        return copy;
}

/* The SBATCH_... of now, which are options too. */
static char **copy_sbatch_environment(void)
{
        size_t n = 0;
        char **copy;

        for (char **v = environ; *v; v++)
                n++;
        copy = calloc(n + 1, sizeof *copy);
        n = 0;
        for (char **v = environ; copy && *v; v++)
                if (!strncmp(*v, "SBATCH_", 7) && !(copy[n++] = strdup(*v))) {
                        submission_free_words(copy);
                        return NULL;
                }
        return copy;
}

/* As sbatch names a job that has no other name; RUN/script would be called "script". */
static char *job_name(const struct submit *s)
{
        const char *slash = s->script ? strrchr(s->script, '/') : NULL;

        if (submit_option(s, "job-name", NULL) != SUBMIT_NOWHERE || (!s->script && !s->from_stdin))
                return NULL;
        return strdup(s->script ? slash ? slash + 1 : s->script : "sbatch");
}

/* The first sbatch's words in their plain form, and what we added to them. */
static int make_record(struct submission *r, const struct submit *s, struct stint_error *err)
{
        static char *const none[] = {NULL};
        const int has_script = s->script || s->from_stdin;
        char cwd[PATH_MAX];

        *r = (struct submission){.mode = s->mode, .has_script = has_script, .array_task = -1};
        if (!getcwd(cwd, sizeof cwd))
                return error_system(err, errno, "the current directory has no usable path");
        r->directory = strdup(cwd);
        r->arguments = sbatch_words_again(&s->words);
        r->script_arguments = copy_words(s->script ? s->argv + s->words.script + 1 : none);
        r->environment = copy_sbatch_environment();
        r->job_name = job_name(s);
        if (s->has_cluster)
                snprintf(r->cluster, sizeof r->cluster, "%s", s->cluster.name);
        if (r->directory && r->arguments && r->script_arguments && r->environment)
                return 0;
        return error_set(err, ENOMEM, "no memory for the submission");
}

/* Output of the next stint goes on where this one's ended, in the record too. */
static int append_open_mode(struct submission *r, const struct submit *s, struct stint_error *err)
{
        size_t n = 0;
        char **more;

        if (submit_option(s, "open-mode", NULL) != SUBMIT_NOWHERE)
                return 0;
        while (r->arguments[n])
                n++;
        more = realloc(r->arguments, (n + 2) * sizeof *more);
        if (!more)
                return error_set(err, ENOMEM, "no memory for the submission");
        r->arguments = more;
        more[n] = strdup("--open-mode=append");
        more[n + 1] = NULL;
        return more[n] ? 0 : error_set(err, ENOMEM, "no memory for the submission");
}

static int write_one(const struct submit *s, const struct submission *r, const char *run, struct stint_error *err)
{
        if (begin_make_dirs(run, err))
                return -1;
        identity_mind_mode(run);
        if (r->has_script && submission_write_script(run, s->text, s->size, err))
                return -1;
        return submission_write(r, run, err);
}

/* One record per run: the tasks of an array have one each. */
static int write_records(const struct submit *s, struct submission *r, struct stint_error *err)
{
        char run[RUNDIR_PATH];
        int *tasks, n, rc = 0;

        if (!s->array)
                return write_one(s, r, s->run, err);
        tasks = calloc(TASKS_MOST, sizeof *tasks);
        if (!tasks)
                return error_set(err, ENOMEM, "no memory for the tasks of the array");
        n = sbatch_array_read(s->array, tasks, TASKS_MOST);
        if (n < 0)
                rc = error_set(err, EINVAL, "--array=%s cannot be read", s->array);
        else if (n > TASKS_MOST)
                rc = error_set(err, E2BIG, "--array=%s has %d tasks, each a run of its own; %d at most", s->array, n,
                               TASKS_MOST);
        for (int i = 0; !rc && i < n; i++) {
                r->array_task = tasks[i];
                rc = write_one(s, r, submit_task_run(s, tasks[i], run), err);
        }
        free(tasks);
        return rc;
}

/* ---- sbatch ---------------------------------------------------------------------------------------------------- */

static int call(const struct submit *s, struct sbatch_call *c, struct stint_error *err)
{
        char **line = line_for_sbatch(s), **environment = submission_environment(s->run, NULL);
        char script[RUNDIR_PATH + RUNDIR_NAME], first[RUNDIR_PATH];
        int rc = -1, tasks[1] = {0};

        *c = (struct sbatch_call){.words = line, .environ = environment, .limit_ns = CLOCK_NEVER, .show = 1};
        if (s->array)
                sbatch_array_read(s->array, tasks, 1);
        if (s->from_stdin &&
            rundir_join(script, sizeof script, submit_task_run(s, tasks[0], first), SUBMISSION_SCRIPT, NULL, err))
                goto out;
        if (s->from_stdin)
                c->input = script;
        rc = line && environment ? sbatch_call(c, err) : error_set(err, ENOMEM, "no memory to call sbatch");
out:
        submission_free_words(environment);
        free(line);
        return rc;
}

/* So that the verbs know which job to ask for; the job itself does not need it. */
static void keep_job(const struct submit *s, struct submission *r, const char *job)
{
        struct stint_error err;

        if (!*job || s->array)
                return;
        memcpy(r->job, job, sizeof r->job);
        if (submission_write(r, s->run, &err))
                log_warning("submit: job %s is queued, but the run does not know its number: %s", job, err.text);
}

static int submit(struct submit *s, int *code, struct stint_error *err)
{
        struct submission record = {.array_task = -1};
        struct sbatch_call c;
        int rc = -1;

        if (make_record(&record, s, err) || append_open_mode(&record, s, err))
                goto out;
        /* --test-only leaves no run behind. */
        if ((s->from_stdin || !sbatch_words_find(&s->words, "test-only")) && write_records(s, &record, err))
                goto out;
        rc = call(s, &c, err);
        if (!rc) {
                *code = c.exit_code;
                keep_job(s, &record, c.job);
                if (*c.job)
                        log_notice("submit: job %s trains %s", c.job, s->run);
        }
out:
        submission_fini(&record);
        return rc;
}

int cmd_submit(int argc, char **argv)
{
        struct submit s = {.argv = argv + 1};
        struct stint_error err;
        int rc, code = EXIT_OWN;

        (void)argc;
        if (sbatch_words_read(&s.words, s.argv, &err))
                return cmd_fail("submit", &err);
        if (asks_for_help(&s.words)) {
                help();
                submit_fini(&s);
                return 0;
        }
        rc = read_own(&s, &err) || submit_find_script(&s, &err) || submit_find_run(&s, &err) ||
             submit_check(&s, &err) || submit(&s, &code, &err);
        submit_fini(&s);
        return rc ? cmd_fail("submit", &err) : code;
}
