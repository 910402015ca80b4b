#!/bin/bash
# One rank a node, with all cores of the node: sbatch slurm.sh
#SBATCH --job-name=duet
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=08:00:00
# A minute before the time is up, rank 0 saves.
#SBATCH --signal=TERM@60

run="${RUN:-runs/cluster}"
# The same script goes on with a run that has begun.
if [ -e "$run/config.toml" ]; then
    set -- train --resume "$run"
else
    set -- train --data "${DATA:-digits}" --batch 64 --out "$run" "$@"
fi
# --kill-on-bad-exit: a rank that fails ends the others at once.
srun --mpi=pmix --kill-on-bad-exit=1 --cpu-bind=none "${DUET:-duet}" "$@"
