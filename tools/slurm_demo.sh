#!/bin/sh
# Shows the study on a real SLURM: two nodes on one machine, a job killed, a node drained, the batch itself killed, the
# study finished by running it again; then compares its bytes with those of an undisturbed local run.
#
#   sudo apt install slurm-wlm munge
#   pip install --target plugin --no-deps snakemake-executor-plugin-slurm snakemake-executor-plugin-slurm-jobstep throttler
#   sudo env "PATH=$PATH" PYTHONPATH=plugin tools/slurm_demo.sh irn scratch
#
# It runs as root, on loopback, with every file of SLURM below `scratch`, and ends only what it started. About 10 minutes.
set -eu

paper=${1:-irn}
scratch=$(mkdir -p "${2:-slurm_demo}" && cd "${2:-slurm_demo}" && pwd)
project=$(cd "$(dirname "$0")/.." && pwd)
host=$(hostname -s)
found=/run/slurm/conf/slurm.conf # where a job looks for it: the executor takes SLURM's variables from its jobs
export SLURM_CONF="$scratch/slurm.conf" WEAKSEG_ROOT="$project" OMP_NUM_THREADS=1 WEAKSEG_DEVICE=cpu
cd "$project"

say() { echo "$(date +%H:%M:%S) $*"; }
started=""
finish() {
    [ "$(readlink "$found")" = "$SLURM_CONF" ] && rm "$found"
    for process in $started; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap finish EXIT
trap 'exit 1' INT TERM

# ---------------------------------------------------------------- a cluster of two nodes on loopback

configure() {
    for own in /etc/slurm/slurm.conf "$found"; do
        [ ! -e "$own" ] || [ "$(readlink "$own")" = "$SLURM_CONF" ] || { echo "slurm_demo: this machine has a SLURM of its own, $own" >&2; exit 1; }
    done
    mkdir -p "${found%/*}" && ln -sfn "$SLURM_CONF" "$found"
    mkdir -p "$scratch/state" "$scratch/log" "$scratch/spool/n1" "$scratch/spool/n2"
    cat >"$SLURM_CONF" <<EOF
ClusterName=demo
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$scratch/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/spool/%n
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.%n.pid
SlurmctldPort=16817
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MinJobAge=3600
KillWait=5
JobRequeue=0
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=study Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
EOF
}

start_munge() {
    install -d -m 700 -o munge -g munge "$scratch/munge.key.d"
    install -d -m 755 -o munge -g munge "$scratch/munge"
    chmod 755 "$scratch"
    dd if=/dev/urandom of="$scratch/munge.key.d/key" bs=1024 count=1 status=none
    chown munge:munge "$scratch/munge.key.d/key" && chmod 400 "$scratch/munge.key.d/key"
    setpriv --reuid munge --regid munge --clear-groups munged --foreground --force --key-file "$scratch/munge.key.d/key" \
        --socket "$scratch/munge/socket" --pid-file "$scratch/munge/pid" --log-file "$scratch/munge/log" \
        --seed-file "$scratch/munge/seed" 2>"$scratch/log/munged" &
    started="$started $!"
    until [ -S "$scratch/munge/socket" ]; do sleep 0.2; done
}

start_slurm() {
    slurmctld -D -c >"$scratch/log/slurmctld" 2>&1 &
    started="$! $started"
    for node in n1 n2; do
        slurmd -D -N "$node" >"$scratch/log/$node" 2>&1 &
        started="$! $started"
    done
    until sinfo -h -o '%T %D' 2>/dev/null | grep -q '^idle 2$'; do sleep 0.5; done
    say "SLURM $(sinfo -V | cut -d' ' -f2) is up: $(sinfo -h -N -o '%N %T' | tr '\n' ' ')"
}

# ---------------------------------------------------------------- the study, disturbed

study() { # through the profile that users take; the options only name this cluster's partition and lack of accounting
    WEAKSEG_OUTPUTS="$scratch/slurm" snakemake --profile profiles/slurm --jobs 2 --config profile=toy papers="$paper" gpu=0 \
        --default-resources slurm_partition=study runtime=30 mem_mb=1500 cpus_per_task=1 \
        --slurm-no-account --slurm-status-command squeue --slurm-init-seconds-before-status-checks 2 \
        --seconds-between-status-checks 2 --slurm-logdir "$scratch/log/jobs"
}

stages() { find "$scratch/slurm/toy/runs" -name record.json 2>/dev/null | wc -l; }
running() { squeue -h -t R -o '%i %N' | head -n 1; }

wait_for_a_job_that_has_done() { # some stages, and is in the middle of another
    until [ "$(stages)" -ge "$1" ] && [ -n "$(running)" ]; do
        kill -0 "$batch" 2>/dev/null || { say "the batch ended too early"; exit 1; }
        sleep 0.5
    done
}

disturb() {
    study >"$scratch/log/first" 2>&1 &
    batch=$!
    wait_for_a_job_that_has_done 5
    job=$(running)
    say "killing job ${job% *} on ${job#* } after $(stages) stages"
    scancel --signal=KILL --full "${job% *}"
    say "draining node ${job#* }"
    scontrol update nodename="${job#* }" state=drain reason=demo
    drained=${job#* }
    wait_for_a_job_that_has_done 12
    job=$(running)
    say "goes on on ${job#* } with $(sinfo -h -N -o '%N %T' | tr '\n' ' '); killing the batch and its jobs after $(stages) stages"
    kill -9 "$batch"
    scancel --state=RUNNING --full --signal=KILL --user root
    scancel --user root
    wait "$batch" 2>/dev/null || true
    while [ -n "$(squeue -h)" ]; do sleep 0.5; done
    say "states of the jobs so far: $(squeue -h -t all -o '%i %T %N' | sort -n | tr '\n' ';')"
}

# ---------------------------------------------------------------- the same bytes

local_run() {
    WEAKSEG_OUTPUTS="$scratch/local" snakemake -c1 --config profile=toy papers="$paper" >"$scratch/log/local" 2>&1
}

listing() { # checksum and name of every table and of every file of a stage
    (cd "$1/toy" && find "$paper/tables" runs -type f ! -name '*.json' ! -name '*.html' ! -name '.*' -print0 | sort -z | xargs -0 sha256sum)
}

compare() {
    listing "$scratch/local" >"$scratch/local.sha256"
    listing "$scratch/slurm" >"$scratch/slurm.sha256"
    cmp "$scratch/local.sha256" "$scratch/slurm.sha256"
    say "the same bytes: $(wc -l <"$scratch/local.sha256") files, $(grep -c /tables/ "$scratch/local.sha256") of them of tables"
}

configure
say "an undisturbed local run of $paper at profile toy"
local_run
start_munge
start_slurm
disturb
say "running it again, with $drained still drained"
study >"$scratch/log/second" 2>&1
say "the study is finished; stages: $(stages)"
scontrol update nodename="$drained" state=resume
say "jobs: $(squeue -h -t all -o '%i %T %N' | sort -n | tr '\n' ';')"
compare
