#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "command.h"
#include "gates.h"
#include "inside.h"
#include "lease.h"
#include "nested.h"

enum { TRIES_OF_RERUN = 3, RELEASE_MS = 5000 };

/* One run of the job in a pass, and what it makes of the next. */
struct job {
	struct client *client;
	const struct nested *nested;
	struct lease pass;
	struct inside_end end;
	int64_t tries, tries_most;
};

static int run_without(struct client *client)
{
	struct wrap_end end;

	wrap_run(client, NULL, &end);
	return end.code;
}

/* Whether the command is to run although nobody answered. */
static bool may_run_unasked(const struct client *client, const struct reply *reply)
{
	return !client->interrupted && reply->outcome == OUTCOME_UNAVAILABLE &&
		strcmp(client->options.on_unreachable, "run") == 0;
}

/* Nobody said that the job may run. What the environment tells of leases is left to the command if they were confirmed. */
static int end_unasked(struct client *client, const struct nested *nested, const struct reply *reply)
{
	if (!may_run_unasked(client, reply))
		return client_end(client, reply);
	report_say(&client->report, "running the command without knowing whether the gate is open: %s", reply->detail);
	if (!nested->inside) {
		outers_hand_down(&(struct outers){ .count = 0 });
		outers_tell(NULL, NULL, NULL);
	}
	return run_without(client);
}

/* Gives the pass back, which lapses by itself before long: nobody is to wait for that. Its last word is whether a window
 * closed over it. */
static void release(struct job *job)
{
	struct client *client = job->client;
	struct inside_end *end = &job->end;
	int64_t left_ms = end->wrap.over_ms - clock_ms();
	struct reply reply;

	switch (lease_end(client, &job->pass, false, left_ms < RELEASE_MS ? left_ms : RELEASE_MS, &reply)) {
	case OUTCOME_OK:
		end->overrun |= cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply.body, "overrun"));
		break;
	case OUTCOME_GONE:
	case OUTCOME_NOT_HOLDER:
		end->ended = true;
		snprintf(end->wrap.why, sizeof(end->wrap.why), "%s", reply.detail);
		break;
	default:
		report_say(&client->report, "the pass could not be released, and lapses by itself: %s",
			client->interrupted ? "interrupted" : reply.detail);
	}
	reply_release(&reply);
}

/* Whether the command is to be run once more: it was ended for the sake of a deploy, or a deploy may have broken it. What
 * somebody interrupted stays ended. */
static bool goes_again(const struct job *job)
{
	const struct inside_end *end = &job->end;
	bool reruns = strcmp(job->client->options.on_close, "rerun") == 0,
	     died_of_keys = end->wrap.code == EXIT_SIGNAL + SIGINT || end->wrap.code == EXIT_SIGNAL + SIGQUIT;

	if (!end->wrap.started || end->wrap.interrupted || died_of_keys || job->tries >= job->tries_most)
		return false;
	switch (end->wrap.cause) {
	case WRAP_CLOSED:
		return reruns;
	case WRAP_STOPPED:
		return strcmp(job->client->options.on_close, "stop") != 0;
	default:
		return end->wrap.code != EXIT_SUCCESS && (end->wrap.cause != WRAP_NONE || end->ended || end->overrun);
	}
}

/* The exit code of a job that is not run again. */
static int end_code(const struct job *job)
{
	const struct wrap_end *end = &job->end.wrap;
	const char *word = end->cause == WRAP_CLOSED || end->cause == WRAP_STOPPED ? "stopped" : "lost";

	if (!end->started || (end->cause == WRAP_NONE && !job->end.ended))
		return end->code;
	return report_end(&job->client->report, EXIT_LOST, word, "%s", end->why);
}

/* The pass is ours: runs the command in it. */
static void run_inside(struct job *job, const struct reply *granted)
{
	inside_tell(job->client, job->nested, &job->pass, granted);
	inside_run(job->client, &job->pass, granted, &job->end);
	if (!job->end.wrap.started)
		(void)lease_give_up(job->client, &job->pass, false);
	else if (!job->end.ended)
		release(job);
}

/* An answer that was lost may have granted the pass, in which the command then ran. What was asked for longer ago than the pass
 * would live needs nothing. */
static void give_back_unseen(const struct job *job, const struct reply *unanswered)
{
	if (clock_ms() - unanswered->sent_ms < job->client->options.ttl_ms)
		(void)lease_give_up(job->client, &job->pass, false);
}

/* Takes a pass and runs the command. True: it is to be done once more; else *code is what to end with. */
static bool run_once(struct job *job, int *code)
{
	struct client *client = job->client;
	const struct nested *nested = job->nested;
	const char *outer = nested->window ? nested->window->token : NULL;
	struct reply reply;
	bool again = false;

	lease_make(&job->pass, nested->to_pass, true);
	switch (lease_pass(client, &job->pass, outer, &reply)) {
	case OUTCOME_OK:
	case OUTCOME_MADE:
		run_inside(job, &reply);
		again = goes_again(job);
		if (!again)
			*code = end_code(job);
		break;
	default:
		*code = end_unasked(client, nested, &reply);
		if (may_run_unasked(client, &reply))
			give_back_unseen(job, &reply);
	}
	reply_release(&reply);
	return again;
}

static int run_until_done(struct client *client, const struct nested *nested)
{
	bool reruns = strcmp(client->options.on_close, "rerun") == 0;
	struct job job = {
		.client = client,
		.nested = nested,
		.tries_most = client->options.tries,
	};
	int code;

	if (job.tries_most < 0)
		job.tries_most = reruns ? TRIES_OF_RERUN : 1;
	for (job.tries = 1; run_once(&job, &code); job.tries++)
		report_say(&client->report,
			"running it again once the gate is open (%" PRId64 " of %" PRId64 " tries): %s", job.tries + 1,
			job.tries_most, job.end.wrap.why[0] ? job.end.wrap.why : "a deploy closed the gate over it");
	return code;
}

/* Looks whether the gates to wait for are known. Where they are shut they are, and the pass waits. False: *code is what to
 * end with. */
static bool are_known(struct client *client, const struct nested *nested, struct reply *reply, int *code)
{
	enum outcome outcome;

	if (!nested->to_wait[0])
		return true;
	reply_release(reply);
	outcome = gates_check(client, nested->to_wait, reply);
	if (outcome == OUTCOME_OK)
		return gates_known(client, nested->to_wait, reply->body, code);
	if (outcome_row(outcome)->exit == outcome_row(OUTCOME_CLOSED)->exit)
		return true;
	*code = end_unasked(client, nested, reply);
	return false;
}

int cmd_run(struct client *client)
{
	struct nested nested;
	struct reply reply;
	int code = EXIT_INTERNAL;

	if (nested_look(client, &nested, &reply) != OUTCOME_OK)
		code = end_unasked(client, &nested, &reply);
	else if (!nested.to_pass[0])
		code = run_without(client);
	else if (are_known(client, &nested, &reply, &code))
		code = run_until_done(client, &nested);
	reply_release(&reply);
	return code;
}
