# shellcheck shell=sh
# Runs the cases of a shell test as cmocka runs those of C. Source it, define functions test_NAME() {…} that fail by their
# status, and end with: run_cases "$0" "$@". Each case starts in an empty directory of its own.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Ends the case unless the expression, one of test(1), holds: expect "$is" = "what it should be"
expect() {
	# shellcheck disable=SC2244
	[ "$@" ] || {
		echo "expected: $*" >&2
		exit 1
	}
}

# Ends the case unless the command fails.
expect_failure() {
	! "$@" || {
		echo "expected to fail: $*" >&2
		exit 1
	}
}

# Runs one case and sets status. Its subshell stands in no condition, because in one `set -e` means nothing.
run_case() {
	echo "[ RUN      ] $1"
	mkdir "$scratch/$1"
	set +e
	(set -e; cd "$scratch/$1"; "$1")
	status=$?
	set -e
	case $status in
	0) echo "[       OK ] $1" ;;
	*) echo "[  FAILED  ] $1" ;;
	esac
}

# Runs the cases that are named, or all that the program defines, in its order.
run_cases() {
	program=$1
	shift
	failed=
	# shellcheck disable=SC2046 # names are words
	[ $# -gt 0 ] || set -- $(sed -n 's/^\(test_[A-Za-z0-9_]*\)() {.*/\1/p' "$program")
	echo "[==========] Running $# test(s)."
	for name; do
		run_case "$name"
		[ $status -eq 0 ] || failed="$failed $name"
	done
	# shellcheck disable=SC2086
	failures=$(set -- $failed; echo $#)
	echo "[==========] $# test(s) run."
	echo "[  PASSED  ] $(($# - failures)) test(s)."
	[ -n "$failed" ] || return 0
	echo "[  FAILED  ] $failures test(s), listed below:$failed"
	return 1
}
