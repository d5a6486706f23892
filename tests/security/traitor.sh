#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/security/traitor.sh: a training process that was taken over has its user's uid, so its agent listens to it; it believes
# nothing that it says. The same agent saves the next program of the job as if nothing had been, and a checkpoint that
# its own program spoiled while it was written is no harm to those that follow.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/security/security.sh"
security_users
steps=300
train_reference $steps

# treachery WORD [CHECKPOINT]: a traitor, and after it an honest training, under one stint run; which has to hold (all)
treachery()
{
        run=$victim/$1.stint
        # shellcheck disable=SC2016
        start "$1" "${as_victim[@]}" stint run --stint-dir "$run" --stint-interval 100ms -- \
                bash -c 'traitor "$0" >traitor.out; echo "exit status $?" >>traitor.out; exec "$@"' "$1" "${security_train[@]}" --steps $steps --out "$victim/$1.bin"
        wait_for 60 "the agent" has_program "$1" stint-agent
        agent_pid=$(by_executable "$1" stint-agent)
        wait_landed "$run" 1
        is "$(by_executable "$1" stint-agent)" "$agent_pid" "$1: the agent lives through it"
        wait_exit "$1" 120
        diag "$(cat "$victim/traitor.out")"
        like "$(cat "$victim/traitor.out")" '^exit status 0' "$1: the traitor did all it could"
        is "$status" 0 "$1: the honest training after it is complete"
        is "$(journal "$run" end landed_step | tail -n 1)" "$steps" "$1: its last step is saved"
        ok "$1: every checkpoint holds${2:+ that counts}" "${as_victim[@]}" stint verify "$run" "${2:---all}"
        ok "$1: what is logged is one line each, of characters" is_clean "$TEST_DIR/$1.err"
}

treachery layouts
like "$(cat "$victim/traitor.out")" '^([0-9]+) of \1 layouts were refused' "no layout of a traitor is taken"
wait_exit reference 60
same_weights "$victim/layouts.bin" "the training after the traitor is what it would have been"
treachery orders
like "$(cat "$victim/traitor.out")" '^cut off [1-9][0-9] times' "who gives orders that are not his is cut off"
# What it spoils between the write and the hash lands and is found at the next look; the training after it saved anew.
treachery staging newest
like "$(cat "$victim/traitor.out")" '^staging keeps its size' "staging cannot be made smaller or larger"
like "$(cat "$victim/traitor.out")" '^the save (landed|did not land)' "a save that its own program spoils comes to an end"
done_testing
