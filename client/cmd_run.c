/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_run: `stint run`: the local scheduler around it when its options ask for one, else the stint itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "log.h"
#include "options.h"
#include "run.h"
#include "run_identity.h"

/* A job of the local scheduler has the same command line as its manager, so this tells which of the two we are. */
static int inside_local_job(void)
{
        const char *socket = getenv("STINT_LOCAL_JOB");

        return socket && *socket;
}

/* The whole command line again, with the program's name in front. */
static char **whole(int argc, char **argv)
{
        static char name[] = "stint";
        char **line = calloc((size_t)argc + 2, sizeof *line);

        if (!line)
                return NULL;
        line[0] = name;
        memcpy(line + 1, argv, (size_t)argc * sizeof *line);
        return line;
}

static int run_managed(const struct run_options *o, int argc, char **argv)
{
        char **line = whole(argc, argv);
        int code;

        if (!line) {
                log_error("run: no memory");
                return EXIT_OWN;
        }
        code = local_job(o, line);
        free(line);
        return code;
}

int cmd_run(int argc, char **argv)
{
        struct run_options o;
        struct stint_error err;
        int rc = run_options_parse(&o, argc, argv, &err);

        if (rc < 0)
                return cmd_fail("run", &err);
        if (rc > 0)
                return 0;
        if (o.quiet)
                log_init("stint", STINT_LOG_WARNING);
        if (o.local && !inside_local_job())
                return run_managed(&o, argc, argv);
        identity_mind_mode(o.dir);
        return run_stint(&o);
}
