#!/bin/sh
# sh local/install.sh VENV up: a Python environment with what the stack needs, and Azurite beside it.
# sh local/install.sh VENV SET: on top of that, what one more command needs: local/requirements/SET.txt.
#
# Everything is pinned. Python is the release that .python-version names, which the tests run on; where that is not here,
# another release of its series that is; where none is, uv brings the one that is named. POSIX sh, for Linux and macOS.
set -eu
venv=$1
requirements=local/requirements/$2.txt
log=$venv/install.log
wanted=$(cat .python-version)
series=${wanted%.*}
unreachable='NewConnectionError|NameResolution|ProxyError|ConnectTimeout|Connection to .* timed out|Read timed out|client error \(Connect\)'
unreachable="$unreachable|dns error|operation timed out|EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH"
connect='connect this machine or set HTTPS_PROXY'
remedy=$connect
# What is not there is not waited for: not for long, and not many times.
export UV_HTTP_RETRIES="${UV_HTTP_RETRIES:-2}" PIP_DEFAULT_TIMEOUT="${PIP_DEFAULT_TIMEOUT:-10}" PIP_RETRIES="${PIP_RETRIES:-1}"
export UV_PYTHON_INSTALL_BIN=0 PIP_DISABLE_PIP_VERSION_CHECK=1

# Whichever of these is there, whole, and of that version; pyenv's own programs are asked for directly, not through its shims.
find_python() {
    for version in "$wanted" "$series"; do
        for candidate in "python$series" \
            "$(pyenv prefix "$(pyenv latest "$version" 2>/dev/null)" 2>/dev/null)/bin/python" \
            "$(uv python find --no-project "$version" 2>/dev/null)" python3 python; do
            if "$candidate" -c "import ensurepip, sys
version = sys.version_info
sys.exit(version.releaselevel != 'final' or not ('%d.%d.%d.' % version[:3]).startswith('$version.'))" 2>/dev/null; then
                echo "$candidate"
                return
            fi
        done
    done
    return 1
}

# The name of a part at once, a line every 4 s while it is at work, and how long it took. What it says is for when it fails.
part() {
    name=$1
    shift
    echo "  $name"
    began=$(date +%s)
    (while sleep 4 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do echo "  $name: $(($(date +%s) - began)) s …"; done) &
    ticker=$!
    status=0
    "$@" >"$log" 2>&1 || status=$?
    stop_ticker
    [ "$status" -eq 0 ] || failed
    echo "  $name: done in $(($(date +%s) - began)) s"
}

# By a signal that cannot be missed: the ticker may have begun so lately that it still has our own traps.
stop_ticker() {
    { [ "$ticker" ] && kill -9 "$ticker" && wait "$ticker"; } 2>/dev/null || :
    ticker=
}

# One sentence where there is no network; else what the part said last.
failed() {
    if grep -Eq "$unreachable" "$log"; then
        echo "No network: $name could not be downloaded; $remedy, and run make again." >&2
    else
        tail -n 20 "$log" >&2
        echo "$name: failed with exit code $status. All that was said is in $log." >&2
    fi
    exit 1
}

make_environment() {
    "$python" -m venv "$venv"
}

install_uv() {
    sed -n '/^uv==/,/[^\\]$/p' "$requirements" > "$venv/uv.txt"
    "$venv/bin/python" -m pip install --require-hashes --no-deps -r "$venv/uv.txt"
}

# What is not named goes; no bytecode yet: Python compiles what is used when it is first used.
sync_packages() {
    "$venv/bin/uv" pip sync --python "$venv/bin/python" --require-hashes "$requirements"
}

add_packages() {
    "$venv/bin/uv" pip install --python "$venv/bin/python" --no-deps --require-hashes -r "$requirements"
}

megabytes() {
    du -sk "$venv" local/azurite/node_modules 2>/dev/null | awk '{ sum += $1 } END { printf "%d", sum / 1024 }'
}

bring_python() {
    remedy="install Python $series"
    part "Python $wanted" uv python install "$wanted"
    python=$(find_python)
    remedy=$connect
}

install_up() {
    if ! python=$(find_python); then
        if ! command -v uv >/dev/null; then
            echo "Neither Python $series nor uv, which would bring it, was found: install one of them, and run make again." >&2
            exit 1
        fi
        bring_python
    fi
    part "environment of $("$python" -V)" make_environment
    part "uv" install_uv
    part "$packages packages" sync_packages
    part "Azurite" "$venv/bin/python" -m local.azurite.install
}

trap 'stop_ticker' EXIT
trap 'exit 130' INT TERM
ticker=
mkdir -p "$venv"
packages=$(grep -c == "$requirements")
echo "Installing what \`make $2\` needs into $venv, once:"
if [ "$2" = up ]; then install_up; else part "$packages packages" add_packages; fi
echo "Installed: $(megabytes) MB in $venv and local/azurite/node_modules."
