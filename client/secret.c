#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"

enum { ACCESS_TOKEN_MAX = 512, PATIENCE_S = 60 };

/* Reads what there is of the first line, waiting for it as long as a writer may want. As read. */
static ssize_t read_some(int fd, const sigset_t *signals, char *line, size_t size)
{
	const struct timespec patience = { .tv_sec = PATIENCE_S };
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	int found = ppoll(&ready, 1, &patience, signals);

	if (found == 0)
		errno = ETIMEDOUT;
	return found > 0 ? read(fd, line, size) : -1;
}

/* Reads the first line of a file, without its line break. A pipe may give it in pieces, or before long. */
static enum outcome read_line(const char *file, const sigset_t *signals, char *line, size_t size, struct fault *fault)
{
	int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), error;
	ssize_t more = fd < 0 ? -1 : 1;
	size_t got = 0;

	while (more > 0 && got < size - 1 && !memchr(line, '\n', got)) {
		more = read_some(fd, signals, line + got, size - 1 - got);
		got += more > 0 ? (size_t)more : 0;
	}
	error = errno;
	if (fd >= 0)
		close(fd);
	if (more < 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "cannot read %s: %s", file, strerror(error));
	line[got] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return OUTCOME_OK;
}

enum outcome access_token_find(const char *file, const sigset_t *signals, char **token, struct fault *fault)
{
	const char *environment = getenv("DEPLOY_GATE_ACCESS_TOKEN"),
		   *origin = file ? file : "DEPLOY_GATE_ACCESS_TOKEN";
	char line[ACCESS_TOKEN_MAX] = "";

	*token = NULL;
	if (file) {
		enum outcome outcome = read_line(file, signals, line, sizeof(line), fault);

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

enum outcome token_file_read(
	const char *file, const sigset_t *signals, char token[static TOKEN_MAX + 1], struct fault *fault)
{
	char line[TOKEN_MAX + 2] = "";
	struct fault unread;
	enum outcome outcome = read_line(file, signals, line, sizeof(line), fault);

	if (outcome != OUTCOME_OK)
		return outcome;
	if (token_check(line, &unread) != OUTCOME_OK)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s holds no lease token", file);
	memcpy(token, line, strlen(line) + 1);
	return OUTCOME_OK;
}

static enum outcome unwritable(const char *file, const char *why, struct fault *fault)
{
	return fault_set(fault, OUTCOME_BAD_REQUEST, "cannot write %s: %s", file, why);
}

/* Writes the token into an open file, and closes it. False, with errno: it is not there as a whole. */
static bool write_token(int fd, const char *token)
{
	/* A file that stood there may have been readable by all; another's has no mode of ours. */
	bool written = (fchmod(fd, 0600) == 0 || errno == EPERM) && dprintf(fd, "%s\n", token) > 0 && fsync(fd) == 0;
	int error = errno;

	if (close(fd) != 0)
		return false;
	errno = error;
	return written;
}

/* Whether what stands there, if anything, can be written; what is no regular file must not be replaced. Changes
 * nothing, and waits for no reader of a pipe. NULL, or why not. */
static const char *obstacle(const char *path)
{
	struct stat status;
	int fd;

	if (stat(path, &status) != 0)
		return errno == ENOENT ? NULL : strerror(errno);
	if (!S_ISREG(status.st_mode))
		return "it is no regular file; without --token-file the token is printed";
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return strerror(errno);
	close(fd);
	return NULL;
}

enum outcome token_file_prepare(struct token_file *file, const char *name, const char *token, struct fault *fault)
{
	const char *why;
	int fd;

	file->temporary[0] = '\0';
	if (!name)
		return OUTCOME_OK;
	if (!realpath(name, file->path) &&
		(errno != ENOENT || !*name || snprintf(file->path, PATH_MAX, "%s", name) >= PATH_MAX))
		return unwritable(name, strerror(errno), fault);
	why = obstacle(file->path);
	if (why)
		return unwritable(name, why, fault);
	if (snprintf(file->temporary, PATH_MAX, "%s.XXXXXX", file->path) >= PATH_MAX) {
		file->temporary[0] = '\0';
		return unwritable(name, strerror(ENAMETOOLONG), fault);
	}
	fd = mkostemp(file->temporary, O_CLOEXEC);
	if (fd < 0) {
		file->temporary[0] = '\0';
		return unwritable(name, strerror(errno), fault);
	}
	if (!write_token(fd, token)) {
		why = strerror(errno);
		token_file_drop(file);
		return unwritable(name, why, fault);
	}
	return OUTCOME_OK;
}

enum outcome token_file_place(struct token_file *file, const char *token, struct fault *fault)
{
	int fd;

	if (!file->temporary[0])
		return OUTCOME_OK;
	if (rename(file->temporary, file->path) == 0) {
		file->temporary[0] = '\0';
		return OUTCOME_OK;
	}
	/* Mounted there, or another's in a sticky directory: it cannot be replaced, but was seen to be writable. */
	fd = open(file->path, O_WRONLY | O_TRUNC | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || !write_token(fd, token))
		return unwritable(file->path, strerror(errno), fault);
	token_file_drop(file);
	return OUTCOME_OK;
}

void token_file_drop(struct token_file *file)
{
	if (file->temporary[0])
		unlink(file->temporary);
	file->temporary[0] = '\0';
}
