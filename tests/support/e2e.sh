# shellcheck shell=sh disable=SC2034,SC2154
# A gate for the tests from outside: a real server on a free port with a database of its own. Source it behind cases.sh,
# whose scratch it uses. Whatever spawn started is stopped at the end. root is the top of the tree.
root=$(cd "$(dirname "$0")/../.." && pwd)
gated=${DEPLOY_GATED_BIN:-$root/build/deploy-gated}
client=${DEPLOY_GATE_BIN:-$root/build/deploy-gate}
: >"$scratch/spawned"
export DEPLOY_GATE_STATE_DIR="$scratch/state"
unset DEPLOY_GATE_TOKEN DEPLOY_GATE_URL DEPLOY_GATE_ACCESS_TOKEN http_proxy

# No test waits for a reply longer than the longest of the contract's that it asks for.
curl() { command curl --max-time 120 "$@"; }

# When a process began, in ticks. With its number that means one process for good: numbers alone are given out again.
began() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# Starts a command in the background that is stopped, at the latest, when the test ends. Sets spawned to its process.
spawn() {
	"$@" &
	spawned=$!
	echo "$spawned $(began $spawned)" >>"$scratch/spawned"
}

# Returns once the command succeeds; gives up, and ends the case, after 60 s at least.
until_true() {
	tries=1200
	until "$@"; do
		[ $((tries -= 1)) -gt 0 ] || { echo "never came true: $*" >&2; exit 1; }
		sleep 0.05
	done
}

# Whether a process that spawn started has ended, though perhaps nobody has asked yet how.
is_over() {
	grep -qx "$1 $(began "$1")" "$scratch/spawned" || return 0
	case $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) in Z* | '') ;; *) return 1 ;; esac
}

# Waits for a process that spawn started, and ends as it did. One that does not end fails the case, not all that come after it.
finish() {
	until_true is_over "$1"
	wait "$1"
}

# Seconds on the one clock that jobs and deploys write down.
clock() {
	read -r uptime _ </proc/uptime
	echo "$uptime"
}

# Whether the sum or comparison, in awk's words, is true: holds "$a + 1 < $b"
holds() { awk "BEGIN { exit !($*) }"; }

start_database() {
	if [ -z "${DEPLOY_GATE_TEST_PG-}" ]; then
		chmod 755 "$scratch"
		own_cluster=$scratch/pg
		DEPLOY_GATE_TEST_PG=$("$root/scripts/postgres" start "$own_cluster")
	fi
	database=e2e_$$
	psql -X "$DEPLOY_GATE_TEST_PG" -qc "CREATE DATABASE $database"
}

# The address of the last start, where the log tells of several.
server_address() { sed -n 's/.*address=\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$scratch/server.log" | tail -n 1; }

serves() { [ -n "$(server_address)" ] && curl -sf -o /dev/null "http://$(server_address)/readyz"; }

launch() { # ADDRESS
	spawn "$gated" --listen "$1" --listen "unix:$scratch/gate.sock" \
		--database "$DEPLOY_GATE_TEST_PG dbname=$database" 2>>"$scratch/server.log"
	server=$spawned
	(until_true serves) || { cat "$scratch/server.log" >&2; exit 69; }
}

# Sets url and exports it as DEPLOY_GATE_URL; server is its process.
start_server() {
	start_database
	launch 127.0.0.1:0
	url=http://$(server_address)
	export DEPLOY_GATE_URL="$url"
}

nginx_answers() { curl -s -o /dev/null "$through_nginx/"; }

# An nginx in front of the server, at $through_nginx. It is told proxy_pass and not a word more, unless there is an argument:
# HTTP/1.0 and its own Host upstream, 60 s of patience, buffers.
start_nginx() { # DIRECTIVES
	mkdir -p "$scratch/nginx"
	for port in $(shuf -n 5 -i 20000-32000); do
		through_nginx=http://127.0.0.1:$port
		cat >"$scratch/nginx/conf" <<-END
			pid $scratch/nginx/pid;
			events {}
			http {
				access_log $scratch/nginx/access;
				client_body_temp_path $scratch/nginx/body;
				proxy_temp_path $scratch/nginx/proxy;
				fastcgi_temp_path $scratch/nginx/fastcgi;
				uwsgi_temp_path $scratch/nginx/uwsgi;
				scgi_temp_path $scratch/nginx/scgi;
				server {
					listen 127.0.0.1:$port;
					location / { proxy_pass $url; ${1-} }
				}
			}
		END
		spawn /usr/sbin/nginx -p "$scratch/nginx" -e "$scratch/nginx/log" -c "$scratch/nginx/conf" -g 'daemon off;' \
			2>/dev/null
		until nginx_answers || ! kill -0 "$spawned" 2>/dev/null; do sleep 0.05; done
		! kill -0 "$spawned" 2>/dev/null || return 0
	done
	cat "$scratch/nginx/log" >&2
	exit 69
}

server_is_gone() { ! kill -0 "$server" 2>/dev/null; }

# Stops it and starts it at the same address.
restart_server() {
	kill -TERM "$server"
	until_true server_is_gone
	launch "${url#http://}"
}

# The server has 60 s to end well, else the test has failed.
stop_server() {
	{ sleep 60; kill -KILL "$server"; } >/dev/null 2>&1 &
	guard=$!
	wait "$server" || { echo "deploy-gated ended with $?" >&2; cat "$scratch/server.log" >&2; exit_status=1; }
	kill $guard
}

stop_all() {
	exit_status=$?
	set +e
	trap '' INT TERM HUP
	while read -r pid since; do
		[ "$(began "$pid")" = "$since" ] || continue
		kill -TERM "$pid"
		kill -CONT "$pid"
	done <"$scratch/spawned" 2>/dev/null
	[ -z "${server-}" ] || stop_server
	wait
	[ -z "${database-}" ] || psql -X "$DEPLOY_GATE_TEST_PG" -qc "DROP DATABASE IF EXISTS $database WITH (FORCE)"
	[ -z "${own_cluster-}" ] || "$root/scripts/postgres" stop "$own_cluster"
	rm -rf "$scratch"
	exit $exit_status
}
trap stop_all EXIT
trap 'exit 130' INT TERM HUP

# One line of the gate's text form: gate_says production 'state: open'
gate_says() { curl -s "$url/v1/gates/$1?format=text" | grep -qx "$2"; }

# The value of a key of a text reply: value_of fence <reply
value_of() { sed -n "s/^$1: //p"; }
