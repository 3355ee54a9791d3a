#include "support/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <curl/curl.h>

#include "base/json.h"
#include "support/server.h"

enum { PATIENCE_S = 60, TURN_MS = 50, TEXT_MAX = 4096 };

int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void http_init(struct http *http)
{
	*http = (struct http){ .multi = curl_multi_init() };
	assert_non_null(http->multi);
}

static void end(struct ask *ask)
{
	curl_multi_remove_handle(ask->http->multi, ask->easy);
	curl_easy_cleanup(ask->easy);
	curl_slist_free_all(ask->fields);
	fclose(ask->head_out);
	fclose(ask->text_out);
	ask->easy = NULL;
}

void http_forget(struct http *http)
{
	for (struct ask *ask; (ask = http->asks);) {
		http->asks = ask->next;
		if (ask->easy)
			end(ask);
		cJSON_Delete(ask->body);
		free(ask->what);
		free(ask->head);
		free(ask->text);
		free(ask);
	}
}

void http_release(struct http *http)
{
	http_forget(http);
	curl_multi_cleanup(http->multi);
	http->multi = NULL;
}

static size_t take(char *bytes, size_t size, size_t count, void *out)
{
	return fwrite(bytes, size, count, out);
}

static void set_body(struct ask *ask, const char *body, const char *fields)
{
	if (!body)
		return;
	if (*body == '{' && !(fields && strstr(fields, "Content-Type")))
		ask->fields = curl_slist_append(ask->fields, "Content-Type: application/json");
	curl_easy_setopt(ask->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	curl_easy_setopt(ask->easy, CURLOPT_COPYPOSTFIELDS, body);
}

static void set_fields(struct ask *ask, const char *fields)
{
	char *copy = strdup(fields ? fields : ""), *rest = copy, *field;

	while ((field = strsep(&rest, "\n")))
		if (*field)
			ask->fields = curl_slist_append(ask->fields, field);
	free(copy);
	curl_easy_setopt(ask->easy, CURLOPT_HTTPHEADER, ask->fields);
}

/* Sets what has no body of its own kind: curl would wait for the body of an answer to HEAD. */
static void set_method(struct ask *ask, const char *method, const char *body)
{
	if (strcmp(method, "POST") == 0 && !body)
		curl_easy_setopt(ask->easy, CURLOPT_POSTFIELDS, "");
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(ask->easy, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(ask->easy, CURLOPT_CUSTOMREQUEST, method);
}

static struct ask *ask_new(struct http *http, const char *what)
{
	struct ask *ask = calloc(1, sizeof(*ask));

	assert_non_null(ask);
	*ask = (struct ask){ .http = http, .next = http->asks, .easy = curl_easy_init(), .what = strdup(what) };
	http->asks = ask;
	ask->head_out = open_memstream(&ask->head, (size_t *)&ask->head_size);
	ask->text_out = open_memstream(&ask->text, (size_t *)&ask->text_size);
	assert_true(ask->easy && ask->head_out && ask->text_out);
	return ask;
}

static void collect(struct ask *ask)
{
	ask->came_ns = clock_ns();
	curl_easy_getinfo(ask->easy, CURLINFO_RESPONSE_CODE, &ask->status);
	end(ask);
	ask->body = cJSON_Parse(ask->text);
	ask->done = true;
}

/* One turn of the loop: sends, receives, and collects what is through. */
static void turn(struct http *http, int wait_ms)
{
	struct CURLMsg *news;
	int running, left;

	curl_multi_perform(http->multi, &running);
	while ((news = curl_multi_info_read(http->multi, &left))) {
		struct ask *ask = NULL;

		curl_easy_getinfo(news->easy_handle, CURLINFO_PRIVATE, (char **)&ask);
		collect(ask);
		wait_ms = 0;
	}
	if (wait_ms)
		curl_multi_poll(http->multi, NULL, 0, wait_ms, NULL);
}

/* Returns once the request has left, so that a test may go on to wait for its effects. */
static void send_off(struct ask *ask)
{
	int64_t deadline_ns = clock_ns() + PATIENCE_S * 1000000000LL;
	long sent = 0;

	ask->sent_ns = clock_ns();
	curl_multi_add_handle(ask->http->multi, ask->easy);
	while (!ask->http->together && !ask->done && !sent) {
		turn(ask->http, 1);
		if (!ask->done)
			curl_easy_getinfo(ask->easy, CURLINFO_REQUEST_SIZE, &sent);
		if (clock_ns() > deadline_ns)
			fail_msg("%s: cannot be sent", ask->what);
	}
}

struct ask *http_begin_with(
	struct http *http, const struct server *server, const char *fields, const char *request, const char *body)
{
	struct ask *ask = ask_new(http, request);
	const char *target = strchr(request, ' ') + 1;
	char method[16], url[TEXT_MAX * 3];

	snprintf(method, sizeof(method), "%.*s", (int)(target - request - 1), request);
	snprintf(url, sizeof(url), "%s%s", server->url, target);
	curl_easy_setopt(ask->easy, CURLOPT_URL, url);
	curl_easy_setopt(ask->easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(ask->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(ask->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(ask->easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(ask->easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(ask->easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(ask->easy, CURLOPT_WRITEDATA, ask->text_out);
	curl_easy_setopt(ask->easy, CURLOPT_HEADERFUNCTION, take);
	curl_easy_setopt(ask->easy, CURLOPT_HEADERDATA, ask->head_out);
	curl_easy_setopt(ask->easy, CURLOPT_PRIVATE, ask);
	set_body(ask, body, fields);
	set_method(ask, method, body);
	set_fields(ask, fields);
	send_off(ask);
	return ask;
}

static struct ask *begin(
	struct http *http, const struct server *server, const char *request, const char *body, va_list arguments)
{
	char text[TEXT_MAX];

	if (body && vsnprintf(text, sizeof(text), body, arguments) >= (int)sizeof(text))
		fail_msg("a body that is too long for the tests");
	return http_begin_with(http, server, NULL, request, body ? text : NULL);
}

struct ask *http_begin(struct http *http, const struct server *server, const char *request, const char *body, ...)
{
	struct ask *ask;
	va_list arguments;

	va_start(arguments, body);
	ask = begin(http, server, request, body, arguments);
	va_end(arguments);
	return ask;
}

void http_turn(struct http *http)
{
	turn(http, 1);
	turn(http, 0);
}

bool http_done(struct ask *ask)
{
	http_turn(ask->http);
	return ask->done;
}

void http_finish(struct ask *ask)
{
	int64_t deadline_ns = clock_ns() + PATIENCE_S * 1000000000LL;

	while (!ask->done) {
		turn(ask->http, TURN_MS);
		if (clock_ns() > deadline_ns)
			fail_msg("%s: no answer within %d s", ask->what, PATIENCE_S);
	}
}

struct ask *http_ask(struct http *http, const struct server *server, const char *request, const char *body, ...)
{
	struct ask *ask;
	va_list arguments;

	va_start(arguments, body);
	ask = begin(http, server, request, body, arguments);
	va_end(arguments);
	http_finish(ask);
	return ask;
}

struct ask *http_ask_with(
	struct http *http, const struct server *server, const char *fields, const char *request, const char *body)
{
	struct ask *ask = http_begin_with(http, server, fields, request, body);

	http_finish(ask);
	return ask;
}

void http_hang_up(struct ask *ask)
{
	assert_false(ask->done);
	end(ask);
	ask->done = true;
}

const char *ask_field(const struct ask *ask, const char *name)
{
	static _Thread_local char value[256];
	size_t length = strlen(name);

	for (const char *line = ask->head; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (strncasecmp(line, name, length) != 0 || line[length] != ':')
			continue;
		line += length + 1;
		line += strspn(line, " ");
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\r\n"), line);
		return value;
	}
	return "";
}

const char *ask_text(const struct ask *ask, const char *path)
{
	const char *text = ask->body ? json_text(ask->body, path) : NULL;

	return text ? text : "";
}

long long ask_number(const struct ask *ask, const char *path)
{
	return ask->body ? json_number(ask->body, path, -1) : -1;
}

bool ask_true(const struct ask *ask, const char *path)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(ask->body, path));
}

void check_answer(const struct ask *ask, long status, const char *code, const char *file, int line)
{
	if (ask->status == status && (!code || strcmp(ask_text(ask, "code"), code) == 0))
		return;
	print_error("%s\n%ld, wanted %ld %s\n%s%s\n", ask->what, ask->status, status, code ? code : "",
		ask->head ? ask->head : "", ask->text ? ask->text : "");
	_fail(file, line);
}
