/* rates: checks, and cycles of close and open, as fast as that many callers get their answers. What counts is between two
 * instants, of which the first comes a moment after the first request. */
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "callers.h"
#include "load.h"
#include "samples.h"

#define WARM_UP_NS 200000000ULL

struct rate {
	struct callers *callers;
	struct samples samples;
	uint64_t from_ns, until_ns;
	const char *path;		/* of a check */
	struct cycle {
		char token[TOKEN_LEN + 1];
		uint64_t began_ns;
		bool holds;
	} * cycles;
};

static void note(struct rate *rate, uint64_t began_ns, uint64_t ended_ns)
{
	if (began_ns >= rate->from_ns && ended_ns <= rate->until_ns)
		samples_add(&rate->samples, ended_ns - began_ns);
}

static void measure(
	struct rate *rate, uint16_t port, char **arguments, heard_fn *heard, void (*begin)(struct rate *, unsigned))
{
	unsigned count = (unsigned)load_number(arguments[0]);
	double seconds = load_number(arguments[1]);

	rate->callers = callers_new(port, count, heard, rate);
	rate->cycles = or_die(calloc(count, sizeof(*rate->cycles)));
	rate->from_ns = now_ns() + WARM_UP_NS;
	rate->until_ns = rate->from_ns + (uint64_t)(seconds * 1e9);
	for (unsigned i = 0; i < count; i++)
		begin(rate, i);
	callers_run(rate->callers);
	printf("%.0f %.3f %.3f\n", (double)rate->samples.count / seconds, samples_ms(&rate->samples, 50),
		samples_ms(&rate->samples, 99));
	callers_free(rate->callers);
	samples_release(&rate->samples);
	free(rate->cycles);
}

/* Checks. */

static void check(struct rate *rate, unsigned caller)
{
	callers_send(rate->callers, caller, rate->path, NULL);
}

static void checked(void *context, const struct heard *heard)
{
	struct rate *rate = context;

	load_expect(heard, 200);
	note(rate, heard->sent_ns, heard->at_ns);
	if (heard->at_ns < rate->until_ns)
		check(rate, heard->caller);
}

void rates_checks(uint16_t port, char **arguments)
{
	measure(&(struct rate){ .path = arguments[2] }, port, arguments, checked, check);
}

/* Cycles: each caller has a gate of its own, and each cycle a token. */

static void send_half(struct rate *rate, unsigned caller)
{
	struct cycle *cycle = &rate->cycles[caller];
	char path[64], form[64];

	if (!cycle->holds) {
		load_token(cycle->token);
		cycle->began_ns = now_ns();
	}
	snprintf(path, sizeof(path), "/v1/gates/bench-%u/%s", caller, cycle->holds ? "open" : "close");
	snprintf(form, sizeof(form), "token=%s", cycle->token);
	callers_send(rate->callers, caller, path, form);
}

static void turned(void *context, const struct heard *heard)
{
	struct rate *rate = context;
	struct cycle *cycle = &rate->cycles[heard->caller];

	load_expect(heard, cycle->holds ? 200 : 201);
	if (cycle->holds)
		note(rate, cycle->began_ns, heard->at_ns);
	cycle->holds = !cycle->holds;
	/* When the time is over it opens what it holds, and that is all. */
	if (cycle->holds || heard->at_ns < rate->until_ns)
		send_half(rate, heard->caller);
}

void rates_cycles(uint16_t port, char **arguments)
{
	measure(&(struct rate){ 0 }, port, arguments, turned, send_half);
}
