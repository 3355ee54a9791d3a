/* log: one line per event on standard error, logfmt or JSON. Never hand a token to it. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
	enum log_level level;		/* what is below is not written */
	bool json;
	int fd;
};

/* Writes `time=… level=… event=… key=value …`. After the event come pairs of (const char *key, const char *value), ended by
 * NULL; a pair whose value is NULL is left out. Values are quoted and escaped as the format wants. Long lines are cut. */
void log_write(const struct log *, enum log_level, const char *event, ...) __attribute__((sentinel));

/* A number as a value for log_write; good until the end of the full expression's block. */
#define LOG_NUMBER(n) (log_number((long long)(n), (char[24]){ 0 }))
const char *log_number(long long, char text[static 24]);

/* "debug" … "error"; false for another word. */
bool log_level_parse(const char *word, enum log_level *);

#endif
