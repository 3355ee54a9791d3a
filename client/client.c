#include "client.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advice.h"
#include "base/die.h"
#include "base/json.h"
#include "clock.h"
#include "secret.h"

enum {
	TICK_MS = 1000,
	ANSWER_MS = 10 * 1000,
	ANSWER_LEAST_MS = 2000,
	BACK_OFF_LEAST_MS = 250,
	BACK_OFF_MOST_MS = 2000,
	SILENT_MS = 5000 /* a server that restarts is back before anybody has to be told */
};

static const char default_url[] = "http://127.0.0.1:7433";

static void set_holder(struct client *client)
{
	const struct passwd *user = getpwuid(geteuid());
	char host[128] = "localhost";

	gethostname(host, sizeof(host) - 1);
	if (client->options.holder)
		snprintf(client->holder, sizeof(client->holder), "%s", client->options.holder);
	else if (user)
		snprintf(client->holder, sizeof(client->holder), "%s@%s", user->pw_name, host);
	else
		snprintf(client->holder, sizeof(client->holder), "%u@%s", geteuid(), host);
}

/* The command's name, unless it is none that the service would take. */
static void set_job(struct client *client)
{
	const char *program = client->options.command ? client->options.command[0] : NULL;
	const char *slash = program ? strrchr(program, '/') : NULL;
	struct fault unread;

	client->job = client->options.job;
	if (slash)
		program = slash + 1;
	if (!client->job && program && *program && text_check("job", program, &unread) == OUTCOME_OK)
		client->job = program;
}

static bool set_urls(struct client *client, int *code)
{
	const char *flag = client->options.url, *environment = getenv("DEPLOY_GATE_URL");
	const char *text = flag ? flag : environment && *environment ? environment : default_url;
	struct fault fault;

	if (urls_parse(text, &client->urls, &fault) == OUTCOME_OK)
		return true;
	*code = report_end(&client->report, flag ? EXIT_USAGE : EXIT_CONFIGURATION, flag ? "usage" : "configuration",
		"%s: %s", flag ? "--url" : "DEPLOY_GATE_URL", fault.detail);
	return false;
}

/* Finds the access token and whether it may go to these addresses. */
static bool set_access_token(struct client *client, int *code)
{
	char address[256];
	struct fault fault;

	if (access_token_find(client->options.access_token_file, &client->signals.before, &client->access_token,
		    &fault) != OUTCOME_OK) {
		*code = report_end(&client->report, EXIT_CONFIGURATION, "configuration", "%s", fault.detail);
		return false;
	}
	for (unsigned i = 0; client->access_token && i < client->urls.count; i++) {
		const struct url *url = &client->urls.at[i];

		if (!url->plain || url->local || client->options.plain_http)
			continue;
		*code = report_end(&client->report, EXIT_CONFIGURATION, "configuration",
			"the access token would go to %s unencrypted; use https, or --plain-http if the way is safe",
			url_say(url, address));
		return false;
	}
	return true;
}

void client_begin_afresh(struct client *client)
{
	int64_t answer_ms = ANSWER_MS;

	if (client->options.reach_ms / client->urls.count < answer_ms)
		answer_ms = client->options.reach_ms / client->urls.count;
	client->http = http_new(&(struct http_terms){
		.urls = &client->urls,
		.access_token = client->access_token,
		.request_id = client->request_id,
		.answer_ms = answer_ms < ANSWER_LEAST_MS ? ANSWER_LEAST_MS : answer_ms,
		.verbose = client->options.verbose,
	});
}

bool client_init(struct client *client, int *code)
{
	if (!set_urls(client, code) || !set_access_token(client, code))
		return false;
	set_holder(client);
	set_job(client);
	token_make(client->request_id);
	client_begin_afresh(client);
	return true;
}

void client_release(struct client *client)
{
	if (client->http)
		http_free(client->http);
	if (client->access_token)
		explicit_bzero(client->access_token, strlen(client->access_token));
	free(client->access_token);
	urls_release(&client->urls);
	free(client->gates);
}

bool client_is_interrupted(struct client *client)
{
	int number = signals_next(&client->signals);

	while (number == SIGCHLD) /* the end of a child is no reason */
		number = signals_next(&client->signals);
	client->interrupted = number;
	return number != 0;
}

bool client_exchange(struct client *client, const struct request *request, struct reply *reply)
{
	*reply = (struct reply){ .outcome = OUTCOME_INTERNAL };
	http_send(client->http, request);
	while (!http_drive(client->http, client->signals.fd, TICK_MS, reply)) {
		if (client_is_interrupted(client)) {
			http_cancel(client->http);
			return false;
		}
		report_tick(&client->report);
	}
	return true;
}

bool client_pause(struct client *client, int64_t ms)
{
	int64_t end_ms = clock_ms() + ms, now_ms;
	struct reply none;

	while ((now_ms = clock_ms()) < end_ms) {
		int64_t left_ms = end_ms - now_ms;

		if (http_drive(client->http, client->signals.fd, left_ms < TICK_MS ? left_ms : TICK_MS, &none))
			reply_release(&none);
		if (client_is_interrupted(client))
			return false;
		report_tick(&client->report);
	}
	return true;
}

struct reach reach_begin(const struct client *client)
{
	int64_t now_ms = clock_ms();

	return (struct reach){ .end_ms = now_ms + client->options.reach_ms, .tell_ms = now_ms + SILENT_MS };
}

/* Adds what one address gave to what the others did in this round. */
static void gather(struct reach *reach, bool is_first, struct reply *reply)
{
	size_t size = is_first ? 0 : strlen(reach->said);

	advice_drop(reply);
	reach->unfound = (reach->unfound && !is_first) || !reply->body;
	snprintf(reach->said + size, sizeof(reach->said) - size, "%s%s", size ? "; " : "", reply->detail);
}

/* Says in the reply what the round has come to. */
static void sum_up(const struct reach *reach, struct reply *reply)
{
	snprintf(reply->detail, sizeof(reply->detail), "%s%s", reach->said,
		reach->unfound ? "; is deploy-gated up there? --url or DEPLOY_GATE_URL says where it is" : "");
}

bool reach_again(struct client *client, struct reach *reach, struct reply *reply)
{
	unsigned rounds = (reach->failures + 1) / client->urls.count;
	int64_t pause_ms = BACK_OFF_LEAST_MS, left_ms = reach->end_ms - clock_ms();

	gather(reach, reach->failures % client->urls.count == 0, reply);
	http_next_url(client->http);
	if (++reach->failures % client->urls.count != 0)
		return true;
	sum_up(reach, reply);
	if (left_ms <= 0)
		return false;
	if (clock_ms() >= reach->tell_ms)
		report_waiting(&client->report, outcome_row(reply->outcome)->word, reply->detail, reply->detail);
	while (rounds-- > 1 && pause_ms < BACK_OFF_MOST_MS)
		pause_ms *= 2;
	pause_ms = clock_jitter(pause_ms);
	return client_pause(client, pause_ms < left_ms ? pause_ms : left_ms);
}

enum outcome client_ask(struct client *client, const struct request *request, struct reply *reply)
{
	struct reach reach = reach_begin(client);

	while (client_exchange(client, request, reply) && reply->outcome == OUTCOME_UNAVAILABLE) {
		struct reply last = *reply;

		if (!reach_again(client, &reach, reply))
			break;
		reply_release(&last);
	}
	return client_asked(client, reply);
}

enum outcome client_asked(struct client *client, struct reply *reply)
{
	report_waited(&client->report);
	advice_translate(reply, client->options.argument[0]);
	if (client->interrupted)
		reply->outcome = OUTCOME_INTERNAL;
	return reply->outcome;
}

enum outcome client_send(struct client *client, const struct request *request, struct cJSON *body, struct reply *reply)
{
	struct request whole = *request;
	char *text = json_finish(body);

	whole.body = text;
	client_ask(client, &whole, reply);
	free(text);
	return reply->outcome;
}

int client_end(struct client *client, const struct reply *reply)
{
	const struct outcome_row *row = outcome_row(reply->outcome);

	if (client->interrupted)
		return report_end(&client->report, EXIT_SIGNAL + client->interrupted, "interrupted", "by SIG%s",
			signal_name(client->interrupted));
	if (client->options.json && reply->body && !client->options.command)
		client_print_json(reply->body); /* standard output is a command's alone */
	return report_end(&client->report, row->exit, row->word, "%s", reply->detail[0] ? reply->detail : row->title);
}

const cJSON *client_first(const cJSON *object, const char *member)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, member);

	return cJSON_IsArray(list) ? list->child : NULL;
}

void client_print_json(const cJSON *body)
{
	char *text = json_print(body);

	puts(text);
	free(text);
}
