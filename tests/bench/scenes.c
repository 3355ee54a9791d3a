/* scenes: a crowd that waits at one gate, and deploys that wait for each other. A driver, a connection of its own, sets the
 * scene and looks whether everybody is in place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/die.h"
#include "base/json.h"
#include "callers.h"
#include "load.h"
#include "samples.h"

#define GATE "/v1/gates/bench-scene"

/* The driver: one request at a time. */

static void keep_body(void *context, const struct heard *heard)
{
	cJSON **answer = context;

	if (heard->status >= 300)
		load_expect(heard, 200);
	cJSON_Delete(*answer);
	*answer = cJSON_Parse(heard->body);
}

static int64_t jobs_waiting(const cJSON *gate)
{
	return json_number(gate, "waiting.jobs.count", -1);
}

static int64_t deploys_waiting(const cJSON *gate)
{
	return cJSON_GetArraySize(cJSON_GetObjectItem(cJSON_GetObjectItem(gate, "waiting"), "deploys"));
}

/* Asks for the gate until so many wait. */
static void until_waiting(struct callers *driver, cJSON **gate, int64_t (*waiting)(const cJSON *), int64_t wanted)
{
	do {
		callers_send(driver, 0, GATE, NULL);
		callers_run(driver);
	} while (waiting(*gate) != wanted);
}

static void send_form(struct callers *callers, unsigned caller, const char *verb, const char *token)
{
	char path[64], form[80];

	snprintf(path, sizeof(path), GATE "/%s", verb);
	snprintf(form, sizeof(form), "token=%s%s", token, strcmp(verb, "close") == 0 ? "&wait=5m" : "");
	callers_send(callers, caller, path, form);
}

/* Waiters. */

static double resident_mb(const char *pid)
{
	char path[64], line[128] = "";
	double kb = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	status = or_die(fopen(path, "r"));
	while (!kb && fgets(line, sizeof(line), status))
		if (strncmp(line, "VmRSS:", 6) == 0)
			kb = strtod(line + 6, NULL);
	fclose(status);
	return kb / 1024;
}

struct crowd {
	struct samples samples;
	uint64_t opened_ns;
};

static void let_in(void *context, const struct heard *heard)
{
	struct crowd *crowd = context;

	load_expect(heard, 200);
	samples_add(&crowd->samples, heard->at_ns - crowd->opened_ns);
}

void scenes_waiters(uint16_t port, char **arguments)
{
	unsigned count = (unsigned)load_number(arguments[0]);
	struct crowd crowd = { 0 };
	cJSON *gate = NULL;
	struct callers *driver = callers_new(port, 1, keep_body, &gate), *waiters;
	char token[TOKEN_LEN + 1];
	double before_mb, with_mb;

	load_token(token);
	send_form(driver, 0, "close", token);
	callers_run(driver);
	before_mb = resident_mb(arguments[1]);
	waiters = callers_new(port, count, let_in, &crowd);
	for (unsigned i = 0; i < count; i++)
		callers_send(waiters, i, GATE "/wait?timeout=5m", NULL);
	until_waiting(driver, &gate, jobs_waiting, count);
	with_mb = resident_mb(arguments[1]);
	crowd.opened_ns = now_ns();
	send_form(driver, 0, "open", token);
	callers_run(waiters);
	printf("%.1f %.1f %.1f %.1f\n", before_mb, with_mb, samples_ms(&crowd.samples, 100),
		samples_ms(&crowd.samples, 50));
	callers_run(driver);
	callers_free(driver);
	callers_free(waiters);
	samples_release(&crowd.samples);
	cJSON_Delete(gate);
}

/* Handover: two callers take turns; while one holds the gate the other is in the queue. */

struct turns {
	struct samples samples;
	uint64_t opened_ns;
	unsigned next;			/* whose close is in the queue */
};

static void turned(void *context, const struct heard *heard)
{
	struct turns *turns = context;

	if (heard->status != 200)
		load_expect(heard, 201);
	if (turns->opened_ns && heard->caller == turns->next)
		samples_add(&turns->samples, heard->at_ns - turns->opened_ns);
}

void scenes_handover(uint16_t port, char **arguments)
{
	unsigned times = (unsigned)load_number(arguments[0]), holder = 0;
	struct turns turns = { 0 };
	cJSON *gate = NULL;
	struct callers *driver = callers_new(port, 1, keep_body, &gate);
	struct callers *deploys = callers_new(port, 2, turned, &turns);
	char tokens[2][TOKEN_LEN + 1];

	load_token(tokens[holder]);
	send_form(deploys, holder, "close", tokens[holder]);
	callers_run(deploys);
	for (unsigned i = 0; i < times; i++, holder = turns.next) {
		turns.next = !holder;
		load_token(tokens[turns.next]);
		send_form(deploys, turns.next, "close", tokens[turns.next]);
		until_waiting(driver, &gate, deploys_waiting, 1);
		turns.opened_ns = now_ns();
		send_form(deploys, holder, "open", tokens[holder]);
		callers_run(deploys);
	}
	turns.opened_ns = 0;
	send_form(deploys, holder, "open", tokens[holder]);
	callers_run(deploys);
	printf("%.2f %.2f\n", samples_ms(&turns.samples, 50), samples_ms(&turns.samples, 99));
	callers_free(deploys);
	callers_free(driver);
	samples_release(&turns.samples);
	cJSON_Delete(gate);
}
