#include "driver.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "load.h"

static void keep_body(void *context, const struct heard *heard)
{
	struct driver *driver = context;

	if (heard->status >= 300)
		load_expect(heard, 200);
	cJSON_Delete(driver->answer);
	driver->answer = cJSON_Parse(heard->body);
}

void driver_init(struct driver *driver, uint16_t port)
{
	*driver = (struct driver){ .callers = callers_new(port, 1, keep_body, driver) };
}

void driver_release(struct driver *driver)
{
	callers_free(driver->callers);
	cJSON_Delete(driver->answer);
}

void driver_send(struct driver *driver, const char *path, const char *form)
{
	callers_send(driver->callers, 0, path, form);
}

void driver_finish(struct driver *driver)
{
	callers_run(driver->callers);
}

int64_t driver_jobs(const cJSON *gate)
{
	return json_number(gate, "waiting.jobs.count", -1);
}

int64_t driver_deploys(const cJSON *gate)
{
	return cJSON_GetArraySize(cJSON_GetObjectItem(cJSON_GetObjectItem(gate, "waiting"), "deploys"));
}

void driver_until(struct driver *driver, driver_count_fn *count, int64_t wanted)
{
	do {
		driver_send(driver, GATE, NULL);
		driver_finish(driver);
	} while (count(driver->answer) != wanted);
}

void send_verb(struct callers *callers, unsigned caller, const char *verb, const char *token)
{
	char path[64], form[80];

	snprintf(path, sizeof(path), GATE "/%s", verb);
	snprintf(form, sizeof(form), "token=%s%s", token, strcmp(verb, "open") == 0 ? "" : "&wait=5m");
	callers_send(callers, caller, path, form);
}
