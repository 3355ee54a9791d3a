/* scenes: a crowd that waits at one gate, how much room it takes, and how it is let in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "driver.h"
#include "load.h"
#include "samples.h"

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
	struct driver driver;
	struct callers *waiters;
	char token[TOKEN_LEN + 1];
	double before_mb, with_mb;

	driver_init(&driver, port);
	load_token(token);
	send_verb(driver.callers, 0, "close", token);
	driver_finish(&driver);
	before_mb = resident_mb(arguments[1]);
	waiters = callers_new(port, count, let_in, &crowd);
	for (unsigned i = 0; i < count; i++)
		callers_send(waiters, i, GATE "/wait?timeout=5m", NULL);
	driver_until(&driver, driver_jobs, count);
	with_mb = resident_mb(arguments[1]);
	crowd.opened_ns = now_ns();
	send_verb(driver.callers, 0, "open", token);
	callers_run(waiters);
	printf("%.1f %.1f %.1f %.1f\n", before_mb, with_mb, samples_ms(&crowd.samples, 100),
		samples_ms(&crowd.samples, 50));
	driver_finish(&driver);
	driver_release(&driver);
	callers_free(waiters);
	samples_release(&crowd.samples);
}
