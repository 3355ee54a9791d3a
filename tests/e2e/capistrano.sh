#!/bin/sh
# Real deploys and rollbacks by Capistrano, of a real git repository to a real sshd, while jobs arrive through the client and
# through curl. Jobs and deploys write lines "TIME WHAT" into one journal, by one clock, and it is the journal that is judged.
set -eu
. "$(dirname "$0")/../support/cases.sh"
. "$(dirname "$0")/../support/e2e.sh"

# Its jobs write down of which release they are.
make_repository() {
	git init -q -b main "$E2E_REPOSITORY"
	mkdir "$E2E_REPOSITORY/bin"
	cat >"$E2E_REPOSITORY/bin/job" <<-'END'
		#!/bin/sh
		read -r now _ </proc/uptime
		echo "$now job $1 of $(cat "$(dirname "$0")/../release")" >>"$2"
	END
	chmod +x "$E2E_REPOSITORY/bin/job"
	commit_release 0
}

in_repository() {
	git -C "$E2E_REPOSITORY" -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false "$@"
}

commit_release() {
	release="release-$1"
	echo "$release" >"$E2E_REPOSITORY/release"
	in_repository add -A
	in_repository commit -q -m "$release"
}

sshd_listens() { grep -q 'Server listening' "$scratch/sshd.log"; }

# Nothing of the machine's own sshd is used. A port that is taken makes sshd end, and the next one is tried.
start_sshd() {
	ssh-keygen -q -t ed25519 -N '' -f "$scratch/host_key"
	ssh-keygen -q -t ed25519 -N '' -f "$E2E_KEY"
	cp "$E2E_KEY.pub" "$scratch/authorized_keys"
	[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
	for E2E_PORT in $(shuf -n 5 -i 20000-32000); do
		: >"$scratch/sshd.log"
		spawn /usr/sbin/sshd -D -e -f /dev/null -h "$scratch/host_key" -o "Port=$E2E_PORT" \
			-o ListenAddress=127.0.0.1 -o PidFile=none -o UsePAM=no -o StrictModes=no -o MaxStartups=100 \
			-o PasswordAuthentication=no -o PermitRootLogin=prohibit-password \
			-o "AuthorizedKeysFile=$scratch/authorized_keys" 2>"$scratch/sshd.log"
		until sshd_listens || ! kill -0 "$spawned" 2>/dev/null; do sleep 0.05; done
		! sshd_listens || break
	done
	sshd_listens || { cat "$scratch/sshd.log" >&2; exit 69; }
	echo "[127.0.0.1]:$E2E_PORT $(cut -d ' ' -f 1,2 "$scratch/host_key.pub")" >"$E2E_KNOWN_HOSTS"
	export E2E_PORT
}

# An own place for the case: the project, the target of its deploys, a gate of its own by the name of the case.
begin() {
	kill -CONT "$server" # a case that failed may have left it standing still
	cp -R "$root/tests/e2e/app/." .
	curl -s -o /dev/null -d reason="left over" "$url/v1/gates/production/force-open"
	export E2E_TARGET="$PWD/target" HOME="$PWD"
	current=$E2E_TARGET/current
	: >journal
}

# The same without sshd, where only the gate matters.
begin_without_server() {
	begin
	export E2E_PORT=
}

deploy() { timeout -k 5 120 cap production "${@:-deploy}" >>out 2>&1; }

# Runs cap until it holds; then it is the process $deploying. Its output is in out. Signals end it, even where whoever runs the
# tests has them ignored, as nohup does.
deploy_until_it_holds() {
	spawn env --default-signal cap production "$1" >>out 2>&1
	deploying=$spawned
	until_true grep -q holds journal
}

# As a shell without the client would.
job_by_curl() {
	until curl -sf -o /dev/null "$url/v1/gates/production/wait?timeout=20s"; do sleep 0.2; done
	"$current/bin/job" "$1" "$PWD/journal"
}

# So many jobs of each kind, in the background; returns when the service knows that all of them wait.
start_jobs() {
	jobs=
	for number in $(seq "$1"); do
		spawn "$client" -q run production --wait 1m -- "$current/bin/job" "c$number" "$PWD/journal"
		jobs="$jobs $spawned"
		spawn job_by_curl "h$number"
		jobs="$jobs $spawned"
	done
	until_true gate_says production "waiting.jobs.count: $(($1 * 2))"
}

finish_jobs() {
	for job in $jobs; do
		finish "$job"
	done
}

# When something was written down: at last
at() { sed -n "s/ $1\$//p" journal | tail -n 1; }

# Ends the case unless this many jobs ran, none of them between the two lines, and all after the second.
expect_jobs_after() { # FIRST LAST COUNT
	awk -v from="$(at "$1")" -v to="$(at "$2")" -v wanted="$3" '
		$2 == "job" { ran++; if ($1 < to) early++ }
		$2 == "open" { early++ }
		END { exit !(from != "" && to >= from && ran == wanted && !early) }' journal || {
		cat journal out >&2
		exit 1
	}
}

# Releases are named by the second.
next_second() { holds "$(clock) > $(at last) + 1"; }

expect_in_log() { grep -q "$1" out || { echo "not in the log: $1" >&2; cat out >&2; exit 1; }; }
expect_gate() { gate_says production "state: $1" || { curl -s "$url/v1/gates/production?format=text" >&2; exit 1; }; }

# Somebody else's window: its lease is $theirs, its token $their_token.
close_by_hand() {
	their_token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	theirs=$(curl -sf -d "token=$their_token" -d ttl=1m -d holder=ann@desk -d reason="a migration by hand" \
		"$url/v1/gates/production/close?format=text" | value_of id)
	expect -n "$theirs"
}

open_by_hand() { curl -sf -o /dev/null -d "token=$their_token" "$url/v1/gates/production/open"; }
is_queued() { curl -s "$url/v1/gates/production?format=text" | grep -q '^waiting.deploys.0.holder:'; }
lease_of() { curl -sf "$url/v1/leases/$1?format=text" | grep -E '^(state|fence|created_at|expires_at|reason):'; }

expect_jobs_to_run_at_once() {
	"$client" -q run production --wait 0s -- "$current/bin/job" c0 "$PWD/journal"
	job_by_curl h0
	expect "$(grep -c ' job ' journal)" -eq 2
}

test_capistrano__no_job_runs_during_a_deploy() {
	begin
	deploy
	expect_jobs_to_run_at_once
	commit_release deploy
	: >journal
	E2E_ACTS=updated:hold deploy_until_it_holds deploy
	expect_gate closed
	start_jobs 4
	touch go
	finish "$deploying"
	finish_jobs
	expect_jobs_after first last 8
	expect "$(grep -c "job .* of $release" journal)" -eq 8
	expect_gate open
}

test_capistrano__no_job_runs_during_a_rollback() {
	begin
	deploy
	until_true next_second
	commit_release rollback
	deploy
	: >journal
	E2E_ACTS=reverted:hold deploy_until_it_holds deploy:rollback
	start_jobs 2
	touch go
	finish "$deploying"
	finish_jobs
	expect_jobs_after first last 4
	expect "$(grep -c "job .* of $release" journal)" -eq 0
	expect_gate open
}

test_capistrano__a_killed_deploy_frees_the_jobs_by_its_ttl() {
	begin
	deploy
	: >journal
	E2E_OPTIONS=ttl=4s E2E_ACTS=updated:hold deploy_until_it_holds deploy
	start_jobs 2
	kill -KILL "$deploying"
	killed=$(clock)
	finish_jobs
	touch go
	expect "$(grep -c ' job ' journal)" -eq 4
	# The last renewal was up to a half of the TTL before the kill, and what was attached has 5 s of grace.
	expect "$(awk -v killed="$killed" '$2 == "job" && ($1 < killed + 7 || $1 > killed + 20)' journal)" = ""
	expect_gate open
}

test_capistrano__a_deploy_may_last_longer_than_its_ttl() {
	begin_without_server
	E2E_OPTIONS=ttl=2s E2E_ACTS=updated:hold deploy_until_it_holds deploy
	until_true has_held 5
	expect_gate closed
	gate_says production 'window.attached: true'
	touch go
	finish "$deploying"
	expect_gate open
	expect "$(curl -s "$url/v1/events?kind=renewed&gate=production&limit=1&format=text" | value_of events.0.kind)" = ""
}

has_held() { holds "$(clock) > $(at holds) + $1"; }
gave_up_stream() { grep -q '/attach .* 499 ' "$scratch/nginx/access"; }

# nginx that ignores what the service asks of it keeps the events back.
test_capistrano__a_proxy_that_keeps_streams_back_costs_nothing() {
	begin_without_server
	start_nginx "proxy_ignore_headers X-Accel-Buffering;"
	E2E_OPTIONS="ttl=6s url=$through_nginx" E2E_ACTS=updated:hold deploy_until_it_holds deploy
	until_true gave_up_stream
	until_true has_held 10
	expect_gate closed
	touch go
	finish "$deploying"
	expect_gate open
}

test_capistrano__a_failing_deploy_opens_the_gate() {
	begin
	! E2E_ACTS=updated:raise deploy || exit 1
	expect_in_log 'the migration failed'
	expect -n "$(at failed)"
	expect_gate open
}

test_capistrano__a_deploy_that_exits_opens_the_gate() {
	begin_without_server
	status=0
	E2E_ACTS=updated:exit deploy || status=$?
	expect $status -eq 3
	expect "$(at failed)" = ""
	expect_gate open
}

test_capistrano__a_failing_rollback_opens_the_gate() {
	begin_without_server
	! E2E_ACTS=starting:raise deploy deploy:rollback || exit 1
	expect "$(at failed)" = ""
	expect_gate open
}

test_capistrano__a_failure_may_hold_the_gate_until_the_rollback() {
	begin_without_server
	! E2E_OPTIONS=on_failure=hold E2E_ACTS=published:raise deploy || exit 1
	expect_gate crashed
	deploy deploy_gate:status
	expect_in_log 'production is crashed by [^,]*$'
	deploy deploy:rollback
	expect_gate open
}

test_capistrano__a_held_gate_stops_the_deploy_and_stays_held() {
	begin
	close_by_hand
	before=$(lease_of "$theirs")
	status=0
	deploy || status=$?
	expect $status -eq 75
	expect_in_log 'ann@desk'
	expect_in_log 'a migration by hand'
	expect_failure grep 'Error)' out
	expect "$(cat journal)" = ""
	expect ! -e target
	expect "$(lease_of "$theirs")" = "$before"
	expect_gate closed
	open_by_hand
	expect_gate open
}

test_capistrano__a_deploy_can_wait_its_turn() {
	begin_without_server
	close_by_hand
	E2E_OPTIONS=wait=1m spawn cap production deploy >>out 2>&1
	until_true grep -q 'waits: .*ann@desk' out
	until_true is_queued
	opened=$(clock)
	open_by_hand
	finish "$spawned"
	expect -n "$(at first)"
	holds "$(at first) >= $opened"
}

test_capistrano__a_deploy_waits_for_longer_than_the_server_lets_a_request() {
	begin_without_server
	close_by_hand
	DEPLOY_GATED_MAX_WAIT=1s spawn "$gated" --listen "unix:$PWD/brief" \
		--database "$DEPLOY_GATE_TEST_PG dbname=$database" 2>>brief.log
	until_true grep -q event=ready brief.log
	status=0
	E2E_OPTIONS=wait=4s DEPLOY_GATE_URL="unix:$PWD/brief" deploy || status=$?
	kill "$spawned"
	expect $status -eq 75
	expect_in_log 'exit 75 (held)'
	open_by_hand
}

sql_waits() { psql -XAt "$DEPLOY_GATE_TEST_PG dbname=$database" -c "SELECT NOT granted FROM deploy_gate.locks
	WHERE gate = 'production' AND application_name = 'next'" | grep -qx t; }

test_capistrano__a_gate_that_somebody_else_has_by_then_is_not_said_to_be_open() {
	begin_without_server
	E2E_ACTS=published:hold deploy_until_it_holds deploy
	PGAPPNAME=next spawn psql -X "$DEPLOY_GATE_TEST_PG dbname=$database" \
		-c "SELECT pg_advisory_lock(deploy_gate.key('production'))" -c '\! until [ -e end ]; do sleep 0.05; done' >/dev/null
	until_true sql_waits
	touch go
	finish "$deploying"
	touch end
	expect_in_log 'the window over production has ended, but the gate is shut: production is closed by a plain SQL session'
	expect_failure grep 'production is open' out
	finish "$spawned"
	deploy
	expect_in_log 'production is open'
}

test_capistrano__one_who_gives_up_waiting_leaves_the_queue() {
	begin_without_server
	close_by_hand
	E2E_OPTIONS=wait=1m spawn env --default-signal cap production deploy >>out 2>&1
	until_true is_queued
	kill -TERM "$spawned"
	! finish "$spawned" || exit 1
	expect_failure is_queued
	open_by_hand
}

test_capistrano__a_lost_window_aborts_the_deploy() {
	begin
	E2E_OPTIONS=ttl=3s E2E_ACTS=updated:hold deploy_until_it_holds deploy
	curl -sf -o /dev/null -d reason=test "$url/v1/gates/production/force-open"
	status=0
	finish "$deploying" || status=$?
	touch go
	expect $status -eq 76
	expect_in_log 'not ours any more'
	expect "$(at published)" = ""
}

# The server stands still; the deploy must be over before its window can be.
test_capistrano__silence_aborts_the_deploy_in_time() {
	begin
	E2E_OPTIONS=ttl=4s E2E_ACTS=updated:hold deploy_until_it_holds deploy
	kill -STOP "$server"
	stopped=$(clock)
	spawn sh -c 'sleep 20; touch go' >/dev/null 2>&1 # lest one that is not aborted holds forever
	status=0
	finish "$deploying" || status=$?
	ended=$(clock)
	kill -CONT "$server"
	touch go
	expect $status -eq 76
	holds "$ended < $stopped + 4"
	expect "$(at published)" = ""
	until_true gate_says production 'state: open'
}

test_capistrano__an_outage_shorter_than_the_ttl_costs_nothing() {
	begin_without_server
	E2E_OPTIONS=ttl=15s E2E_ACTS=updated:hold deploy_until_it_holds deploy
	kill -STOP "$server"
	stopped=$(clock)
	until_true passed 7
	kill -CONT "$server"
	expect_gate closed
	touch go
	finish "$deploying"
	expect -n "$(at published)"
	expect_gate open
}

passed() { holds "$(clock) > $stopped + $1"; }

# Nobody has said that the window is lost: the deploy goes on beyond its TTL.
test_capistrano__silence_may_be_sat_out() {
	begin_without_server
	E2E_OPTIONS="ttl=4s on_silence=finish" E2E_ACTS=updated:hold deploy_until_it_holds deploy
	kill -STOP "$server"
	stopped=$(clock)
	until_true passed 6
	kill -0 "$deploying"
	touch go
	kill -CONT "$server"
	finish "$deploying"
	expect -n "$(at published)"
	expect_gate open
}

# Meanwhile somebody opened the gate through another server: the first that the deploy hears ends it.
test_capistrano__who_sat_out_the_silence_hears_that_the_window_is_lost() {
	begin_without_server
	E2E_OPTIONS="ttl=4s on_silence=finish" E2E_ACTS=updated:hold deploy_until_it_holds deploy
	kill -STOP "$server"
	spawn "$gated" --listen "unix:$scratch/two.sock" --name two --database "$DEPLOY_GATE_TEST_PG dbname=$database" \
		2>>"$scratch/two.log"
	two=$spawned
	until_true curl -sf -o /dev/null --unix-socket "$scratch/two.sock" http://localhost/readyz
	until_true curl -sf -o /dev/null --unix-socket "$scratch/two.sock" -d reason=test \
		http://localhost/v1/gates/production/force-open
	kill -CONT "$server"
	status=0
	finish "$deploying" || status=$?
	touch go
	expect $status -eq 76
	expect_in_log 'not ours any more'
	expect "$(at published)" = ""
	kill -TERM "$two"
	finish "$two"
}

# A deploy that is ended by a signal opens the gate, and does not go on.
expect_signal_opens() {
	E2E_ACTS=updated:hold deploy_until_it_holds deploy
	kill "-$1" "$deploying"
	! finish "$deploying" || exit 1
	expect_gate open
	expect "$(at published)" = ""
	touch go
}

test_capistrano__term_opens_the_gate_at_once() { begin; expect_signal_opens TERM; }
test_capistrano__hup_opens_the_gate_at_once() { begin_without_server; expect_signal_opens HUP; }

test_capistrano__a_forked_child_does_not_open_the_gate() {
	begin_without_server
	E2E_ACTS="updated:fork updated:hold" deploy_until_it_holds deploy
	expect_gate closed
	touch go
	finish "$deploying"
}

test_capistrano__the_token_is_told_to_nobody() {
	begin
	E2E_ACTS=updated:tell deploy
	expect "$(wc -c <secret)" -eq 32
	expect -e log/capistrano.log
	expect_failure grep -rqF "$(cat secret)" out log journal target "$scratch/server.log"
}

test_capistrano__deploys_inside_a_window_use_that_window() {
	begin_without_server
	"$client" -q deploy production -- cap production deploy >>out 2>&1
	expect_in_log 'closed already'
	expect -n "$(at last)"
	expect_gate open
}

test_capistrano__deploys_inside_a_job_of_a_window_use_that_window() {
	begin_without_server
	"$client" -q deploy production -- "$client" -q run elsewhere -- cap production deploy >>out 2>&1
	expect_in_log 'closed already'
	expect -n "$(at last)"
	expect_gate open
}

test_capistrano__deploys_inside_a_job_are_told_of_its_pass_too() {
	begin_without_server
	E2E_ACTS=updated:outside "$client" -q run elsewhere -- cap production deploy >>out 2>&1
	expect_in_log 'cannot close elsewhere from inside a pass'
	expect_gate open
}

test_capistrano__jobs_of_the_deploy_itself_are_let_in() {
	begin_without_server
	E2E_ACTS=updated:inside deploy
	expect -e inside
}

test_capistrano__several_addresses_are_tried_in_turn() {
	begin_without_server
	E2E_OPTIONS="url=http://127.0.0.1:1,unix:$scratch/none,unix:$scratch/gate.sock" deploy
	expect -n "$(at last)"
	expect_gate open
}

test_capistrano__an_address_of_somebody_else_is_left_for_the_next() {
	begin_without_server
	spawn ruby -rsocket -e 'other = TCPServer.new("127.0.0.1", 0)
		File.write("new", other.addr[1])
		File.rename("new", "port")
		loop do
			client = other.accept
			client.write("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\na page")
			client.close_write
			client.read
			client.close
		end'
	until_true test -e port
	E2E_OPTIONS="url=http://127.0.0.1:$(cat port),$url" deploy
	expect -n "$(at last)"
	expect_gate open
	status=0
	E2E_OPTIONS="url=http://127.0.0.1:$(cat port)" deploy deploy_gate:status || status=$?
	expect $status -eq 69
	expect_in_log "exit 69 (unavailable): http://127.0.0.1:$(cat port) answers HTTP 404 and is no deploy-gate"
}

test_capistrano__no_service_no_deploy() {
	begin_without_server
	status=0
	E2E_OPTIONS="url=ftp://gate" deploy || status=$?
	expect $status -eq 78
	status=0
	E2E_GATE="pro duction" deploy || status=$?
	expect $status -eq 78
	expect_in_log '"pro duction" is not the name of a gate'
	expect "$(cat journal)" = ""
}

test_capistrano__tasks_tell_and_refuse() {
	begin_without_server
	close_by_hand
	deploy deploy_gate:status
	expect_in_log 'production is closed by ann@desk: a migration by hand'
	status=0
	deploy deploy_gate:open || status=$?
	expect $status -eq 64
	expect_gate closed
	open_by_hand
	cap production deploy_gate:close deploy_gate:status deploy_gate:open >>out 2>&1
	expect_in_log 'production is closed by .*cap production deploy_gate:close'
	expect_gate open
}

E2E_USER=$(id -un)
export E2E_USER E2E_ROOT="$root" E2E_REPOSITORY="$scratch/repository" E2E_KEY="$scratch/key" \
	E2E_KNOWN_HOSTS="$scratch/known_hosts" E2E_CLIENT="$client"
make_repository
start_sshd
start_server
run_cases "$0" "$@"
