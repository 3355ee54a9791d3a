#include "http/routes.h"

#include <stdio.h>
#include <string.h>

#include "base/advice.h"
#include "gate/keeper.h"
#include "http/calls.h"
#include "http/params.h"
#include "http/route.h"

#define ENDINGS "opened|released|expired|forced|reaped|drain_timeout|abandoned|taken_over|failed"
#define EVENT_KINDS ENDINGS "|closed|draining|queued|passed|overrun|renewed|contested|frozen|settings"
#define LIMIT \
	{ \
		"limit", PARAM_NUMBER, "limit", 0, 1, 1000, NULL \
	}
#define END \
	{ \
		NULL, PARAM_TEXT, NULL, 0, 0, 0, NULL \
	}

static const struct param no_params[] = { END };

static const struct param wait_params[] = { { "timeout", PARAM_DURATION, "timeout_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "holder", PARAM_TEXT, "holder", 0, 0, 0, NULL }, { "job", PARAM_TEXT, "job", 0, 0, 0, NULL }, END };

static const struct param close_params[] = { { "token", PARAM_TOKEN, "digest", 0, 0, 0, NULL },
	{ "holder", PARAM_TEXT, "holder", 0, 0, 0, NULL }, { "reason", PARAM_TEXT, "reason", 0, 0, 0, NULL },
	{ "release", PARAM_TEXT, "release", 0, 0, 0, NULL }, { "url", PARAM_URL, "url", 0, 0, 0, NULL },
	{ "job", PARAM_TEXT, "job", 0, 0, 0, NULL }, { "ttl", PARAM_DURATION, "ttl_ms", 0, 0, 0, NULL },
	{ "max", PARAM_DURATION, "max_ms", 0, 0, 0, NULL },
	{ "wait", PARAM_DURATION, "wait_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "drain", PARAM_DURATION, "drain_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "on_drain", PARAM_WORD, "on_drain", 0, 0, 0, "abort|proceed|stop" },
	{ "on_expiry", PARAM_WORD, "on_expiry", 0, 0, 0, "open|hold" },
	{ "grace", PARAM_DURATION, "grace_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "timeout", PARAM_DURATION, "timeout_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "takeover", PARAM_BOOL, "takeover", 0, 0, 0, NULL }, END };

static const struct param pass_params[] = { { "token", PARAM_TOKEN, "digest", 0, 0, 0, NULL },
	{ "holder", PARAM_TEXT, "holder", 0, 0, 0, NULL }, { "reason", PARAM_TEXT, "reason", 0, 0, 0, NULL },
	{ "job", PARAM_TEXT, "job", 0, 0, 0, NULL }, { "url", PARAM_URL, "url", 0, 0, 0, NULL },
	{ "ttl", PARAM_DURATION, "ttl_ms", 0, 0, 0, NULL },
	{ "wait", PARAM_DURATION, "wait_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "timeout", PARAM_DURATION, "timeout_ms", PARAM_ZERO_OK, 0, 0, NULL }, END };

static const struct param open_params[] = { { "token", PARAM_TOKEN, "digest", PARAM_REQUIRED, 0, 0, NULL },
	{ "outcome", PARAM_WORD, "outcome", 0, 0, 0, "failed" }, { "reason", PARAM_TEXT, "reason", 0, 0, 0, NULL },
	END };

static const struct param force_open_params[] = { { "reason", PARAM_TEXT, "reason", PARAM_REQUIRED, 0, 0, NULL },
	{ "lease", PARAM_ID, "lease", 0, 0, 0, NULL }, { "holder", PARAM_TEXT, "by", 0, 0, 0, NULL }, END };

static const struct param renew_params[] = { { "token", PARAM_TOKEN, "digest", PARAM_REQUIRED, 0, 0, NULL },
	{ "ttl", PARAM_DURATION, "ttl_ms", 0, 0, 0, NULL }, END };

static const struct param release_params[] = { { "token", PARAM_TOKEN, "digest", PARAM_REQUIRED, 0, 0, NULL }, END };

static const struct param attach_params[] = { { "token", PARAM_TOKEN, "digest", PARAM_REQUIRED, 0, 0, NULL }, END };

static const struct param amend_params[] = { { "token", PARAM_TOKEN, "digest", 0, 0, 0, NULL },
	{ "reason", PARAM_TEXT, "reason", 0, 0, 0, NULL }, { "url", PARAM_URL, "url", 0, 0, 0, NULL },
	{ "max", PARAM_DURATION, "max_ms", 0, 0, 0, NULL }, END };

static const struct param settings_params[] = { { "limit", PARAM_NUMBER, "limit", 0, 1, 1000000, NULL },
	{ "gap", PARAM_DURATION, "gap_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "ttl", PARAM_DURATION, "ttl_ms", 0, 0, 0, NULL }, { "max", PARAM_DURATION, "max_ms", 0, 0, 0, NULL },
	{ "drain", PARAM_DURATION, "drain_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "on_drain", PARAM_WORD, "on_drain", 0, 0, 0, "abort|proceed|stop" },
	{ "on_expiry", PARAM_WORD, "on_expiry", 0, 0, 0, "open|hold" },
	{ "grace", PARAM_DURATION, "grace_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "holder", PARAM_TEXT, "by", 0, 0, 0, NULL }, { "reason", PARAM_TEXT, "reason", 0, 0, 0, NULL }, END };

static const struct param forget_settings_params[] = { { "holder", PARAM_TEXT, "by", 0, 0, 0, NULL },
	{ "reason", PARAM_TEXT, "reason", 0, 0, 0, NULL }, END };

static const struct param gates_params[] = { { "prefix", PARAM_TEXT, "prefix", 0, 0, 0, NULL },
	{ "after", PARAM_TEXT, "after", 0, 0, 0, NULL }, LIMIT, END };

static const struct param reap_params[] = { { "kind", PARAM_WORD, "kind", 0, 0, 0, "window|pass" },
	{ "gates", PARAM_GATES, "gates", 0, 0, 0, NULL },
	{ "older_than", PARAM_DURATION, "older_than_ms", 0, 0, 0, NULL }, { "all", PARAM_BOOL, "all", 0, 0, 0, NULL },
	{ "reason", PARAM_TEXT, "reason", PARAM_REQUIRED, 0, 0, NULL }, { "holder", PARAM_TEXT, "by", 0, 0, 0, NULL },
	END };

static const struct param events_params[] = { { "gate", PARAM_GATE, "gate", 0, 0, 0, NULL },
	{ "kind", PARAM_WORD, "kind", 0, 0, 0, EVENT_KINDS }, { "since", PARAM_TIME, "since", 0, 0, 0, NULL },
	{ "until", PARAM_TIME, "until", 0, 0, 0, NULL }, { "after", PARAM_NUMBER, "after", 0, 0, INT64_MAX, NULL },
	LIMIT, END };

#define NO_GATE \
	"there is no such gate: nobody ever closed or declared it, and only known gates are served (known-gates-only)"
#define NO_LEASE_THERE "no lease with this id was ever over this gate; leave lease out to end what shuts it now"
#define NO_LEASE "there is no lease with this id; ended ones are forgotten after the retention period"

const struct route routes[] = {
	{ "GET", "/v1/gates/{gates}/check", no_params, call_check, 0, false, ADVICE_TO_WAIT, NO_GATE },
	{ "GET", "/v1/gates/{gates}/wait", wait_params, call_wait, 0, false, ADVICE_AGAIN, NO_GATE },
	{ "POST", "/v1/gates/{gates}/pass", pass_params, call_pass, CHANGE_PASS, true, ADVICE_TO_WAIT_INSIDE, NO_GATE },
	{ "POST", "/v1/gates/{gates}/close", close_params, call_close, CHANGE_CLOSE, true, ADVICE_IN_LINE, NO_GATE },
	{ "POST", "/v1/gates/{gates}/open", open_params, call_change, CHANGE_OPEN, true, NULL, NO_GATE },
	{ "POST", "/v1/gates/{gate}/force-open", force_open_params, call_change, CHANGE_FORCE_OPEN, true,
		ADVICE_THE_SHUT_ONE, NO_LEASE_THERE },
	{ "GET", "/v1/gates", gates_params, call_read, READ_GATES, false, NULL, NULL },
	{ "GET", "/v1/gates/{gate}", no_params, call_read, READ_GATE, false, NULL, NO_GATE },
	{ "GET", "/v1/gates/{gate}/settings", no_params, call_read, READ_SETTINGS, false, NULL, NO_GATE },
	{ "PUT", "/v1/gates/{gate}/settings", settings_params, call_settings, CHANGE_SETTINGS, true, NULL, NO_GATE },
	{ "DELETE", "/v1/gates/{gate}/settings", forget_settings_params, call_change, CHANGE_FORGET_SETTINGS, true,
		NULL, NO_GATE },
	{ "GET", "/v1/leases/{id}", no_params, call_read, READ_LEASE, false, NULL, NO_LEASE },
	{ "PATCH", "/v1/leases/{id}", amend_params, call_change, CHANGE_AMEND, true, NULL, NO_LEASE },
	{ "POST", "/v1/leases/{id}/renew", renew_params, call_change, CHANGE_RENEW, true, NULL, NO_LEASE },
	{ "POST", "/v1/leases/{id}/release", release_params, call_change, CHANGE_RELEASE, true, NULL, NO_LEASE },
	{ "GET", "/v1/leases/{id}/attach", attach_params, call_attach, CHANGE_ATTACH, true, NULL, NO_LEASE },
	{ "POST", "/v1/reap", reap_params, call_reap, CHANGE_REAP, true, NULL, NULL },
	{ "GET", "/v1/events", events_params, call_read, READ_EVENTS, false, NULL, NULL },
	{ "GET", "/v1/replicas", no_params, call_read, READ_REPLICAS, false, NULL, NULL },
	{ "GET", "/healthz", no_params, call_health, 0, false, NULL, NULL },
	{ "GET", "/readyz", no_params, call_ready, 0, false, NULL, NULL },
	{ NULL, NULL, NULL, NULL, 0, false, NULL, NULL },
};

/* Whether a path is of this pattern, and what its {…} stands for. */
static bool matches(const char *pattern, const char *path, struct capture *capture)
{
	for (; *pattern; pattern++) {
		if (*pattern == '{') {
			capture->at = path;
			capture->size = strcspn(path, "/");
			if (capture->size == 0)
				return false;
			path += capture->size;
			pattern = strchr(pattern, '}');
		} else if (*pattern != *path++) {
			return false;
		}
	}
	return *path == '\0';
}

static bool is_method(const struct route *route, const char *method)
{
	return strcmp(method,
		       strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0 ? "HEAD" : route->method) == 0;
}

enum outcome routes_find(const char *method, const char *path, const struct route **found, struct capture *capture,
	char allow[static ALLOW_MAX], struct fault *fault)
{
	size_t length = 0;

	allow[0] = '\0';
	for (const struct route *route = routes; route->method; route++) {
		if (!matches(route->pattern, path, capture))
			continue;
		if (is_method(route, method)) {
			*found = route;
			return OUTCOME_OK;
		}
		length += (size_t)snprintf(allow + length, ALLOW_MAX - length, "%s%s%s", length ? ", " : "",
			route->method, strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
	}
	if (allow[0])
		return fault_set(
			fault, OUTCOME_METHOD_NOT_ALLOWED, "%.20s is not how this is asked for: %s", method, allow);
	return fault_set(fault, OUTCOME_NOT_FOUND, "there is no %.100s here; the interface begins at /v1/gates", path);
}
