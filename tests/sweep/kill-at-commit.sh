#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The same at every fault point from the last seal to the end of a run: commit, best, prune, DONE, lease and journal.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/sweep/sweep.sh"

sweep : commit.before_manifest commit.after_manifest commit.before_rename commit.after_rename \
        best.before_link prune.before_retire slot.before_keep prune.before_remove
# Once more where what becomes whole was written over a slot.
sweep_nth=@5
sweep : commit.before_manifest commit.before_rename slot.before_keep

# These are reached once in a stint, so they are looked at in the second one.
one_stint() # RUN: a stint that saved something and was killed
{
        local name
        name=$(basename "$1").first
        stint_once "$name" "$1"
        wait_for 60 "a checkpoint" grep -qs '"landed": *true' "$1/journal.jsonl" || return 1
        kill_family KILL "$name"
        wait_exit "$name" 30
}
sweep one_stint complete.before_done complete.after_done
# Nobody else has been started by then.
sweep_victims="run tree"
sweep one_stint lease.after_take journal.after_start
done_testing
