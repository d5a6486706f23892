/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_wire: bytes as a stream of messages: whole and in pieces they are the same messages, and each has what it
 * promises. */
#include "checksum.h"
#include "frame.h"
#include "fuzz.h"
#include "wire.h"

struct heard {
        uint64_t count, sum;
};

/* Every message that is handed on is one by the rules, with all of its bytes readable. */
static int on_message(void *arg, const struct wire_header *message)
{
        struct heard *h = arg;

        FUZZ_CHECK(message->size == wire_size(message->type) && message->size <= WIRE_MOST);
        FUZZ_CHECK(wire_check(message, message->size, NULL) == 0);
        if (message->type == WIRE_WELCOME) {
                const struct wire_welcome *m = (const void *)message;

                FUZZ_CHECK(strlen(m->dir) < sizeof m->dir && strlen(m->run_id) < sizeof m->run_id);
        }
        if (message->type == WIRE_SNAPSHOT)
                FUZZ_CHECK(((const struct wire_snapshot *)(const void *)message)->metric_count <= SEAL_METRICS);
        h->count++;
        h->sum = h->sum * 31 + checksum(message, message->size);
        return 0;
}

static int feed(struct heard *h, const uint8_t *bytes, size_t n, size_t piece)
{
        struct frame f;
        struct stint_error err;

        *h = (struct heard){0};
        frame_init(&f);
        for (size_t at = 0; at < n; at += piece)
                if (frame_feed(&f, bytes + at, n - at < piece ? n - at : piece, on_message, h, &err) != 0)
                        return -1;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        struct heard whole, pieces;
        struct stint_error err;
        int rc;

        if (n < FUZZ_MODE)
                return 0;
        if (wire_check(bytes + FUZZ_MODE, n - FUZZ_MODE, &err) == 0)
                FUZZ_CHECK(n - FUZZ_MODE <= WIRE_MOST && n - FUZZ_MODE >= sizeof(struct wire_header));
        rc = feed(&whole, bytes + FUZZ_MODE, n - FUZZ_MODE, n);
        FUZZ_CHECK(feed(&pieces, bytes + FUZZ_MODE, n - FUZZ_MODE, (size_t)bytes[0] % 97 + 1) == rc);
        FUZZ_CHECK(whole.count == pieces.count && whole.sum == pieces.sum);
        return 0;
}

/* FUZZ_MODE bytes for the size of the pieces, and then each type there is; the last seed is a stream of three. */
size_t fuzz_seed(unsigned number, uint8_t *out)
{
        unsigned type, found = 0;
        size_t size, used = FUZZ_MODE;

        for (type = 0; type < 256; type++) {
                struct wire_header header = {.version = WIRE_VERSION, .type = (uint16_t)type};

                size = wire_size(type);
                if (size == 0 || (found++ != number && number != 40))
                        continue;
                if (used + size > FUZZ_MOST || (number == 40 && found > 3))
                        break;
                header.size = (uint32_t)size;
                memset(out + used, 0, size);
                memcpy(out + used, &header, sizeof header);
                used += size;
        }
        memset(out, 0, FUZZ_MODE);
        out[0] = (uint8_t)(number * 7);
        return used > FUZZ_MODE ? used : 0;
}
