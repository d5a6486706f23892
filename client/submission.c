/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * submission: keeps how a run was submitted, and submits it once more.  cmd_submit.c writes it, cmd_resume.c and
 * run_successor.c use it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "durable.h"
#include "run_identity.h"
#include "rundir.h"
#include "sbatch_words.h"
#include "submission.h"

#define FORMAT 1
#define MOST_BYTES ((size_t)4 << 20)

/* ---- words ----------------------------------------------------------------------------------------------------- */

void submission_free_words(char **words)
{
        for (char **word = words; word && *word; word++)
                free(*word);
        free(words);
}

static char **words_of_json(const json_t *array)
{
        size_t n = json_array_size(array);
        char **words = calloc(n + 1, sizeof *words);

        for (size_t i = 0; words && i < n; i++) {
                const char *text = json_string_value(json_array_get(array, i));

                words[i] = text ? strdup(text) : NULL;
                if (!words[i]) {
                        submission_free_words(words);
                        return NULL;
                }
        }
        return words;
}

/* NULL when a word is not UTF-8: it could not be read back as it was. */
static json_t *json_of_words(char *const *words)
{
        json_t *array = json_array();

        for (; words && *words; words++)
                if (json_array_append_new(array, json_string(*words))) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}

/* ---- modes ----------------------------------------------------------------------------------------------------- */

static const char *const modes[] = {"auto", "requeue", "chain"};

const char *submission_mode_name(enum submission_mode mode)
{
        return (size_t)mode < sizeof modes / sizeof *modes ? modes[mode] : "unknown";
}

int submission_mode_read(enum submission_mode *mode, const char *name)
{
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
                if (!strcmp(modes[i], name)) {
                        *mode = (enum submission_mode)i;
                        return 0;
                }
        return -1;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

/* What stands in it is run with this user's rights, so nobody else may have written it. */
static int check_owner(const char *run_dir, const char *name, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        struct stat st;

        if (rundir_join(path, sizeof path, run_dir, name, NULL, err))
                return -1;
        if (lstat(path, &st))
                return error_system(err, errno, "%s cannot be looked at", path);
        if (S_ISREG(st.st_mode) && !(st.st_mode & S_IWOTH))
                return identity_check_owner(path, run_dir, err);
        return error_set(err, EPERM, "%s is not your own file alone (mode %03o), so nothing is submitted by it", path,
                         (unsigned)st.st_mode & 0777);
}

static void copy_text(char *out, size_t size, const json_t *root, const char *member)
{
        const char *text = json_string_value(json_object_get(root, member));

        snprintf(out, size, "%s", text ? text : "");
}

static char *text_of(const json_t *root, const char *member)
{
        const char *text = json_string_value(json_object_get(root, member));

        return text ? strdup(text) : NULL;
}

static int from_json(struct submission *s, const json_t *root)
{
        const char *mode = json_string_value(json_object_get(root, "mode"));
        const json_t *task = json_object_get(root, "array_task");

        s->arguments = words_of_json(json_object_get(root, "arguments"));
        s->script_arguments = words_of_json(json_object_get(root, "script_arguments"));
        s->environment = words_of_json(json_object_get(root, "environment"));
        s->directory = text_of(root, "directory");
        s->job_name = text_of(root, "job_name");
        s->has_script = json_is_true(json_object_get(root, "script"));
        s->array_task = json_is_integer(task) ? (int)json_integer_value(task) : -1;
        copy_text(s->cluster, sizeof s->cluster, root, "cluster");
        copy_text(s->job, sizeof s->job, root, "job");
        if (json_integer_value(json_object_get(root, "format")) != FORMAT || !s->arguments || !s->script_arguments ||
            !s->environment || !s->directory || !mode)
                return -1;
        return submission_mode_read(&s->mode, mode);
}

int submission_read(struct submission *s, const char *run_dir, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME], *text;
        struct submission read = {.array_task = -1};
        json_t *root;
        size_t n;

        if (rundir_join(path, sizeof path, run_dir, SUBMISSION_FILE, NULL, err) ||
            durable_read(path, MOST_BYTES, &text, &n, err))
                return -1;
        root = json_loadb(text, n, 0, NULL);
        free(text);
        if (!root || from_json(&read, root)) {
                json_decref(root);
                submission_fini(&read);
                return error_set(err, EBADMSG, "%s cannot be read as a submission: submit the run anew", path);
        }
        json_decref(root);
        if (check_owner(run_dir, SUBMISSION_FILE, err) ||
            (read.has_script && check_owner(run_dir, SUBMISSION_SCRIPT, err))) {
                submission_fini(&read);
                return -1;
        }
        *s = read;
        return 0;
}

void submission_fini(struct submission *s)
{
        submission_free_words(s->arguments);
        submission_free_words(s->script_arguments);
        submission_free_words(s->environment);
        free(s->directory);
        free(s->job_name);
        *s = (struct submission){.array_task = -1};
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static int replace(const char *run_dir, const char *name, const char *text, size_t n, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];

        if (rundir_join(path, sizeof path, run_dir, name, NULL, err))
                return -1;
        return durable_replace(path, text, n, 0644, err);
}

int submission_write(const struct submission *s, const char *run_dir, struct stint_error *err)
{
        char when[32], host[64] = "", *text;
        json_t *root, *arguments = json_of_words(s->arguments), *rest = json_of_words(s->script_arguments),
                      *environment = json_of_words(s->environment);
        int rc;

        gethostname(host, sizeof host - 1);
        root = json_pack("{s:i, s:o*, s:b, s:o*, s:o*, s:s, s:s?, s:s, s:s, s:s, s:s, s:s}", "format", FORMAT,
                         "arguments", arguments, "script", s->has_script, "script_arguments", rest, "environment",
                         environment, "directory", s->directory, "job_name", s->job_name, "mode",
                         submission_mode_name(s->mode), "cluster", s->cluster, "job", s->job, "host", host, "time",
                         clock_format(when, sizeof when, clock_wall()));
        if (root && s->array_task >= 0)
                json_object_set_new(root, "array_task", json_integer(s->array_task));
        text = root && arguments && rest && environment ? json_dumps(root, JSON_INDENT(2)) : NULL;
        json_decref(root);
        if (!text)
                return error_set(err, EILSEQ,
                                 "what this run was submitted with cannot be kept: a word of it is not UTF-8");
        rc = replace(run_dir, SUBMISSION_FILE, text, strlen(text), err);
        free(text);
        return rc;
}

int submission_write_script(const char *run_dir, const char *text, size_t n, struct stint_error *err)
{
        return replace(run_dir, SUBMISSION_SCRIPT, text, n, err);
}

/* ---- the environment ------------------------------------------------------------------------------------------- */

static int begins(const char *text, const char *with)
{
        return strncmp(text, with, strlen(with)) == 0;
}

/* "NAME=..." is one of these variables, or with a '*' begins like one. */
static int is_one_of(const char *variable, const char *const *names)
{
        for (; *names; names++) {
                size_t n = strlen(*names);

                if ((*names)[n - 1] == '*' ? !strncmp(variable, *names, n - 1)
                                           : !strncmp(variable, *names, n) && variable[n] == '=')
                        return 1;
        }
        return 0;
}

/* What Slurm tells one job, and what stint tells one stint: in the next one it would be untrue. */
static int belongs_to_a_job(const char *variable)
{
        static const char *const job[] = {"SLURM_*",
                                          "SLURMD_*",
                                          "SRUN_*",
                                          "SBATCH_*",
                                          "CUDA_VISIBLE_DEVICES",
                                          "GPU_DEVICE_ORDINAL",
                                          "ROCR_VISIBLE_DEVICES",
                                          "HIP_VISIBLE_DEVICES",
                                          "ZE_AFFINITY_MASK",
                                          "PMI_*",
                                          "PMIX_*",
                                          "ENVIRONMENT",
                                          NULL};

        return is_one_of(variable, job) && !begins(variable, "SLURM_CONF=");
}

static int belongs_to_a_stint(const char *variable)
{
        static const char *const stint[] = {"STINT_DIR",    "STINT_AGENT",   "STINT_STINT",
                                            "STINT_RUN_ID", "STINT_LOCAL_*", NULL};

        return is_one_of(variable, stint);
}

static int add_variable(char **out, size_t *n, const char *variable)
{
        out[*n] = strdup(variable);
        return out[*n] ? (*n)++, 0 : -1;
}

char **submission_environment(const char *run_dir, const struct submission *recorded)
{
        size_t room = 2, n = 0;
        char **out, *dir = NULL;
        int bad;

        for (char **v = environ; *v; v++)
                room++;
        for (char **v = recorded ? recorded->environment : NULL; v && *v; v++)
                room++;
        out = calloc(room, sizeof *out);
        bad = !out || asprintf(&dir, "STINT_DIR=%s", run_dir) < 0;
        for (char **v = environ; !bad && *v; v++)
                if (!belongs_to_a_stint(*v) && !belongs_to_a_job(*v))
                        bad = add_variable(out, &n, *v);
        for (char **v = recorded ? recorded->environment : environ; !bad && v && *v; v++)
                if (begins(*v, "SBATCH_"))
                        bad = add_variable(out, &n, *v);
        if (!bad)
                bad = add_variable(out, &n, dir);
        free(dir);
        if (!bad)
                return out;
        submission_free_words(out);
        return NULL;
}

/* ---- once more ------------------------------------------------------------------------------------------------- */

struct line {
        char **words;
        size_t n, room;
        int bad;
};

static void line_add(struct line *l, const char *format, const char *text)
{
        if (l->n + 2 > l->room) {
                size_t room = 2 * l->room + 32;
                char **more = realloc(l->words, room * sizeof *more);

                if (!more) {
                        l->bad = 1;
                        return;
                }
                l->words = more;
                l->room = room;
        }
        if (asprintf(&l->words[l->n], format, text) < 0)
                l->bad = 1;
        else
                l->n++;
        l->words[l->n] = NULL;
}

static void line_add_all(struct line *l, char *const *words)
{
        for (; words && *words; words++)
                line_add(l, "%s", *words);
}

/* Of options that are given twice sbatch takes the last. */
static void make_line(struct line *l, const struct submission *s, const char *script,
                      const struct submission_again *how)
{
        char task[16];

        line_add(l, "%s", "sbatch");
        if (s->job_name)
                line_add(l, "--job-name=%s", s->job_name);
        line_add_all(l, s->arguments);
        if (s->array_task >= 0) {
                snprintf(task, sizeof task, "%d", s->array_task);
                line_add(l, "--array=%s", task);
        }
        line_add_all(l, how->more);
        if (how->after)
                line_add(l, "--dependency=afterany:%s", how->after);
        if (s->has_script)
                line_add(l, "%s", script);
        line_add_all(l, s->script_arguments);
}

static int call(const struct submission *s, const struct line *l, char **environment,
                const struct submission_again *how, char *job, struct stint_error *err)
{
        struct sbatch_call c = {.words = l->words,
                                .environ = environment,
                                .directory = s->directory,
                                .limit_ns = how->limit_ns,
                                .show = how->show,
                                .quiet = how->quiet,
                                .input = "/dev/null"};

        if (sbatch_call(&c, err))
                return -1;
        if (c.exit_code)
                return how->quiet ? -1 : error_set(err, EINVAL, "sbatch exited with %d", c.exit_code);
        if (!c.job[0])
                return error_set(err, ENOMSG, "sbatch has not said which job it queued (--quiet in the script?)");
        memcpy(job, c.job, sizeof c.job);
        return 0;
}

int submission_again(const struct submission *s, const char *run_dir, const struct submission_again *how, char *job,
                     struct stint_error *err)
{
        char script[RUNDIR_PATH + RUNDIR_NAME], **environment;
        struct line l = {0};
        int rc;

        if (rundir_join(script, sizeof script, run_dir, SUBMISSION_SCRIPT, NULL, err))
                return -1;
        environment = submission_environment(run_dir, s);
        make_line(&l, s, script, how);
        rc = l.bad || !environment ? error_set(err, ENOMEM, "no memory to call sbatch")
                                   : call(s, &l, environment, how, job, err);
        submission_free_words(environment);
        submission_free_words(l.words);
        return rc;
}
