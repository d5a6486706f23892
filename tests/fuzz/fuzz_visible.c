/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_visible: bytes as CUDA_VISIBLE_DEVICES, with one of a few machines: what is visible is there, and there once;
 * each word has its place in the text and a sentence.
 */
#include "fuzz.h"
#include "visible.h"

static struct visible_device device[24];

/* Two GPUs, a divided one with two instances, one into which nobody can see, and many that are equal. */
static void make_devices(int with_speeds)
{
        for (unsigned i = 0; i < sizeof device / sizeof *device; i++) {
                device[i] = (struct visible_device){.gpu = -1, .instance = -1, .compute = -1};
                snprintf(device[i].uuid, sizeof device[i].uuid, "GPU-8932f9%02x-d72c-4106-c12f-20bd9faed9f6", i);
                snprintf(device[i].name, sizeof device[i].name, i < 2 ? "small" : "large");
                device[i].speed = with_speeds ? 1 + i % 3 : 0;
        }
        device[2].mig = VISIBLE_DIVIDED;
        for (unsigned i = 3; i < 5; i++) {
                device[i].gpu = 2;
                device[i].instance = (int)i;
                device[i].compute = 0;
                snprintf(device[i].uuid, sizeof device[i].uuid, "MIG-c6d4f1%02x-42e4-5de3-91c7-45d71c87eb3f", i);
        }
        device[5].mig = VISIBLE_UNSEEN;
}

static void check_devices(const struct visible *v, unsigned n)
{
        char seen[sizeof device / sizeof *device] = {0};

        FUZZ_CHECK(v->n <= n);
        for (unsigned i = 0; i < v->n; i++) {
                FUZZ_CHECK(v->device[i] >= VISIBLE_WHICH && v->device[i] < (int)n);
                FUZZ_CHECK(v->device[i] != VISIBLE_WHICH || v->certainty == VISIBLE_UNKNOWN);
                if (v->device[i] != VISIBLE_WHICH)
                        FUZZ_CHECK(seen[v->device[i]]++ == 0);
        }
        FUZZ_CHECK((v->doubts == 0) == (v->certainty == VISIBLE_SURE));
}

static void check_words(const struct visible *v, const struct visible_question *q)
{
        char text[300];
        size_t at = 0;

        for (size_t i = 0; i < v->words && i < VISIBLE_WORDS; i++) {
                FUZZ_CHECK(v->word[i].at == at && memchr(q->text + at, ',', v->word[i].length) == NULL);
                at += v->word[i].length + 1;
                FUZZ_CHECK(visible_word_text(text, sizeof text, v, q, i) == text && strlen(text) > 4);
        }
        FUZZ_CHECK(v->words >= VISIBLE_WORDS || v->words == 0 || at == strlen(q->text) + 1);
        FUZZ_CHECK(strlen(visible_whole_text(text, sizeof text, v, q)) > 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        static const unsigned counts[] = {0, 1, 2, 5, 6, 24};
        static const char *const orders[] = {NULL, "PCI_BUS_ID", "FASTEST_FIRST", "x"};
        struct visible_question q = {.device = device};
        struct visible v;
        char *text;
        unsigned first, own;

        if (n < FUZZ_MODE)
                return 0;
        make_devices(bytes[1] & 1);
        q.n = counts[bytes[0] % (sizeof counts / sizeof *counts)];
        q.order = orders[bytes[2] % 4];
        text = fuzz_copy(bytes + FUZZ_MODE - 1, n - FUZZ_MODE + 1);
        memmove(text, text + 1, n - FUZZ_MODE);
        text[n - FUZZ_MODE] = '\0';
        q.text = text;
        visible_resolve(&v, &q);
        check_devices(&v, q.n);
        check_words(&v, &q);
        FUZZ_CHECK((visible_own(&v, VISIBLE_EACH_ONE, text, &first, &own) == VISIBLE_OWN_NONE) == (v.n == 0));
        FUZZ_CHECK(own <= 1 && (own == 0 || first < v.n));
        free(text);
        return 0;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
        static const char *const texts[] = {
                "0,1,2",
                "2,+3, -0,1gpu",
                "NoDevFiles",
                "0,0",
                "GPU-8932f901,GPU-8932f900-d72c-4106-c12f-20bd9faed9f6",
                "MIG-c6d4f103-42e4-5de3-91c7-45d71c87eb3f,MIG-c6",
                "MIG-GPU-8932f902-d72c-4106-c12f-20bd9faed9f6/4/0",
                "0,99999999999999999999",
                "",
        };

        if (number >= sizeof texts / sizeof *texts)
                return 0;
        memset(out, 0, FUZZ_MODE);
        out[0] = (uint8_t)(5 - number % 3);
        out[1] = (uint8_t)(number & 1);
        return FUZZ_MODE + fuzz_seed_text(out + FUZZ_MODE, texts[number]);
}
