#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/programs/sbatch_stand_in.sh: stands in for sbatch where there is no Slurm. It queues nothing: it writes what it was
# called with into $STAND_IN (words, folder, environment, script), and answers as sbatch does, with the next number. A file
# $STAND_IN/answer is printed instead, $STAND_IN/refuse has an exit code and is the reason on stderr.
set -eu
n=$(($(cat "$STAND_IN/number" 2>/dev/null || echo 0) + 1))
printf '%s\n' "$@" >"$STAND_IN/words"
pwd >"$STAND_IN/folder"
env | sort >"$STAND_IN/environment"
cat >"$STAND_IN/stdin"
if [ -e "$STAND_IN/refuse" ]; then
        echo "sbatch: error: a warning that went before" >&2
        echo "sbatch: error: Batch job submission failed: Invalid partition name specified" >&2
        exit "$(cat "$STAND_IN/refuse")"
fi
echo "$n" >"$STAND_IN/number"
if [ -e "$STAND_IN/answer" ]; then
        cat "$STAND_IN/answer"
else
        echo "Submitted batch job $n"
fi
