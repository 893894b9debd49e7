#!/usr/bin/env bash
# From a fresh checkout to a denoised photograph: makes .venv, installs, and runs the main job on 2 MPI ranks.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

output=runs/quickstart

prepare_environment mpi,image,plot,report
mpiexec -n 2 prosper-ng run configs/runs/restore-camera.yaml --output "$output"

printf '\nThe pictures:\n'
printf '  %s\n' "$PWD/$output"/*.png

printf '\nGo on in this shell:\n'
printf '  %s\n' "source .venv/bin/activate" "prosper-ng report $output"
