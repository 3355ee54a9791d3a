#!/bin/sh
# A minute of chaos with a fixed seed. One in which too little happened says nothing, so then there is another. It is not alone on the
# machine: promises of time have some slack here.
set -eu
. "$(dirname "$0")/../support/cases.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
harness=$(dirname "${DEPLOY_GATED_BIN?names the server under test}")/tests/chaos/chaos

test_chaos__the_rules_hold_for_a_minute() {
	cd "$root"
	for seed in 1 2 3; do
		status=0
		"$harness" --seconds 60 --seed $seed --slack 10000 || status=$?
		[ "$status" -eq 2 ] || return "$status"
	done
	return "$status"
}

run_cases "$0" "$@"
