/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * snapshot_metrics: what the program reports for its next safe point, and which value is to be beaten: the best of the
 * checkpoints that landed and of the snapshots on their way.  stint.c, safe points and snapshot.c call in.
 */
#include "snapshot.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* The first metric that the program reports with a goal decides; what is known of another one does not count then. */
static void choose_best(struct snapshot_best *best, const char *name, enum stint_goal goal)
{
        if (goal == STINT_GOAL_NONE || best->chosen)
                return;
        if (strcmp(best->name, name) || best->goal != goal)
                memset(best, 0, sizeof *best);
        strcpy(best->name, name);
        best->goal = goal;
        best->chosen = 1;
}

int snapshot_metric(struct snapshot *n, const char *name, double value, enum stint_goal goal, struct stint_error *err)
{
        struct seal_metric *m;
        const char *c;
        int i;

        if (!name || !*name || strlen(name) >= SEAL_METRIC_NAME)
                return error_set(err, EINVAL, "a metric needs a name of 1 to %d bytes", SEAL_METRIC_NAME - 1);
        for (c = name; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 127)
                        return error_set(err, EINVAL, "the name of a metric has a control character in it");
        if (goal < STINT_GOAL_NONE || goal > STINT_GOAL_MAX)
                return error_set(err, EINVAL, "metric '%s': %d is no goal", name, (int)goal);
        for (i = 0; i < n->metric_count && strcmp(n->metrics[i].name, name); i++)
                ;
        if (i == SEAL_METRICS)
                return error_set(err, EINVAL, "metric '%s' is one too many: %d are kept with a step", name,
                                 SEAL_METRICS);
        m = &n->metrics[i];
        memset(m, 0, sizeof *m);
        strcpy(m->name, name);
        m->value = value;
        m->goal = (uint32_t)goal;
        n->metric_count = i == n->metric_count ? i + 1 : n->metric_count;
        choose_best(&n->best, name, goal);
        return 0;
}

void snapshot_clear_metrics(struct snapshot *n)
{
        memset(n->metrics, 0, sizeof n->metrics);
        n->metric_count = 0;
}

/* The metric that decides, as reported for this step; NULL when it was not, or is no number. */
static const struct seal_metric *deciding_metric(const struct snapshot *n)
{
        int i;

        for (i = 0; i < n->metric_count; i++)
                if (*n->best.name && !strcmp(n->metrics[i].name, n->best.name))
                        return isfinite(n->metrics[i].value) ? &n->metrics[i] : NULL;
        return NULL;
}

static int is_better(const struct snapshot_best *best, double value, double than)
{
        return best->goal == STINT_GOAL_MIN ? value < than : value > than;
}

int snapshot_improves(const struct snapshot *n)
{
        const struct seal_metric *m = deciding_metric(n);
        int i;

        if (!m || (n->best.known && !is_better(&n->best, m->value, n->best.value)))
                return 0;
        for (i = 0; i < STAGING_IMAGES; i++)
                if (n->flight[i].save_id && n->flight[i].improves && !is_better(&n->best, m->value, n->flight[i].value))
                        return 0;
        return 1;
}

void snapshot_best_known(struct snapshot *n, const char *name, enum stint_goal goal, double value)
{
        struct snapshot_best *best = &n->best;

        if (best->chosen && (strcmp(best->name, name) || best->goal != goal))
                return;
        memcpy(best->name, name, strnlen(name, sizeof best->name - 1) + 1);
        best->name[sizeof best->name - 1] = '\0';
        best->goal = goal;
        best->known = 1;
        best->value = value;
}

/* A snapshot goes on its way; when it lands, its metric is the one to beat. */
void snapshot_note_best(const struct snapshot *n, struct snapshot_flight *flight)
{
        flight->improves = snapshot_improves(n);
        flight->value = flight->improves ? deciding_metric(n)->value : 0;
}

void snapshot_settle_best(struct snapshot *n, const struct snapshot_flight *flight)
{
        struct snapshot_best *best = &n->best;

        if (!flight->improves || (best->known && !is_better(best, flight->value, best->value)))
                return;
        best->value = flight->value;
        best->known = 1;
}
