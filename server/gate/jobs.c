/* jobs: who waits here, as the rows are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "base/die.h"
#include "base/json.h"
#include "gate/looking.h"
#include "gate/steps.h"

enum { REPORTED_MAX = 100 }; /* jobs named for one gate */

/* One job at one of its gates. */
struct wanted {
	const char *gate;
	const struct looking *job;
	size_t place; /* in the order they came, of those that wait as long */
};

static int compare_wanted(const void *a, const void *b)
{
	const struct wanted *one = a, *other = b;
	int order = strcmp(one->gate, other->gate);

	if (!order)
		order = (one->job->since_ms > other->job->since_ms) - (one->job->since_ms < other->job->since_ms);
	return order ? order : (one->place > other->place) - (one->place < other->place);
}

/* All jobs at all their gates, by gate. The result is the caller's (free). */
static struct wanted *list_wanted(const struct keeper *k, size_t *count)
{
	struct wanted *list = NULL;
	size_t room = 0;

	*count = 0;
	for (const struct task *task = TAILQ_FIRST(&k->tasks); task; task = TAILQ_NEXT(task, entry)) {
		const struct looking *l = looking_waiting(task);

		if (!l)
			continue;
		if (*count + GATES_MAX > room) {
			room = 2 * room + GATES_MAX;
			list = or_die(reallocarray(list, room, sizeof(*list)));
		}
		for (unsigned i = 0; i < l->gates->count; i++, (*count)++)
			list[*count] = (struct wanted){ gates_name(l->gates, i), l, *count };
	}
	if (list)
		qsort(list, *count, sizeof(*list), compare_wanted);
	return list;
}

static cJSON *report_job(const struct looking *l)
{
	cJSON *job = or_die(cJSON_CreateObject());
	time_t at = (time_t)(l->since_ms / 1000);
	char second[24], since[32];
	struct tm utc;

	strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", gmtime_r(&at, &utc));
	snprintf(since, sizeof(since), "%s.%03dZ", second, (int)(l->since_ms % 1000));
	json_add_text(job, "id", l->id);
	json_add_text(job, "holder", l->holder);
	json_add_text(job, "job", l->job);
	json_add_text(job, "since", since);
	if (l->gates->count > 1)
		json_add_bool(job, "others", true);
	return job;
}

/* Reports one gate, whose jobs stand at the head of the list; answers how many they are. */
static size_t report_gate(cJSON *report, const struct wanted *list, size_t count)
{
	cJSON *gate = or_die(cJSON_CreateObject()), *jobs = or_die(cJSON_CreateArray());
	size_t here = 0, alone = 0;

	for (; here < count && strcmp(list[here].gate, list->gate) == 0; here++) {
		alone += list[here].job->gates->count == 1;
		if (here < REPORTED_MAX)
			cJSON_AddItemToArray(jobs, report_job(list[here].job));
	}
	json_add_number(gate, "count", (int64_t)here);
	json_add_number(gate, "alone", (int64_t)alone);
	cJSON_AddItemToObject(gate, "jobs", jobs);
	cJSON_AddItemToObject(report, list->gate, gate);
	return here;
}

/* For all gates together, where one that waits for several counts once. */
static void add_total(cJSON *report, const struct keeper *k)
{
	cJSON *total;
	int64_t count = 0;

	for (const struct task *task = TAILQ_FIRST(&k->tasks); task; task = TAILQ_NEXT(task, entry))
		count += looking_waiting(task) != NULL;
	if (!count)
		return;
	total = or_die(cJSON_CreateObject());
	json_add_number(total, "count", count);
	cJSON_AddItemToObject(report, "*", total);
}

static int64_t wall_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whom the list shows: id, holder and gates. The result is the caller's (free). */
static char *name_of(const struct looking *l)
{
	char *name = NULL;
	size_t size = 0;
	FILE *text = or_die(open_memstream(&name, &size));

	fprintf(text, "%s\n%s", l->id, l->holder ? l->holder : "");
	for (unsigned i = 0; i < l->gates->count; i++)
		fprintf(text, "\n%s", gates_name(l->gates, i));
	if (fclose(text) != 0)
		die("out of memory");
	return name;
}

int64_t jobs_since(const struct looking *l)
{
	char *name = name_of(l);
	int64_t since_ms = steps_since(l->task.keeper->steps, name, wall_clock_ms(), uv_now(l->task.keeper->loop));

	free(name);
	return since_ms;
}

void jobs_end_step(const struct looking *l)
{
	char *name = name_of(l);

	steps_end(l->task.keeper->steps, name, l->since_ms, uv_now(l->task.keeper->loop));
	free(name);
}

char *jobs_report(const struct keeper *k)
{
	cJSON *report = or_die(cJSON_CreateObject());
	size_t count;
	struct wanted *list = list_wanted(k, &count);

	for (size_t done = 0; done < count;)
		done += report_gate(report, list + done, count - done);
	free(list);
	add_total(report, k);
	return json_finish(report);
}
