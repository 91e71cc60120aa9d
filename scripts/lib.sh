# shellcheck shell=bash
# What scripts/run, scripts/test and scripts/check share: find a Python, keep .venv as the requirements ask.
# Knows pip and folders; nothing of svdlab itself. Works with the bash 3.2 of macOS.
#
#   SVDLAB_PYTHON=/path/to/python  make .venv with this Python instead of the newest one found
#   SVDLAB_TORCH=cpu               at the first install, take PyTorch's CPU build from pytorch.org instead of the
#                                  default one from PyPI, which on Linux brings the CUDA libraries along (about 3 GB)
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
python=$venv/bin/python
half_made=$venv/.svdlab-installing  # there while pip works: found at a start, the last install was killed

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Each candidate is run, not only looked up: a name on the PATH may be the shim of a version that is not
# installed, and distributions ship Python without its venv module.
find_python() {
  local candidate
  for candidate in "${SVDLAB_PYTHON:-python3.13}" python3.12 python3.11 python3 python; do
    if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v -- "$candidate"
      return
    fi
    [ -z "${SVDLAB_PYTHON:-}" ] || die "SVDLAB_PYTHON=$candidate is not a Python 3.11 or newer with its venv module."
  done
  die "svdlab needs Python 3.11 or newer with its venv module, and none was found: install one" \
    "(Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python) and run this again."
}

# What was installed from FILE, as one short text. Fails when .venv has no Python that starts.
fingerprint() {  # FILE
  "$python" -I -S -c 'import sys; print("python %d.%d" % sys.version_info[:2])' 2>/dev/null || return 1
  (cd -- "$root" && cat -- "$1" constraints.txt pyproject.toml | cksum)
}

installed() {  # FILE...
  local file
  [ ! -e "$half_made" ] || return 1
  for file; do
    [ -f "$venv/.svdlab-$file" ] && [ "$(fingerprint "$file")" = "$(cat "$venv/.svdlab-$file")" ] || return 1
  done
}

# A .venv that pip can be run in: kept when it is sound, given a pip when only that is missing, else made anew.
make_venv() {
  local base
  if [ ! -e "$half_made" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    if "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null 2>&1; then return; fi
  fi
  base=$(find_python)
  say "Making .venv with $("$base" --version) ($base)"
  "$base" -m venv --clear "$venv" || die "The virtual environment $venv could not be made."
}

install_into_venv() {  # FILE...
  local file failed=0 arguments=()
  [ -t 1 ] || arguments+=(-qq --progress-bar off)  # a log wants what went wrong, a person the progress
  arguments+=(--disable-pip-version-check -c constraints.txt)

  say "Installing what svdlab needs into .venv; the first time takes a few minutes."
  : >"$half_made"
  cd -- "$root"
  case ${SVDLAB_TORCH:-} in
    '') ;;
    cpu)
      # Only torch itself comes from there; what it needs is resolved from the usual index with the rest.
      "$python" -m pip install "${arguments[@]}" --no-deps \
        --index-url https://download.pytorch.org/whl/cpu torch || failed=1 ;;
    *) die "SVDLAB_TORCH must be cpu or unset, got $SVDLAB_TORCH." ;;
  esac
  for file; do arguments+=(-r "$file"); done
  # -e . puts the svdlab command into .venv/bin, running the code of this checkout.
  [ $failed = 1 ] || "$python" -m pip install "${arguments[@]}" -e . || failed=1
  cd -- "$OLDPWD"
  rm -f -- "$half_made"  # pip ended by itself and tidied up; only a kill leaves the mark
  [ $failed = 0 ] || die "The installation failed for the reason above; run this again when that is mended."
}

# Make .venv hold what FILEs ask for. Quick when it already does.
ensure_installed() {  # FILE...
  local file
  if installed "$@"; then return; fi
  exec 9<"$root/requirements.txt"  # two set-ups at once in one checkout take turns
  if command -v flock >/dev/null; then
    flock -n 9 || { say "Another set-up is at work in this checkout; waiting for it."; flock 9 || true; }
  fi
  if ! installed "$@"; then
    make_venv
    install_into_venv "$@"
    for file; do fingerprint "$file" >"$venv/.svdlab-$file"; done
  fi
  exec 9<&-
}
