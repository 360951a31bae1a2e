#!/usr/bin/env bash
# wheel.sh OUT [COMMIT]: the wheel of a commit in OUT, the same bytes wherever and whenever.
# PYTHON: an interpreter with what build.lock lists.
set -euo pipefail
out=$(realpath -m "$1")
commit=${2:-HEAD}
PYTHON=${PYTHON:-python3}
cd "$(dirname "$0")/../.."

# Only what is committed, with the modes and times of the commit and not of this checkout.
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
umask 022
git archive "$commit" | tar -x --no-same-permissions -C "$source"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit")
export SOURCE_DATE_EPOCH PYTHONHASHSEED=0
mkdir -p "$out"
"$PYTHON" -m pip wheel --quiet --no-deps --no-build-isolation --no-cache-dir \
  --wheel-dir "$out" "$source"
