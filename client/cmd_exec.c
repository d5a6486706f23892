/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_exec: `stint exec PROGRAM`: becomes the program, shielded.  A scheduler sends SIGTERM to every process of a step
 * at the beginning of a grace, helpers of the program included, and a step that ends of it gives its grace away; so the
 * signal is ignored here and everything that comes from here inherits that.  `stint run` starts its program so.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "cmd.h"
#include "log.h"
#include "run.h"

struct exec_options {
        int parent; /* pid that the program must not outlive; 0: none */
};

static const struct flag table[] = {
        {"--parent", "PID", offsetof(struct exec_options, parent), flag_positive,
         "the program dies with this process, which must be the parent; `stint run` gives its own", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static void help(void)
{
        printf("Usage: stint exec [OPTION...] [--] PROGRAM [ARGUMENT...]\n\n"
               "Becomes PROGRAM with SIGTERM and SIGINT ignored, for it and all its helpers, so that a step of a job "
               "works on\n"
               "through a grace: srun stint exec -- python train.py. Exits as PROGRAM does; 126 when it cannot be "
               "executed,\n"
               "127 when it is not found.\n\n");
        flags_help(table, stdout);
}

/* The setting survives exec.  A parent that was gone before it was made would never be noticed, so it is looked at
 * after. */
static int die_with(pid_t parent)
{
        if (prctl(PR_SET_PDEATHSIG, SIGKILL)) {
                log_error("exec: cannot ask to be killed with the parent (PR_SET_PDEATHSIG): %s", strerror(errno));
                return -1;
        }
        if (getppid() != parent) {
                log_error("exec: process %d, which the program must not outlive, is gone", (int)parent);
                return -1;
        }
        return 0;
}

int cmd_exec(int argc, char **argv)
{
        struct exec_options o = {0};
        struct stint_error err;
        char **command;
        int rc = flags_read(table, &o, argv + 1, FLAGS_FIRST, &command, &err);

        (void)argc;
        if (rc < 0)
                return cmd_fail("exec", &err);
        if (rc > 0) {
                help();
                return 0;
        }
        if (!*command) {
                error_set(&err, EINVAL, "no program was given: stint exec [--] PROGRAM [ARGUMENT...]");
                return cmd_fail("exec", &err);
        }
        if (o.parent && die_with((pid_t)o.parent))
                return EXIT_OWN;
        signal(SIGTERM, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        execvp(*command, command);
        rc = errno;
        log_error("exec: cannot execute %s: %s", *command, strerror(rc));
        return rc == ENOENT ? EXIT_NO_PROGRAM : EXIT_NO_EXEC;
}
