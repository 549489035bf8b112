# Puts an environment with the pinned packages on PATH: the active conda environment when it satisfies the pins, else
# .venv, which is made on first use and brought up to date when requirements.txt or pyproject.toml change.
# To be sourced from the project's folder:   . ./tools/setup.sh && snakemake -c2
# Everything that goes wrong ends in one line that says what to install.

weakseg_stop() { echo "weakseg: $1" >&2; exit 1; }

# The stamp is written last; it names folder and pins, so that a half-made, outdated or moved .venv is not taken as ready.
weakseg_stamp() { pwd -P; cat requirements.txt pyproject.toml | sha256sum; }
weakseg_ready() { [ "$(cat .venv/weakseg.stamp 2>/dev/null)" = "$(weakseg_stamp)" ] && [ -x .venv/bin/python ]; }

weakseg_python() {
    for name in python3.11 python3.12 python3.13 python3; do
        "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
        "$name" -c 'import venv, ensurepip' 2>/dev/null || { without="$name"; continue; }
        echo "$name"
        return
    done
    if [ -n "${without:-}" ]; then
        weakseg_stop "$without has no venv module; install it: sudo apt install $without-venv"
    fi
    weakseg_stop "Python 3.11, 3.12 or 3.13 is needed (python3 here: $(python3 -V 2>&1)); install one: sudo apt install python3 python3-venv"
}

# pydensecrf2 1.1 asks to be built by a Cython that knows no Python 3.13; a newer Cython builds it there.
weakseg_crf() {
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 13))' || return 0
    .venv/bin/python -m pip install --disable-pip-version-check "Cython>=3.1,<4" setuptools wheel &&
        .venv/bin/python -m pip install --disable-pip-version-check --no-build-isolation --no-deps "$(grep ^pydensecrf2 requirements.txt)"
}

weakseg_make() {
    command -v g++ >/dev/null || command -v c++ >/dev/null ||
        weakseg_stop "a C++ compiler is needed to build pydensecrf2; install one: sudo apt install g++"
    python=$(weakseg_python) || exit 1
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1 || [ "$(head -n1 .venv/weakseg.stamp 2>/dev/null)" != "$(pwd -P)" ]; then
        free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
        [ "$free" -ge 8 ] || weakseg_stop "the packages need 8 GB of disk and $free GB are free here; make room"
        rm -rf .venv
        "$python" -m venv .venv || weakseg_stop "$python -m venv failed; install it: sudo apt install python3-venv"
    fi
    rm -f .venv/weakseg.stamp
    echo "weakseg: installing the pinned packages into .venv (about 3 minutes; log in .venv/install.log)" >&2
    { weakseg_crf && .venv/bin/python -m pip install --disable-pip-version-check -r requirements.txt -e .; } >.venv/install.log 2>&1 ||
        weakseg_stop "the install failed: $(grep -i error .venv/install.log | tail -n1); see .venv/install.log, then run this again"
    weakseg_stamp >.venv/weakseg.stamp
}

if [ -n "${CONDA_PREFIX:-}" ] && differs=$("$CONDA_PREFIX/bin/python" tools/pins.py 2>&1); then
    PATH="$CONDA_PREFIX/bin:$PATH"
else
    [ -z "${CONDA_PREFIX:-}" ] || echo "weakseg: the active conda environment is left aside: $(echo "$differs" | tail -n1)" >&2
    # An environment made by hand counts when it holds the pins; two set-ups at once take turns.
    if ! weakseg_ready; then
        mkdir -p outputs
        (
            flock 9
            if ! weakseg_ready && .venv/bin/python tools/pins.py >/dev/null 2>&1; then
                weakseg_stamp >.venv/weakseg.stamp
            fi
            weakseg_ready || weakseg_make
        ) 9>outputs/.setup.lock || exit 1
    fi
    PATH="$PWD/.venv/bin:$PATH"
fi
export PATH
