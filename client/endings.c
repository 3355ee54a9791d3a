#include "endings.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

static const struct ending {
	const char *word, *says;
	bool orderly;
} endings[] = {
	{ "opened", "was opened with its token", true },
	{ "released", "was released with its token", true },
	{ "failed", "was ended with its token, as of a failed deploy", true },
	{ "expired", "has expired", false },
	{ "forced", "was forced open", false },
	{ "reaped", "was reaped", false },
	{ "taken_over", "was taken over", false },
	{ NULL, "has ended", false },
};

static const struct ending *find(const char *word)
{
	const struct ending *ending = endings;

	while (ending->word && (!word || strcmp(ending->word, word) != 0))
		ending++;
	return ending;
}

bool ending_is_orderly(const char *word)
{
	return find(word)->orderly;
}

void ending_say(const struct cJSON *lease, char *text, size_t size)
{
	const struct ending *ending = find(json_text(lease, "end"));
	const char *by = json_text(lease, "ended_by"), *reason = json_text(lease, "end_reason");

	if (ending->orderly || (by && json_text(lease, "holder") && strcmp(by, json_text(lease, "holder")) == 0))
		by = NULL;
	snprintf(text, size, "the lease %s%s%.200s%s%.200s%s", ending->says, by ? " by " : "", by ? by : "",
		reason ? " (" : "", reason ? reason : "", reason ? ")" : "");
}
