/* http: requests to servers, one or many at once, as a program with libcurl would send them. Each request has a connection of
 * its own unless it says otherwise. Whatever goes wrong here fails the running test. */
#ifndef SUPPORT_HTTP_H
#define SUPPORT_HTTP_H

#include <stdbool.h>
#include <stdint.h>

struct cJSON;
struct server;

/* All requests of a test; owns them until http_forget or http_release. */
struct http {
	void *multi;
	struct ask *asks;
	bool together;			/* requests do not leave when begun, but all at once in the next turn */
};

/* One request, and its answer once done. */
struct ask {
	struct http *http;
	struct ask *next;
	void *easy, *fields;
	char *what;			/* for people */
	char *head, *text;		/* the header and the body as they came */
	struct cJSON *body;		/* NULL where it is no JSON */
	long status;			/* 0: no answer came */
	bool done;
	int64_t sent_ns, came_ns;	/* CLOCK_MONOTONIC */
	unsigned long long head_size, text_size;
	void *head_out, *text_out;
};

void http_init(struct http *);
void http_release(struct http *);

/* Ends and frees all requests so far. */
void http_forget(struct http *);

/* Begins a request: "POST /v1/gates/a/close". The body is a form, or JSON where it begins with {; NULL for none. */
struct ask *http_begin(struct http *, const struct server *, const char *request, const char *body, ...)
	__attribute__((format(printf, 4, 5)));

/* As http_begin, with a line of the header ("Accept: text/plain"), by \n several, that replaces what is sent otherwise. */
struct ask *http_begin_with(
	struct http *, const struct server *, const char *fields, const char *request, const char *body);

/* Goes on with all requests until this one is answered, or its connection died; 60 s at most. */
void http_finish(struct ask *);

/* Goes on with all requests for a moment; whether this one is done. */
bool http_done(struct ask *);

/* http_begin and http_finish. */
struct ask *http_ask(struct http *, const struct server *, const char *request, const char *body, ...)
	__attribute__((format(printf, 4, 5)));
struct ask *http_ask_with(
	struct http *, const struct server *, const char *fields, const char *request, const char *body);

/* Goes on with all requests for a moment. */
void http_turn(struct http *);

/* Closes the connection of a request that is under way. */
void http_hang_up(struct ask *);

/* A field of the answer's header, "" for none; good until the next call. */
const char *ask_field(const struct ask *, const char *name);

/* Members of the answer's body, by dotted path: "" and -1 for none. */
const char *ask_text(const struct ask *, const char *path);
long long ask_number(const struct ask *, const char *path);
bool ask_true(const struct ask *, const char *path);

int64_t clock_ns(void);

/* The status, and the code of the problem where it is not NULL. */
void check_answer(const struct ask *, long status, const char *code, const char *file, int line);
#define assert_answer(ask, status, code) check_answer(ask, status, code, __FILE__, __LINE__)

#endif
