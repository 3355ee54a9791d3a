#include "base/outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct outcome_row rows[OUTCOME_COUNT] = {
	/*				  word			 status	exit title				     retry */
	[OUTCOME_OK]			= { "ok",		    200,  0, "Done",					 0 },
	[OUTCOME_MADE]			= { "made",		    201,  0, "Made",					 0 },
	[OUTCOME_QUEUED]		= { "queued",		      0, 70, "Has a place in the queue",		 0 },
	[OUTCOME_PENDING]		= { "pending",		      0, 70, "Not decided yet",				 0 },
	[OUTCOME_BAD_REQUEST]		= { "bad_request",	    400, 64, "The request is malformed",		 0 },
	[OUTCOME_UNAUTHORIZED]		= { "unauthorized",	    401, 77, "An access token is needed",		 0 },
	[OUTCOME_FORBIDDEN]		= { "forbidden",	    403, 77, "Not allowed",				 0 },
	[OUTCOME_NOT_FOUND]		= { "not_found",	    404, 64, "There is no such thing",			 0 },
	[OUTCOME_METHOD_NOT_ALLOWED]	= { "method_not_allowed",   405, 70, "Not by this method",			 0 },
	[OUTCOME_HELD]			= { "held",		    409, 75, "Somebody else holds or awaits the gate",	 2 },
	[OUTCOME_DRAINING]		= { "draining",		    409, 75, "Jobs are still inside",			 2 },
	[OUTCOME_DRAIN_TIMEOUT]		= { "drain_timeout",	    409, 79, "Jobs did not leave in time",		 5 },
	[OUTCOME_FROZEN]		= { "frozen",		    409, 75, "Deploys are frozen",			 5 },
	[OUTCOME_NOT_HOLDER]		= { "not_holder",	    409, 77, "The token does not hold this gate",	 0 },
	[OUTCOME_TOKEN_USED]		= { "token_used",	    409, 77, "The token belongs to another lease",	 0 },
	[OUTCOME_GONE]			= { "gone",		    410, 76, "The lease has ended",			 0 },
	[OUTCOME_TOO_LARGE]		= { "too_large",	    413, 64, "The body is too large",			 0 },
	[OUTCOME_URI_TOO_LONG]		= { "uri_too_long",	    414, 64, "The address is too long",			 0 },
	[OUTCOME_UNSUPPORTED_MEDIA_TYPE] = { "unsupported_media_type", 415, 64, "The content type is not understood",
		0 },
	[OUTCOME_CLOSED]		= { "closed",		    423, 75, "The gate is shut",			 1 },
	[OUTCOME_FULL]			= { "full",		    423, 75, "The gate is at its limit of jobs",	 1 },
	[OUTCOME_TOO_MANY]		= { "too_many",		    429, 75, "Too much at once",			 2 },
	[OUTCOME_HEADERS_TOO_LARGE]	= { "headers_too_large",    431, 64, "The header is too large",			 0 },
	[OUTCOME_INTERNAL]		= { "internal",		    500, 70, "A mistake of the service",		 0 },
	[OUTCOME_UNAVAILABLE]		= { "unavailable",	    503, 69, "The service cannot answer now",		 1 },
};

const struct outcome_row *outcome_row(enum outcome outcome)
{
	return &rows[(unsigned)outcome < OUTCOME_COUNT ? outcome : OUTCOME_INTERNAL];
}

enum outcome outcome_of_word(const char *word)
{
	for (int i = 0; i < OUTCOME_COUNT; i++)
		if (strcmp(word, rows[i].word) == 0)
			return (enum outcome)i;
	return OUTCOME_INTERNAL;
}

enum outcome fault_set(struct fault *fault, enum outcome outcome, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fault->outcome = outcome;
	vsnprintf(fault->detail, sizeof(fault->detail), format, arguments);
	va_end(arguments);
	return outcome;
}
