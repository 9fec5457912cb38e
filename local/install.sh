#!/bin/sh
# Make the Python environment that .python-version names, with everything pinned, and install Azurite beside it.
set -eu
venv=$1
wanted=$(cat .python-version)

# Whichever of these is there and is that version; pyenv's own programs are asked for directly, not through its shims.
find_python() {
    for candidate in "python$wanted" \
        "$(pyenv prefix "$(pyenv latest "$wanted" 2>/dev/null)" 2>/dev/null)/bin/python" \
        "$(uv python find --no-project "$wanted" 2>/dev/null)" python3 python; do
        if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$wanted')" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python $wanted was not found: install it (pyenv install $wanted, or uv python install $wanted), and run make again." >&2
    exit 1
}

python=$(find_python)
"$python" -m venv "$venv"
grep -A 20 '^uv==' local/requirements.txt | sed -n '1,/[^\\]$/p' > "$venv/uv.txt"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$venv/uv.txt"
"$venv/bin/uv" pip sync --quiet --compile-bytecode --python "$venv/bin/python" --require-hashes local/requirements.txt
"$venv/bin/python" -m local.azurite.install
