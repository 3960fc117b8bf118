#!/bin/sh
# Makes the environment of malles: a virtual environment with the package and its demo and development extras, and
# fetches the embedded language model into .malles/models (or $MALLES_MODELS, $MALLES_HOME/models).
#
#   PYTHON=python3.12      the interpreter to start from (default: the first of python3, python3.1x that is new enough)
#   VENV=.venv             where the environment goes
#   TORCH_INDEX=URL        a wheel index to take torch from first, for example PyTorch's own CPU index
#
# A second call with nothing changed looks at one stamp file and ends. Every failure is one sentence and exit code 1.
set -eu
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
index=${TORCH_INDEX:-}
stamp=$venv/.malles-setup

fail() {
    printf 'malles: %s\n' "$1" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

free_gigabytes() {
    df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }'
}

wanted=$( (cat pyproject.toml constraints/*.txt scripts/setup.sh; printf '%s' "$index"; pwd) | cksum)
if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

# 1. an interpreter
if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null 2>&1 || fail "there is no interpreter '$PYTHON'; name one with: make setup PYTHON=python3.11"
    new_enough "$PYTHON" || fail "'$PYTHON' is $("$PYTHON" --version 2>&1), but malles needs Python 3.11 or newer; name one with: make setup PYTHON=python3.11"
    python=$PYTHON
else
    python=
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        if command -v "$name" >/dev/null 2>&1 && new_enough "$name"; then
            python=$name
            break
        fi
    done
    [ -n "$python" ] || fail "malles needs Python 3.11 or newer, found $(python3 --version 2>&1 || echo none); name one with: make setup PYTHON=/path/to/python3.11"
fi

# 2. room for it
need=4
[ -x "$venv/bin/python" ] && need=1
free=$(free_gigabytes)
[ "$free" -ge "$need" ] || fail "the disk is nearly full: $free GB free here, $need GB needed for the environment; free some space and run make setup again."

# 3. the virtual environment
"$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
    fail "'$python' has no venv module; install it (on Debian and Ubuntu: apt install python3-venv) and run make setup again."
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    message=$("$python" -m venv --clear "$venv" 2>&1) ||
        fail "the environment $venv could not be made ($(printf '%s' "$message" | tail -n 1)); free some space or check the permissions of this folder, then run make setup again."
fi

# 4. the packages
install() { # stdout stays visible, stderr is read for a full disk
    exec 3>&1
    if problem=$("$venv/bin/python" -m pip install --disable-pip-version-check $quiet "$@" 2>&1 >&3); then
        exec 3>&-
        return 0
    fi
    exec 3>&-
    case $problem in
    *"No space left"* | *"Errno 28"* | *"Disk quota"*)
        fail "the disk became full while installing ($(free_gigabytes) GB free); free some space and run make setup again, finished parts are kept." ;;
    esac
    printf '%s\n' "$problem" | tail -n 20 >&2
    fail "pip could not install the packages (its last words are above); check the connection to the package index and run make setup again."
}
quiet=
[ -t 1 ] || quiet=--quiet

if [ -n "$index" ]; then
    install --index-url "$index" -c constraints/cpu.txt torch
elif [ "$(uname -s)" = Linux ] && ! "$venv/bin/python" -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then
    if "$venv/bin/python" -m pip install --disable-pip-version-check --quiet --dry-run --no-deps --ignore-installed \
        --report - -c constraints/cpu.txt torch 2>/dev/null | grep -Eq '"(nvidia|cuda)[a-z0-9_.-]*'; then
        echo "malles: pip's sources offer torch only as its CUDA build, about 5 GB installed; for the small CPU build: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu" >&2
        [ "$free" -ge 8 ] || fail "the CUDA build of torch needs about 8 GB, $free GB are free here; free some space or use TORCH_INDEX."
    fi
fi
echo "malles: installing the packages into $venv (a minute or two)" >&2
install -c constraints/cpu.txt -e '.[demo,dev]'

# 5. the embedded language model; everything but language models works without it
if ! problem=$("$venv/bin/python" -m malles.cli models pull smollm2 2>&1 >/dev/null); then
    reason=$(printf '%s' "$problem" | tail -n 1)
    [ "${CI:-}" != true ] || fail "the embedded language model could not be fetched, and CI needs it: ${reason#malles: }"
    echo "malles: everything else is ready, but the embedded language model could not be fetched: ${reason#malles: }" >&2
fi

printf '%s\n' "$wanted" >"$stamp"
echo "malles: ready." >&2
