#include "http.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/die.h"
#include "base/json.h"
#include "clock.h"
#include "patience.h"
#include "urls.h"

/* A stream's buffer is as small as can be: of a process that stands still the service soon cannot get rid of its events,
 * and so learns of it. */
enum { BODY_MAX = 16 << 20, STREAM_BUFFER = 1024 };

struct http {
	struct http_terms terms;
	unsigned current; /* index of the address in use */
	unsigned turns;	  /* how many in a row did not answer */
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	bool busy; /* the easy handle is in the multi handle */
	const struct listener *listener;
	bool streams; /* its answer is one */
	bool heard;   /* and said something since http_drive was called */
	int64_t sent_ms;
	char *text; /* of the answer so far */
	size_t size;
	char *what; /* "GET /path", for the verbose line */
	char error[CURL_ERROR_SIZE];
};

void reply_release(struct reply *reply)
{
	cJSON_Delete(reply->body);
	reply->body = NULL;
}

struct http *http_new(const struct http_terms *terms)
{
	struct http *http = or_die(calloc(1, sizeof(*http)));

	curl_global_init(CURL_GLOBAL_DEFAULT);
	http->terms = *terms;
	http->multi = or_die(curl_multi_init());
	http->easy = or_die(curl_easy_init());
	return http;
}

void http_cancel(struct http *http)
{
	if (http->busy)
		curl_multi_remove_handle(http->multi, http->easy);
	http->busy = http->streams = false;
	curl_slist_free_all(http->headers);
	http->headers = NULL;
	free(http->text);
	http->text = NULL;
	http->size = 0;
	free(http->what);
	http->what = NULL;
}

void http_free(struct http *http)
{
	http_cancel(http);
	curl_easy_cleanup(http->easy);
	curl_multi_cleanup(http->multi);
	curl_global_cleanup();
	free(http);
}

/* Whether what answers now is an event stream, for whoever wants to hear it. */
static bool is_stream(const struct http *http)
{
	static const char wanted[] = "text/event-stream";
	const char *type = NULL;
	long status = 0;

	if (!http->listener)
		return false;
	curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(http->easy, CURLINFO_CONTENT_TYPE, &type);
	return status == 200 && type && strncasecmp(type, wanted, sizeof(wanted) - 1) == 0;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
	struct http *http = context;

	size *= count;
	http->streams = is_stream(http);
	http->heard = http->streams;
	if (http->streams)
		return http->listener->hear(http->listener->context, data, size) ? size : 0;
	if (http->size + size > BODY_MAX)
		return 0;
	http->text = or_die(realloc(http->text, http->size + size + 1));
	memcpy(http->text + http->size, data, size);
	http->size += size;
	http->text[http->size] = '\0';
	return size;
}

/* libcurl's own sockets would be inherited by the commands that we run. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct http *http = context;
	int buffer = STREAM_BUFFER, fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void)purpose;
	if (fd >= 0 && http->listener)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	return fd;
}

static void add_header(struct http *http, const char *name, const char *value)
{
	char *line;

	if (!value)
		return;
	if (asprintf(&line, "%s: %s", name, value) < 0)
		die("out of memory");
	http->headers = or_die(curl_slist_append(http->headers, line));
	free(line);
}

static void set_headers(struct http *http, const struct request *request)
{
	char *bearer = NULL;

	if (http->terms.access_token && asprintf(&bearer, "Bearer %s", http->terms.access_token) < 0)
		die("out of memory");
	add_header(http, "Authorization", bearer);
	add_header(http, "X-Request-Id", http->terms.request_id);
	add_header(http, "X-Lease-Token", request->lease_token);
	add_header(http, "Content-Type", request->body ? "application/json" : NULL);
	add_header(http, "Accept",
		request->listener ? "text/event-stream, application/problem+json"
				  : "application/json, application/problem+json");
	http->headers = or_die(curl_slist_append(http->headers, "Expect:"));
	curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, http->headers);
	free(bearer);
}

/* What holds for every request: our timeouts, no redirects, HTTP alone, no proxy on the way to ourselves. */
static void set_manners(struct http *http, const struct url *url, const struct request *request)
{
	CURL *easy = http->easy;
	struct patience patience = {
		.addresses = http->terms.urls->count,
		.turns = http->turns,
		.answer_ms = request->answer_ms ? request->answer_ms : http->terms.answer_ms,
	};
	int64_t answer_ms = patience_to_answer(&patience) + request->patience_ms;

	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 10L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)patience_to_connect(&patience));
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->listener ? 0L : (long)answer_ms);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->listener ? 1L : 0L); /* for the sake of its buffer */
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->listener ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "deploy-gate/" DEPLOY_GATE_VERSION);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
	if (url->local)
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	if (url->socket)
		curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, url->socket);
}

void http_send(struct http *http, const struct request *request)
{
	const struct url *url = &http->terms.urls->at[http->current];
	char *address;

	http_cancel(http);
	if (asprintf(&address, "%s%s", url->base, request->path) < 0 ||
		asprintf(&http->what, "%s %s", request->method, request->path) < 0)
		die("out of memory");
	http->listener = request->listener;
	curl_easy_reset(http->easy);
	http->error[0] = '\0';
	set_manners(http, url, request);
	set_headers(http, request);
	curl_easy_setopt(http->easy, CURLOPT_URL, address);
	if (strcmp(request->method, "GET") != 0)
		curl_easy_setopt(http->easy, CURLOPT_COPYPOSTFIELDS, request->body ? request->body : "");
	curl_easy_setopt(http->easy, CURLOPT_CUSTOMREQUEST, request->method);
	free(address);
	http->sent_ms = clock_ms();
	curl_multi_add_handle(http->multi, http->easy);
	http->busy = true;
}

/* Whether a body is one that deploy-gated sends: whatever it answers has one of these members, and its refusals have a type.
 * Others speak JSON too, and their 200 must not let a job run. */
static bool is_ours(const struct cJSON *body, bool refusal)
{
	static const char *const members[] = { "state", "gates", "leases", "events", "defaults" };
	static const char types[] = "/problems/";
	const char *type = json_text(body, "type");

	if (refusal)
		return type && strncmp(type, types, sizeof(types) - 1) == 0 && json_text(body, "code");
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		if (cJSON_GetObjectItemCaseSensitive(body, members[i]))
			return true;
	return false;
}

/* A proxy that finds no deploy-gated, or somebody else: nobody who knows has answered. */
static void say_foreign(const struct http *http, struct reply *reply)
{
	bool by_proxy = reply->status >= 502 && reply->status <= 504;
	char address[256];

	reply_release(reply);
	reply->outcome = OUTCOME_UNAVAILABLE;
	snprintf(reply->detail, sizeof(reply->detail), "%s answers HTTP %d%s",
		url_say(&http->terms.urls->at[http->current], address), reply->status,
		by_proxy ? ", as a proxy that reaches no deploy-gate does" : " and is no deploy-gate");
}

static void read_answer(struct http *http, struct reply *reply)
{
	bool refusal = reply->status < 200 || reply->status >= 300;
	const char *detail;
	struct fault fault;

	if (!http->text || json_parse(http->text, http->size, &reply->body, &fault) != OUTCOME_OK)
		reply->body = NULL;
	if (!reply->body || !is_ours(reply->body, refusal)) {
		say_foreign(http, reply);
		return;
	}
	if (!refusal) {
		reply->outcome = reply->status == 201 ? OUTCOME_MADE : OUTCOME_OK;
		return;
	}
	reply->outcome = outcome_of_word(json_text(reply->body, "code"));
	detail = json_text(reply->body, "detail");
	if (detail)
		snprintf(reply->detail, sizeof(reply->detail), "%s", detail);
}

static void say_exchange(const struct http *http, const struct reply *reply)
{
	char address[256];

	if (http->terms.verbose)
		fprintf(stderr, "deploy-gate: %s at %s: %d %s in %" PRId64 " ms\n", http->what,
			url_say(&http->terms.urls->at[http->current], address), reply->status,
			outcome_row(reply->outcome)->word, clock_ms() - http->sent_ms);
}

/* Why nobody answered, in fewer words than libcurl's, which of a socket would speak of a host and a port. */
static void say_unreached(const struct http *http, CURLcode code, struct reply *reply)
{
	const struct url *url = &http->terms.urls->at[http->current];
	const char *why = http->error[0] ? http->error : curl_easy_strerror(code);
	char address[256];
	long error = 0;

	curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &error);
	if (code == CURLE_COULDNT_CONNECT && (error || url->socket))
		why = error ? strerror((int)error) : "nobody listens there";
	snprintf(reply->detail, sizeof(reply->detail), "could not reach %s: %s", url_say(url, address), why);
}

static void fill_reply(struct http *http, CURLcode code, struct reply *reply)
{
	curl_off_t retry_after = 0;
	long status = 0;

	*reply = (struct reply){ .outcome = OUTCOME_UNAVAILABLE, .sent_ms = http->sent_ms };
	if (http->streams || code == CURLE_OK)
		http->turns = 0;
	if (http->streams) {
		snprintf(reply->detail, sizeof(reply->detail), "the stream has ended");
	} else if (code == CURLE_OK) {
		curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(http->easy, CURLINFO_RETRY_AFTER, &retry_after);
		reply->status = (int)status;
		reply->retry_after_ms = retry_after * 1000;
		read_answer(http, reply);
	} else {
		say_unreached(http, code, reply);
	}
	say_exchange(http, reply);
	http_cancel(http);
}

/* True if the exchange is over and the reply filled. */
static bool perform(struct http *http, struct reply *reply)
{
	int running, left;
	CURLMsg *message;

	curl_multi_perform(http->multi, &running);
	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE) {
			fill_reply(http, message->data.result, reply);
			return true;
		}
	return false;
}

bool http_drive(struct http *http, int fd, int64_t timeout_ms, struct reply *reply)
{
	struct curl_waitfd extra = { .fd = fd, .events = CURL_WAIT_POLLIN };
	int64_t end_ms = clock_ms() + timeout_ms;

	http->heard = false;
	for (;;) {
		int64_t left_ms;

		if (http->busy && perform(http, reply))
			return true;
		left_ms = end_ms - clock_ms();
		if (left_ms <= 0 || extra.revents || http->heard)
			return false;
		curl_multi_poll(http->multi, &extra, 1, (int)left_ms, NULL);
		if (http->streams)
			return false; /* what is there now may be old: the caller looks at the clock first */
	}
}

bool http_next_url(struct http *http)
{
	http->turns++;
	http->current = (http->current + 1) % http->terms.urls->count;
	return http->current == 0;
}

char *http_escape(const char *text)
{
	char *escaped = or_die(curl_easy_escape(NULL, text, 0)), *copy = or_die(strdup(escaped));

	curl_free(escaped);
	return copy;
}
