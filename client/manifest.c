/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest: the text of manifest.json, made and read back, and compared with the checkpoint it stands in.  The commit
 * and the settling of leftovers write it; the catalog, the restore and `stint verify` read it.
 *
 * The text is JSON for people and jq, and its last line names the hash of every byte before it, so that a flipped byte
 * anywhere in it is found: what follows the hashed bytes is compared with what it must be, character by character.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checksum.h"
#include "clock.h"
#include "durable.h"
#include "image.h"
#include "manifest.h"
#include "names.h"
#include "rundir.h"

#define FORMAT 1
#define MOST_BYTES ((size_t)256 << 20) /* a million ranks; nothing larger is a manifest */
#define MOST_RANKS 1000000u

/* The last line and the closing brace, the same number of bytes in every manifest. */
#define ENDING_FORMAT "  \"checksum\": \"xxh3:%s\"\n}\n"
#define ENDING_BYTES (sizeof ENDING_FORMAT - 1 - 2 + 16)

/* ---- from the seals -------------------------------------------------------------------------------------------- */

static int belongs(const struct seal *first, const struct seal *s, uint32_t i, uint32_t n, struct stint_error *err)
{
        if (s->rank != i || s->ranks != n)
                return error_set(err, EBADMSG, "the seal of rank %u of %u says that it is of rank %u of %u", i, n,
                                 s->rank, s->ranks);
        if (strcmp(s->run_id, first->run_id) != 0)
                return error_set(err, EBADMSG, "the seal of rank %u is of run %.32s, that of rank 0 of run %.32s", i,
                                 s->run_id, first->run_id);
        if (s->stint != first->stint || s->lineage != first->lineage)
                return error_set(err, EBADMSG, "the seals of rank 0 and rank %u were written by different stints", i);
        return 0;
}

static void rank_from_seal(struct manifest_rank *r, const struct seal *s)
{
        unsigned char bytes[SEAL_BYTES];

        seal_encode(s, bytes);
        *r = (struct manifest_rank){ .rank = s->rank,
                                     .step = s->step,
                                     .file_bytes = s->file_bytes,
                                     .state_bytes = s->state_bytes,
                                     .tensors = s->table_count,
                                     .root = s->root,
                                     .seal_checksum = checksum(bytes, sizeof bytes) };
}

int manifest_from_seals(struct manifest *m, const struct seal *seals, uint32_t n, struct stint_error *err)
{
        struct manifest made = { 0 };
        uint32_t i;

        if (n == 0)
                return error_set(err, EBADMSG, "a checkpoint needs the seal of at least one rank");
        for (i = 0; i < n; i++)
                if (belongs(&seals[0], &seals[i], i, n, err) != 0)
                        return -1;
        made.rank = calloc(n, sizeof *made.rank);
        if (made.rank == NULL)
                return error_system(err, ENOMEM, "the manifest of %u ranks", n);
        snprintf(made.run_id, sizeof made.run_id, "%.32s", seals[0].run_id);
        made.stint = seals[0].stint;
        made.lineage = seals[0].lineage;
        made.ranks = n;
        made.step = seals[0].step;
        made.wall_ns = seals[0].wall_ns;
        made.metric_count = seals[0].metric_count < SEAL_METRICS ? seals[0].metric_count : SEAL_METRICS;
        memcpy(made.metrics, seals[0].metrics, sizeof made.metrics);
        for (i = 0; i < n; i++) {
                rank_from_seal(&made.rank[i], &seals[i]);
                if (seals[i].step > made.step)
                        made.step = seals[i].step;
                if (seals[i].wall_ns > made.wall_ns)
                        made.wall_ns = seals[i].wall_ns;
        }
        *m = made;
        return 0;
}

/* ---- to text --------------------------------------------------------------------------------------------------- */

static json_t *hex(uint64_t value)
{
        char digits[17];

        return json_string(checksum_hex(digits, value));
}

static json_t *rank_to_json(const struct manifest *m, const struct manifest_rank *r)
{
        char file[RUNDIR_NAME];

        return json_pack("{s:i, s:I, s:s, s:I, s:I, s:I, s:o, s:o}", "rank", (int)r->rank, "step", (json_int_t)r->step,
                         "file", rundir_rank_file(file, r->rank, m->ranks), "bytes", (json_int_t)r->file_bytes,
                         "state_bytes", (json_int_t)r->state_bytes, "tensors", (json_int_t)r->tensors, "root",
                         hex(r->root), "seal", hex(r->seal_checksum));
}

/* JSON has no word for NaN and the infinities; they are strings here, and read back the same. */
static json_t *number(double value)
{
        if (isnan(value))
                return json_string("nan");
        if (isinf(value))
                return json_string(value > 0 ? "inf" : "-inf");
        return json_real(value);
}

static json_t *metrics_to_json(const struct manifest *m)
{
        json_t *metrics = json_object();
        uint32_t i;

        for (i = 0; i < m->metric_count; i++)
                json_object_set_new(metrics, m->metrics[i].name,
                                    json_pack("{s:o, s:s}", "value", number(m->metrics[i].value), "goal",
                                              goal_name(m->metrics[i].goal)));
        return metrics;
}

static json_t *manifest_to_json(const struct manifest *m)
{
        char when[32];
        json_t *ranks = json_array();
        uint32_t i;

        for (i = 0; i < m->ranks; i++)
                json_array_append_new(ranks, rank_to_json(m, &m->rank[i]));
        return json_pack("{s:i, s:s, s:I, s:i, s:i, s:s, s:I, s:o, s:o}", "format", FORMAT, "run", m->run_id, "step",
                         (json_int_t)m->step, "stint", (int)m->stint, "lineage", (int)m->lineage, "time",
                         clock_format(when, sizeof when, m->wall_ns), "wall_ns", (json_int_t)m->wall_ns, "ranks", ranks,
                         "metrics", metrics_to_json(m));
}

int manifest_encode(const struct manifest *m, char **text, size_t *n, struct stint_error *err)
{
        char digits[17];
        json_t *root = manifest_to_json(m);
        char *body = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        char *whole = NULL;
        size_t length;

        json_decref(root);
        if (body == NULL)
                return error_set(err, EINVAL, "the manifest of step %" PRId64 " cannot be written as JSON", m->step);
        length = strlen(body) - 2; /* without the newline and brace that close it */
        whole = malloc(length + 2 + ENDING_BYTES + 1);
        if (whole == NULL) {
                free(body);
                return error_system(err, ENOMEM, "the manifest of step %" PRId64, m->step);
        }
        memcpy(whole, body, length);
        memcpy(whole + length, ",\n", 2);
        length += 2;
        snprintf(whole + length, ENDING_BYTES + 1, ENDING_FORMAT, checksum_hex(digits, checksum(whole, length)));
        free(body);
        *text = whole;
        *n = length + ENDING_BYTES;
        return 0;
}

/* ---- and back -------------------------------------------------------------------------------------------------- */

static int ending_check(const char *text, size_t n, struct stint_error *err)
{
        char digits[17], ending[ENDING_BYTES + 1];
        size_t hashed;

        if (n <= ENDING_BYTES)
                return error_set(err, EBADMSG, "the manifest is cut off (%zu bytes)", n);
        hashed = n - ENDING_BYTES;
        snprintf(ending, sizeof ending, ENDING_FORMAT, checksum_hex(digits, checksum(text, hashed)));
        if (memcmp(text + hashed, ending, ENDING_BYTES) != 0)
                return error_set(err, EBADMSG, "the manifest does not match its own checksum");
        return 0;
}

static int hex_member(const json_t *object, const char *key, uint64_t *value)
{
        const char *digits = json_string_value(json_object_get(object, key));

        return digits == NULL ? -1 : checksum_from_hex(digits, value);
}

static int rank_from_json(struct manifest_rank *r, json_t *object)
{
        json_int_t rank, step, file_bytes, state_bytes, tensors;

        if (json_unpack(object, "{s:I, s:I, s:I, s:I, s:I}", "rank", &rank, "step", &step, "bytes", &file_bytes,
                        "state_bytes", &state_bytes, "tensors", &tensors) != 0)
                return -1;
        if (hex_member(object, "root", &r->root) != 0 || hex_member(object, "seal", &r->seal_checksum) != 0)
                return -1;
        if (rank < 0 || step < 0 || file_bytes < 0 || state_bytes < 0 || tensors < 0)
                return -1;
        r->rank = (uint32_t)rank;
        r->step = step;
        r->file_bytes = (uint64_t)file_bytes;
        r->state_bytes = (uint64_t)state_bytes;
        r->tensors = (uint64_t)tensors;
        return 0;
}

static int value_from_json(const json_t *value, double *out)
{
        const char *word = json_string_value(value);

        if (json_is_number(value))
                *out = json_number_value(value);
        else if (word != NULL && strcmp(word, "nan") == 0)
                *out = (double)NAN;
        else if (word != NULL && strcmp(word, "inf") == 0)
                *out = (double)INFINITY;
        else if (word != NULL && strcmp(word, "-inf") == 0)
                *out = -(double)INFINITY;
        else
                return -1;
        return 0;
}

static int metrics_from_json(struct manifest *m, json_t *metrics)
{
        const char *name, *goal;
        json_t *metric;

        if (!json_is_object(metrics) || json_object_size(metrics) > SEAL_METRICS)
                return -1;
        json_object_foreach(metrics, name, metric) {
                struct seal_metric *into = &m->metrics[m->metric_count++];

                goal = json_string_value(json_object_get(metric, "goal"));
                if (strlen(name) >= sizeof into->name || goal == NULL || goal_from_name(goal) < 0 ||
                    value_from_json(json_object_get(metric, "value"), &into->value) != 0)
                        return -1;
                memcpy(into->name, name, strlen(name));
                into->goal = (uint32_t)goal_from_name(goal);
        }
        return 0;
}

static int ranks_from_json(struct manifest *m, json_t *ranks)
{
        size_t i, n = json_array_size(ranks);

        if (n == 0 || n > MOST_RANKS)
                return -1;
        m->rank = calloc(n, sizeof *m->rank);
        if (m->rank == NULL)
                return -1;
        m->ranks = (uint32_t)n;
        for (i = 0; i < n; i++)
                if (rank_from_json(&m->rank[i], json_array_get(ranks, i)) != 0 || m->rank[i].rank != i)
                        return -1;
        return 0;
}

static int fields_from_json(struct manifest *m, json_t *root)
{
        json_t *ranks, *metrics;
        json_int_t format, step, stint, lineage, wall;
        const char *run;

        if (json_unpack(root, "{s:I, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "format", &format, "run", &run, "step", &step,
                        "stint", &stint, "lineage", &lineage, "wall_ns", &wall, "ranks", &ranks, "metrics",
                        &metrics) != 0)
                return -1;
        if (format != FORMAT || strlen(run) >= sizeof m->run_id || step < 0 || stint < 0 || stint > UINT32_MAX ||
            lineage < 0 || lineage > UINT32_MAX)
                return -1;
        memcpy(m->run_id, run, strlen(run));
        m->step = step;
        m->stint = (uint32_t)stint;
        m->lineage = (uint32_t)lineage;
        m->wall_ns = wall;
        return ranks_from_json(m, ranks) != 0 || metrics_from_json(m, metrics) != 0 ? -1 : 0;
}

int manifest_decode(struct manifest *m, const char *text, size_t n, struct stint_error *err)
{
        struct manifest read = { 0 };
        json_t *root;
        int rc;

        if (ending_check(text, n, err) != 0)
                return -1;
        root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        rc = root == NULL ? -1 : fields_from_json(&read, root);
        json_decref(root);
        if (rc != 0) {
                manifest_fini(&read);
                return error_set(err, EBADMSG,
                                 "the manifest is whole, but not one of format %d that this stint can read", FORMAT);
        }
        *m = read;
        return 0;
}

/* A FIFO, a directory, a device, or far too large: no later try would find a manifest there. */
static int is_no_manifest(int code)
{
        return code == EINVAL || code == EISDIR || code == EFBIG || code == ELOOP || code == ENXIO;
}

int manifest_read(struct manifest *m, const char *dir, struct stint_error *err)
{
        char path[RUNDIR_PATH + 2 * RUNDIR_NAME];
        struct stint_error problem = { 0 };
        char *text = NULL;
        size_t n = 0;
        int rc;

        if (rundir_join(path, sizeof path, dir, RUNDIR_MANIFEST, NULL, err) != 0)
                return -1;
        if (durable_read(path, MOST_BYTES, &text, &n, &problem) != 0)
                return error_set(err, is_no_manifest(problem.code) ? EBADMSG : problem.code, "%s", problem.text);
        rc = manifest_decode(m, text, n, err);
        free(text);
        return rc;
}

/* ---- the manifest and its checkpoint --------------------------------------------------------------------------- */

/* What is missing from a checkpoint that was whole is damage; what cannot be read may be readable tomorrow. */
static int as_damage(struct stint_error *err, const char *file)
{
        if (err != NULL && (err->code == ENOENT || err->code == ENODATA))
                err->code = EBADMSG;
        return error_wrap(err, "%s", file);
}

static int rank_seal_verify(const struct manifest *m, const struct manifest_rank *r, const char *dir, struct seal *seal,
                            struct stint_error *err)
{
        char name[RUNDIR_NAME], path[RUNDIR_PATH + 2 * RUNDIR_NAME];
        struct manifest_rank now;

        rundir_rank_seal(name, r->rank, m->ranks);
        if (rundir_join(path, sizeof path, dir, name, NULL, err) != 0)
                return -1;
        if (seal_read(seal, path, err) != 0)
                return as_damage(err, name);
        rank_from_seal(&now, seal);
        if (now.seal_checksum != r->seal_checksum || now.root != r->root || now.file_bytes != r->file_bytes ||
            strcmp(seal->run_id, m->run_id) != 0)
                return error_set(err, EBADMSG, "%s is not the seal that the manifest names", name);
        return 0;
}

static int rank_file_verify(const struct manifest *m, const struct manifest_rank *r, const char *dir,
                            const struct seal *seal, int deep, struct stint_error *err)
{
        char name[RUNDIR_NAME], path[RUNDIR_PATH + 2 * RUNDIR_NAME];
        struct stat st;

        rundir_rank_file(name, r->rank, m->ranks);
        if (rundir_join(path, sizeof path, dir, name, NULL, err) != 0)
                return -1;
        if (lstat(path, &st) != 0)
                return error_system(err, errno == ENOENT ? EBADMSG : errno, "%s cannot be looked at", name);
        if (!S_ISREG(st.st_mode))
                return error_set(err, EBADMSG, "%s is %s", name, S_ISLNK(st.st_mode) ? "a symbolic link" : "no regular file");
        if ((uint64_t)st.st_size != r->file_bytes)
                return error_set(err, EBADMSG, "%s has %jd bytes, and the manifest says %" PRIu64, name,
                                 (intmax_t)st.st_size, r->file_bytes);
        if (deep && image_check_file(path, seal, NULL, NULL, err) != 0)
                return as_damage(err, name);
        return 0;
}

int manifest_verify(const struct manifest *m, const char *dir, int deep, struct stint_error *err)
{
        struct seal seal;
        uint32_t i;

        for (i = 0; i < m->ranks; i++)
                if (rank_seal_verify(m, &m->rank[i], dir, &seal, err) != 0 ||
                    rank_file_verify(m, &m->rank[i], dir, &seal, deep, err) != 0)
                        return -1;
        return 0;
}

uint64_t manifest_bytes(const struct manifest *m)
{
        uint64_t sum = 0;
        uint32_t i;

        for (i = 0; i < m->ranks; i++)
                sum += m->rank[i].file_bytes;
        return sum;
}

void manifest_fini(struct manifest *m)
{
        free(m->rank);
        *m = (struct manifest){ 0 };
}
