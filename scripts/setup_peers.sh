#!/bin/sh
# Makes one environment for each engine that benchmarks/population.py compares with, in .peers/ or the given folder.
# One that cannot be installed is said so; the others are measured all the same.
#
#   sh scripts/setup_peers.sh [FOLDER]        PYTHON=python3.12: the interpreter to start from
set -u
cd "$(dirname "$0")/.."
folder=${1:-.peers}
python=${PYTHON:-python3}
mkdir -p "$folder"

setup() {
    name=$1
    shift
    if [ -f "$folder/$name/.done" ] && [ "$(cat "$folder/$name/.done")" = "$*" ]; then
        return
    fi
    rm -rf "${folder:?}/$name"
    if "$python" -m venv "$folder/$name" && "$folder/$name/bin/pip" install --quiet "$@" 2>"$folder/$name.log"; then
        printf '%s' "$*" >"$folder/$name/.done"
        printf '%s: installed\n' "$name" >&2
    else
        rm -rf "${folder:?}/$name"
        printf '%s: cannot be installed here (see %s)\n' "$name" "$folder/$name.log" >&2
    fi
}

setup mesa-frames mesa-frames==0.1.0a0 mesa==3.3.1 numpy==1.26.4 polars==2.1.0
setup agent-torch agent-torch==0.6.0 torch==2.13.0 langchain==0.3.30 langchain-core==0.3.86 \
    langchain-openai==0.3.35 pyarrow networkx
