#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The same at every fault point of a restore, and of finishing what a killed stint left sealed.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/sweep/sweep.sh"

one_stint() # RUN: a stint that saved something and was killed
{
        local name
        name=$(basename "$1").first
        stint_once "$name" "$1"
        wait_for 60 "a checkpoint" grep -qs '"landed": *true' "$1/journal.jsonl" || return 1
        kill_family KILL "$name"
        wait_exit "$name" 30
}
sweep one_stint restore.before_read restore.mid_read restore.after_read restore.before_use \
        restore.before_copy restore.mid_copy restore.after_copy

# When the program starts, its checkpoint is being read already; here it is read when it asks, and copied meanwhile.
sweep_options=(--stint-prefetch=off)
sweep one_stint restore.before_read restore.mid_read restore.after_read restore.before_copy restore.mid_copy restore.after_copy
sweep_options=()

sealed_part() # RUN: a stint that was killed between its last seal and the manifest
{
        local name point
        name=$(basename "$1").first
        stint_once "$name" "$1" commit.before_manifest:pause@2
        wait_for 60 "the second commit" is_over_or_reached "$name" "$1" || return 1
        point=$(reached "$1")
        kill_family KILL "$name"
        wait_exit "$name" 30
        rm -f "$point"
}
# Nobody else has been started by then.
sweep_victims="run tree"
sweep sealed_part settle.before_verify settle.before_manifest settle.before_rename
done_testing
