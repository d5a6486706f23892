/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd: what every verb begins and fails with. */
#include <stdio.h>
#include "cmd.h"
#include "log.h"
#include "run.h"

int cmd_fail(const char *verb, const struct stint_error *err)
{
        log_error("%s: %s", verb, err->text);
        return EXIT_OWN;
}

int cmd_flags(const char *usage, const struct flag *table, void *target, char **argv, char ***words)
{
        struct stint_error err;
        int rc = flags_read(table, target, argv + 1, FLAGS_ANYWHERE, words, &err);

        if (rc < 0)
                return cmd_fail(argv[0], &err);
        if (!rc)
                return -1;
        printf("%s\n\n", usage);
        flags_help(table, stdout);
        return 0;
}
