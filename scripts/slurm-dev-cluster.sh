#!/usr/bin/env bash
# A real Slurm on this one machine, for tests and for trying things: a controller and three nodes of four CPUs each.
set -euo pipefail

usage() {
    cat <<'END'
scripts/slurm-dev-cluster.sh start [NODE]   start the cluster, or a node (n1, n2, n3) that was stopped
scripts/slurm-dev-cluster.sh stop [NODE]    stop a node; without one stop everything and leave nothing behind
scripts/slurm-dev-cluster.sh status         say how it stands

It needs root, and Debian's packages slurm-wlm and munge. All its state is in the folder SLURM_DEV_FOLDER, by default
prosper_ng-slurm-UID where temporary files are; another folder makes a second cluster beside the first.
END
}

folder=${SLURM_DEV_FOLDER:-${TMPDIR:-/tmp}/prosper_ng-slurm-$(id -u)}
export SLURM_CONF=$folder/slurm.conf
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
patience=120
nodes=(n1 n2 n3)

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

# wait_until SECONDS COMMAND...: whether the command succeeded before the time was over.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

is_running() { [ -s "$folder/$1.pid" ] && kill -0 "$(cat "$folder/$1.pid")" 2>/dev/null; }
is_known_node() { [[ " ${nodes[*]} " == *" $1 "* ]]; }
# A node that was just started is there once the controller has heard of it.
is_up() { [[ $(sinfo --noheader --nodes "$1" --format %T 2>/dev/null) =~ ^(idle|mixed|allocated|completing)$ ]]; }

require_programs() {
    local program
    for program in munged mungekey slurmctld slurmd sbatch; do
        command -v "$program" >/dev/null || fail "$program is not installed: apt-get install slurm-wlm munge"
    done
    [ "$(id -u)" -eq 0 ] || fail "only root may start a node that runs jobs"
}

# Below the ports that the system hands out for outgoing connections, so that none of these is in the way later.
free_ports() {
    python3 - "$1" <<'END'
import random, socket, sys
found = {}
for port in random.sample(range(20000, 32000), 500):
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            continue
    found[port] = None
    if len(found) == int(sys.argv[1]):
        break
print(*found)
END
}

write_config() {
    local ports port_of_controller node
    read -r -a ports <<<"$(free_ports 4)"
    port_of_controller=${ports[3]}
    cat >"$SLURM_CONF" <<END
ClusterName=dev-$port_of_controller
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port_of_controller
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmctldPidFile=$folder/slurmctld.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdSpoolDir=$folder/%n
SlurmdPidFile=$folder/%n.pid
SlurmdLogFile=$folder/%n.log
# The nodes are one machine, which is told to have more CPUs than it has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=pmi2
JobRequeue=1
# What killed MPI ranks leave behind bears the number of their job: no cluster shall come upon that of an earlier one.
FirstJobId=$((RANDOM % 900 + 100))${port_of_controller: -3}
ReturnToService=2
# Short, so that nobody waits long for what goes wrong.
SlurmdTimeout=40
KillWait=5
MinJobAge=3600
SchedulerParameters=sched_min_interval=0,bf_interval=5
# Small, so that campaigns need several arrays; a job that a partition cannot ever run is refused at once.
MaxArraySize=8
EnforcePartLimits=ALL
END
    for node in "${!nodes[@]}"; do
        printf 'NodeName=%s NodeHostname=%s NodeAddr=127.0.0.1 Port=%s CPUs=4 RealMemory=4000\n' \
            "${nodes[$node]}" "$(hostname -s)" "${ports[$node]}" >>"$SLURM_CONF"
    done
    cat >>"$SLURM_CONF" <<END
PartitionName=main Nodes=n[1-3] Default=YES MaxTime=UNLIMITED DefaultTime=30
PartitionName=short Nodes=n1 MaxTime=2 MaxNodes=1
END
}

start_node() {
    is_running "$1" || slurmd -N "$1" </dev/null >/dev/null 2>&1
    wait_until "$patience" is_up "$1" || fail "$1 does not come up: $(tail -n 3 "$folder/$1.log" 2>&1)"
}

start_cluster() {
    local node
    require_programs
    if [ ! -e "$SLURM_CONF" ]; then
        mkdir -m 755 "$folder" 2>/dev/null || fail "$folder exists, and holds no cluster; remove it"
        mkdir "$folder/state" "${nodes[@]/#/$folder/}"
        mungekey --create --keyfile "$folder/munge.key"
        write_config
    fi
    is_running munged || munged --force --key-file "$folder/munge.key" --socket "$folder/munge.socket" \
        --pid-file "$folder/munged.pid" --log-file "$folder/munged.log" --seed-file "$folder/munge.seed" </dev/null >/dev/null 2>&1 ||
        fail "munged does not start: $(tail -n 3 "$folder/munged.log" 2>&1)"
    is_running slurmctld || slurmctld </dev/null >/dev/null 2>&1
    wait_until "$patience" scontrol ping >/dev/null 2>&1 ||
        fail "the controller does not come up: $(tail -n 3 "$folder/slurmctld.log" 2>&1)"
    for node in "${nodes[@]}"; do
        start_node "$node"
    done
    say "the cluster is up; in a shell that shall use it:"
    printf 'export SLURM_CONF=%q\n' "$SLURM_CONF"
}

is_alive() { [[ $(ps -o stat= -p "$1") =~ ^[^Z] ]]; }
is_dead() { ! is_alive "$1"; }

stop_daemon() {
    local process
    is_running "$1" || return 0
    process=$(cat "$folder/$1.pid")
    kill "$process"
    wait_until "$patience" is_dead "$process" || kill -KILL "$process"
    rm -f "$folder/$1.pid"
}

# The processes of jobs and those that watch over them, told from everything else by their environment.
job_processes() {
    local process environment
    for process in /proc/[0-9]*; do
        environment=$({ tr '\0' '\n' <"$process/environ"; } 2>/dev/null) || continue
        if grep -qxF "SLURM_CONF=$SLURM_CONF" <<<"$environment" &&
            { grep -q '^SLURM_JOB_ID=' <<<"$environment" || grep -qx slurmstepd "$process/comm" 2>/dev/null; }; then
            basename "$process"
        fi
    done
}

stop_cluster() {
    local daemon process
    [ -e "$SLURM_CONF" ] || fail "there is no cluster in $folder"
    # Without its daemons nothing starts anew what is killed here.
    for daemon in slurmctld "${nodes[@]}"; do
        stop_daemon "$daemon"
    done
    for process in $(job_processes); do
        kill -KILL "$process" 2>/dev/null || true
    done
    stop_daemon munged
    rm -r "$folder"
}

status() {
    local daemon
    [ -e "$SLURM_CONF" ] || fail "there is no cluster in $folder"
    for daemon in munged slurmctld "${nodes[@]}"; do
        is_running "$daemon" && say "$daemon runs" || say "$daemon does not run"
    done
    printf 'export SLURM_CONF=%q\n' "$SLURM_CONF"
    sinfo
    squeue
}

[ $# -le 2 ] || { usage >&2; exit 2; }
[ $# -lt 2 ] || is_known_node "$2" || fail "there is no node $2; there are ${nodes[*]}"
case ${1:-} in
    start) if [ $# -eq 2 ]; then start_node "$2"; else start_cluster; fi ;;
    stop) if [ $# -eq 2 ]; then stop_daemon "$2"; else stop_cluster; fi ;;
    status) status ;;
    *) usage >&2; exit 2 ;;
esac
