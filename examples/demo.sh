#!/bin/sh
# The sample plant on two proplets. Called by `make demo`, which sets BIN, SPECS, STATE, TIMEOUT
# and, for a run that ends by itself, ONCE. Exit: that of `propeller up`.
set -eu

if [ -n "$ONCE" ]; then
    "$BIN/propeller" up "$SPECS" --proplets 2 --state "$STATE" --until-ready --timeout "$TIMEOUT"
    exec "$BIN/propeller" get --state "$STATE"
fi

"$BIN/propeller" up "$SPECS" --proplets 2 --state "$STATE" &
up=$!
# A background job of sh ignores Ctrl-C, so it is told by us.
trap 'kill -TERM "$up" 2>/dev/null || true' INT TERM
if "$BIN/propeller" wait --all --state "$STATE" --timeout "$TIMEOUT"; then
    "$BIN/propeller" get --state "$STATE"
    echo "Edit a file under $SPECS and watch, or ask in another terminal: $BIN/propeller get"
    echo "Ctrl-C ends it."
fi
while kill -0 "$up" 2>/dev/null; do
    wait "$up" && code=0 || code=$?
done
exit "${code:-0}"
