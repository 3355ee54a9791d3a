#!/bin/sh
# Breaks the service on purpose, in one way after another, and says which the harness caught. Each has so many runs to be caught in.
set -eu

[ $# -ge 1 ] || { echo "usage: tests/chaos/breakages.sh BUILD [NAME…]" >&2; exit 64; }
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/../.."
DEPLOY_GATED_BIN=$build/deploy-gated
DEPLOY_GATE_BIN=$build/deploy-gate
DEPLOY_GATED_BROKEN_BIN=$build/tests/chaos/broken_server
export DEPLOY_GATED_BIN DEPLOY_GATE_BIN DEPLOY_GATED_BROKEN_BIN
harness=$build/tests/chaos/chaos
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# shellcheck disable=SC2046 # names are words
[ $# -gt 0 ] || set -- $("$harness" breakages)

missed=
for name; do
	caught=
	for seed in 1 2 3 4; do
		status=0
		"$harness" --seconds "${CHAOS_SECONDS-45}" --seed $seed --break "$name" >"$out" 2>&1 || status=$?
		[ $status -ne 1 ] || { caught=$seed; break; }
	done
	if [ "$caught" ]; then
		echo "$name: caught in run $caught"
		sed -n 's/^\(rule [0-9]*: [^:]*\):.*/\1/p' "$out" | sort | uniq -c
	else
		echo "$name: not caught, the last run ended with $status"
		missed="$missed $name"
	fi
done
[ -z "$missed" ] || { echo "not caught:$missed"; exit 1; }
