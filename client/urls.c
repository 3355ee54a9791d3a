#include "urls.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"

static bool is_loopback(const char *host)
{
	struct in_addr address;

	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* Fills the url from the parts that libcurl found. Whatever is not understood in full is refused. */
static enum outcome look_at_parts(CURLU *parts, struct url *url, const char *text, struct fault *fault)
{
	char *scheme = NULL, *host = NULL, *user = NULL, *query = NULL;
	enum outcome outcome = OUTCOME_OK;

	if (curl_url_set(parts, CURLUPART_URL, text, 0) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK || !scheme || !host ||
		(strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		outcome = fault_set(fault, OUTCOME_BAD_REQUEST,
			"\"%.100s\" is no address of a service: http://host:port, https://host or unix:/path", text);
	else if (curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK ||
		curl_url_get(parts, CURLUPART_QUERY, &query, 0) == CURLUE_OK)
		outcome = fault_set(fault, OUTCOME_BAD_REQUEST,
			"the address of the service has a user, a password or a query in it, and takes none");
	if (outcome == OUTCOME_OK && scheme && host) {
		url->local = is_loopback(host);
		url->plain = strcmp(scheme, "http") == 0;
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(user);
	curl_free(query);
	return outcome;
}

static enum outcome parse_one(const char *text, struct url *url, struct fault *fault)
{
	CURLU *parts;
	enum outcome outcome;
	size_t size = strlen(text);

	if (strncmp(text, "unix:", 5) == 0) {
		if (text[5] != '/')
			return fault_set(
				fault, OUTCOME_BAD_REQUEST, "\"%.100s\" wants an absolute path: unix:/path", text);
		*url = (struct url){ or_die(strdup("http://localhost")), or_die(strdup(text + 5)), true, true };
		return OUTCOME_OK;
	}
	parts = or_die(curl_url());
	outcome = look_at_parts(parts, url, text, fault);
	curl_url_cleanup(parts);
	if (outcome != OUTCOME_OK)
		return outcome;
	while (size && text[size - 1] == '/')
		size--;
	url->base = or_die(strndup(text, size));
	return OUTCOME_OK;
}

enum outcome urls_parse(const char *text, struct urls *urls, struct fault *fault)
{
	*urls = (struct urls){ 0 };
	for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		char *one = or_die(strndup(at, strcspn(at, ",")));
		enum outcome outcome = urls->count < URLS_MAX
			? parse_one(one, &urls->at[urls->count], fault)
			: fault_set(fault, OUTCOME_BAD_REQUEST, "more than %d addresses", URLS_MAX);

		free(one);
		if (outcome != OUTCOME_OK) {
			urls_release(urls);
			return outcome;
		}
		urls->count++;
	}
	return OUTCOME_OK;
}

void urls_release(struct urls *urls)
{
	for (unsigned i = 0; i < urls->count; i++) {
		free(urls->at[i].base);
		free(urls->at[i].socket);
	}
	*urls = (struct urls){ 0 };
}

const char *url_say(const struct url *url, char text[static 256])
{
	snprintf(text, 256, "%s%s", url->socket ? "unix:" : url->base, url->socket ? url->socket : "");
	return text;
}
