/* SPDX-License-Identifier: GPL-2.0-or-later */
/* meta: the JSON text of /stint/meta.  Called by writer, directly before the image is hashed. */
#include "meta.h"

#include <stdio.h>
#include <string.h>
#include "clock.h"

/* How many bytes of well-formed UTF-8 begin here: 1 to 4, or 0 (overlong forms, surrogates and all above U+10FFFF count
 * as none). */
static size_t utf8_length(const unsigned char *s)
{
        size_t n, i;

        if (s[0] < 0x80)
                return 1;
        if (s[0] < 0xc2 || s[0] > 0xf4)
                return 0;
        n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
        for (i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
            (s[0] == 0xf4 && s[1] > 0x8f))
                return 0;
        return n;
}

/* A string of JSON, quotes and all; what does not fit whole is left out. */
static void quote(char *out, size_t size, const char *text)
{
        const unsigned char *s = (const unsigned char *)text;
        size_t at = 0;

        out[at++] = '"';
        while (*s && at + 8 < size) { /* the longest piece, the quote, the NUL */
                size_t n = utf8_length(s);

                if (n == 0) {
                        memcpy(out + at, "\xef\xbf\xbd", 3);
                        at += 3;
                        s++;
                } else if (*s == '"' || *s == '\\') {
                        out[at++] = '\\';
                        out[at++] = (char)*s++;
                } else if (*s < 0x20) {
                        at += (size_t)snprintf(out + at, 7, "\\u%04x", *s++);
                } else {
                        memcpy(out + at, s, n);
                        at += n;
                        s += n;
                }
        }
        out[at++] = '"';
        out[at] = '\0';
}

void meta_fill(char *out, size_t size, const struct seal *seal, const char *program)
{
        char when[32], run[80], name[400];

        quote(run, sizeof run, seal->run_id);
        quote(name, sizeof name, program);
        memset(out, 0, size);
        snprintf(out, size,
                 "{\"format\": 1, \"run\": %s, \"step\": %lld, \"stint\": %u, \"rank\": %u, \"ranks\": %u, "
                 "\"time\": \"%s\", \"program\": %s}",
                 run, (long long)seal->step, seal->stint, seal->rank, seal->ranks,
                 clock_format(when, sizeof when, seal->wall_ns), name);
}
