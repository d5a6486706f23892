#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/devices.sh: docs/devices.md has the very table that test_visible checks, and `stint doctor` tells what a program
# would see on machines that are folders of this test, with an nvidia-smi that is a script of this test. The journal has it too.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

page=$TEST_SOURCE/docs/devices.md
test_visible=$TEST_BUILD/tests/unit/test_visible

part() # NAME: what stands between <!-- NAME --> and <!-- end -->
{
        sed -n "/^<!-- $1 -->\$/,/^<!-- end -->\$/p" "$page" | sed '1d;$d'
}

# ---- the page --------------------------------------------------------------------------------------------------------

is "$(part forms)" "$("$test_visible" --table)" "docs/devices.md has every form of CUDA_VISIBLE_DEVICES as it was tested"
is "$(part doubts)" "$("$test_visible" --doubts)" "and what takes certainty away"
like "$("$test_visible" --table)" "^\| NoDevFiles \|" "which are rows that were printed"
for source in $(part forms | sed -n 's/.*| \([^|]*\) |$/\1/p' | tr ' ' '_' | sort -u); do
        [ "$source" != source ] || continue
        ok "the source '${source//_/ }' is named" grep -qE "^\| ${source//_/ } \| [^|]{20}" "$page"
done

# ---- stint doctor ----------------------------------------------------------------------------------------------------

a=GPU-8932f937-d72c-4106-c12f-20bd9faed9f6
b=GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77
b1=MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f
b2=MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb
export STINT_DEVICE_ROOT=$TEST_DIR/root
unset CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER
mkdir -p "$TEST_DIR/bin" "$STINT_DEVICE_ROOT/dev" "$STINT_DEVICE_ROOT/proc/driver/nvidia"
echo 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023' \
        >"$STINT_DEVICE_ROOT/proc/driver/nvidia/version"
# Here nvidia-smi fails, whatever machine this test runs on; later it is a script of this test.
ln -s "$(type -P false)" "$TEST_DIR/bin/nvidia-smi"
PATH=$TEST_DIR/bin:$PATH

gpu() # ADDRESS UUID MINOR MODEL: another GPU of the machine
{
        mkdir -p "$STINT_DEVICE_ROOT/proc/driver/nvidia/gpus/$1"
        printf 'Model: \t\t %s\nGPU UUID: \t %s\nBus Location: \t %s\nDevice Minor: \t %s\nGPU Excluded:\t No\n' \
                "$4" "$2" "$1" "$3" >"$STINT_DEVICE_ROOT/proc/driver/nvidia/gpus/$1/information"
        : >"$STINT_DEVICE_ROOT/dev/nvidia$3"
}

doctor() # [NAME=VALUE...]: what it says of devices in that environment, a line each, with single spaces
{
        env "$@" stint doctor "$TEST_DIR" >"$TEST_DIR/said" 2>&1 || :
        sed '1,/ limits /d; / filesystem /,$d' "$TEST_DIR/said" | tr -s ' '
}

is "$(doctor | head -n 1)" "ok GPUs here none, though there is a driver of NVIDIA's" "a driver without a GPU is told"
gpu 0000:07:00.0 "$a" 0 'NVIDIA A100-SXM4-80GB'
gpu 0000:0b:00.0 "$b" 1 'NVIDIA A100-SXM4-80GB'
said=$(doctor)
like "$said" "^ok GPUs here 2, driver 535.129.03" "two GPUs are found without nvidia-smi"
like "$said" "^warning nvidia-smi it fails although" "whose failure is told"
like "$said" "^ok device 0 $a, NVIDIA A100-SXM4-80GB, at 0000:07:00.0\$" "without CUDA_VISIBLE_DEVICES a program sees both"
like "$said" "^ok device 1 $b" "in the order of their addresses"

said=$(doctor CUDA_VISIBLE_DEVICES=1,0)
like "$said" "^ok CUDA_VISIBLE_DEVICES '1,0': a program sees 2 devices .sure." "a list is explained"
like "$said" "^ok device 0 $b" "and another order is another order"
said=$(doctor CUDA_VISIBLE_DEVICES=NoDevFiles)
like "$said" "^ok CUDA_VISIBLE_DEVICES 'NoDevFiles' is what Slurm writes" "a job without a GPU hears why"
unlike "$said" "^[a-z]+ device [0-9]" "and sees none"
said=$(doctor CUDA_VISIBLE_DEVICES=0,7,1)
like "$said" "^warning CUDA_VISIBLE_DEVICES '7' is beyond the last device, which ends the list: what is behind it is not read" \
        "a word that ends the list is a warning"
like "$said" "^ok device 0 $a" "and those before it stay"
unlike "$said" "^[a-z]+ device 1 " "and those behind it do not"
is "$(doctor CUDA_VISIBLE_DEVICES= | sed -n 's/^ok CUDA_VISIBLE_DEVICES //p')" "it is empty, which hides every device" \
        "an empty list hides all"

like "$(doctor SLURM_LOCALID=1)" "^ok rank SLURM_LOCALID is 1: .* this one has device 1" "a rank hears which device is its own"
like "$(doctor SLURM_LOCALID=2)" "^warning rank SLURM_LOCALID is 2, and 2 devices are visible" "or that there is none for it"
unlike "$(doctor SLURM_LOCALID=1 CUDA_VISIBLE_DEVICES=0)" "^[a-z]+ rank " "a rank that sees one device has that, whatever its number"

# ---- where a model would go ------------------------------------------------------------------------------------------

model_device() # [NAME=VALUE...]: what is said of it
{
        doctor "$@" | sed -n 's/ model device / /p'
}
is "$(model_device)" "ok device 0, unless the program has chosen another one" "a model goes to device 0"
is "$(model_device SLURM_LOCALID=1)" "ok device 1 if the program goes by SLURM_LOCALID, and device 0 if it has chosen none" \
        "or to the rank's own, which is the program's choice"
is "$(model_device STINT_MODEL_DEVICE=cuda)" "$(model_device)" "a word without a number is the device in use, too"
is "$(model_device STINT_MODEL_DEVICE=cuda:1)" "ok device 1, since STINT_MODEL_DEVICE is 'cuda:1'" "it goes where it is told to"
is "$(model_device STINT_MODEL_DEVICE=cuda:1,cuda:0)" "ok device 1, since STINT_MODEL_DEVICE is 'cuda:1,cuda:0'" \
        "to the first of several"
like "$(model_device STINT_MODEL_DEVICE=cuda:0,cuda:2)" "^problem .*'cuda:0,cuda:2', and a program sees 2 here, counted from 0" \
        "not to one that is not there"
like "$(model_device STINT_MODEL_DEVICE=cuda CUDA_VISIBLE_DEVICES=)" "^problem .*'cuda', and a program sees no device here" \
        "nor to one where there is none"
is "$(model_device STINT_MODEL_DEVICE=cpu)" "ok host memory, since STINT_MODEL_DEVICE is 'cpu'" "nor to any unasked"
is "$(model_device CUDA_VISIBLE_DEVICES=)" "ok host memory, since a program sees no device here" "without devices there is the host"
like "$(model_device STINT_MODEL_DEVICE=gpu:0)" "^problem STINT_MODEL_DEVICE is 'gpu:0': it is auto, cuda" "a word that is none is told"
like "$(model_device STINT_DEVICE=sim)" "^ok the simulated one" "and so is the device of tests"

rm "$STINT_DEVICE_ROOT/dev/nvidia0"
said=$(doctor CUDA_VISIBLE_DEVICES=0)
like "$said" "^ok GPUs here 1, .*; 1 more may not be used from here" "a GPU whose file is not there is withheld"
like "$said" "^ok device 0 $b" "and is not counted"
: >"$STINT_DEVICE_ROOT/dev/nvidia0"

gpu 0000:03:00.0 GPU-1c20e77d-58d7-410d-cc82-f7fdece5bd28 2 'NVIDIA T4'
said=$(doctor CUDA_VISIBLE_DEVICES=0)
like "$said" "^ok device 0 which one cannot be known here" "which of unequal GPUs is number 0 is not known"
like "$said" "^warning not known numbers go by speed .*PCI_BUS_ID" "and why"
like "$(doctor CUDA_VISIBLE_DEVICES=0 CUDA_DEVICE_ORDER=PCI_BUS_ID)" "^ok device 0 GPU-1c20e77d" "by address it is"

rm "$TEST_DIR/bin/nvidia-smi"
cat >"$TEST_DIR/bin/nvidia-smi" <<EOF
#!/bin/sh
case \$1 in
-L) printf 'GPU 0: NVIDIA A100-SXM4-80GB (UUID: %s)\n' $b
    printf '  MIG 1g.10gb     Device  %d: (UUID: %s)\n' 0 $b1 1 $b2 ;;
*)  echo '$b, 00000000:0B:00.0, 81920, Enabled' ;;
esac
EOF
chmod +x "$TEST_DIR/bin/nvidia-smi"
said=$(doctor "CUDA_VISIBLE_DEVICES=$b2,$b1")
like "$said" "^ok GPUs here 1 with 2 instances .MIG., driver 535.129.03; 2 more may not be used" \
        "nvidia-smi tells instances and what is withheld"
like "$said" "^ok device 0 $b2, MIG 1g.10gb of $b, at 0000:0b:00.0\$" "an instance is seen"
like "$said" "^warning CUDA_VISIBLE_DEVICES '$b1' is not shown: a process gets one instance" "and a second one is not"
run env CUDA_VISIBLE_DEVICES=$'x\033y' stint doctor --json "$TEST_DIR"
json_holds "as JSON too, whatever the variable holds" \
        "[f['finding'] for f in d if f['what'] == 'CUDA_VISIBLE_DEVICES'] == ['warning', 'warning'] and '\033' not in str(d)"

# ---- the journal -----------------------------------------------------------------------------------------------------

rm "$TEST_DIR/bin/nvidia-smi"
rm -r "$STINT_DEVICE_ROOT/proc/driver/nvidia/gpus/0000:03:00.0"

place() # RUN [NAME=VALUE...]: trains in that environment; what the journal has of the only rank
{
        local run=$TEST_DIR/$1.stint
        shift
        env "$@" stint run --stint-dir "$run" -- train_lm --small --steps 3 --log-every 0 >"$TEST_DIR/run.out" 2>&1 ||
                diag_file "$TEST_DIR/run.out"
        journal "$run" attached >"$TEST_DIR/attached"
        /usr/bin/python3 -c 'import json, sys
place = json.loads(open(sys.argv[1]).readline())["places"][0]
del place["node"]
print(json.dumps(place, sort_keys=True))' "$TEST_DIR/attached"
}

model='"NVIDIA A100-SXM4-80GB"'
is "$(place both CUDA_VISIBLE_DEVICES=1,0)" \
        "{\"count\": 2, \"devices\": \"1,0\", \"driver\": \"535.129.03\", \"models\": [$model, $model], \"uuids\": [\"$b\", \"$a\"]}" \
        "the journal has the devices of a rank by UUID, in the program's numbers"
is "$(place spaces CUDA_VISIBLE_DEVICES=' 1')" \
        "{\"certainty\": \"likely\", \"count\": 1, \"devices\": \" 1\", \"driver\": \"535.129.03\", \"models\": [$model], \"uuids\": [\"$b\"]}" \
        "and how certain that is, where it is not sure"
is "$(place hidden CUDA_VISIBLE_DEVICES=)" '{"count": 0, "devices": ""}' "a rank that hides all devices sees none"
like "$(stint doctor "$TEST_DIR/both.stint" | tr -s ' ')" \
        "^ok model device device 0, unless the program has chosen another one; step-000000000003 puts [0-9.]+ KiB there\$" \
        "doctor knows what a checkpoint will put on a device"
stint run --stint-dir "$TEST_DIR/large.stint" -- train_lm --small --rows 16384 --steps 3 --log-every 0 >"$TEST_DIR/run.out" 2>&1 ||
        diag_file "$TEST_DIR/run.out"
cat >"$TEST_DIR/bin/nvidia-smi" <<EOF
#!/bin/sh
case \$1 in
-L) printf 'GPU 0: NVIDIA T4 (UUID: %s)\n' $b ;;
*)  echo '$b, 00000000:0B:00.0, 1, Disabled' ;;
esac
EOF
chmod +x "$TEST_DIR/bin/nvidia-smi"
run stint doctor "$TEST_DIR/large.stint"
like "$(tr -s ' ' <"$TEST_DIR/out")" \
        "^problem model device device 0, which has 1.0 MiB, and step-000000000003 puts [67].[0-9] MiB there: stint_place refuses it\$" \
        "and that it is more than there is, with the numbers"
is "$status" 1 "which is a problem"
rm "$TEST_DIR/bin/nvidia-smi"
mkdir "$TEST_DIR/bare"
is "$(place bare STINT_DEVICE_ROOT="$TEST_DIR/bare" CUDA_VISIBLE_DEVICES=0)" '{"devices": "0"}' \
        "without a driver there is nothing to tell"
done_testing
