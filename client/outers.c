#include "outers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static const char innermost[] = "DEPLOY_GATE_TOKEN", around[] = "DEPLOY_GATE_OUTER";

static void say_ignored(struct client *client, bool is_innermost, const char *why)
{
	report_say(&client->report, "%s%s is ignored: %s", is_innermost ? "" : "a token of ",
		is_innermost ? innermost : around, why);
}

static void set(const char *name, const char *value)
{
	if (value && *value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

/* Takes in the tokens of one variable, by commas. True: some of them were none. */
static bool take(struct client *client, struct outers *outers, const char *name)
{
	const char *at = getenv(name);
	bool odd = false;

	while (at && *at && outers->count < OUTERS_MAX) {
		size_t size = strcspn(at, ",");
		char token[TOKEN_MAX + 2]; /* what is too long stays so */
		struct fault unread;

		snprintf(token, sizeof(token), "%.*s", (int)size, at);
		if (token_check(token, &unread) == OUTCOME_OK) {
			lease_init(&outers->at[outers->count++], NULL, token);
		} else {
			say_ignored(client, name == innermost, "it is no lease token");
			odd = true;
		}
		at += size + (at[size] == ',');
	}
	return odd;
}

void outers_read(struct client *client, struct outers *outers)
{
	const char *token = getenv(innermost);
	bool odd;

	outers->count = 0;
	if (!token || !*token)
		return;
	odd = take(client, outers, innermost);
	if (odd)
		outers_tell(NULL, NULL, NULL);
	if (take(client, outers, around) || odd)
		outers_hand_down(outers);
}

void outers_ignore(struct client *client, struct outers *outers, unsigned which, const char *why)
{
	say_ignored(client, which == 0, why);
	if (which == 0)
		outers_tell(NULL, NULL, NULL);
	outers->count--;
	memmove(&outers->at[which], &outers->at[which + 1], (outers->count - which) * sizeof(*outers->at));
	outers_hand_down(outers);
}

void outers_add(struct outers *outers, const struct lease *lease, bool behind)
{
	unsigned place = behind && outers->count ? 1 : 0;

	if (outers->count == OUTERS_MAX)
		outers->count--;
	memmove(&outers->at[place + 1], &outers->at[place], (outers->count - place) * sizeof(*outers->at));
	outers->at[place] = *lease;
	outers->count++;
}

void outers_hand_down(const struct outers *outers)
{
	char list[OUTERS_MAX * (TOKEN_MAX + 1)] = "";
	size_t size = 0;

	for (unsigned i = 1; i < outers->count; i++)
		size += (size_t)snprintf(
			list + size, sizeof(list) - size, "%s%s", i > 1 ? "," : "", outers->at[i].token);
	set(innermost, outers->count ? outers->at[0].token : NULL);
	set(around, list);
}

void outers_tell(const char *gates, const char *fence, const char *release)
{
	set("DEPLOY_GATE_GATES", gates);
	set("DEPLOY_GATE_FENCE", fence);
	set("DEPLOY_GATE_RELEASE", release);
}
