#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"

enum { ACCESS_TOKEN_MAX = 512 };

/* Reads the first line of a file, without its line break. */
static enum outcome read_line(const char *file, char *line, size_t size, struct fault *fault)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, line, size - 1);
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (got < 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "cannot read %s: %s", file, strerror(error));
	line[got] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return OUTCOME_OK;
}

enum outcome access_token_find(const char *file, char **token, struct fault *fault)
{
	const char *environment = getenv("DEPLOY_GATE_ACCESS_TOKEN"),
		   *origin = file ? file : "DEPLOY_GATE_ACCESS_TOKEN";
	char line[ACCESS_TOKEN_MAX] = "";

	*token = NULL;
	if (file) {
		enum outcome outcome = read_line(file, line, sizeof(line), fault);

		if (outcome != OUTCOME_OK)
			return outcome;
	} else if (environment) {
		snprintf(line, sizeof(line), "%s", environment);
	}
	if (file && !line[0])
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s holds no access token", origin);
	for (const char *at = line; *at; at++)
		if (*at <= ' ' || *at > '~')
			return fault_set(fault, OUTCOME_BAD_REQUEST,
				"%s is no access token: it has blanks or odd characters", origin);
	if (line[0])
		*token = or_die(strdup(line));
	explicit_bzero(line, sizeof(line));
	return OUTCOME_OK;
}

enum outcome token_file_read(const char *file, char token[static TOKEN_MAX + 1], struct fault *fault)
{
	char line[TOKEN_MAX + 2];
	struct fault unread;
	enum outcome outcome = read_line(file, line, sizeof(line), fault);

	if (outcome != OUTCOME_OK)
		return outcome;
	if (token_check(line, &unread) != OUTCOME_OK)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s holds no lease token", file);
	memcpy(token, line, strlen(line) + 1);
	return OUTCOME_OK;
}

enum outcome token_file_write(const char *file, const char *token, struct fault *fault)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool written;

	if (fd < 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "cannot write %s: %s", file, strerror(errno));
	/* A file that stood there may have been readable by all; a device or pipe has no mode of ours. */
	written = (fchmod(fd, 0600) == 0 || errno == EPERM) && dprintf(fd, "%s\n", token) > 0;
	if (close(fd) != 0 || !written)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "cannot write %s: %s", file, strerror(errno));
	return OUTCOME_OK;
}
