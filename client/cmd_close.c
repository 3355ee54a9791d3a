#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "follow.h"
#include "gates.h"
#include "lease.h"
#include "nested.h"
#include "secret.h"
#include "state.h"

enum { TTL_WHILE_PID_MS = 15 * 1000 };

/* A window as it is to be closed. */
struct closing {
	const struct state *state; /* where its token is remembered */
	const struct lease *lease;
	struct token_file *file; /* where the token is handed out, if it is to be a file */
	int process;		 /* descriptor of the one that it is to end with, or -1 */
};

static int bad_place(struct client *client, const struct fault *fault)
{
	return report_end(&client->report, EXIT_CONFIGURATION, "configuration", "%s", fault->detail);
}

/* Whether no token is remembered there that still holds something: it would be forgotten, or used twice. */
static bool none_is_live(struct client *client, const struct state *state, int *code)
{
	char token[TOKEN_MAX + 1];
	struct lease lease;
	struct reply reply;
	bool none = true;

	for (unsigned i = 0; none && i < client->gates->count; i++) {
		const char *gate = gates_name(client->gates, i);

		if (!state_recall(state, gate, token))
			continue;
		lease_init(&lease, gate, token);
		lease_look(client, &lease, &reply);
		none = false;
		if (lease_is_live(&reply))
			*code = report_end(&client->report, outcome_row(OUTCOME_HELD)->exit,
				outcome_row(OUTCOME_HELD)->word,
				"this session has closed %s already, and `deploy-gate open %s` would open it", gate,
				gate);
		else if (reply.outcome == OUTCOME_OK || reply.outcome == OUTCOME_NOT_FOUND ||
			reply.outcome == OUTCOME_GONE)
			none = true;
		else
			*code = client_end(client, &reply);
		reply_release(&reply);
	}
	return none;
}

/* Hands the token to whoever called us. */
static void print_token(const struct client *client, const struct lease *lease, const struct reply *reply)
{
	if (client->options.token_file)
		cJSON_DeleteItemFromObjectCaseSensitive(reply->body, "token");
	if (client->options.json)
		client_print_json(reply->body);
	else if (!client->options.token_file)
		puts(lease->token);
}

/* Opens what was closed. The token stays remembered where it is not known whether that was done. */
static void undo(struct client *client, const struct closing *closing)
{
	if (lease_give_up(client, closing->lease, false) != OUTCOME_UNAVAILABLE)
		state_forget(closing->state, client->gates, closing->lease->token);
}

/* The gates are ours: hands the token out, once somebody keeps them closed as long as that was asked for. */
static int closed(struct client *client, const struct closing *closing, const struct reply *reply)
{
	struct fault fault;

	if (token_file_place(closing->file, closing->lease->token, &fault) != OUTCOME_OK) {
		undo(client, closing);
		return bad_place(client, &fault);
	}
	if (closing->process >= 0 && !follow_leave(client, closing->state, closing->lease, reply, closing->process)) {
		undo(client, closing);
		return report_end(&client->report, EXIT_INTERNAL, "internal",
			"no process could be left behind to keep %s closed", closing->lease->gates);
	}
	print_token(client, closing->lease, reply);
	return EXIT_SUCCESS;
}

/* Closes with a token that is remembered already. One that may have closed something stays remembered. */
static int close_with(struct client *client, const struct closing *closing)
{
	const struct lease *lease = closing->lease;
	struct reply reply;
	int code;

	switch (lease_close(client, lease, &reply)) {
	case OUTCOME_OK:
	case OUTCOME_MADE:
		code = closed(client, closing, &reply);
		break;
	case OUTCOME_UNAVAILABLE:
		report_say(&client->report, "it is not known whether %s is closed now; `deploy-gate open %s` undoes it",
			lease->gates, lease->gates);
		code = client_end(client, &reply);
		break;
	default:
		state_forget(closing->state, client->gates, lease->token);
		code = client_end(client, &reply);
	}
	reply_release(&reply);
	return code;
}

/* With the files locked: looks, remembers, closes. */
static int close_locked(struct client *client, const struct state *state, struct state_lock *lock, int process)
{
	struct token_file file;
	struct lease lease;
	struct fault fault;
	int code;

	if (!none_is_live(client, state, &code))
		return code;
	lease_make(&lease, client->options.argument[0], false);
	if (state_remember(lock, lease.token, &fault) != OUTCOME_OK ||
		token_file_prepare(&file, client->options.token_file, lease.token, &fault) != OUTCOME_OK) {
		state_forget(state, client->gates, lease.token);
		return bad_place(client, &fault);
	}
	code = close_with(client, &(struct closing){ state, &lease, &file, process });
	token_file_drop(&file);
	return code;
}

static int close_gates(struct client *client, int process)
{
	struct state state;
	struct state_lock lock;
	struct fault fault;
	int code = EXIT_INTERNAL;

	if (!gates_known_ask(client, client->gates, &code))
		return code;
	if (state_init(&state, &fault) != OUTCOME_OK)
		return bad_place(client, &fault);
	switch (state_lock(&state, client->gates, &lock, &fault)) {
	case OUTCOME_OK:
		code = close_locked(client, &state, &lock, process);
		state_unlock(&lock);
		return code;
	case OUTCOME_HELD:
		return report_end(&client->report, outcome_row(OUTCOME_HELD)->exit, outcome_row(OUTCOME_HELD)->word,
			"%s", fault.detail);
	default:
		return bad_place(client, &fault);
	}
}

/* Closes what is not inside an outer lease; as long as a process lives if that is asked for. */
static int close_rest(struct client *client)
{
	int64_t pid = client->options.while_pid;
	struct fault fault;
	int process = -1, code;

	if (pid >= 0 && follow_find(pid, &process, &fault) != OUTCOME_OK)
		return report_end(&client->report, EXIT_USAGE, "usage", "%s", fault.detail);
	if (pid >= 0 && client->options.ttl_ms < 0)
		client->options.ttl_ms = TTL_WHILE_PID_MS;
	code = close_gates(client, process);
	if (process >= 0)
		close(process);
	return code;
}

int cmd_close(struct client *client)
{
	struct nested nested;
	struct reply reply;
	int code = EXIT_SUCCESS;

	if (nested_look(client, &nested, &reply) != OUTCOME_OK) {
		code = client_end(client, &reply);
	} else if (nested.in_way) {
		code = report_end(&client->report, EXIT_USAGE, "usage",
			"cannot close %s from inside a pass: it would wait for us", nested.to_close);
	} else {
		if (nested.closed[0])
			report_say(&client->report, "%s is closed by the deploy that this runs in, which has the token",
				nested.closed);
		if (nested.to_close[0]) {
			nested_narrow(client, &nested);
			code = close_rest(client);
		} else {
			code = nested_print(client, &nested);
		}
	}
	reply_release(&reply);
	return code;
}
