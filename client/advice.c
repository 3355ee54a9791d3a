#include "advice.h"

#include <stdio.h>
#include <string.h>

#include "base/advice.h"
#include "base/json.h"
#include "http.h"

static const struct advice {
	const char *theirs, *before, *behind; /* ours, before and behind the gate; NULL: there is nothing to say */
} table[] = {
	{ ADVICE_TO_WAIT, "`deploy-gate wait ", "` waits until it opens" },
	{ ADVICE_AGAIN, NULL, NULL },
	{ ADVICE_IN_LINE, "--wait 30m waits in line; if that deploy is dead: `deploy-gate open ",
		" --force --reason WHY`" },
	{ ADVICE_IN_LINE_BEHIND_SQL, "--wait 30m waits in line; `deploy-gate explain ",
		"` says how to end that session" },
	{ ADVICE_TO_WAIT_INSIDE, NULL, NULL },
	{ ADVICE_DRAIN_GOES_ON, NULL, NULL },
	{ ADVICE_SAME_TOKEN, NULL, NULL },
};

/* What the advice is about: the gate that shuts what was asked for. */
static const char *gate_of(const struct reply *reply, const char *gates)
{
	const char *by = json_text(reply->body, "gate.closed_by"), *name = json_text(reply->body, "gate.name");

	return by ? by : name ? name : gates;
}

/* Ends the sentence before the advice, and before the stop and the blank in front of that. */
static void cut(struct reply *reply, char *at)
{
	*at = '\0';
	if (at - reply->detail >= 2)
		at[-2] = '\0';
}

void advice_drop(struct reply *reply)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		char *at = strstr(reply->detail, table[i].theirs);

		if (at)
			cut(reply, at);
	}
}

void advice_translate(struct reply *reply, const char *gates)
{
	const char *gate = gate_of(reply, gates);

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		char *at = strstr(reply->detail, table[i].theirs);

		if (!at)
			continue;
		if (table[i].before && gate)
			snprintf(at, sizeof(reply->detail) - (size_t)(at - reply->detail), "%s%s%s", table[i].before,
				gate, table[i].behind);
		else
			cut(reply, at);
	}
}
