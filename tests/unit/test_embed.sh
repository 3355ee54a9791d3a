#!/bin/sh
# scripts/embed: from SQL files to C arrays, by any awk, seen through a C program that prints them.
set -eu
. "$(dirname "$0")/../support/cases.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)

# Writes FILE below sql/ from standard input.
sql() {
	mkdir -p "sql/$(dirname "$1")"
	cat >"sql/$1"
}

# Prints each row as the compiler sees it: array, name, parameters, text.
printed() {
	"$root/scripts/embed" sql >sql.c
	cat >print.c <<-'END'
		#include <stdio.h>
		#include "pg/sql.h"
		static void print(const char *array, const struct sql_file *row)
		{
			for (; row->name; row++)
				printf("%s %s %d\n%s", array, row->name, row->parameters, row->text);
		}
		int main(void)
		{
			print("schema", sql_schema);
			print("functions", sql_functions);
			print("queries", sql_queries);
			return 0;
		}
	END
	cc -I"$root/server" -Wall -Wextra -Werror -o print print.c sql.c
	./print
}

test_embed__nothing_is_three_empty_arrays() {
	mkdir -p sql
	expect "$(printed)" = ""
}

test_embed__text_arrives_byte_for_byte() {
	sql functions/odd.sql <<-'END'
		-- a "quoted" \n comment, ??/ no trigraph, %d, ü

		  SELECT	 E'\\a\t\'', $$x "y" \ z$$, ':''word''', 1::text;
	END
	expect "$(printed)" = "functions odd 0
$(cat sql/functions/odd.sql)"
}

test_embed__a_file_without_last_line_break_gets_one() {
	printf 'SELECT 1' | sql schema/0001_x.sql
	expect "$(printed)" = "schema 0001_x 0
SELECT 1"
}

test_embed__long_files_come_whole() {
	awk 'BEGIN { for (i = 0; i < 3000; i++) print "SELECT \047line " i "\047;" }' | sql schema/0001_long.sql
	expect "$(printed | tail -n +2 | cksum)" = "$(cksum <sql/schema/0001_long.sql)"
}

test_embed__rows_are_sorted_by_name() {
	for file in b a_b a B 0002 0010; do
		echo "SELECT 1;" | sql "queries/$file.sql"
	done
	expect "$(printed | sed -n 's/^queries \(.*\) 0$/\1/p' | tr '\n' ' ')" = "0002 0010 B a a_b b "
}

test_embed__variables_become_parameters_in_order() {
	sql queries/q.sql <<-'END'
		-- :'first' in a comment counts for nothing
		SELECT f(:'second'::jsonb, :'first'), :'second', :'third_3'
		WHERE x = ':plain' AND y::text = 'a:b';
	END
	expect "$(printed)" = "queries q 3
-- :'first' in a comment counts for nothing
SELECT f(\$1::jsonb, \$2), \$1, \$3
WHERE x = ':plain' AND y::text = 'a:b';"
}

test_embed__variables_outside_queries_are_left() {
	echo "SELECT :'a';" | sql functions/f.sql
	expect "$(printed)" = "functions f 0
SELECT :'a';"
}

test_embed__numbers_begin_anew_in_each_file() {
	echo "SELECT :'a', :'b';" | sql queries/one.sql
	echo "SELECT :'b';" | sql queries/two.sql
	expect "$(printed | tail -n 1)" = "SELECT \$1;"
}

test_embed__refuses_commands_of_psql() {
	printf 'SELECT 1;\n\\set a 1\n' | sql queries/q.sql
	expect_failure "$root/scripts/embed" sql >out 2>err
	grep -q 'queries/q.sql:2: a psql command' err
}

test_embed__refuses_an_empty_file() {
	: | sql queries/q.sql
	expect_failure "$root/scripts/embed" sql >out 2>err
	grep -q 'an empty file' err
}

run_cases "$0" "$@"
