#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/house.sh: what the build promises of itself. Nothing is left out of it, the include path lets no part see
# what it may not use, and libstint needs libc and shows nothing but its interface.
set -eu
. "$(dirname "$0")/../tap.sh"

variable() # NAME: what a variable of the Makefile stands for
{
        env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s -C "$TEST_BUILD" "show-$1"
}

# ---- nothing is forgotten --------------------------------------------------------------------------------------------

unlisted()
{
        cd "$TEST_SOURCE"
        for file in lib/*.[ch] lib/common/*.[ch] agent/*.[ch] client/*.[ch] daemon/*.[ch] examples/*.[ch] bench/*.[ch] \
                tests/unit/*.[ch] tests/programs/*.[ch] tests/fuzz/*.[ch] tests/standin/*.[ch] tests/gpu/* tests/flow/*.sh tests/sweep/*.sh tests/slurm/*.sh \
                tests/security/*.sh bench/*.py; do
                [ -e "$file" ] || continue
                # A unit test is listed by the name of its program.
                case $file in tests/unit/test_*.c) file=${file%.c} ;; esac
                grep -Eq "(^|[[:space:]])$file([[:space:]]|\$)" Makefile.am || echo "$file"
        done
}
is "$(unlisted)" "" every_source_and_test_in_the_tree_is_named_in_the_Makefile

without_spdx()
{
        cd "$TEST_SOURCE"
        for file in lib/*.[ch] lib/common/*.[ch] examples/*.[ch]; do
                [ ! -e "$file" ] || head -n 2 "$file" | grep -q 'SPDX-License-Identifier: BSD-3-Clause' || echo "$file"
        done
        for file in agent/*.[ch] client/*.[ch] daemon/*.[ch] tests/*.sh tests/*/*.[ch] tests/*/*.sh dev/* bench/*.[ch] bench/*.py; do
                [ ! -f "$file" ] || head -n 3 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' || echo "$file"
        done
}
is "$(without_spdx)" "" every_file_names_its_licence

including() # HEADER: the files that include it
{
        cd "$TEST_SOURCE"
        grep -lE "^#[[:space:]]*include[[:space:]]*[<\"]$1[>\"]" lib/*.[ch] lib/common/*.[ch] agent/*.[ch] client/*.[ch] \
                daemon/*.[ch] examples/*.[ch] | tr '\n' ' '
}
is "$(including hdf5.h)" "agent/h5.h " HDF5_is_included_in_one_place
is "$(including h5.h)" "agent/export_file.c agent/h5.c agent/store.c " and_known_to_the_store_and_the_export
is "$(including cuda_runtime_api.h)" "lib/device_cuda.c lib/device_cuda_copy.c " only_the_plugin_includes_CUDA
is "$(including jansson.h | tr ' ' '\n' | grep -v '^client/')" "" only_the_client_includes_jansson
is "$(including 'slurm/.*' | tr ' ' '\n' | grep -v '^daemon/slurm_')" "" only_stint_slurm_includes_the_headers_of_Slurm
is "$(including 'slurm/slurm\.h' | wc -w | awk '{ print ($1 > 0) }')" 1 and_it_does

# ---- the arrows ------------------------------------------------------------------------------------------------------

# A header is tried from a file outside all folders, so that only the include path can find it. Where it was found counts
# too: some of our names, error.h and spawn.h, are names of glibc's as well.
sees() # CPPFLAGS FOLDER/HEADER
{
        printf '#include "%s"\n' "${2##*/}" >"$TEST_DIR/probe.c"
        # shellcheck disable=SC2086  # TEST_CC may carry flags
        (cd "$TEST_BUILD" && eval "$TEST_CC -M $1 \"\$TEST_DIR/probe.c\"") >"$TEST_DIR/probe.d" 2>"$TEST_DIR/probe.err" &&
                grep -Eq -e "(^|[ /])$2( |\$)" "$TEST_DIR/probe.d"
}

seen_among() # CPPFLAGS FOLDER...: the headers of these folders that a part with these flags can include
{
        local flags=$1 header
        shift
        for header in $(headers_in "$@"); do
                ! sees "$flags" "$header" || echo "$header"
        done
}

headers_in() # FOLDER...: all of them
{
        local folder header
        for folder; do
                for header in "$TEST_SOURCE/$folder"/*.h; do
                        [ ! -e "$header" ] || case ${header##*/} in
                        stint.h | stint_mpi.h) ;;
                        *) echo "$folder/${header##*/}" ;;
                        esac
                done
        done
}

common=$(variable common_cppflags)
library=$(variable lib_cppflags)
agent="$(variable agent_cppflags) $(variable UV_CFLAGS)"
client="$(variable client_cppflags) $(variable UV_CFLAGS) $(variable JANSSON_CFLAGS)"
example=$(variable example_cppflags)
is "$(seen_among "$common" lib agent client daemon)" "" lib_common_sees_no_other_part
is "$(seen_among "$library" agent client daemon)" "" lib_sees_only_lib_common
is "$(seen_among "$agent" lib client daemon)" "" agent_sees_only_lib_common
is "$(seen_among "$client" lib agent daemon)" "" client_sees_only_lib_common
is "$(seen_among "$example" lib lib/common agent client daemon)" "" a_program_sees_only_the_public_headers
# The other way round, or the points above would pass with a compiler that finds nothing at all.
is "$(seen_among "$agent" lib/common)" "$(headers_in lib/common)" agent_sees_all_of_lib_common
is "$(seen_among "$client" lib/common)" "$(headers_in lib/common)" client_sees_all_of_lib_common
is "$(seen_among "$library" lib lib/common)" "$(headers_in lib lib/common)" lib_sees_itself_and_lib_common
ok a_program_sees_the_public_header sees "$example" public/stint.h

# ---- libstint --------------------------------------------------------------------------------------------------------

so=$TEST_BUILD/lib/.libs/libstint.so
if [ "$TEST_SANITIZERS" = yes ]; then
        skip "the sanitizers add their own library" libstint_needs_only_libc
        skip "the sanitizers add their own symbols" libstint_exports_only_its_interface
else
        needed=$(readelf -dW "$so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux') || :
        is "$needed" "libc.so.6" libstint_needs_only_libc
        exported=$(nm -D --defined-only "$so" | awk '{print $NF}' | sed 's/@.*//' | sort)
        promised=$(grep -v '^#' "$TEST_SOURCE/lib/stint.h" | grep -oE 'STINT_API [^;(]*\(' | grep -oE 'stint_[a-z_0-9]+\($' | tr -d '(' | sort)
        is "$exported" "$promised" libstint_exports_only_its_interface
fi
plugin=$TEST_BUILD/tests/standin/.libs/stint-device-cuda.so
if [ "$TEST_SANITIZERS" = yes ] || [ ! -e "$plugin" ]; then
        skip "the sanitizers add their own symbols, or the tests are not built" the_plugin_exports_only_its_table
else
        is "$(nm -D --defined-only "$plugin" | awk '{print $NF}' | sed 's/@.*//')" stint_device_plugin the_plugin_exports_only_its_table
fi

printf '#include <stint.h>\nint main(void) { return 0; }\n' >"$TEST_DIR/alone.c"
# shellcheck disable=SC2086  # TEST_CC may carry flags
ok the_public_header_is_clean_in_strict_C11 $TEST_CC -std=c11 -pedantic -Wall -Wextra -Werror -I "$TEST_BUILD/public" \
        -fsyntax-only "$TEST_DIR/alone.c"
if command -v g++ >/dev/null; then
        ok the_public_header_is_clean_in_Cxx g++ -x c++ -Wall -Wextra -Werror -I "$TEST_BUILD/public" \
                -fsyntax-only "$TEST_DIR/alone.c"
else
        skip "no g++ here" the_public_header_is_clean_in_Cxx
fi
done_testing
