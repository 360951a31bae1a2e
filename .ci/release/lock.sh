#!/usr/bin/env bash
# Writes the locks anew from pyproject.toml: newest versions its bounds allow, with hashes.
# UV: the uv command. Arguments go to it, as in: lock.sh --upgrade-package requests
set -euo pipefail
cd "$(dirname "$0")/../.."
UV=${UV:-uv}

compile() {
  "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-annotate "$@"
}

compile "$@" pyproject.toml --output-file .ci/release/run.lock
compile "$@" pyproject.toml --extra dev --constraint .ci/release/run.lock \
  --output-file .ci/release/dev.lock
echo 'setuptools>=77' | compile "$@" - --output-file .ci/release/build.lock
