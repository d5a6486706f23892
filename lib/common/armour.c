/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * armour: base64, lines, and messages out of pieces.  The agent's coordinator and the steps of `stint run` call in.
 * What is read here comes from a stream into which others may write; nothing is believed that is not of the exact form.
 */
#include "armour.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- base64 ---------------------------------------------------------------------------------------------------- */

static size_t encode(char *out, const unsigned char *bytes, size_t n)
{
        char *to = out;
        size_t i;

        for (i = 0; i < n; i += 3) {
                const uint32_t three = (uint32_t)bytes[i] << 16 | (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) |
                                       (i + 2 < n ? bytes[i + 2] : 0);

                *to++ = digits[three >> 18];
                *to++ = digits[three >> 12 & 63];
                *to++ = i + 1 < n ? digits[three >> 6 & 63] : '=';
                *to++ = i + 2 < n ? digits[three & 63] : '=';
        }
        return (size_t)(to - out);
}

static int digit(char c)
{
        const char *at = c == '\0' ? NULL : strchr(digits, c);

        return at == NULL ? -1 : (int)(at - digits);
}

/* Four digits, the last one or two of which may be padding.  Answers how many bytes they are, -1 for what is wrong. */
static int decode_four(unsigned char *out, const char *four)
{
        int a = digit(four[0]), b = digit(four[1]), c = digit(four[2]), d = digit(four[3]);

        if (a < 0 || b < 0 || (c < 0 && (four[2] != '=' || four[3] != '=')) || (d < 0 && four[3] != '='))
                return -1;
        if ((c < 0 && (b & 15) != 0) || (c >= 0 && d < 0 && (c & 3) != 0))
                return -1; /* one way to write it, and no other */
        out[0] = (unsigned char)(a << 2 | b >> 4);
        if (c < 0)
                return 1;
        out[1] = (unsigned char)(b << 4 | c >> 2);
        if (d < 0)
                return 2;
        out[2] = (unsigned char)(c << 6 | d);
        return 3;
}

/* -1 when the text is none, or holds nothing, or more than a piece can. */
static int decode(struct armour_piece *out, const char *text, size_t n)
{
        size_t i;
        int got = 3;

        if (n == 0 || n % 4 != 0 || n / 4 * 3 > ARMOUR_PIECE)
                return -1;
        for (i = 0, out->n = 0; i < n; i += 4) {
                if (got < 3) /* there was padding, and more follows */
                        return -1;
                got = decode_four(out->bytes + out->n, text + i);
                if (got < 0)
                        return -1;
                out->n += (size_t)got;
        }
        return 0;
}

/* ---- one line -------------------------------------------------------------------------------------------------- */

size_t armour_line(char out[ARMOUR_LINE], uint32_t node, const void *message, size_t n, unsigned piece)
{
        const size_t at = (size_t)piece * ARMOUR_PIECE;
        const unsigned last = n == 0 ? 0 : (unsigned)((n - 1) / ARMOUR_PIECE);
        char who[12] = "*";
        size_t used;

        if (at >= n || last >= ARMOUR_PIECES)
                return 0;
        if (node != ARMOUR_ALL)
                snprintf(who, sizeof who, "%u", (unsigned)node);
        used = (size_t)snprintf(out, ARMOUR_LINE, "@%s %u/%u ", who, piece, last);
        used += encode(out + used, (const unsigned char *)message + at, n - at < ARMOUR_PIECE ? n - at : ARMOUR_PIECE);
        out[used++] = '\n';
        return used;
}
_Static_assert(sizeof "@4294967294 9/9 " + ARMOUR_PIECE / 3 * 4 <= ARMOUR_LINE, "the longest line is no longer");

/* A number without needless zeros; -1. */
static int read_node(const char **at, const char *end, uint32_t *node)
{
        const char *begin = *at;
        uint64_t value = 0;

        if (begin < end && *begin == '*') {
                *node = ARMOUR_ALL;
                (*at)++;
                return 0;
        }
        for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
                value = value * 10 + (uint64_t)(**at - '0');
                if (value >= ARMOUR_ALL)
                        return -1;
        }
        *node = (uint32_t)value;
        return *at == begin || (*begin == '0' && *at - begin > 1) ? -1 : 0;
}

int armour_read(const char *line, size_t n, struct armour_piece *out)
{
        const char *at = line + 1, *end = line + n;

        if (n == 0 || line[0] != '@' || read_node(&at, end, &out->node) < 0)
                return -1;
        if (end - at < 6 || at[0] != ' ' || at[1] < '0' || at[1] > '9' || at[2] != '/' || at[3] < '0' || at[3] > '9' ||
            at[4] != ' ')
                return -1;
        out->piece = (unsigned)(at[1] - '0');
        out->last = (unsigned)(at[3] - '0');
        if (out->piece > out->last || out->last >= ARMOUR_PIECES)
                return -1;
        at += 5;
        if (decode(out, at, (size_t)(end - at)) < 0)
                return -1;
        return out->piece < out->last && out->n != ARMOUR_PIECE ? -1 : 0;
}

/* ---- one message ----------------------------------------------------------------------------------------------- */

int armour_add(struct armour_message *m, const struct armour_piece *piece, struct stint_error *err)
{
        if (piece->piece == 0)
                m->next = 0;
        if (piece->piece != m->next)
                return 0; /* those before it are missing */
        if (piece->piece == 0)
                m->have = 0;
        if (m->have + piece->n > sizeof m->bytes) {
                m->next = 0;
                return error_set(err, EBADMSG, "a message of more than %d bytes came in lines", WIRE_MOST);
        }
        memcpy(m->bytes + m->have, piece->bytes, piece->n);
        m->have += piece->n;
        m->next++;
        if (piece->piece < piece->last)
                return 0;
        m->next = 0;
        return wire_check(m->bytes, m->have, err) < 0 ? -1 : 1;
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

int armour_feed(struct armour_lines *l, const void *bytes, size_t n,
                int (*on_line)(void *arg, const char *line, size_t n), void *arg)
{
        const char *at = bytes, *end = at + n, *newline;
        size_t length;
        int told;

        for (; at < end; at = newline + 1) {
                newline = memchr(at, '\n', (size_t)(end - at));
                length = (size_t)((newline == NULL ? end : newline) - at);
                if (length > sizeof l->line - l->have)
                        l->too_long = 1;
                if (!l->too_long) {
                        memcpy(l->line + l->have, at, length);
                        l->have += length;
                }
                if (newline == NULL)
                        return 0;
                told = l->too_long ? 0 : on_line(arg, l->line, l->have);
                l->have = 0;
                l->too_long = 0;
                if (told < 0)
                        return -1;
        }
        return 0;
}
