# Makes the report: reads the floors, then the rates and scenes that run has written. Exits 1 when one is below its floor.

function median(name, column,    list, count, i, j, swap) {
	count = split(values[name, column], list, " ")
	for (i = 2; i <= count; i++)
		for (j = i; j > 1 && list[j - 1] + 0 > list[j] + 0; j--) {
			swap = list[j]
			list[j] = list[j - 1]
			list[j - 1] = swap
		}
	return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

# The first of all: memory that was once used is kept, so later ones say less.
function first(name, column,    list) {
	split(values[name, column], list, " ")
	return list[1]
}

# The verdict on a figure, and the floor it was compared with.
function verdict(name, figure,    good) {
	if (!(name in bound))
		return ""
	good = kind[name] == "least" ? figure + 0 >= bound[name] : figure + 0 <= bound[name]
	failed = failed || !good
	return sprintf("   %s (at %s %s)", good ? "ok" : "below the floor", kind[name], bound[name])
}

function report_rate(name, title, beside,    ratio) {
	ratio = median(name, "ratio")
	printf "%-27s %8.0f %8.3f %8.3f   %-15s %8.0f %8.3f %8.3f %7.2f%s\n", title, median(name, 2), median(name, 3),
		median(name, 4), beside, median(name, 5), median(name, 6), median(name, 7), ratio, verdict(name, ratio)
}

# From an open to those it was in the way of.
function report_handover(name, whom) {
	printf "%s: %.2f ms from open to %s, p99 %.2f; between sessions %.2f, p99 %.2f%s\n", name, median(name, 2), whom,
		median(name, 3), median(name, 4), median(name, 5), verdict(name, median(name, 2))
}

/^#/ { next }
FILENAME ~ /floors$/ { kind[$1] = $2; bound[$1] = $3; next }
{
	for (i = 2; i <= NF; i++)
		values[$1, i] = values[$1, i] " " $i
	if (FILENAME ~ /rates$/)
		values[$1, "ratio"] = values[$1, "ratio"] " " ($5 ? $2 / $5 : 0)
}

END {
	printf "%-27s %8s %8s %8s   %-15s %8s %8s %8s %7s\n", "medians", "per s", "p50 ms", "p99 ms", "beside", "per s", "p50 ms",
		"p99 ms", "ratio"
	report_rate("checks-1", "checks, 1 connection", "constant reply")
	report_rate("checks-64", "checks, 64 connections", "constant reply")
	report_rate("cycles-1", "close+open, 1 connection", "pgbench")
	report_rate("cycles-16", "close+open, 16 connections", "pgbench")
	with = first("waiters", 3)
	last = median("waiters", 4)
	printf "\nwaiters: %.0f MB before, %.0f MB with them%s\n", first("waiters", 2), with, verdict("memory", with)
	printf "waiters: %.0f ms from open to the last answer, %.0f ms to the median%s\n", last, median("waiters", 5),
		verdict("waiters-last", last)
	report_handover("handover", "the answer of the close behind it")
	report_handover("inside", "the last of 100 jobs having its pass")
	exit failed
}
