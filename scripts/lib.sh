# shellcheck shell=bash
# Finds a Python and hands over to bootstrap.py, which does the rest. Works with the bash 3.2 of macOS.
set -euo pipefail

# Each candidate is run, not only looked up: a name on the PATH may be the shim of a version that is not
# installed, and distributions ship Python without its venv module.
find_python() {
  local candidate
  for candidate in "${SVDLAB_PYTHON:-python3.13}" python3.12 python3.11 python3 python; do
    if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v -- "$candidate"
      return
    fi
    [ -z "${SVDLAB_PYTHON:-}" ] || break
  done
  [ -z "${SVDLAB_PYTHON:-}" ] ||
    { printf '%s\n' "SVDLAB_PYTHON=$SVDLAB_PYTHON is not a Python 3.11 or newer with its venv module." >&2; exit 1; }
  printf '%s\n' "svdlab needs Python 3.11 or newer with its venv module, and none was found: install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python) and run this again." >&2
  exit 1
}

start() {  # COMMAND [OPTION…]
  local scripts python
  scripts=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
  # A .venv that works stays with the Python it was made with.
  python=$scripts/../.venv/bin/python
  if [ -n "${SVDLAB_PYTHON:-}" ] || ! "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$(find_python)
  fi
  exec "$python" "$scripts/bootstrap.py" "$@"
}
