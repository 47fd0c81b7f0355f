#!/usr/bin/env bash
#
# Trains early fusion on CMU-MOSEI with the parameters below.
#
#   bash run_cluster.sh       runs it here
#   sbatch run_cluster.sh     runs it under SLURM
#
# Any option of main.py may be added to either: sbatch run_cluster.sh --seed 1
#
#SBATCH --job-name=emorec
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --output=emorec_%j.log
# For a GPU, remove one # of the next line.
##SBATCH --gres=gpu:1

set -euo pipefail

# ------------------------------------------------------------------ parameters
DATASET_FOLDER=""        # folder of the .csd files; empty: cmu_mosei or the miniature
IMAGE_FEATURE="facet"    # facet or openface
MODALITIES="all"         # all, AV, AT, VT, A, V, T
NUM_LAYERS=2             # bidirectional LSTM layers: 1, 2 or 3
NUM_NODES=128            # nodes of the dense layer
DROPOUT_RATE=0.2
BATCH_SIZE=32
FIXED_NUM_STEPS=45       # words kept of a segment; 0 keeps all
NUM_EPOCHS=30
PATIENCE=10
LEARNING_RATE=0.001
LOSS_FUNCTION="mean_absolute_error"
SEED=0
MODEL_NAME=""            # folder in models/; empty: early_fusion
VENV=""                  # virtual environment to activate; empty: the current one
# -----------------------------------------------------------------------------

# SLURM runs a copy of this script from its spool folder, so the project is where
# the job was submitted.
cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")}"
if [[ ! -f main.py ]]; then
    echo "run_cluster.sh: no main.py in $PWD; submit from the project folder." >&2
    exit 2
fi

if [[ -n "$VENV" ]]; then
    # shellcheck disable=SC1091  # the user's own environment
    source "$VENV/bin/activate"
fi

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

echo "Host $(hostname), job ${SLURM_JOB_ID:-none}"
exec "${PYTHON:-python}" main.py "${options[@]}" "$@"
