/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options: the options of `stint run`, one row each: name, value, default in words, where it goes.  cmd_run.c reads its
 * command line here, and the help text is made from the same rows.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "duration.h"
#include "flags.h"
#include "options.h"

#define MOST_PREEMPTIONS ((int)(sizeof((struct run_options *)0)->preempt_after_ns / sizeof(int64_t)))

int run_options_dir(char *out, const char *base, const char *text, struct stint_error *err)
{
        char cwd[RUNDIR_PATH];
        size_t n;

        if (!*text)
                return error_set(err, EINVAL, "it is empty");
        if (*text != '/' && !base) {
                if (!getcwd(cwd, sizeof cwd))
                        return error_system(err, errno, "the current directory has no usable path");
                base = cwd;
        }
        if ((size_t)snprintf(out, RUNDIR_PATH, "%s%s%s", *text == '/' ? "" : base, *text == '/' ? "" : "/", text) >=
            RUNDIR_PATH)
                return error_set(err, ENAMETOOLONG, "the path is longer than %d bytes: %s", RUNDIR_PATH - 1, text);
        for (n = strlen(out); n > 1 && (out[n - 1] == '/' || (out[n - 1] == '.' && out[n - 2] == '/')); n--)
                out[n - 1] = '\0';
        return 0;
}

/* A run directory is known by its absolute path, whatever directory the program changes to. */
static int read_dir(void *field, const char *text, struct stint_error *err)
{
        return run_options_dir(field, NULL, text, err);
}

int run_options_name(char *out, const char *text, struct stint_error *err)
{
        const size_t size = sizeof((struct run_options *)0)->name;

        if (!*text || *text == '.' || *text == '-' || strchr(text, '/') || strlen(text) >= size)
                return error_set(err, EINVAL,
                                 "'%s' cannot name a run: 1 to %zu bytes, no '/', not beginning with '.' or '-'", text,
                                 size - 1);
        for (const char *c = text; *c; c++)
                if (iscntrl((unsigned char)*c))
                        return error_set(err, EINVAL, "the name of a run has no control characters");
        memcpy(out, text, strlen(text) + 1);
        return 0;
}

static int read_name(void *field, const char *text, struct stint_error *err)
{
        return run_options_name(field, text, err);
}

/* A duration that means something only when it is not zero. */
static int read_span(void *field, const char *text, struct stint_error *err)
{
        int64_t ns;

        if (duration_parse(text, &ns, err))
                return -1;
        if (!ns)
                return error_set(err, EINVAL, "it must be longer than 0");
        *(int64_t *)field = ns;
        return 0;
}

static int read_interval(void *field, const char *text, struct stint_error *err)
{
        if (!strcmp(text, "auto"))
                *(int64_t *)field = 0;
        else if (!strcmp(text, "off"))
                *(int64_t *)field = CLOCK_NEVER;
        else if (read_span(field, text, err))
                return error_wrap(err, "neither 'auto' nor 'off' nor a duration");
        return 0;
}

static int read_mtbf(void *field, const char *text, struct stint_error *err)
{
        if (!strcmp(text, "auto"))
                *(int64_t *)field = 0;
        else if (read_span(field, text, err))
                return error_wrap(err, "neither 'auto' nor a duration");
        return 0;
}

static int read_outlive(void *field, const char *text, struct stint_error *err)
{
        if (strcmp(text, "yes") && strcmp(text, "no"))
                return error_set(err, EINVAL, "neither 'yes' nor 'no'");
        *(int *)field = !strcmp(text, "yes");
        return 0;
}

static int read_exit0(void *field, const char *text, struct stint_error *err)
{
        if (strcmp(text, "done"))
                return error_set(err, EINVAL, "'%s' is not known; the only value is 'done'", text);
        *(int *)field = 1;
        return 0;
}

static int read_on_off(void *field, const char *text, struct stint_error *err)
{
        if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
                return error_set(err, EINVAL, "'%s' is neither 'on' nor 'off'", text);
        *(int *)field = text[1] == 'n';
        return 0;
}

/* No less than two blocks of a window: with less nothing can be saved at all. */
static int read_staging(void *field, const char *text, struct stint_error *err)
{
        int64_t bytes;

        if (size_parse(text, &bytes, err))
                return -1;
        if (bytes < (INT64_C(8) << 20))
                return error_set(err, EINVAL, "it must be 8M at least");
        *(int64_t *)field = bytes;
        return 0;
}

static int read_fd(void *field, const char *text, struct stint_error *err)
{
        if (flag_count(field, text, err))
                return -1;
        if (*(int *)field <= STDERR_FILENO)
                return error_set(err, EINVAL, "descriptor %s is taken", text);
        return 0;
}

/* The fields of the local scheduler are read through these: any of them asks for it.  They see the whole struct. */
static int local_limit(void *options, const char *text, struct stint_error *err)
{
        struct run_options *o = options;

        o->local = 1;
        return read_span(&o->limit_ns, text, err);
}

static int local_grace(void *options, const char *text, struct stint_error *err)
{
        struct run_options *o = options;

        o->local = 1;
        return flag_duration(&o->grace_ns, text, err);
}

static int local_kill_wait(void *options, const char *text, struct stint_error *err)
{
        struct run_options *o = options;

        o->local = 1;
        return flag_duration(&o->kill_wait_ns, text, err);
}

static int local_requeues(void *options, const char *text, struct stint_error *err)
{
        struct run_options *o = options;

        o->local = 1;
        return flag_count(&o->requeues, text, err);
}

/* "7s,-,3s": the first and the third stint of this invocation are preempted. */
static int local_preempt_after(void *options, const char *text, struct stint_error *err)
{
        struct run_options *o = options;

        o->local = 1;
        o->preempt_count = 0;
        for (;;) {
                char one[64];
                size_t n = strcspn(text, ",");

                if (n >= sizeof one)
                        return error_set(err, EINVAL, "'%s' is no duration", text);
                memcpy(one, text, n);
                one[n] = '\0';
                if (o->preempt_count == MOST_PREEMPTIONS)
                        return error_set(err, EINVAL, "more than %d values", MOST_PREEMPTIONS);
                if (!strcmp(one, "-"))
                        o->preempt_after_ns[o->preempt_count] = 0;
                else if (read_span(&o->preempt_after_ns[o->preempt_count], one, err))
                        return -1;
                o->preempt_count++;
                if (!text[n])
                        return 0;
                text += n + 1;
        }
}

#define FIELD(name) offsetof(struct run_options, name)
#define OPTIONS_WHOLE 0

static const struct flag table[] = {
        {"--stint-dir", "DIR", FIELD(dir), read_dir,
         "run directory (default: NAME.stint here, unless $STINT_DIR names one)", "The run"},
        {"--stint-name", "NAME", FIELD(name), read_name, "name of the run (default: run)", NULL},
        {"--stint-keep", "N", FIELD(keep), flag_positive, "checkpoints kept, the best one not counted (default: 3)",
         NULL},
        {"--stint-slots", "on|off", FIELD(slots), read_on_off,
         "keep the files of a checkpoint that is no longer needed, and write over them: faster, and one more on disk "
         "(default: on)",
         NULL},
        {"--stint-interval", "D", FIELD(interval_ns), read_interval,
         "time between saves: a duration, off, or auto, which weighs what a save costs against --stint-mtbf (default: "
         "auto)",
         NULL},
        {"--stint-mtbf", "D", FIELD(mtbf_ns), read_mtbf,
         "mean time between failures that auto assumes: a duration, or auto, which begins with 24h and takes each stint "
         "of this run into account that was killed or crashed (default: auto)",
         NULL},
        {"--stint-margin", "D", FIELD(margin_ns), flag_duration, "time kept free before a deadline (default: 1s)",
         NULL},
        {"--stint-ask-every", "D", FIELD(ask_every_ns), read_span,
         "time between two questions to Slurm for the deadline, at least; the one before the last save comes in any case "
         "(default: 5m)",
         NULL},
        {"--stint-prefetch", "on|off", FIELD(prefetch), read_on_off,
         "the newest checkpoint is read into memory while the program starts (default: on)", NULL},
        {"--stint-staging", "BYTES", FIELD(staging_bytes), read_staging,
         "the most memory of the job that staging takes for a rank; a larger state is written while it is copied, and "
         "training waits for the disk (default: STINT_STAGING, else as much as there is)",
         NULL},
        {"--stint-take-over", NULL, FIELD(take_over), flag_switch,
         "take the run although another host holds it; only when that one is known to be gone", NULL},
        {"--stint-adopt", NULL, FIELD(adopt), flag_switch,
         "this run is this command's own, although it is complete and was another command's", NULL},
        {"--stint-outlive", "yes|no", FIELD(outlive), read_outlive,
         "whether a stint whose successor is queued trains on for as long as a final save takes to be written, and leaves "
         "the writing to stintd (default: no)",
         NULL},
        {"--stint-exit0", "done", FIELD(exit0_done), read_exit0,
         "exit 0 completes the run, for programs that never call stint_complete", NULL},
        {"--stint-quiet", NULL, FIELD(quiet), flag_switch, "only warnings and errors on stderr", NULL},
        {"--attend", "FD", FIELD(attend_fd), read_fd, NULL, NULL},
        {"--stint-limit", "D", OPTIONS_WHOLE, local_limit, "time limit of a stint (default: none)",
         "The local scheduler, which any of these asks for"},
        {"--stint-grace", "D", OPTIONS_WHOLE, local_grace, "time between a preemption and its end (default: 10s)",
         NULL},
        {"--stint-kill-wait", "D", OPTIONS_WHOLE, local_kill_wait,
         "time between SIGTERM at the end and SIGKILL (default: 5s)", NULL},
        {"--stint-preempt-after", "D[,D...]", OPTIONS_WHOLE, local_preempt_after,
         "preempt the 1st, 2nd, ... stint of this invocation after that time; '-' for not", NULL},
        {"--stint-requeues", "N", OPTIONS_WHOLE, local_requeues,
         "requeues of this invocation at most (default: any number)", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static void help(void)
{
        printf("Usage: stint run [OPTION...] [--] PROGRAM [ARGUMENT...]\n\n"
               "Runs one stint of a training: restores the newest checkpoint, supervises PROGRAM, saves before the "
               "time is\n"
               "up, and says what landed. Exits as PROGRAM does, and with 75 when it was stopped and is to be "
               "continued.\n");
        flags_help(table, stdout);
        printf("\nDurations: 90s, 5m, 1h30m, 250ms, or HH:MM:SS.\n");
}

static void defaults(struct run_options *o)
{
        *o = (struct run_options){
                .keep = 3,
                .slots = 1,
                .prefetch = 1,
                .margin_ns = CLOCK_SECOND,
                .ask_every_ns = 300 * CLOCK_SECOND,
                .attend_fd = -1,
                .grace_ns = 10 * CLOCK_SECOND,
                .kill_wait_ns = 5 * CLOCK_SECOND,
                .requeues = -1,
        };
}

/* In a task of an array %a is its number, as in the names that sbatch makes: each task is a run of its own. */
static int name_task(char *dir, struct stint_error *err)
{
        const char *task = getenv("SLURM_ARRAY_TASK_ID"), *place = strstr(dir, "%a");
        char out[RUNDIR_PATH];

        if (!place || !task)
                return 0;
        if ((size_t)snprintf(out, sizeof out, "%.*s%s%s", (int)(place - dir), dir, task, place + 2) >= sizeof out)
                return error_set(err, ENAMETOOLONG, "the path is longer than %d bytes: %s", RUNDIR_PATH - 1, dir);
        memcpy(dir, out, strlen(out) + 1);
        return 0;
}

/* What no single option can know. */
static int check(struct run_options *o, struct stint_error *err)
{
        char name[sizeof o->name + sizeof ".stint"];
        const char *named = getenv("STINT_DIR");

        if (o->attend_fd >= 0 && (*o->command || o->local))
                return error_set(err, EINVAL, "--attend goes with neither a program nor a local scheduler");
        if (o->attend_fd < 0 && !*o->command)
                return error_set(err, EINVAL, "no program was given: stint run [OPTION...] -- PROGRAM [ARGUMENT...]");
        if (o->requeues == 0 && o->preempt_count > 1)
                return error_set(err, EINVAL, "--stint-requeues=0 leaves one stint, but --stint-preempt-after names %d",
                                 o->preempt_count);
        if (*o->dir) {
                if (!*o->name)
                        snprintf(o->name, sizeof o->name, "run");
                return name_task(o->dir, err);
        }
        if (!*o->name && named && *named && strcmp(named, "off") != 0) {
                snprintf(o->name, sizeof o->name, "run");
                return read_dir(o->dir, named, err) ? -1 : name_task(o->dir, err);
        }
        if (!*o->name)
                snprintf(o->name, sizeof o->name, "run");
        snprintf(name, sizeof name, "%s.stint", o->name);
        return read_dir(o->dir, name, err) ? -1 : name_task(o->dir, err);
}

/* For whom nobody writes a command line: `stint run --attend` is started by the library. */
static int take_staging(struct run_options *o, struct stint_error *err)
{
        const char *named = getenv("STINT_STAGING");

        if (o->staging_bytes > 0 || !named || !*named)
                return 0;
        return read_staging(&o->staging_bytes, named, err) ? error_wrap(err, "STINT_STAGING=%s", named) : 0;
}

int run_options_parse(struct run_options *o, int argc, char **argv, struct stint_error *err)
{
        int rc;

        (void)argc;
        defaults(o);
        rc = flags_read(table, o, argv + 1, FLAGS_FIRST, &o->command, err);
        if (rc > 0)
                help();
        if (rc)
                return rc;
        return take_staging(o, err) ? -1 : check(o, err);
}
