/* outcome: how a thing can come out. One table gives each outcome its word, HTTP status, exit code and title.
 * The words are those of the SQL functions, of `code` in problem details and of the client's last line. */
#ifndef BASE_OUTCOME_H
#define BASE_OUTCOME_H

enum outcome {
	OUTCOME_OK,
	OUTCOME_MADE,			/* a lease was made now */
	OUTCOME_QUEUED,			/* within the service: has a place in the queue, ask again */
	OUTCOME_PENDING,		/* within the service: nobody holds us up for long, ask again in milliseconds */
	OUTCOME_BAD_REQUEST,
	OUTCOME_UNAUTHORIZED,
	OUTCOME_FORBIDDEN,
	OUTCOME_NOT_FOUND,
	OUTCOME_METHOD_NOT_ALLOWED,
	OUTCOME_HELD,
	OUTCOME_DRAINING,
	OUTCOME_DRAIN_TIMEOUT,
	OUTCOME_FROZEN,
	OUTCOME_NOT_HOLDER,
	OUTCOME_TOKEN_USED,
	OUTCOME_GONE,
	OUTCOME_TOO_LARGE,
	OUTCOME_URI_TOO_LONG,
	OUTCOME_UNSUPPORTED_MEDIA_TYPE,
	OUTCOME_CLOSED,
	OUTCOME_FULL,
	OUTCOME_TOO_MANY,
	OUTCOME_HEADERS_TOO_LARGE,
	OUTCOME_INTERNAL,
	OUTCOME_UNAVAILABLE,
	OUTCOME_COUNT
};

struct outcome_row {
	const char *word;		/* "held" */
	int status;			/* HTTP status, 0 for what never leaves the service */
	int exit;			/* exit code of the client */
	const char *title;		/* "Another window is live or ahead" */
	int retry_after_s;		/* Retry-After in seconds, 0 for none */
};

/* The row of an outcome; never NULL. */
const struct outcome_row *outcome_row(enum outcome);

/* The outcome of that word; OUTCOME_INTERNAL for a word nobody knows. */
enum outcome outcome_of_word(const char *word);

/* What went wrong, in the words of a person. Written only by what returns anything but OUTCOME_OK. */
struct fault {
	enum outcome outcome;
	char detail[512];		/* a sentence: who, why, what to do */
};

/* Fills a fault and returns its outcome, so that `return fault_set(…)` reads well. */
enum outcome fault_set(struct fault *, enum outcome, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
