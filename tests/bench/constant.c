/* constant: what libmicrohttpd does by itself, with one thread and epoll: the reply of a check, always the same. Prints the
 * port it took, and goes on until it is killed. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/die.h"

static const char body[] = "{\"state\":\"open\",\"known\":false}";

static enum MHD_Result reply(void *response, struct MHD_Connection *connection, const char *url, const char *method,
	const char *version, const char *upload, size_t *upload_size, void **seen)
{
	(void)url;
	(void)method;
	(void)version;
	(void)upload;
	(void)upload_size;
	/* The first call is of the header alone; to reply there would end the connection. */
	if (!*seen) {
		*seen = response;
		return MHD_YES;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, response);
}

static struct MHD_Response *make_reply(void)
{
	struct MHD_Response *response =
		or_die(MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT));

	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Request-Id", "0123456700000000");
	return response;
}

int main(void)
{
	struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct MHD_Daemon *daemon = or_die(MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, reply,
		make_reply(), MHD_OPTION_SOCK_ADDR, &loopback, MHD_OPTION_END));

	printf("%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
	fflush(stdout);
	pause();
}
