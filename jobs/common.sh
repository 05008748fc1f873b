#!/bin/bash
# What the scripts beside this file share: they source it. See docs/slurm.md.
#
# Submit from the folder that holds jobs/, on a file system that all nodes share: jobs run there, and runs/ is written there.
# Set when submitting, if the defaults do not fit:
#   ADSP_VENV      the virtual environment; default .venv if there is one, else what was active when the job was submitted
#   ADSP_LAUNCHER  what starts the ranks; default mpirun. Also "srun --mpi=pmi2" for MPICH, "mpirun --bind-to none" for Open MPI

cd "$SLURM_SUBMIT_DIR" || exit

if [[ -n ${ADSP_VENV:-} || -d .venv ]]; then
    # shellcheck disable=SC1091 # it is not ours
    source "${ADSP_VENV:-.venv}/bin/activate" || exit
fi
read -ra launcher <<<"${ADSP_LAUNCHER:-mpirun}"
launcher+=(-n "$SLURM_NTASKS")

# train NAME [OPTION...]: begin the run NAME, or resume it, on all ranks of the job.
#
# At the warning before the time limit or a preemption (USR1: see --signal in the scripts) the ranks write a checkpoint and
# end, and the job is queued again. At TERM (scancel) they do the same, and that is all.
train() {
    local ranks status is_interrupted warned_s='' start_s=$SECONDS
    "${launcher[@]}" python -m adsp_mpi train --resume --set "output.name=$1" "${@:2}" &
    ranks=$!
    # Bash acts on a signal only between commands or in a wait, which the signal then ends: hence the loop.
    trap 'is_interrupted=1 warned_s=$SECONDS; kill -USR1 "$ranks"' USR1
    trap 'is_interrupted=1; kill -TERM "$ranks"' TERM
    while
        is_interrupted=
        wait "$ranks"
        status=$?
        [[ -n $is_interrupted ]]
    do :; done
    trap '' USR1 TERM
    # ranks that were still starting do not know the signal and die of it; who fails later may fail again
    if [[ -z $warned_s ]] || ((status != 0 && warned_s - start_s > 30)); then
        return "$status"
    fi
    echo "$(date +%T) $1 is not finished: queueing the job again"
    scontrol requeue "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
}
