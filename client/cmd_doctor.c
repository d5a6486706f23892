/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_doctor: `stint doctor`: what a run would get on this machine and in this place, what is wrong, what to do. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "catalog.h"
#include "cmd.h"
#include "doctor.h"
#include "fault.h"
#include "log.h"
#include "pick.h"
#include "print.h"
#include "run.h"

#define EXIT_PROBLEM 1

struct doctor_options {
        int json, faults, keep;
        const char *partition;
};

static const struct flag table[] = {
        {"--keep", "N", offsetof(struct doctor_options, keep), flag_positive,
         "how many checkpoints will be kept, for the space (default: 3)", NULL},
        {"--partition", "NAME", offsetof(struct doctor_options, partition), flag_text,
         "which partition of the cluster (default: this job's, or the cluster's default)", NULL},
        {"--faults", NULL, offsetof(struct doctor_options, faults), flag_switch,
         "list the points at which tests can break a save", NULL},
        {"--json", NULL, offsetof(struct doctor_options, json), flag_switch, "as JSON", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] =
        "Usage: stint doctor [OPTION...] [RUN]\n\n"
        "Looks at the cluster, at this machine and at the place of a run (default: the one here, else this\n"
        "directory). RUN may be a directory that does not exist yet. Exit code 1: there is a problem.";

/* What was found so far. */
struct findings {
        json_t *json; /* an array, or NULL: printed as found */
        int problems;
};

static const char *finding_word(enum finding finding)
{
        return finding == FINDING_OK ? "ok" : finding == FINDING_WARNING ? "warning" : "problem";
}

static void on_found(void *arg, const char *what, enum finding finding, const char *text)
{
        static const enum print_colour colours[] = {PRINT_GOOD, PRINT_WARNING, PRINT_BAD};
        struct findings *f = arg;
        char word[16];

        f->problems += finding == FINDING_PROBLEM;
        if (f->json) {
                json_array_append_new(f->json, json_pack("{s:s, s:s, s:s}", "what", what, "finding",
                                                         finding_word(finding), "text", text));
                return;
        }
        snprintf(word, sizeof word, "%-8s", finding_word(finding));
        print_coloured(stdout, colours[finding], word);
        printf("%-22s%s\n", what, text);
}

/* Text from the environment may hold anything; a terminal gets it escaped, and JSON gets UTF-8. */
void doctor_found(const struct doctor *d, const char *what, enum finding finding, const char *format, ...)
{
        char text[2000], escaped[3000];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        d->found(d->arg, what, finding, log_escape(escaped, sizeof escaped, text));
}

static int faults(int json, struct stint_error *err)
{
        json_t *all = json ? json_array() : NULL;

        for (const char *const *point = fault_points; *point; point++) {
                if (json)
                        json_array_append_new(all, json_string(*point));
                else
                        printf("%s\n", *point);
        }
        return json ? print_json(all, stdout, err) : 0;
}

/* The nearest directory at or above `run` that is there. */
static int find_where(struct doctor *d, struct stint_error *err)
{
        struct stat st;
        char *slash;

        memcpy(d->where, d->run, sizeof d->where);
        while (stat(d->where, &st)) {
                if (errno != ENOENT)
                        return error_system(err, errno, "%s cannot be looked at", d->where);
                slash = strrchr(d->where, '/');
                if (!slash) {
                        memcpy(d->where, ".", sizeof ".");
                        return 0;
                }
                slash[slash == d->where] = '\0';
        }
        return S_ISDIR(st.st_mode) ? 0
                                   : error_set(err, ENOTDIR, "%s is no directory, so no run can live there", d->where);
}

/* A run that exists tells how large its state is; one that does not is a place only. */
static int look_at_run(struct doctor *d, const char *named, struct stint_error *err)
{
        struct catalog c;

        if (pick_run(d->run, named, NULL)) {
                if (named && strlen(named) >= sizeof d->run)
                        return error_set(err, ENAMETOOLONG, "the path is longer than %zu bytes: %s", sizeof d->run - 1,
                                         named);
                snprintf(d->run, sizeof d->run, "%s", named ? named : ".");
        }
        if (find_where(d, err) || catalog_read(&c, d->run, err))
                return -1;
        if (c.whole) {
                d->state_bytes = (int64_t)manifest_bytes(&c.entries[0].manifest);
                d->newest_ranks = c.entries[0].manifest.ranks;
                memcpy(d->newest, c.entries[0].name, sizeof d->newest);
        }
        for (size_t i = 0; i < c.whole; i++)
                d->used_bytes += (int64_t)manifest_bytes(&c.entries[i].manifest);
        catalog_fini(&c);
        return 0;
}

static void show_place(const struct doctor *d)
{
        char size[32], identity[RUNDIR_PATH + RUNDIR_NAME];

        if (rundir_join(identity, sizeof identity, d->run, RUNDIR_RUN, NULL, NULL) || access(identity, F_OK))
                doctor_found(d, "run", FINDING_OK, "there is none in %s; what follows is about that directory", d->run);
        else if (d->state_bytes)
                doctor_found(d, "run", FINDING_OK, "%s, its newest checkpoint is %s", d->run,
                             print_size(size, sizeof size, d->state_bytes));
        else
                doctor_found(d, "run", FINDING_OK, "%s, without a checkpoint yet", d->run);
}

static int examine(struct doctor *d, const char *named, struct findings *f, struct stint_error *err)
{
        d->found = on_found;
        d->arg = f;
        if (look_at_run(d, named, err))
                return -1;
        doctor_found(d, "stint", FINDING_OK, "version %s", PACKAGE_VERSION);
        show_place(d);
        doctor_cluster(d);
        doctor_node(d);
        doctor_devices(d);
        doctor_disk(d);
        return 0;
}

int cmd_doctor(int argc, char **argv)
{
        struct doctor_options o = {.keep = 3};
        struct findings f = {0};
        struct doctor d = {0};
        struct stint_error err;
        char **words;
        int rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        if (o.faults)
                return faults(o.json, &err) ? cmd_fail("doctor", &err) : 0;
        if (words[0] && words[1]) {
                error_set(&err, EINVAL, "'%s' is one word too many; --help tells which there are", words[1]);
                return cmd_fail("doctor", &err);
        }
        f.json = o.json ? json_array() : NULL;
        d.keep = o.keep;
        d.partition = o.partition;
        rc = examine(&d, words[0], &f, &err);
        if (rc)
                json_decref(f.json);
        else if (f.json)
                rc = print_json(f.json, stdout, &err);
        if (rc)
                return cmd_fail("doctor", &err);
        return f.problems ? EXIT_PROBLEM : 0;
}
