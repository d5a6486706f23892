/* SPDX-License-Identifier: BSD-3-Clause */
/* wish: words into places.  placement and `stint doctor` call in. */
#include "wish.h"

#include <stdlib.h>
#include <string.h>

#include "names.h"

#define MOST_INDEX 4095 /* of a device: more are in no machine */
#define LIST_BYTES 512  /* more than any list of devices needs */

/* ":N" behind the name of a device, or nothing. */
static int read_index(const char *text, int *index)
{
        char *end;
        long n;

        *index = -1;
        if (!*text)
                return 0;
        if (*text++ != ':' || *text < '0' || *text > '9')
                return -1;
        n = strtol(text, &end, 10);
        if (*end || n > MOST_INDEX)
                return -1;
        *index = (int)n;
        return 0;
}

int wish_read(struct wish *wish, const char *text)
{
        *wish = (struct wish){ .word = WISH_AT, .device = STINT_DEVICE_HOST, .index = -1 };
        if (!strcmp(text, "cpu"))
                return 0;
        if (!strcmp(text, "auto") || !strcmp(text, "saved")) {
                wish->word = *text == 'a' ? WISH_AUTO : WISH_SAVED;
                return 0;
        }
        wish->device = !strncmp(text, "cuda", 4) ? STINT_DEVICE_CUDA : STINT_DEVICE_SIM;
        if (wish->device == STINT_DEVICE_SIM && strncmp(text, "sim", 3))
                return -1;
        return read_index(text + strlen(device_name(wish->device)), &wish->index);
}

int wish_has(const struct wish_model *model, int index)
{
        int i;

        for (i = 0; i < model->more; i++)
                if (model->also[i] == index)
                        return 1;
        return index >= 0 && model->first.index == index;
}

/* One that follows the first of a list: another one, of the same kind, by its number. */
static int read_also(struct wish_model *model, const char *word)
{
        struct wish wish;

        if (wish_read(&wish, word) < 0 || wish.word != WISH_AT || wish.device != model->first.device ||
            wish.index < 0 || wish_has(model, wish.index) || model->more == WISH_MORE)
                return -1;
        model->also[model->more++] = wish.index;
        return 0;
}

int wish_read_model(struct wish_model *model, const char *text)
{
        char copy[LIST_BYTES], *word, *rest = copy;

        *model = (struct wish_model){ .more = 0 };
        if (strlen(text) >= sizeof copy)
                return -1;
        strcpy(copy, text);
        if (wish_read(&model->first, strsep(&rest, ",")) < 0 || model->first.word == WISH_SAVED)
                return -1;
        if (rest && (model->first.word != WISH_AT || model->first.index < 0))
                return -1;
        while ((word = strsep(&rest, ",")))
                if (read_also(model, word) < 0)
                        return -1;
        return 0;
}
