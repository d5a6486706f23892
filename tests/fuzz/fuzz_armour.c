/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_armour: bytes as a stream of armoured lines: whole and in pieces they are the same messages, and every line that is
 * taken is written in the only way there is.
 */
#include "armour.h"
#include "checksum.h"
#include "fuzz.h"

struct heard {
        struct armour_message message;
        uint64_t count, sum, foreign;
};

static int on_line(void *arg, const char *line, size_t n)
{
        struct heard *h = arg;
        char *copy = fuzz_copy(line, n), again[ARMOUR_LINE];
        struct armour_piece piece;
        struct stint_error err;
        size_t length;

        if (armour_read(copy, n, &piece) < 0) {
                h->foreign++;
                free(copy);
                return 0;
        }
        FUZZ_CHECK(piece.n > 0 && piece.n <= ARMOUR_PIECE && piece.piece <= piece.last && piece.last < ARMOUR_PIECES);
        if (piece.last == 0) {
                length = armour_line(again, piece.node, piece.bytes, piece.n, 0);
                FUZZ_CHECK(length == n + 1 && memcmp(again, copy, n) == 0);
        }
        free(copy);
        if (armour_add(&h->message, &piece, &err) == 1) {
                const struct wire_header *message = (const void *)h->message.bytes;

                FUZZ_CHECK(wire_check(message, message->size, NULL) == 0);
                h->count++;
                h->sum = h->sum * 31 + checksum(message, message->size);
        }
        return 0;
}

static void feed(struct heard *h, const uint8_t *bytes, size_t n, size_t cut)
{
        struct armour_lines lines = {0};

        *h = (struct heard){0};
        for (size_t at = 0; at < n; at += cut)
                FUZZ_CHECK(armour_feed(&lines, bytes + at, n - at < cut ? n - at : cut, on_line, h) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        static struct heard whole, pieces;

        if (n <= FUZZ_MODE)
                return 0;
        feed(&whole, bytes + FUZZ_MODE, n - FUZZ_MODE, n);
        feed(&pieces, bytes + FUZZ_MODE, n - FUZZ_MODE, (size_t)bytes[0] % 97 + 1);
        FUZZ_CHECK(whole.count == pieces.count && whole.sum == pieces.sum && whole.foreign == pieces.foreign);
        return 0;
}

/* One message of one line, one of several, and two that were mixed. */
size_t fuzz_seed(unsigned number, uint8_t *out)
{
        struct wire_welcome large = {.stint = 3};
        struct wire_agent_term term = {{0}};
        size_t used = FUZZ_MODE;

        WIRE_INIT(&large, WIRE_WELCOME);
        WIRE_INIT(&term, WIRE_AGENT_TERM);
        memset(out, 0, FUZZ_MODE);
        out[0] = (uint8_t)(number * 5);
        if (number > 3)
                return 0;
        if (number != 0)
                used += armour_line((char *)out + used, 12, &large, sizeof large, 0);
        if (number == 2)
                used += fuzz_seed_text(out + used, "slurmstepd: something\n");
        if (number != 1)
                used += armour_line((char *)out + used, number == 3 ? ARMOUR_ALL : 0, &term, sizeof term, 0);
        if (number != 0)
                used += armour_line((char *)out + used, 12, &large, sizeof large, 1);
        return used;
}
