/* handover: what passes between an open and those it was in the way of: the deploy that is next in the queue, or a hundred
 * jobs that want passes. In turns with the same between sessions in PostgreSQL. Nobody of the other kind waits, so that no
 * gap applies. */
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/digest.h"
#include "driver.h"
#include "load.h"
#include "raw.h"
#include "samples.h"

enum { LEASE_DIGITS = 32, PERCENT_MIDDLE = 50, PERCENT_LATE = 99 };

struct handover {
	struct driver driver;
	struct callers *callers;
	struct raw *raw;
	char (*tokens)[TOKEN_LEN + 1];
	unsigned count;			/* of callers */
	unsigned awaited;		/* the caller whose answer counts; count: that of all */
	uint64_t opened_ns, last_ns;
	struct samples ours, theirs;
};

static void heard_one(void *context, const struct heard *heard)
{
	struct handover *h = context;

	if (heard->status != 200)
		load_expect(heard, 201);
	if (h->awaited == h->count || h->awaited == heard->caller)
		h->last_ns = heard->at_ns;
}

static void begin(struct handover *h, uint16_t port, unsigned count, const char *conninfo)
{
	*h = (struct handover){ .count = count, .awaited = count };
	driver_init(&h->driver, port);
	h->callers = callers_new(port, count, heard_one, h);
	h->tokens = or_die(calloc(count, sizeof(*h->tokens)));
	h->raw = raw_new(conninfo, count);
}

static void report(struct handover *h)
{
	printf("%.2f %.2f %.2f %.2f\n", samples_ms(&h->ours, PERCENT_MIDDLE), samples_ms(&h->ours, PERCENT_LATE),
		samples_ms(&h->theirs, PERCENT_MIDDLE), samples_ms(&h->theirs, PERCENT_LATE));
	driver_release(&h->driver);
	callers_free(h->callers);
	raw_free(h->raw);
	samples_release(&h->ours);
	samples_release(&h->theirs);
	free(h->tokens);
}

/* Deploys: two callers take turns; while one holds the gate the other is in the queue. */

static void ask(struct handover *h, unsigned caller, const char *verb)
{
	load_token(h->tokens[caller]);
	send_verb(h->callers, caller, verb, h->tokens[caller]);
}

static void turn(struct handover *h, unsigned holder)
{
	h->awaited = !holder;
	ask(h, h->awaited, "close");
	driver_until(&h->driver, driver_deploys, 1);
	h->opened_ns = now_ns();
	send_verb(h->callers, holder, "open", h->tokens[holder]);
	callers_run(h->callers);
	samples_add(&h->ours, h->last_ns - h->opened_ns);
}

void handover_deploys(uint16_t port, char **arguments)
{
	unsigned times = (unsigned)load_number(arguments[0]), holder = 0;
	struct handover h;

	begin(&h, port, 2, arguments[1]);
	ask(&h, holder, "close");
	callers_run(h.callers);
	for (unsigned i = 0; i < times; i++, holder = !holder) {
		turn(&h, holder);
		samples_add(&h.theirs, raw_next_deploy(h.raw));
	}
	send_verb(h.callers, holder, "open", h.tokens[holder]);
	callers_run(h.callers);
	report(&h);
}

/* Jobs: all wait for the driver to open. */

static void release_all(struct handover *h)
{
	char digest[DIGEST_HEX_LEN + 1], path[80], form[64];

	for (unsigned i = 0; i < h->count; i++) {
		digest_hex(h->tokens[i], digest);
		snprintf(path, sizeof(path), "/v1/leases/%.*s/release", LEASE_DIGITS, digest);
		snprintf(form, sizeof(form), "token=%s", h->tokens[i]);
		callers_send(h->callers, i, path, form);
	}
	callers_run(h->callers);
}

static void let_all_in(struct handover *h)
{
	char token[TOKEN_LEN + 1];

	load_token(token);
	send_verb(h->driver.callers, 0, "close", token);
	driver_finish(&h->driver);
	for (unsigned i = 0; i < h->count; i++)
		ask(h, i, "pass");
	driver_until(&h->driver, driver_jobs, h->count);
	h->opened_ns = now_ns();
	send_verb(h->driver.callers, 0, "open", token);
	callers_run(h->callers);
	samples_add(&h->ours, h->last_ns - h->opened_ns);
	driver_finish(&h->driver);
	release_all(h);
}

void handover_jobs(uint16_t port, char **arguments)
{
	unsigned times = (unsigned)load_number(arguments[1]);
	struct handover h;

	begin(&h, port, (unsigned)load_number(arguments[0]), arguments[2]);
	for (unsigned i = 0; i < times; i++) {
		let_all_in(&h);
		samples_add(&h.theirs, raw_all_jobs(h.raw));
	}
	report(&h);
}
