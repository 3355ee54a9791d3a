#!/bin/sh
# The checks of `make lint` that are ours: each must find what it is there for, and nothing else.
set -eu
. "$(dirname "$0")/../support/cases.sh"
scripts=$(cd "$(dirname "$0")/../../scripts" && pwd)

# Makes a source file that includes the headers named: source FILE HEADER…
source_file() {
	file=$1
	shift
	mkdir -p "$(dirname "$file")"
	: >"$file"
	for header; do
		echo "#include \"$header\"" >>"$file"
	done
	echo '/* … */' >>"$file"
}

tree() {
	mkdir server
	printf '# bottom first\nbase/low base/near\npg/mid\nmain\n' >server/LAYERS
	source_file server/base/low.h
	source_file server/base/low.c low.h base/near.h
	source_file server/base/near.h
	source_file server/pg/mid.h
	source_file server/pg/mid.c mid.h base/low.h
	source_file server/main.c pg/mid.h
	source_file client/main.c base/near.h run.h
	source_file client/run.h
}

breach() {
	expect_failure "$scripts/check-layers" . >out
	grep -qF "$1" out || { cat out >&2; exit 1; }
}

test_layers__passes_what_goes_down_or_stays() {
	tree
	"$scripts/check-layers" .
}

test_layers__fails_on_an_include_upwards() {
	tree
	source_file server/base/near.c pg/mid.h
	breach "server/base/near.c:1: base/near may not include pg/mid.h"
}

test_layers__fails_on_a_header_that_includes_upwards() {
	tree
	source_file server/base/low.h ../pg/mid.h
	breach "server/base/low.h:1: base/low may not include"
}

test_layers__fails_on_a_module_that_is_not_listed() {
	tree
	source_file server/http/new.c
	breach "the module http/new is not listed"
}

test_layers__fails_on_a_listed_module_without_files() {
	tree
	rm server/pg/mid.*
	source_file server/main.c
	breach "server/LAYERS:3: the module pg/mid has no file"
}

test_layers__waits_for_main_before_it_misses_files() {
	tree
	rm server/pg/mid.* server/main.c
	"$scripts/check-layers" .
}

test_layers__the_client_may_use_nothing_but_base() {
	tree
	source_file client/run.c pg/mid.h
	breach "client may not include pg/mid.h"
}

# A file with one function whose body has so many lines, and so many lines behind it.
long_file() {
	printf 'static int f(int a)\n{\n'
	yes '	a++;' | head -n "$1"
	printf '}\n'
	yes '/* … */' | head -n "$2"
}

test_size__passes_at_the_limits() {
	long_file 50 347 >a.c
	"$scripts/check-size" a.c a.c
}

test_size__fails_on_a_long_function() {
	long_file 51 0 >a.c
	long_file 1 1 >b.c
	expect_failure "$scripts/check-size" a.c b.c >out
	expect "$(cat out)" = "a.c:2: f() has 51 lines, more than 50"
}

test_size__fails_on_a_long_file() {
	long_file 1 1 >a.c
	long_file 50 348 >b.c
	expect_failure "$scripts/check-size" b.c a.c >out
	expect "$(cat out)" = "b.c: the file has 401 lines, more than 400"
}

test_banned__fails_on_a_call_and_says_what_to_use() {
	echo '	x = y + atoi (text);' >a.c
	expect_failure "$scripts/check-banned" a.c >out
	grep -q '^a.c:1: atoi() is banned; use strtoll' out
}

test_banned__passes_members_comments_strings_and_longer_names() {
	cat >a.c <<-'END'
		/* Not strcpy(), and not
		 * gets() either. */
		p->system(1);
		my_sprintf("use sprintf(x)");
	END
	"$scripts/check-banned" a.c
}

test_format__leaves_columns_alone() {
	printf 'struct a {\n\tint b;\t\t/* one */\n\tchar long_name;\t/* two */\n};\n' >a.c
	cp "$scripts/../.clang-format" .
	"$scripts/check-format" a.c
}

test_format__fails_and_fixes() {
	printf 'struct a {\n\tint b;\t\t/* one */\n\tchar c;\t\t/* two */\n  int d;\n};\n' >a.c
	cp "$scripts/../.clang-format" .
	expect_failure "$scripts/check-format" a.c >out
	"$scripts/check-format" --fix a.c
	expect "$(cat a.c)" = "$(printf 'struct a {\n\tint b;\t\t/* one */\n\tchar c;\t\t/* two */\n\tint d;\n};\n')"
}

run_cases "$0" "$@"
