/* SPDX-License-Identifier: BSD-3-Clause */
/* utf8: where one character of a text ends and which one it is; for log lines, sentences and names of tensors. */
#ifndef STINT_UTF8_H
#define STINT_UTF8_H

#include <stdint.h>

/*
 * Reads the character at text (terminated): answers its length in bytes, 1 to 4, and puts it into *character; 0 when
 * there is none: the end, a stray byte, an overlong form, a surrogate, or one above U+10FFFF.
 */
static inline int utf8_next(const char *text, uint32_t *character)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        const unsigned char *s = (const unsigned char *)text;
        int length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
        uint32_t c = length > 1 ? s[0] & (0x7fu >> length) : s[0];

        if (length == 0 || s[0] == '\0')
                return 0;
        for (int i = 1; i < length; i++) {
                if ((s[i] & 0xc0) != 0x80) /* the NUL at the end is none either */
                        return 0;
                c = c << 6 | (s[i] & 0x3fu);
        }
        if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *character = c;
        return length;
}

/* 1 for C0, DEL and C1: what moves a terminal's cursor instead of showing something. */
static inline int utf8_is_control(uint32_t character)
{
        return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

#endif
