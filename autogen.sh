#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# autogen.sh: makes ./configure from configure.ac and Makefile.am, once per checkout.
set -eu
cd "$(dirname "$0")"
mkdir -p m4
exec autoreconf --force --install "$@"
