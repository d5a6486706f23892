/* SPDX-License-Identifier: BSD-3-Clause */
/* node: the node's name, put into patterns.  Called by whoever names or looks for a socket. */
#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *node_name(char out[NODE_NAME])
{
        const char *told = getenv("SLURMD_NODENAME");
        char host[NODE_NAME] = "";

        if (!told || !*told || strlen(told) >= NODE_NAME) {
                /* A longer name is cut by gethostname, which then need not end it. */
                if (gethostname(host, sizeof host - 1) < 0 || !host[0])
                        strcpy(host, "localhost");
                host[strcspn(host, ".")] = '\0';
                told = host;
        }
        strcpy(out, told);
        return out;
}

int node_expand(char *out, size_t size, const char *pattern, const char *node, struct stint_error *err)
{
        char own[NODE_NAME];
        const char *at, *piece;
        size_t used = 0, n;

        for (at = pattern; *at; at++) {
                piece = at;
                n = 1;
                if (at[0] == '%' && at[1] == 'n') {
                        piece = node ? node : node_name(own);
                        n = strlen(piece);
                        at++;
                } else if (at[0] == '%' && at[1] == '%') {
                        at++;
                } else if (at[0] == '%') {
                        return error_set(err, EINVAL,
                                         "'%s': after '%%' comes 'n', which stands for the node, or another '%%'",
                                         pattern);
                }
                if (used + n >= size)
                        return error_set(err, ENAMETOOLONG, "'%s' is too long with the node's name in it", pattern);
                memcpy(out + used, piece, n);
                used += n;
        }
        if (size == 0)
                return error_set(err, ENAMETOOLONG, "there is no room for '%s'", pattern);
        out[used] = '\0';
        return 0;
}
