#!/bin/sh
# scripts/up: a service and its PostgreSQL by one command, both gone after it, the data still there the next time.
set -eu
. "$(dirname "$0")/../support/cases.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
B=$(dirname "${DEPLOY_GATED_BIN?names the server under test}")
listen=127.0.0.1:$(shuf -n 1 -i 20000-32000)
export B DEPLOY_GATE_UP_LISTEN="$listen" DEPLOY_GATE_STATE_DIR="$scratch/state"
chmod 755 "$scratch"

# Starts scripts/up in the background, in $PWD/data, and returns when it has told what to try.
up() {
	: >out
	DEPLOY_GATE_UP_DIR="$PWD/${data-data}" "$root/scripts/up" >out 2>err </dev/null &
	up=$!
	trap 'kill $up 2>/dev/null && wait $up || true' EXIT
	until grep -q 'Three things to try' out; do
		kill -0 $up 2>/dev/null || { cat out err >&2; exit 1; }
		sleep 0.1
	done
}

down() {
	kill -TERM "$up"
	wait "$up" || expect $? = 143
	trap - EXIT
}

state() { curl -s "http://$listen/v1/gates/production?format=text" | sed -n 's/^state: //p'; }

test_up__serves_and_says_what_to_try() {
	up
	expect "$(curl -s -o /dev/null -w '%{http_code}' "http://$listen/readyz")" = 200
	expect "$(grep -c '^[123]\. ' out)" = 3
	# With the connection of the third of them plain SQL shuts the gate for HTTP, as long as its session lives.
	sed -n 's/^ *psql "\([^"]*\)".*/\1/p' out >conninfo
	{
		echo "SELECT pg_advisory_lock(deploy_gate.key('production'));"
		until [ -e enough ]; do sleep 0.1; done
	} | psql -X "$(cat conninfo)" -qAt >lock &
	until [ "$(state)" = closed ]; do sleep 0.1; done
	touch enough
	until [ "$(state)" = open ]; do sleep 0.1; done
	down
}

test_up__goes_where_paths_have_blanks() {
	data="our data"
	up
	sed -n 's/^ *psql "\([^"]*\)".*/\1/p' out >conninfo
	expect "$(psql -X "$(cat conninfo)" -Atc "SELECT deploy_gate.is_open('production')")" = t
	down
}

test_up__leaves_nothing_running() {
	up
	expect -e data/postgres/data/postmaster.pid
	down
	expect ! -e data/postgres/data/postmaster.pid
	expect_failure curl -s "http://$listen/healthz"
}

# They would stop each other's PostgreSQL, or tell of each other's server as of their own.
test_up__refuses_a_second() {
	up
	expect_failure env DEPLOY_GATE_UP_DIR="$PWD/data" "$root/scripts/up" >second 2>&1 </dev/null
	grep -q 'Ctrl-C ends it where it runs' second
	expect_failure env DEPLOY_GATE_UP_DIR="$PWD/elsewhere" "$root/scripts/up" >third 2>&1 </dev/null
	grep -q 'DEPLOY_GATE_UP_LISTEN says where to go' third
	expect "$(state)" = open
	expect "$(curl -s -o /dev/null -w '%{http_code}' "http://$listen/readyz")" = 200
	down
}

test_up__the_next_start_has_the_data() {
	up
	"$B/deploy-gate" --url "http://$listen" close production --reason "over the restart" >token
	down
	up
	expect "$(state)" = closed
	"$B/deploy-gate" --url "http://$listen" open production
	expect "$(state)" = open
	down
}

test_up__demo_plays_to_its_end() {
	DEPLOY_GATE_UP_DIR=$PWD/data "$root/scripts/up" demo >out 2>&1 </dev/null || { cat out >&2; exit 1; }
	expect "$(grep -c 'job .  *runs$' out)" = 16
	expect "$(grep -c ' demo  *expired ' out)" = 1
}

run_cases "$0" "$@"
