#include "http/headers.h"

#include <ctype.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "http/listener.h"

static const struct field {
	const char *name;
	size_t at;			/* of its member in struct headers */
	bool again;			/* it may come more than once; the last counts */
} fields[] = {
	{ "Host", offsetof(struct headers, host), false },
	{ "Accept", offsetof(struct headers, accept), true },
	{ "Origin", offsetof(struct headers, origin), false },
	{ "Content-Length", offsetof(struct headers, content_length), false },
	{ "Content-Type", offsetof(struct headers, content_type), false },
	{ "Transfer-Encoding", offsetof(struct headers, transfer_encoding), false },
	{ "X-Lease-Token", offsetof(struct headers, lease_token), false },
	{ "X-Request-Id", offsetof(struct headers, request_id), true },
};

/* A header in the making. */
struct reading {
	struct headers *headers;
	struct fault *fault;
	enum outcome outcome;
};

static bool is_name(const char *name)
{
	while (isalnum((unsigned char)*name) || (*name && strchr("-_!#$%&'*+.^`|~", *name)))
		name++;
	return *name == '\0';
}

static enum MHD_Result read_field(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct reading *reading = context;

	(void)kind;
	if (!is_name(name)) {
		reading->outcome = fault_set(reading->fault, OUTCOME_BAD_REQUEST,
			"the header has a field whose name is none: \"%.40s\"", name);
		return MHD_NO;
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const char **member = (const char **)((char *)reading->headers + fields[i].at);

		if (strcasecmp(name, fields[i].name) != 0)
			continue;
		if (*member && !fields[i].again) {
			reading->outcome =
				fault_set(reading->fault, OUTCOME_BAD_REQUEST, "%s: given twice", fields[i].name);
			return MHD_NO;
		}
		*member = value ? value : "";
		break;
	}
	return MHD_YES;
}

static bool is_request_id(const char *text)
{
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return length >= 1 && length <= 64 && text[length] == '\0';
}

enum outcome headers_read(
	struct headers *headers, struct MHD_Connection *connection, const char *version, struct fault *fault)
{
	struct reading reading = { .headers = headers, .fault = fault, .outcome = OUTCOME_OK };

	*headers = (struct headers){ 0 };
	MHD_get_connection_values(connection, MHD_HEADER_KIND, read_field, &reading);
	if (headers->request_id && !is_request_id(headers->request_id))
		headers->request_id = NULL;
	if (reading.outcome != OUTCOME_OK)
		return reading.outcome;
	if (headers->transfer_encoding && headers->content_length)
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"both Transfer-Encoding and Content-Length were sent: send one of them");
	if (headers->transfer_encoding && strcasecmp(headers->transfer_encoding, "chunked") != 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "Transfer-Encoding: only chunked is understood");
	if (!headers->host && strcmp(version, MHD_HTTP_VERSION_1_0) != 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "Host: is missing");
	return OUTCOME_OK;
}

/* The length of the name in a name with a port behind it: "gate:80", "[::1]:80". */
static size_t name_length(const char *host)
{
	if (*host == '[')
		return strcspn(host, "]") + (strchr(host, ']') != NULL);
	return strcspn(host, ":/");
}

static bool is_among(const char *host, size_t length, const char *names)
{
	for (; *names; names += *names == ',') {
		size_t size = strcspn(names, ",");

		if (size == length && strncasecmp(names, host, length) == 0)
			return true;
		names += size;
	}
	return false;
}

static bool is_ours(const char *host, const struct listener *listener, const char *host_names)
{
	char own[ADDRESS_TEXT_MAX];
	size_t length = name_length(host);

	if (is_among(host, length, "localhost,127.0.0.1,[::1]") || is_among(host, length, host_names))
		return true;
	address_format(&listener->address, own);
	return length == name_length(own) && strncasecmp(own, host, length) == 0;
}

enum outcome headers_check_names(
	const struct headers *headers, const struct listener *listener, const char *host_names, struct fault *fault)
{
	const char *origin = headers->origin;

	if (headers->host && !listener_is_socket_file(listener) && !is_ours(headers->host, listener, host_names))
		return fault_set(fault, OUTCOME_FORBIDDEN,
			"Host: \"%.80s\" is no name of this server; if it should be, add it to the setting host-names",
			headers->host);
	if (!origin)
		return OUTCOME_OK;
	if (strncmp(origin, "http://", 7) == 0 || strncmp(origin, "https://", 8) == 0)
		origin = strstr(origin, "//") + 2;
	else
		origin = "";
	if (!is_ours(origin, listener, host_names))
		return fault_set(fault, OUTCOME_FORBIDDEN,
			"Origin: pages of \"%.80s\" may not speak to this server; if they should, add it to the "
			"setting host-names",
			headers->origin);
	return OUTCOME_OK;
}
