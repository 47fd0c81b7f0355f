#!/usr/bin/env bash
#
# Trains early fusion on CMU-MOSEI with the parameters below: one run, a sweep over
# many settings, or one run on several hosts; or computes features of a folder of
# clips. Here or under SLURM:
#
#   one run          bash run_cluster.sh            sbatch run_cluster.sh
#   a sweep          SWEEP=my_sweep.toml bash run_cluster.sh
#                    SWEEP=my_sweep.toml sbatch --nodes=4 run_cluster.sh
#   several hosts    HOSTS=2 bash run_cluster.sh    (processes of this machine)
#                    HOSTS=2 sbatch --nodes=2 run_cluster.sh
#   extraction       EXTRACT=1 bash run_cluster.sh teacher CLIPS --output OUT
#                    EXTRACT=1 sbatch --nodes=4 run_cluster.sh (the same words)
#
# Any option of main.py (in a sweep, of emorec sweep) may be added behind:
#   sbatch run_cluster.sh --seed 1
# Of an extraction, all arguments of emorec extract stand there.
# With --dry_run it only prints what it would start. See docs/cluster.md.
#
#SBATCH --job-name=emorec
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --output=emorec_%j.log
# For a GPU on each node, remove one # of the next line.
##SBATCH --gres=gpu:1

set -euo pipefail

# ------------------------------------------------------------------ parameters
DATASET_FOLDER=""        # folder of the .csd files; empty: cmu_mosei or the miniature
IMAGE_FEATURE="facet"    # facet or openface
MODALITIES="all"         # all, AV, AT, VT, A, V, T
NUM_LAYERS=2             # bidirectional LSTM layers: 1, 2 or 3
NUM_NODES=128            # nodes of the dense layer
DROPOUT_RATE=0.2
BATCH_SIZE=32            # of all hosts and GPUs together
FIXED_NUM_STEPS=45       # words kept of a segment; 0 keeps all
NUM_EPOCHS=30
PATIENCE=10
LEARNING_RATE=0.001
LOSS_FUNCTION="mean_absolute_error"
SEED=0
MODEL_NAME=""            # folder in models/; empty: early_fusion
VENV=""                  # virtual environment to activate; empty: the current one

SWEEP="${SWEEP:-}"       # TOML file of a sweep (docs/sweeps.md); it has its own
                         # parameters, and those above do not count
EXTRACT="${EXTRACT:-}"   # not empty: emorec extract, and no training
HOSTS="${HOSTS:-1}"      # hosts that train one network together
PORT=""                  # where hosts meet; empty: chosen by the job's number
# -----------------------------------------------------------------------------

fail() {
    echo "run_cluster.sh: $1" >&2
    exit 2
}

# SLURM runs a copy of this script from its spool folder, so the project is where
# the job was submitted.
cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")}"
if [[ ! -f main.py ]]; then
    fail "no main.py in $PWD; submit from the project folder."
fi
if [[ ! "$HOSTS" =~ ^[1-9][0-9]*$ ]]; then
    fail "HOSTS=$HOSTS: expected a number of hosts."
fi
if [[ -n "$SWEEP" && "$HOSTS" != 1 ]]; then
    fail "SWEEP and HOSTS=$HOSTS: a sweep takes all nodes of the job; unset HOSTS."
fi
if [[ -n "$EXTRACT" && "$HOSTS" != 1 ]]; then
    fail "EXTRACT and HOSTS=$HOSTS: an extraction takes all nodes of the job; unset \
HOSTS."
fi
if [[ -n "$EXTRACT" && -n "$SWEEP" ]]; then
    fail "EXTRACT and SWEEP=$SWEEP: expected one of them; unset the other."
fi

if [[ -n "$VENV" ]]; then
    # shellcheck disable=SC1091  # the user's own environment
    source "$VENV/bin/activate"
fi
python="${PYTHON:-python}"
job="${SLURM_JOB_ID:-none}"
nodes="${SLURM_JOB_NUM_NODES:-1}"
cores="${SLURM_CPUS_PER_TASK:-1}"  # of a node
port="${PORT:-$((20000 + (${SLURM_JOB_ID:-$$} % 20000)))}"

dry_run=false
for argument in "$@"; do
    if [[ "$argument" == --dry_run || "$argument" == --dry-run ]]; then
        dry_run=true
    fi
done

# Commands that run beside this script; it ends them when it ends.
started=()

show() {
    printf '+'
    printf ' %q' "$@"
    printf '\n'
}

# Both print a command, and run it unless this is a dry run.
run() {
    show "$@"
    "$dry_run" || "$@"
}

start() {
    show "$@"
    if ! "$dry_run"; then
        "$@" &
        started+=($!)
    fi
}

end_started() {
    if ((${#started[@]})); then
        kill "${started[@]}" 2>/dev/null || true
        wait "${started[@]}" 2>/dev/null || true
    fi
}

options=(
    --image_feature "$IMAGE_FEATURE"
    --modalities "$MODALITIES"
    --num_layers "$NUM_LAYERS"
    --num_nodes "$NUM_NODES"
    --dropout_rate "$DROPOUT_RATE"
    --batch_size "$BATCH_SIZE"
    --fixed_num_steps "$FIXED_NUM_STEPS"
    --num_epochs "$NUM_EPOCHS"
    --patience "$PATIENCE"
    --learning_rate "$LEARNING_RATE"
    --loss_function "$LOSS_FUNCTION"
    --seed "$SEED"
)
if [[ -n "$DATASET_FOLDER" ]]; then
    options+=(--dataset_folder "$DATASET_FOLDER")
fi
if [[ -n "$MODEL_NAME" ]]; then
    options+=(--model_name "$MODEL_NAME")
fi

one_run() {
    exec "$python" main.py "${options[@]}" "$@"
}

several_hosts() {
    # Keras trains on several hosts on JAX only.
    export KERAS_BACKEND=jax
    if "$dry_run"; then
        "$python" main.py "${options[@]}" --hosts "$HOSTS" "$@"
    fi
    if [[ "$job" != none ]]; then
        if ((nodes > HOSTS || ${SLURM_NTASKS:-$HOSTS} < HOSTS)); then
            fail "HOSTS=$HOSTS: the job has $nodes nodes and ${SLURM_NTASKS:-1} \
tasks; submit with sbatch --nodes=$HOSTS."
        fi
        # If one process ends, the others cannot go on.
        run srun --ntasks="$HOSTS" --kill-on-bad-exit=1 \
            "$python" main.py "${options[@]}" --hosts auto "$@"
        return
    fi
    # No SLURM: processes of this machine, of which the first one leads.
    local rank process code=0
    trap end_started EXIT INT TERM
    for ((rank = 0; rank < HOSTS; rank++)); do
        start "$python" main.py "${options[@]}" --hosts "$HOSTS" \
            --coordinator "127.0.0.1:$port" --host_rank "$rank" "$@"
    done
    for process in "${started[@]+"${started[@]}"}"; do
        wait "$process" || code=$?
    done
    started=()
    return "$code"
}

sweep() {
    if [[ ! -f "$SWEEP" && "$SWEEP" == *.toml ]]; then
        fail "SWEEP=$SWEEP: no such file in $PWD."
    fi
    if "$dry_run"; then
        "$python" -m emorec sweep "$SWEEP" "$@"
    fi
    local trials=()
    if ((nodes > 1)); then
        trials=(--workers "$((nodes * cores))")
    fi
    on_all_nodes sweep "$SWEEP" "${trials[@]+"${trials[@]}"}" "$@"
}

extract() {
    if (($# == 0)) || [[ "$1" == -* ]]; then
        fail "EXTRACT=$EXTRACT: expected the arguments of emorec extract, which begin \
with what to extract, as: run_cluster.sh teacher CLIPS --output OUT"
    fi
    # It asks Ray itself how many processes there is room for.
    on_all_nodes extract "$@"
}

# Runs a command of emorec on all nodes of the job: on Ray, which this starts.
on_all_nodes() {
    if ((nodes == 1)); then
        # emorec starts Ray itself.
        run "$python" -m emorec "$@"
        return
    fi
    local head address
    head="$(hostname)"
    address="$head:$port"
    # Who reaches Ray can run programs as this user: only this job's own processes have
    # its token, which is made here and written nowhere. A folder of its own keeps Ray
    # apart from that of other jobs on the node.
    local token
    token="$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN="$token" RAY_USAGE_STATS_ENABLED=0
    local ray=("$python" -m ray.scripts.scripts start "--num-cpus=$cores" --block)
    local own=(--nodes=1 --ntasks=1 --overlap)
    trap 'end_started; rm -rf "/tmp/emorec-ray-$job"' EXIT INT TERM
    start srun "${own[@]}" --nodelist="$head" "${ray[@]}" --head \
        --node-ip-address="$head" --port="$port" --include-dashboard=false \
        --temp-dir="/tmp/emorec-ray-$job"
    "$dry_run" || wait_for_ray "$address" 1
    start srun --overlap --nodes="$((nodes - 1))" --ntasks="$((nodes - 1))" \
        --exclude="$head" "${ray[@]}" --address="$address"
    "$dry_run" || wait_for_ray "$address" "$nodes"
    run "$python" -m emorec "$@" --address "$address"
}

# Waits until so many nodes have joined Ray.
wait_for_ray() {
    "$python" - "$1" "$2" <<'PYTHON' || fail "Ray did not come up on $2 nodes."
import sys, time
import ray

address, wanted = sys.argv[1], int(sys.argv[2])
end = time.monotonic() + 300
while time.monotonic() < end:
    try:
        ray.init(address, log_to_driver=False, logging_level="error")
        if sum(node["Alive"] for node in ray.nodes()) >= wanted:
            sys.exit()
    except (ConnectionError, RuntimeError):  # not there yet
        pass
    ray.shutdown()
    time.sleep(2)
sys.exit(1)
PYTHON
}

echo "Host $(hostname), job $job, $nodes node(s)"
if [[ -n "$SWEEP" ]]; then
    sweep "$@"
elif [[ -n "$EXTRACT" ]]; then
    extract "$@"
elif [[ "$HOSTS" != 1 ]]; then
    several_hosts "$@"
else
    one_run "$@"
fi
