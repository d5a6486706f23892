/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main: the table of verbs, and what `stint` says without one. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cmd.h"
#include "log.h"
#include "nearest.h"
#include "run.h"

struct verb {
        const char *name;
        int (*call)(int argc, char **argv);
        const char *summary;
};

static const struct verb verbs[] = {
        {"run", cmd_run, "run one stint of a training, and the next ones under the local scheduler"},
        {"submit", cmd_submit, "submit a batch script to Slurm, and go on with it until training is complete"},
        {"exec", cmd_exec, "start a program of a step, shielded from the scheduler's SIGTERM"},
        {"status", cmd_status, "how runs stand: running or not, step, speed, last checkpoint"},
        {"show", cmd_show, "the history of a run, stint by stint"},
        {"ls", cmd_ls, "the checkpoints of a run"},
        {"verify", cmd_verify, "read checkpoints again and check every byte"},
        {"export", cmd_export, "show the ranks' checkpoint files as one HDF5 file of whole arrays"},
        {"save", cmd_save, "save a running run now; with --stop, end its stint too"},
        {"stop", cmd_stop, "save a run and end its chain"},
        {"resume", cmd_resume, "go on with a run that was stopped, cancelled or left standing"},
        {"cancel", cmd_cancel, "end a run's chain now, without a save"},
        {"doctor", cmd_doctor, "what a run would get here, and what is wrong with it"},
        {"vacate", cmd_vacate, "have this node's jobs save, stop and be requeued"},
        {NULL, NULL, NULL},
};

static int usage(FILE *out)
{
        fputs("Usage: stint VERB [OPTION...]\n\n", out);
        for (const struct verb *v = verbs; v->name; v++)
                fprintf(out, "  %-8s %s\n", v->name, v->summary);
        fputs("\n`stint help VERB` tells the options of a verb, `stint --version` the version.\n"
              "Exit codes: the program's own; 75 stopped, to be continued; 125 stint itself failed; 126, 127 no such "
              "program.\n",
              out);
        return 0;
}

static const struct verb *find(const char *name)
{
        for (const struct verb *v = verbs; v->name; v++)
                if (!strcmp(v->name, name))
                        return v;
        return NULL;
}

static int unknown(const char *name)
{
        struct nearest near;

        nearest_begin(&near, name);
        for (const struct verb *v = verbs; v->name; v++)
                nearest_see(&near, v->name);
        if (near.best)
                log_error("there is no verb '%s'; did you mean `stint %s`?", name, near.best);
        else
                log_error("there is no verb '%s'; `stint --help` lists those there are", name);
        return EXIT_OWN;
}

/* `stint help VERB` is `stint VERB --help`. */
static int help(const char *name)
{
        char verb[32], option[] = "--help";
        char *argv[] = {verb, option, NULL};
        const struct verb *v;

        if (!name)
                return usage(stdout);
        v = find(name);
        if (!v)
                return unknown(name);
        snprintf(verb, sizeof verb, "%s", v->name);
        return v->call(2, argv);
}

static int dispatch(int argc, char **argv)
{
        const struct verb *v;

        if (argc < 2) {
                usage(stderr);
                return EXIT_OWN;
        }
        if (!strcmp(argv[1], "--version"))
                return printf("stint %s\n", PACKAGE_VERSION) < 0 ? EXIT_OWN : 0;
        if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
                return help(argc > 2 ? argv[2] : NULL);
        v = find(argv[1]);
        return v ? v->call(argc - 1, argv + 1) : unknown(argv[1]);
}

/* Data that could not be written is an error, also when only the last flush notices. */
int main(int argc, char **argv)
{
        int code;

        log_init("stint", STINT_LOG_NOTICE);
        code = dispatch(argc, argv);
        if (fflush(stdout) || ferror(stdout)) {
                log_error("stdout: cannot be written to");
                return code ? code : EXIT_OWN;
        }
        return code;
}
