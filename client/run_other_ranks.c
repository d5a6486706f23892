/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_other_ranks: what is said to agents and to people of a checkpoint that other ranks have saved.  run_restore calls in. */
#include "run_other_ranks.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "run_story.h"

#define LEFT_OUT_MOST 16 /* sentences of ranks that are kept */

int other_ranks_saved(const struct restore *s)
{
        return candidates_at(&s->candidates)->manifest.ranks != s->ranks;
}

int other_ranks_describe(struct restore *s)
{
        const struct catalog_entry *e = candidates_at(&s->candidates);
        struct seal_sum *sums = calloc(e->manifest.ranks, sizeof *sums);
        uint32_t i;

        s->pieces = (struct wire_run_pieces){ .saved = e->manifest.ranks, .bytes = manifest_bytes(&e->manifest) };
        if (sums == NULL)
                return -1;
        for (i = 0; i < e->manifest.ranks; i++)
                sums[i] = (struct seal_sum){ e->manifest.rank[i].file_bytes, e->manifest.rank[i].root };
        s->pieces.sums = seal_sums(sums, e->manifest.ranks);
        free(sums);
        WIRE_INIT(&s->pieces, WIRE_RUN_PIECES);
        wire_text(s->pieces.checkpoint, sizeof s->pieces.checkpoint, e->name);
        return 0;
}

void other_ranks_tell(struct run *r)
{
        struct restore *s = &r->restore;
        const struct catalog_entry *e = candidates_at(&s->candidates);
        json_t *sentence;
        size_t i;

        if (!other_ranks_saved(s))
                return;
        story_note(r, "ranks_changed",
                   json_pack("{s:s, s:i, s:i, s:O*}", "checkpoint", e->name, "saved", (int)e->manifest.ranks, "ranks",
                             (int)s->ranks, "left_out", s->left_out));
        log_notice("stint %u: restored on %u rank%s what %u rank%s had saved", r->stint, s->ranks,
                   s->ranks == 1 ? "" : "s", e->manifest.ranks, e->manifest.ranks == 1 ? "" : "s");
        json_array_foreach(s->left_out, i, sentence)
                log_notice("stint %u: %s", r->stint, json_string_value(sentence));
}

void other_ranks_leave_out(struct restore *s, const struct wire_agent_restore_read *m)
{
        if (m->text[0] == '\0' || json_array_size(s->left_out) >= LEFT_OUT_MOST)
                return;
        if (s->left_out == NULL)
                s->left_out = json_array();
        json_array_append_new(s->left_out, json_string(m->text));
}

void other_ranks_refusal(const struct restore *s, char *text, size_t size)
{
        const struct catalog_entry *e = candidates_at(&s->candidates);

        if (other_ranks_saved(s))
                snprintf(text, size, "%s was saved by %u rank%s, and this program has %u: %s; start it with %u", e->name,
                         e->manifest.ranks, e->manifest.ranks == 1 ? "" : "s", s->ranks, s->text, e->manifest.ranks);
        else
                snprintf(text, size, "%s does not fit this program: %s", e->name, s->text);
}
