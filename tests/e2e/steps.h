/* steps: commands of the real client, one after the other, each with what it is to answer. */
#ifndef E2E_STEPS_H
#define E2E_STEPS_H

#include "unit/cases.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/run.h"

enum { WORDS_MAX = 10 };

struct step {
	const char *words[WORDS_MAX]; /* the first may be NAME=VALUE for the environment of this step */
	int code;
	const char *said; /* is in the output; NULL: there is no output */
};

/* Runs one step, whose first word may be a setting of the environment; that is then as it was. */
static int perform(const struct world *world, const struct step *step, struct run *run)
{
	const char *setting = strchr(step->words[0], '=') ? step->words[0] : NULL, *before;
	char name[64] = "", old[256] = "";
	int code;

	if (!setting)
		return run_words(world, run, step->words);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(setting, "="), setting);
	before = getenv(name);
	snprintf(old, sizeof(old), "%s", before ? before : "");
	setenv(name, setting + strlen(name) + 1, 1);
	code = run_words(world, run, step->words + 1);
	setenv(name, old, 1);
	return code;
}

static void play(const struct world *world, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct step *step = &steps[i];
		struct run run;
		int code = perform(world, step, &run);

		if (code != step->code)
			fail_msg("step %zu, %s: exit %d, not %d: %s", i, step->words[0], code, step->code, run.output);
		if (strstr(run.output, "wait=") || (strstr(run.output, "timeout=") && run.output[0] != '{'))
			fail_msg("what to do is said in the words of HTTP: %s", run.output);
		if (step->said)
			assert_contains(run.output, step->said);
		else
			assert_string_equal(run.output, "");
	}
}

#define PLAY(steps) play(*state, steps, COUNT(steps))

#endif
