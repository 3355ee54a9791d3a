#!/bin/sh
# The Makefile on machines that lack something: what pkg-config is told in place of the libraries that are installed here.
set -eu
. "$(dirname "$0")/../support/cases.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
unset MAKEFLAGS MFLAGS

# A machine that has these libraries and no others: machine LIBRARY…
machine() {
	export PKG_CONFIG_LIBDIR="$PWD" PKG_CONFIG_PATH=
	for library; do
		printf 'Name: %s\nDescription: -\nVersion: 1\nCflags: -I/of/%s\n' "$library" "$library" >"$library.pc"
	done
}

# Prints how a source would be compiled.
dry_run() { make -n -C "$root" B="$PWD/build" "$PWD/build/server/pg/session.o"; }

test_make__builds_where_what_only_tests_need_is_missing() {
	machine libpq libmicrohttpd libuv libcjson gnutls libcurl
	dry_run >out 2>err
	expect "$(grep -c -- '-I/of/libpq .*-I/of/libcurl' out)" = 1
	expect "$(cat err)" = ""
}

test_make__says_how_to_get_the_libraries_that_are_missing() {
	machine libpq libmicrohttpd libcjson gnutls libcurl
	dry_run >/dev/null 2>err
	grep -q 'scripts/setup build' err
}

run_cases "$0" "$@"
