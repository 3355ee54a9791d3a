#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static enum outcome parse_socket(const char *path, struct address *address, struct fault *fault)
{
	struct sockaddr_un *local = (struct sockaddr_un *)&address->at;

	if (*path != '/')
		return fault_set(
			fault, OUTCOME_BAD_REQUEST, "the path of a socket begins with /: unix:/run/deploy-gated.sock");
	if (strlen(path) >= sizeof(local->sun_path))
		return fault_set(fault, OUTCOME_BAD_REQUEST, "the path of a socket has at most %zu bytes",
			sizeof(local->sun_path) - 1);
	local->sun_family = AF_UNIX;
	memcpy(local->sun_path, path, strlen(path) + 1);
	address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	return OUTCOME_OK;
}

/* Reads a port; false unless it is a number from 0 to 65535 and nothing else. */
static bool parse_port(const char *text, in_port_t *port)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || strlen(text) > 5 || number > 65535)
		return false;
	*port = htons((in_port_t)number);
	return true;
}

/* Fills in the family of whichever kind of number host is; false if it is none. */
static bool parse_host(const char *host, bool bracketed, in_port_t port, struct address *address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&address->at;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->at;

	if (bracketed && inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = port;
		address->size = sizeof(*six);
		return true;
	}
	if (!bracketed &&
		inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = port;
		address->size = sizeof(*four);
		return true;
	}
	return false;
}

enum outcome address_parse(const char *text, struct address *result, struct fault *fault)
{
	struct address address = { .size = 0 };
	const char *colon = strrchr(text, ':');
	bool bracketed = *text == '[' && colon && colon > text && colon[-1] == ']';
	char host[64];
	in_port_t port;
	size_t length;

	if (strncmp(text, "unix:", 5) == 0) {
		enum outcome outcome = parse_socket(text + 5, &address, fault);

		if (outcome == OUTCOME_OK)
			*result = address;
		return outcome;
	}
	if (!colon || !parse_port(colon + 1, &port))
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"write an address and a port from 0 to 65535: 127.0.0.1:7433, [::1]:7433 or unix:/path");
	length = (size_t)(colon - text) - (bracketed ? 2 : 0);
	snprintf(host, sizeof(host), "%.*s", (int)(length < sizeof(host) ? length : 0), text + bracketed);
	if (!parse_host(host, bracketed, port, &address))
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"\"%.60s\" is not the number of an address: write 127.0.0.1:7433, [::1]:7433 or unix:/path",
			text);
	*result = address;
	return OUTCOME_OK;
}

bool address_is_local(const struct address *address)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)&address->at;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->at;

	switch (address->at.ss_family) {
	case AF_INET:
		return ntohl(four->sin_addr.s_addr) >> 24 == 127;
	case AF_INET6:
		return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
	default:
		return address->at.ss_family == AF_UNIX;
	}
}

void address_format(const struct address *address, char text[static ADDRESS_TEXT_MAX])
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)&address->at;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->at;
	const struct sockaddr_un *local = (const struct sockaddr_un *)&address->at;
	char host[INET6_ADDRSTRLEN] = "";

	switch (address->at.ss_family) {
	case AF_INET:
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(four->sin_port));
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(six->sin6_port));
		break;
	default:
		snprintf(text, ADDRESS_TEXT_MAX, "unix:%s", local->sun_path);
	}
}
