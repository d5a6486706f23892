/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_journal: bytes as journal.jsonl, read by the verbs (history) and by the next stint (past); and written to after
 * that. */
#include "fuzz.h"
#include "history.h"
#include "run_journal.h"
#include "run_verdict.h"
#include "rundir.h"

static void read_history(const char *dir)
{
        struct history h;

        FUZZ_CHECK(history_read(&h, dir, NULL) == 0);
        for (size_t i = 0; i < h.n; i++) {
                const struct history_stint *s = &h.stints[i];

                FUZZ_CHECK(s->number > 0 && s->why && s->verdict && s->host && s->job);
                FUZZ_CHECK(strlen(s->last_save) < sizeof s->last_save);
                FUZZ_CHECK(i == 0 || s->number != h.stints[i - 1].number);
        }
        FUZZ_CHECK((h.n == 0) == (history_last(&h) == NULL));
        history_fini(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        const char *dir = fuzz_folder();
        struct past past;
        struct journal j;
        size_t lines, torn, now_torn;
        json_t *read;

        fuzz_write(RUNDIR_JOURNAL, bytes, n);
        read_history(dir);
        read = journal_read(dir, &torn, NULL);
        FUZZ_CHECK(read != NULL);
        lines = json_array_size(read);
        past_read(&past, read);
        FUZZ_CHECK(past.landed_step == -1 || past.ever_landed);
        json_decref(read);

        /* Whatever stands there, a line that is added is found. */
        FUZZ_CHECK(journal_open(&j, dir, 7, NULL) == 0 && journal_add(&j, "start", NULL, NULL) == 0);
        journal_close(&j);
        read = journal_read(dir, &now_torn, NULL);
        FUZZ_CHECK(json_array_size(read) == lines + 1 && now_torn == torn);
        json_decref(read);
        return 0;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
        static const char *const journals[] = {
                "{\"t\":\"2026-01-02T03:04:05.678Z\",\"stint\":1,\"event\":\"start\",\"host\":\"n1\",\"job\":\"7\","
                "\"command\":[\"a\"]}\n"
                "{\"t\":\"2026-01-02T03:04:06.678Z\",\"stint\":1,\"event\":\"fresh\"}\n"
                "{\"t\":\"2026-01-02T03:04:07.678Z\",\"stint\":1,\"event\":\"save\",\"id\":1,\"step\":20,\"landed\":"
                "true,\"bytes\":"
                "659456,\"took_s\":0.008,\"left_s\":3.5,\"text\":\"\"}\n"
                "{\"t\":\"2026-01-02T03:04:08.678Z\",\"stint\":1,\"event\":\"end\",\"why\":\"time "
                "limit\",\"verdict\":\"v\",\"exit\":75,"
                "\"last_step\":21,\"landed_step\":20,\"lost_steps\":1,\"by\":1}\n",
                "{\"t\":\"2026-01-02T03:04:05.678Z\",\"stint\":2,\"event\":\"restore\",\"checkpoint\":\"step-"
                "000000000020\",\"step\":20}\n"
                "{\"stint\":2,\"event\":\"save\",\"landed\":false,\"step\":30,\"text\":\"No space left on device\"}\n"
                "{\"stint\":2,\"event\":\"finished_part\",\"step\":40,\"of_stint\":1}\n{\"stint\":2,\"event\":\"end\"",
        };

        return number < 2 ? fuzz_seed_text(out, journals[number]) : 0;
}
