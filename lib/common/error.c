/* SPDX-License-Identifier: BSD-3-Clause */
/* error: fills struct stint_error; every function that can fail ends in one of these. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* Cuts a character off that the end of the buffer has halved: half a character spoils the line of a journal. */
static void drop_half_character(char *text)
{
        size_t n = strlen(text), back = 0;
        unsigned char lead;
        size_t whole;

        while (back < 3 && back + 1 < n && ((unsigned char)text[n - 1 - back] & 0xc0) == 0x80)
                back++;
        if (n == 0)
                return;
        lead = (unsigned char)text[n - 1 - back];
        whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
        if (lead >= 0xc0 && back + 1 < whole)
                text[n - 1 - back] = '\0';
}

/* Appends, and says by 1 that not all of it had room. */
static int append(char *text, size_t size, const char *more)
{
        size_t n = strlen(text), m = strlen(more);
        int cut = n + m >= size;

        if (cut)
                m = size - 1 - n;
        memcpy(text + n, more, m);
        text[n + m] = '\0';
        return cut;
}

/*
 * PREFIX[: REST] into *err.  The sentence is made beside *err, because its arguments may be pieces of err->text.  A
 * code of 0, an errno that somebody lost on the way, becomes EIO: a failure must never read as a success.
 */
static int fill(struct stint_error *err, int code, const char *rest, const char *format, va_list arguments)
{
        char text[sizeof err->text];
        int n, cut;

        if (code == 0)
                code = EIO;
        if (err) {
                n = vsnprintf(text, sizeof text, format, arguments);
                if (n < 0)
                        text[0] = '\0';
                cut = n >= (int)sizeof text;
                if (rest && !cut)
                        cut = append(text, sizeof text, ": ") || append(text, sizeof text, rest);
                if (cut)
                        drop_half_character(text);
                memcpy(err->text, text, strlen(text) + 1);
                err->code = code;
        }
        errno = code;
        return -1;
}

int error_set(struct stint_error *err, int code, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        fill(err, code, NULL, format, arguments);
        va_end(arguments);
        return -1;
}

int error_system(struct stint_error *err, int code, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        /* strerror: its words for the codes that exist are constants, so other threads do not disturb them. */
        fill(err, code, strerror(code ? code : EIO), format, arguments);
        va_end(arguments);
        return -1;
}

int error_wrap(struct stint_error *err, const char *format, ...)
{
        int code = err ? err->code : errno;
        char rest[sizeof err->text];
        va_list arguments;

        if (err)
                memcpy(rest, err->text, sizeof rest);
        va_start(arguments, format);
        fill(err, code, err ? rest : NULL, format, arguments);
        va_end(arguments);
        return -1;
}

void error_clear(struct stint_error *err)
{
        if (err) {
                err->code = 0;
                err->text[0] = '\0';
        }
}
