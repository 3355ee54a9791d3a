#include "chaos/report.h"

#include <stddef.h>

#include "chaos/faults.h"

/* A fault that was tried so often has had its effect. */
enum { STRIKES_AT_LEAST = 3 };

/* What there is to count, and how much of it a minute must bring. */
static const struct {
	const char *says;
	size_t offset;
	unsigned least;
} counts[] = {
	{ "requests", offsetof(struct findings, ops), 1500 },
	{ "of unknown outcome", offsetof(struct findings, unknown), 0 },
	{ "windows", offsetof(struct findings, windows), 20 },
	{ "passes", offsetof(struct findings, passes), 80 },
	{ "holds in plain SQL", offsetof(struct findings, sql_holds), 40 },
	{ "of windows and passes by wrapped commands", offsetof(struct findings, commands), 8 },
	{ "passes inside a window", offsetof(struct findings, inside), 1 },
	{ "repeated with the same token", offsetof(struct findings, repeated), 30 },
	{ "renewals", offsetof(struct findings, renewed), 100 },
	{ "expired", offsetof(struct findings, expired), 8 },
	{ "forced open", offsetof(struct findings, forced), 1 },
	{ "passes overrun", offsetof(struct findings, overrun), 0 },
	{ "answers \"open\"", offsetof(struct findings, open), 200 },
	{ "answers \"shut\"", offsetof(struct findings, shut), 100 },
	{ "answers while something surely shut the gate", offsetof(struct findings, shut_judged), 30 },
	{ "waits", offsetof(struct findings, waited), 200 },
	{ "sleeps beside an open gate that could be judged", offsetof(struct findings, slept_judged), 10 },
	{ "closes that met another hold", offsetof(struct findings, contended), 30 },
	{ "fences", offsetof(struct findings, fences), 20 },
};

static unsigned count_at(const struct findings *found, size_t place)
{
	return *(const unsigned *)(const void *)((const char *)found + counts[place].offset);
}

static double seconds_of(int64_t ns)
{
	return (double)ns / 1e9;
}

void report_counts(FILE *out, const struct findings *found)
{
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		fprintf(out, "%7u %s\n", count_at(found, i), counts[i].says);
	fprintf(out, "%7.2f s at most a gate was wrongly shut\n", seconds_of(found->shut_ns));
	fprintf(out, "%7.2f s at most a waiter slept beside an open gate\n", seconds_of(found->asleep_ns));
}

static const char *says_of(const char *name)
{
	const struct fault *fault = fault_called(name);

	return fault ? fault->says : name;
}

void report_tolls(FILE *out, const struct findings *found)
{
	fputs("| fault | times (with effect) | answers: granted, open, shut, refused | unknown | slowest answer"
	      " | well again after | gate wrongly shut | waiter asleep beside an open gate |\n"
	      "| --- | --- | --- | --- | --- | --- | --- | --- |\n",
		out);
	for (const struct toll *toll = found->tolls; toll < found->tolls + found->toll_count; toll++)
		fprintf(out, "| `%s`: %s | %u (%u) | %u, %u, %u, %u | %u | %.1f s | %.1f s | %.1f s | %.1f s |\n",
			toll->name, says_of(toll->name), toll->strikes, toll->effective, toll->granted, toll->open,
			toll->shut, toll->refused, toll->unknown, seconds_of(toll->slowest_ns),
			seconds_of(toll->unwell_ns), seconds_of(toll->shut_ns), seconds_of(toll->asleep_ns));
}

bool report_is_enough(FILE *out, const struct findings *found, long seconds, bool faults)
{
	bool enough = true;
	unsigned effective = 0;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned least = (unsigned)(counts[i].least * seconds / 60);

		if (count_at(found, i) >= least)
			continue;
		fprintf(out, "too little happened: %u %s, wanted %u\n", count_at(found, i), counts[i].says, least);
		enough = false;
	}
	for (size_t i = 0; i < found->toll_count; i++) {
		effective += found->tolls[i].effective;
		if (found->tolls[i].effective || found->tolls[i].strikes < STRIKES_AT_LEAST)
			continue;
		fprintf(out, "too little happened: %s never had its effect\n", found->tolls[i].name);
		enough = false;
	}
	if (faults && effective < (unsigned)(seconds / 12)) {
		fprintf(out, "too little happened: %u faults with effect, wanted %ld\n", effective, seconds / 12);
		enough = false;
	}
	return enough;
}
