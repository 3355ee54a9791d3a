/* exchange: what libmicrohttpd asks of us while a request comes in and its reply goes out. The callbacks of its daemon; their
 * context is the desk. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <microhttpd.h>

/* The first line is there: makes the request, which becomes the context of the exchange. */
void *exchange_begin(void *desk, const char *target, struct MHD_Connection *);

/* The header is there; then parts of the body; then all of it, for as long as there is no reply and nobody suspended it. */
enum MHD_Result exchange_handle(void *desk, struct MHD_Connection *, const char *url, const char *method,
	const char *version, const char *body, size_t *body_size, void **request);

/* The exchange is over, however it came out. */
void exchange_end(void *desk, struct MHD_Connection *, void **request, enum MHD_RequestTerminationCode);

#endif
