#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/controller-hangs.sh: as controller-dies.sh, with a slurmctld that takes every question and answers none.
. "$(dirname "$0")/controller-dies.sh"
