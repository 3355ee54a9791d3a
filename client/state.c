#include "state.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* Writes text with all but plain characters as %XX; a leading dot too. False: it does not fit. */
static bool escape(const char *text, char *name, size_t size)
{
	size_t at = 0;

	for (const char *c = text; *c; c++) {
		bool plain = isalnum((unsigned char)*c) || strchr("-_", *c) || (*c == '.' && c > text);
		int wrote = snprintf(name + at, size - at, plain ? "%c" : "%%%02X", (unsigned char)*c);

		at += (size_t)wrote;
		if (at >= size)
			return false;
	}
	return true;
}

static void name_session(const char *text, char name[static SESSION_NAME_MAX + 1])
{
	char digest[DIGEST_HEX_LEN + 1];

	if (escape(text, name, SESSION_NAME_MAX + 1))
		return;
	digest_hex(text, digest);
	snprintf(name + SESSION_NAME_MAX - 33, 34, "+%.32s", digest);
}

void session_name(char name[static SESSION_NAME_MAX + 1])
{
	static const char *const of_ci[] = { "DEPLOY_GATE_SESSION", "CI_JOB_ID", "GITHUB_RUN_ID", "BUILD_TAG",
		"SLURM_JOB_ID" };
	char github[512];

	for (size_t i = 0; i < sizeof(of_ci) / sizeof(*of_ci); i++) {
		const char *value = environment(of_ci[i]), *job = environment("GITHUB_JOB");

		if (!value)
			continue;
		if (strcmp(of_ci[i], "GITHUB_RUN_ID") == 0 && job) {
			snprintf(github, sizeof(github), "%s-%s", value, job);
			value = github;
		}
		name_session(value, name);
		return;
	}
	memcpy(name, "@user", sizeof("@user"));
}

enum outcome state_init(struct state *state, struct fault *fault)
{
	const char *own = environment("DEPLOY_GATE_STATE_DIR"), *xdg = environment("XDG_STATE_HOME"),
		   *home = environment("HOME");
	const struct passwd *user = home ? NULL : getpwuid(geteuid());
	char session[SESSION_NAME_MAX + 1], here[PATH_MAX];
	int size;

	session_name(session);
	if (user)
		home = user->pw_dir;
	if (own && *own != '/' && getcwd(here, sizeof(here))) /* what is left behind by --while-pid lives elsewhere */
		size = snprintf(state->directory, PATH_MAX, "%s/%s/%s", here, own, session);
	else if (own)
		size = snprintf(state->directory, PATH_MAX, "%s/%s", own, session);
	else if (xdg && *xdg == '/')
		size = snprintf(state->directory, PATH_MAX, "%s/deploy-gate/%s", xdg, session);
	else if (home)
		size = snprintf(state->directory, PATH_MAX, "%s/.local/state/deploy-gate/%s", home, session);
	else
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"no place to remember the token: neither DEPLOY_GATE_STATE_DIR nor XDG_STATE_HOME nor HOME is "
			"set");
	if (size >= PATH_MAX - GATE_NAME_MAX - 2)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "the name of the state directory is too long: %.100s…",
			state->directory);
	return OUTCOME_OK;
}

static void path_of(const struct state *state, const char *gate, char path[static PATH_MAX])
{
	size_t size = strlen(state->directory);

	memcpy(path, state->directory, size);
	snprintf(path + size, PATH_MAX - size, "/%s", gate);
}

static bool read_token(int fd, char token[static TOKEN_MAX + 1])
{
	char line[TOKEN_MAX + 2];
	struct fault unread;
	ssize_t got = pread(fd, line, sizeof(line) - 1, 0);

	if (got <= 0)
		return false;
	line[got] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (token_check(line, &unread) != OUTCOME_OK)
		return false;
	memcpy(token, line, strlen(line) + 1);
	return true;
}

bool state_recall(const struct state *state, const char *gate, char token[static TOKEN_MAX + 1])
{
	char path[PATH_MAX];
	bool found;
	int fd;

	path_of(state, gate, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	found = read_token(fd, token);
	close(fd);
	return found;
}

void state_forget(const struct state *state, const struct gates *gates, const char *token)
{
	char path[PATH_MAX], remembered[TOKEN_MAX + 1];

	for (unsigned i = 0; i < gates->count; i++) {
		if (!state_recall(state, gates_name(gates, i), remembered) || strcmp(remembered, token) != 0)
			continue;
		path_of(state, gates_name(gates, i), path);
		unlink(path);
	}
}

/* Makes a directory and those above it, each ours alone. */
static bool make_directories(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return false;
		*slash = '/';
	}
	return mkdir(part, 0700) == 0 || errno == EEXIST;
}

/* Opens and locks one file. A file that was forgotten between the opening and the locking is no longer the one that
 * others see: then once more. -1 with errno, EWOULDBLOCK where another close has it. */
static int lock_file(const char *path)
{
	for (;;) {
		struct stat status;
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		int error;

		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &status) == 0 && status.st_nlink > 0)
			return fd;
		error = errno;
		close(fd);
		if (error == EWOULDBLOCK) {
			errno = error;
			return -1;
		}
	}
}

enum outcome state_lock(
	const struct state *state, const struct gates *gates, struct state_lock *lock, struct fault *fault)
{
	char path[PATH_MAX];

	lock->count = 0;
	if (!make_directories(state->directory))
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"cannot remember the token in %s: %s (DEPLOY_GATE_STATE_DIR says where)", state->directory,
			strerror(errno));
	for (unsigned i = 0; i < gates->count; i++) {
		int fd;

		path_of(state, gates_name(gates, i), path);
		fd = lock_file(path);
		if (fd >= 0) {
			lock->fd[lock->count++] = fd;
			continue;
		}
		state_unlock(lock);
		if (errno == EWOULDBLOCK)
			return fault_set(fault, OUTCOME_HELD, "another close of %s is under way in this session",
				gates_name(gates, i));
		return fault_set(
			fault, OUTCOME_BAD_REQUEST, "cannot remember the token in %s: %s", path, strerror(errno));
	}
	return OUTCOME_OK;
}

enum outcome state_remember(struct state_lock *lock, const char *token, struct fault *fault)
{
	for (unsigned i = 0; i < lock->count; i++) {
		int fd = lock->fd[i];

		if (ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0 && dprintf(fd, "%s\n", token) > 0 &&
			fsync(fd) == 0)
			continue;
		return fault_set(fault, OUTCOME_BAD_REQUEST, "cannot remember the token: %s", strerror(errno));
	}
	return OUTCOME_OK;
}

void state_unlock(struct state_lock *lock)
{
	int error = errno;

	while (lock->count)
		close(lock->fd[--lock->count]);
	errno = error;
}
