# sh mps.sh ray start …: starts Ray on a worker, with NVIDIA's MPS where the machine has it.
#
# Trials that share a GPU then compute on it side by side instead of taking turns. The daemon needs
# no rights, changes no setting of the card, listens in a folder of its own, and ends with this
# machine's Ray. One that runs already is used and left alone. Where it does not start, one line
# says so, and Ray starts without it.

without() {
    echo "MPS is not used: $1; trials that share a GPU take turns."
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
}

told() { echo "$1" | timeout 10 nvidia-cuda-mps-control 2> /dev/null; }

serve() {
    command -v nvidia-cuda-mps-control > /dev/null && command -v pgrep > /dev/null || return
    nvidia-smi -L > /dev/null 2>&1 || return
    test -e "${CUDA_MPS_PIPE_DIRECTORY:-/tmp/nvidia-mps}/control" && told get_server_list > /dev/null && return
    if nvidia-smi --query-gpu=mig.mode.current --format=csv,noheader | grep -q Enabled; then
        without "a GPU is divided (MIG)"
        return
    fi
    folder=$(mktemp -d /tmp/kd-mps-XXXXXX) || return
    export CUDA_MPS_PIPE_DIRECTORY="$folder" CUDA_MPS_LOG_DIRECTORY="$folder"
    if timeout 20 nvidia-cuda-mps-control -d > /dev/null 2>&1 < /dev/null; then
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            told get_server_list | grep -q '[0-9]' && return
            # The first trial would start the server, and fail where it does not come.
            told "start_server -uid $(id -u)" > /dev/null
            sleep 0.5
        done
    fi
    told quit > /dev/null
    without "its daemon does not answer"
    rm -rf "$folder"
    folder=
}

folder=
serve
"$@"
code=$?
if test -n "$folder"; then
    # The Ray that was just started, among others of this user's.
    raylet=$(for number in $(pgrep -x raylet -u "$(id -u)"); do
        grep -qzF "CUDA_MPS_PIPE_DIRECTORY=$folder" "/proc/$number/environ" && echo "$number"
    done 2> /dev/null | head -n 1)
    # shellcheck disable=SC2016
    setsid nohup sh -c '
        while test -n "$1" && kill -0 "$1" 2> /dev/null; do sleep 2; done
        echo quit | timeout 10 nvidia-cuda-mps-control
        kill -9 $(cat "$2/nvidia-cuda-mps-control.pid") 2> /dev/null
        rm -rf "$2"' mps "$raylet" "$folder" < /dev/null > /dev/null 2>&1 &
fi
exit $code
