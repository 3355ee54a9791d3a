#!/bin/sh
# Runs each recipe of the README as it stands there: the block behind `<!-- recipe: NAME -->`. Those for curl also go through
# a real nginx that is told nothing but where to send what it gets.
set -eu
. "$(dirname "$0")/../support/cases.sh"
. "$(dirname "$0")/../support/e2e.sh"

recipe() {
	awk -v marker="<!-- recipe: $1 -->" '
		$0 == marker { found = 1; next }
		found && /^```/ { if (inside) exit; inside = 1; next }
		inside { print; lines++ }
		END { exit !lines }' "$root/README.md"
}

# A home as the recipes expect it. Job and deploy write down when they ran; the deploy holds until the file go is there.
begin() {
	export HOME="$PWD"
	mkdir -p shop/current/bin shop/bin
	cat >shop/current/bin/send-invoices <<-'END'
		#!/bin/sh
		read -r now _ </proc/uptime
		echo "$now job" >>"$HOME/journal"
	END
	cat >shop/bin/deploy <<-'END'
		#!/bin/sh
		read -r now _ </proc/uptime
		echo "$now first" >>"$HOME/journal"
		while [ -d "$HOME" ] && ! [ -e "$HOME/go" ]; do sleep 0.05; done
		read -r now _ </proc/uptime
		echo "$now last" >>"$HOME/journal"
		exit "$(cat "$HOME/go")"
	END
	chmod +x shop/current/bin/send-invoices shop/bin/deploy
	: >journal
	curl -s -o /dev/null -d reason="left over" "$url/v1/gates/production/force-open"
}

# Makes a program of a recipe.
program() {
	recipe "$1" >"./$1"
	chmod +x "$1"
}

at() { sed -n "s/ $1\$//p" journal; }

close_by_hand() {
	token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	curl -sf -o /dev/null -d "token=$token" -d ttl=5m -d holder=ann@desk -d reason="a migration" \
		"$url/v1/gates/production/close"
}

open_by_hand() {
	opened=$(clock)
	curl -sf -o /dev/null -d "token=$token" "$url/v1/gates/production/open"
}

# Ends the case unless the program, in the background, waits while the gate is shut and runs the job when it opens.
expect_to_wait() {
	close_by_hand
	spawn "$@" >out 2>&1
	until_true gate_says production 'waiting.jobs.count: 1'
	expect "$(cat journal)" = ""
	open_by_hand
	finish "$spawned"
}

expect_job_after_opening() {
	expect "$(wc -l <journal)" -eq 1
	holds "$(at job) >= $opened && $(at job) < $opened + 15"
}

test_readme__each_recipe_is_run() {
	sed -n 's/^<!-- recipe: \(.*\) -->$/\1/p' "$root/README.md" >names
	expect "$(wc -l <names)" -ge 11
	while read -r name; do
		grep -qE "(recipe|program) $name\\>" "$root/tests/e2e/readme.sh" || { echo "not run: $name" >&2; exit 1; }
	done <names
}

# As cron would: five fields, a percent sign ends the command, a short environment.
test_readme__crontab() {
	begin
	command=$(recipe crontab | sed -nE 's/^([^ ]+ ){5}//p')
	expect "$command" = "${command%%%*}"
	expect_to_wait env -i HOME="$HOME" PATH="$PATH" DEPLOY_GATE_URL="$url" /bin/sh -c "$command"
	expect_job_after_opening
}

test_readme__preamble() {
	begin
	program preamble
	expect_to_wait ./preamble
	grep -qx 'sends invoices' out
}

test_readme__by_hand() {
	begin
	program by-hand
	sh ./by-hand >out
	grep -q '^production *closed .*  new disks  ' out
	gate_says production 'state: open'
}

# Each request of the table is one that the service knows: it minds the parameter, and neither the path nor the method.
test_readme__requests() {
	# shellcheck disable=SC2016 # for awk
	awk -F '[|]' '/^\| request/ { inside = 1; next } inside && !/^\|/ { exit } inside { print $2 }' "$root/README.md" |
		tr -d '`' | tr ',' '\n' | grep / >requests
	expect "$(wc -l <requests)" -ge 17
	while read -r request; do
		path=$(echo "${request##* }" | sed 's/{gates\{0,1\}}/readme/; s/{id}/0123456789abcdef0123456789abcdef/')
		for method in ${request% *}; do
			expect "$method $path $(curl -s -o /dev/null -w '%{http_code}' -X "$method" "$url$path?nonsense=1")" = \
				"$method $path 400"
		done
	done <requests
}

test_readme__exit_codes() {
	sed -n 's/^| \([0-9]\{1,3\}\)\(, [0-9]*\)* | .*/\1/p' "$root/README.md" >told
	"$client" --help | sed -n '/^Exit codes/,$s/^ *\([0-9]\{1,3\}\)  .*/\1/p' | grep -vx 70 >known
	expect -s told
	cmp told known
}

# The script is killed, and what it runs goes on.
test_readme__while_pid() {
	begin
	program while-pid
	spawn ./while-pid
	until_true grep -q first journal
	gate_says production 'state: closed'
	gate_says production 'window.reason: release 42'
	kill -KILL "$spawned"
	until_true gate_says production 'state: open'
	expect -z "$(at last)"
	echo 0 >go
}

curl_job() {
	begin
	program curl-job
	expect_to_wait env DEPLOY_GATE_URL="$1" ./curl-job
	expect_job_after_opening
}

test_readme__curl_job() { curl_job "$url"; }
test_readme__curl_job_through_nginx() { curl_job "$through_nginx"; }

# nginx ends a request after 60 s. The job does not notice, a deploy stands in line for less; one long wait does.
test_readme__curl_outlasts_the_patience_of_nginx() {
	begin
	program curl-job
	program curl-deploy
	close_by_hand
	spawn env DEPLOY_GATE_URL="$through_nginx" ./curl-job >out 2>&1
	job=$spawned
	spawn env DEPLOY_GATE_URL="$through_nginx" ./curl-deploy >refused 2>&1
	expect "$(curl -s -o /dev/null -w '%{http_code}' "$through_nginx/v1/gates/production/wait?timeout=10m")" = 504
	status=0
	finish "$spawned" || status=$?
	expect $status -eq 75
	grep -q 'ann@desk' refused
	expect "$(cat journal)" = ""
	gate_says production 'window.holder: ann@desk'
	open_by_hand
	finish "$job"
	expect_job_after_opening
}

test_readme__curl_job_outlasts_a_restart() {
	begin
	program curl-job
	close_by_hand
	spawn env DEPLOY_GATE_URL="$through_nginx" ./curl-job >out 2>&1
	job=$spawned
	until_true gate_says production 'waiting.jobs.count: 1'
	restart_server
	until_true gate_says production 'waiting.jobs.count: 1'
	open_by_hand
	finish "$job"
	expect_job_after_opening
}

test_readme__a_deploy_waits_until_a_curl_job_has_left() {
	begin
	program curl-job
	cat >>shop/current/bin/send-invoices <<-'END'
		while [ -d "$HOME" ] && ! [ -e "$HOME/go" ]; do sleep 0.05; done
		exit 3
	END
	spawn env DEPLOY_GATE_URL="$through_nginx" ./curl-job
	job=$spawned
	until_true grep -q job journal
	gate_says production 'passes.count: 1'
	spawn "$client" close production --drain 5m --token-file token
	until_true gate_says production 'state: draining'
	: >go
	status=0
	finish "$job" || status=$?
	expect $status -eq 3
	finish "$spawned"
	gate_says production 'state: closed'
	"$client" open production --token-file token
}

test_readme__curl_job_gives_up_on_what_does_not_pass() {
	begin
	program curl-job
	status=0
	DEPLOY_GATE_URL=$url/nowhere ./curl-job 2>out || status=$? # 404
	expect $status -eq 70
	expect "$(cat journal)" = ""
}

curl_deploy() {
	begin
	program curl-deploy
	program curl-job
	spawn env DEPLOY_GATE_URL="$1" ./curl-deploy >out 2>&1
	deploy=$spawned
	until_true grep -q first journal
	gate_says production 'state: closed'
	gate_says production "window.holder: $(id -un)@$(hostname)"
	gate_says production 'window.reason: release 42'
	spawn env DEPLOY_GATE_URL="$1" ./curl-job
	until_true gate_says production 'waiting.jobs.count: 1'
	echo "$2" >go
	status=0
	finish "$deploy" || status=$?
	expect $status -eq "$2"
	finish "$spawned"
	gate_says production 'state: open'
	holds "$(at last) <= $(at job)"
}

test_readme__curl_deploy() { curl_deploy "$url" 0; }
test_readme__curl_deploy_through_nginx() { curl_deploy "$through_nginx" 0; }
test_readme__curl_deploy_that_fails() { curl_deploy "$url" 3; }

test_readme__curl_status() {
	begin
	program curl-status
	close_by_hand
	expect "$(sh ./curl-status)" = "closed
held by ann@desk
because: a migration"
	open_by_hand
	expect "$(DEPLOY_GATE_URL=$through_nginx sh ./curl-status)" = "open"
}

has_events() { [ "$(grep -c "^$1\$" events)" -ge "$2" ]; }

# Each event arrives when it happens: nginx holds none back, although nobody told it not to. And it is the stream that keeps
# the window, whose TTL is shorter than this takes.
test_readme__curl_attach_through_nginx() {
	begin
	program curl-attach
	token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	curl -sf -o /dev/null -d ttl=3s -d "token=$token" "$url/v1/gates/production/close"
	spawn env DEPLOY_GATE_URL="$through_nginx" token="$token" sh ./curl-attach >events
	until_true has_events attached 1
	expect_failure has_events renewed 3
	until_true has_events renewed 3
	gate_says production 'state: closed'
	curl -sf -o /dev/null -d "token=$token" "$url/v1/gates/production/open"
	until_true has_events lost 1
	finish "$spawned"
}

psql_waits() {
	psql -X "$DEPLOY_GATE_TEST_PG dbname=$database" -Atc "
		SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL deploy_gate.%'" | grep -qx 1
}

test_readme__psql_job() {
	begin
	program psql-job
	close_by_hand
	DATABASE_URL="$DEPLOY_GATE_TEST_PG dbname=$database" spawn sh ./psql-job >out 2>&1
	until_true psql_waits
	expect "$(cat journal)" = ""
	open_by_hand
	finish "$spawned"
	expect_job_after_opening
}

test_readme__psql_enter() {
	begin
	program psql-enter
	close_by_hand
	DATABASE_URL="$DEPLOY_GATE_TEST_PG dbname=$database" spawn sh ./psql-enter >out 2>&1
	until_true psql_waits
	expect_failure grep -q 'the nightly report' out
	open_by_hand
	finish "$spawned"
	grep -q 'the nightly report' out
	gate_says production 'state: open'
	expect "$(psql -X "$DEPLOY_GATE_TEST_PG dbname=$database" -Atc "SELECT count(*) FROM deploy_gate.locks WHERE NOT ours")" = 0
}

test_readme__gate() {
	begin
	program gate
	sh ./gate >out
	grep -qx 'limit      20' out
	grep -qx 'on_drain   stop' out
	grep -qx 'production is open.' out
	"$client" -q gate production --reset
}

test_readme__psql_close() {
	begin
	program psql-close
	close_by_hand
	DATABASE_URL="$DEPLOY_GATE_TEST_PG dbname=$database" spawn sh ./psql-close >out 2>&1
	until_true psql_waits
	expect_failure grep -q 'the migration' out
	open_by_hand
	finish "$spawned"
	grep -q 'the migration' out
	until_true gate_says production 'state: open'
}

# A project whose stage has no server: its tasks run, with nobody to run them at.
test_readme__capistrano() {
	begin
	mkdir -p config/deploy lib/capistrano
	cp -R "$root/scripts/capistrano/." lib/capistrano
	printf 'require "capistrano/setup"\nrequire "capistrano/deploy"\n' >Capfile
	printf 'require "capistrano/scm/git"\ninstall_plugin Capistrano::SCM::Git\n' >>Capfile
	recipe Capfile >>./Capfile
	echo 'set :application, "shop"' >config/deploy.rb
	recipe deploy.rb >>config/deploy.rb
	echo 'after("deploy:updated", "shop:deploy") { system "shop/bin/deploy" or exit 1 }' >>config/deploy.rb
	touch config/deploy/production.rb
	program curl-job
	spawn cap production deploy >out 2>&1
	until_true grep -q first journal
	gate_says production.shop 'state: closed'
	gate_says production 'state: open'
	echo 0 >go
	finish "$spawned"
	gate_says production.shop 'state: open'
	expect -n "$(at last)"
}

mkdir "$scratch/bin"
ln -s "$client" "$scratch/bin/deploy-gate"
PATH=$scratch/bin:$PATH
start_server
start_nginx ''
run_cases "$0" "$@"
