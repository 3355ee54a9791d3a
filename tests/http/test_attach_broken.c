/* attached leases while things break: PostgreSQL, its sessions, servers. Each test has a stage of its own, for it breaks it. */
#include "support/stage.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cluster.h"
#include "support/stream.h"

#define TOKEN_HERE TOKEN("broken")

static const char lives[] = "select attached and ended_at is null from deploy_gate.lease";

/* A window, attached at the first server. */
static struct ask *begin_attached(struct stage *stage, const char *ttl, char id[static 40])
{
	struct ask *window = post(stage, "/v1/gates/broken/close", "ttl=%s&token=" TOKEN_HERE, ttl), *stream;

	assert_answer(window, 201, NULL);
	snprintf(id, 40, "%s", ask_text(window, "id"));
	stream = stream_attach(&stage->http, &stage->one, id, TOKEN_HERE);
	stream_await(stream, "renewed", 1);
	return stream;
}

static void assert_closed(struct stage *stage, const struct server *server)
{
	assert_answer(http_ask(&stage->http, server, "GET /v1/gates/broken/check", NULL), 423, "closed");
}

/* The window lives on for longer than its time to live, because it is renewed there. */
static void assert_renewed_elsewhere(struct stage *stage, const struct server *server, const char *id)
{
	struct ask *stream = stream_attach(&stage->http, server, id, TOKEN_HERE);

	stream_await(stream, "renewed", 4);
	assert_true(psql_true(&stage->admin, "%s", lives));
	assert_closed(stage, server);
}

/* A replica that leaves says nothing of the lease, for that lives on; its streams are ended, and the rows know. */
static void test_attach__a_replica_that_leaves_ends_its_streams(void **state)
{
	struct stage *stage = *state;
	char id[40];
	struct ask *stream = begin_attached(stage, "6s", id);

	server_stop(&stage->one);
	stream_await_end(stream);
	assert_int_equal(stream_count(stream, "lost"), 0);
	assert_true(psql_true(&stage->admin, "select not attached and was_attached from deploy_gate.lease"));
	assert_renewed_elsewhere(stage, &stage->two, id);
}

static void test_attach__a_replica_that_is_killed_costs_a_new_stream_elsewhere(void **state)
{
	struct stage *stage = *state;
	char id[40];
	struct ask *stream = begin_attached(stage, "6s", id);

	server_kill(&stage->one);
	stream_await_end(stream);
	assert_int_equal(stream_count(stream, "lost"), 0);
	assert_renewed_elsewhere(stage, &stage->two, id);
}

/* Another replica owns the lock by then, if this one takes long: that is nothing to the stream. */
static void test_attach__a_lost_session_costs_nothing(void **state)
{
	struct stage *stage = *state;
	char id[40];
	struct ask *stream = begin_attached(stage, "10s", id);
	unsigned told = stream_count(stream, "renewed");

	psql_run(&stage->admin,
		"select pg_terminate_backend(pid, 5000) from deploy_gate.session where name = 'one' and role = 'locks'"
		" and ended_at is null");
	stream_await(stream, "renewed", told + 3);
	assert_int_equal(stream_count(stream, "lost"), 0);
	assert_true(psql_true(&stage->admin, "%s", lives));
}

/* Processor time that a server has used, in seconds. */
static double used_s(const struct server *server)
{
	char path[40], line[1024] = "", *at;
	unsigned long user, system;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)server->pid);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_non_null(fgets(line, sizeof(line), in));
	fclose(in);
	at = strrchr(line, ')');
	for (int field = 2; at && field < 14; field++)
		at = strchr(at + 1, ' ');
	assert_non_null(at);
	user = strtoul(at, &at, 10);
	system = strtoul(at, NULL, 10);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* A content reader that says "nothing yet" is asked again at once, millions of times: a stream is suspended instead. */
static void test_attach__a_stream_with_nothing_to_say_uses_no_processor(void **state)
{
	struct stage *stage = *state;
	char id[40];
	struct ask *stream = begin_attached(stage, "1m", id);
	double used = used_s(&stage->one);
	int64_t began_ns = clock_ns();

	stream_await(stream, "renewed", stream_count(stream, "renewed") + 2);
	assert_true(used_s(&stage->one) - used < (double)(clock_ns() - began_ns) / 2e9);
}

/* Attaches by a socket of its own, which takes next to nothing. */
static int begin_deaf(const void *address, socklen_t length, const char *id)
{
	int fd = socket(((const struct sockaddr *)address)->sa_family, SOCK_STREAM, 0), size = 1024;
	char text[256];

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	assert_int_equal(connect(fd, address, length), 0);
	snprintf(text, sizeof(text),
		"GET /v1/leases/%s/attach HTTP/1.1\r\nHost: localhost\r\nX-Lease-Token: " TOKEN_HERE "\r\n\r\n", id);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static int begin_deaf_tcp(const struct server *server, const char *id)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)server->port), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};

	return begin_deaf(&address, sizeof(address), id);
}

/* How many events come at once, when somebody listens again. */
static int count_events(int fd)
{
	struct timeval patience = { .tv_sec = 1 };
	char text[4096];
	ssize_t got;
	int events = 0;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	while ((got = read(fd, text, sizeof(text) - 1)) > 0) {
		text[got] = 0;
		for (const char *at = text; (at = strstr(at, "data: ")); at++)
			events++;
	}
	return events;
}

/* Takes a little of what has come, where it has taken nothing for seconds: who never does is gone before long. */
static void take_a_little(int fd, int64_t *taken_ns)
{
	char text[1500];

	if (clock_ns() - *taken_ns < 2000000000)
		return;
	assert_true(recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0);
	*taken_ns = clock_ns();
}

/* Of what happened meanwhile a slow client is told the latest, and not all of it: neither it nor the server has to keep that. */
static void test_attach__a_slow_client_is_told_the_latest(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/broken/close", "ttl=10m&token=" TOKEN_HERE);
	int fd = begin_deaf_tcp(&stage->one, ask_text(window, "id"));
	int64_t taken_ns = clock_ns();

	psql_until(&stage->admin, "%s", lives);
	for (int i = 0; i < 40; i++) {
		take_a_little(fd, &taken_ns);
		psql_run(&stage->admin,
			"create temp table t%d as select expires_at from deploy_gate.lease;"
			"notify deploy_gate, 'broken'",
			i);
		psql_until(&stage->admin, "select l.expires_at > t.expires_at from deploy_gate.lease l, t%d t", i);
	}
	assert_in_range(count_events(fd), 1, 25);
	close(fd);
}

/* Each hint is an event, so that there is something to take. */
static void await_gone(struct stage *stage)
{
	int64_t deadline_ns = clock_ns() + 60000000000;

	psql_until(&stage->admin, "%s", lives);
	while (psql_true(&stage->admin, "select attached from deploy_gate.lease")) {
		psql_run(&stage->admin, "notify deploy_gate, 'broken'");
		if (clock_ns() > deadline_ns)
			fail_msg("a stream that nobody takes stands");
	}
}

/* Whoever takes nothing any more is gone, as a host without power is: in seconds, whatever TCP would be ready to wait. */
static void test_attach__a_client_that_takes_nothing_is_gone(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/broken/close", "ttl=10m&token=" TOKEN_HERE);
	int fd = begin_deaf_tcp(&stage->one, ask_text(window, "id"));

	await_gone(stage);
	close(fd);
}

static void test_attach__a_client_that_takes_nothing_from_a_socket_file_is_gone(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/broken/close", "ttl=10m&token=" TOKEN_HERE);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct server local = { 0 };
	char listen[128];
	int fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s.sock", stage->one.log);
	snprintf(listen, sizeof(listen), "unix:%s", address.sun_path);
	server_start(&local, stage->db.conninfo, "local", (const char *const[]){ "--listen", listen, NULL });
	fd = begin_deaf(&address, sizeof(address), ask_text(window, "id"));
	await_gone(stage);
	close(fd);
	server_release(&local);
}

/* PostgreSQL is away, on a cluster of the test's own. */

struct outage {
	struct stage stage;		/* first: what the others take their state for */
	struct cluster cluster;
};

static int outage_setup(void **state)
{
	struct outage *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	*state = o;
	cluster_start(&o->cluster);
	o->stage.db = o->cluster.db;
	server_start(&o->stage.one, o->cluster.db.conninfo, "one", NULL);
	psql_open(&o->stage.admin, &o->cluster.db, NULL);
	http_init(&o->stage.http);
	return 0;
}

static int outage_teardown(void **state)
{
	struct outage *o = *state;

	http_release(&o->stage.http);
	psql_close(&o->stage.admin);
	server_release(&o->stage.one);
	cluster_release(&o->cluster);
	free(o);
	return 0;
}

/* Stops PostgreSQL, goes on for so long, and starts it again. */
static void interrupt(struct outage *o, struct ask *stream, int64_t ns)
{
	unsigned told, silent;
	int64_t until_ns;
	struct ask *refused;

	cluster_stop(&o->cluster, "immediate");
	while (http_ask(&o->stage.http, &o->stage.one, "GET /readyz", NULL)->status != 503)
		;
	told = stream_count(stream, "renewed");
	silent = stream_count(stream, ":");
	for (until_ns = clock_ns() + ns; clock_ns() < until_ns;)
		assert_int_equal(stream_count(stream, "renewed"), told);
	/* It says that it stands, which proves nothing; and whoever comes now knows as much. */
	stream_await(stream, ":", silent + 1);
	refused = stream_begin(&o->stage.http, &o->stage.one, "0123456789abcdef0123456789abcdef", TOKEN_HERE);
	http_finish(refused);
	assert_answer(refused, 503, "unavailable");
	assert_int_equal(stream_count(stream, "renewed"), told);
	assert_false(stream->done);
	cluster_start_again(&o->cluster);
	psql_close(&o->stage.admin);
	psql_open(&o->stage.admin, &o->cluster.db, NULL);
}

static void test_attach__an_outage_is_outlasted_in_silence(void **state)
{
	struct outage *o = *state;
	struct stage *stage = &o->stage;
	char id[40];
	struct ask *stream = begin_attached(stage, "8s", id);
	unsigned told;

	interrupt(o, stream, 7000000000);
	told = stream_count(stream, "renewed");
	stream_await(stream, "renewed", told + 5);
	assert_int_equal(stream_count(stream, "lost"), 0);
	assert_in_range(stream_number(stream, "renewed", told + 1, "expires_in_ms"), 1, 8000);
	assert_true(psql_true(&stage->admin, "%s", lives));
	assert_closed(stage, &stage->one);
}

/* Somebody ended it before the service was back: that is the first it hears. */
static void test_attach__what_ended_in_an_outage_is_lost(void **state)
{
	struct outage *o = *state;
	char id[40];
	struct ask *stream = begin_attached(&o->stage, "1m", id);

	server_signal(&o->stage.one, SIGSTOP);
	psql_run(&o->stage.admin,
		"update deploy_gate.lease set state = 'ended', ended_at = clock_timestamp(), ending = 'forced';"
		"delete from deploy_gate.lease_gate");
	cluster_restart(&o->cluster, "immediate");
	server_signal(&o->stage.one, SIGCONT);
	stream_await(stream, "lost", 1);
	assert_string_equal(stream_text(stream, "lost", 1, "end"), "forced");
	stream_await_end(stream);
}

#define OUTAGE_TEST(test) cmocka_unit_test_setup_teardown(test, outage_setup, outage_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(test_attach__a_replica_that_leaves_ends_its_streams),
		STAGE_TEST(test_attach__a_replica_that_is_killed_costs_a_new_stream_elsewhere),
		STAGE_TEST(test_attach__a_lost_session_costs_nothing),
		STAGE_TEST(test_attach__a_stream_with_nothing_to_say_uses_no_processor),
		STAGE_TEST(test_attach__a_slow_client_is_told_the_latest),
		STAGE_TEST(test_attach__a_client_that_takes_nothing_is_gone),
		STAGE_TEST(test_attach__a_client_that_takes_nothing_from_a_socket_file_is_gone),
		OUTAGE_TEST(test_attach__an_outage_is_outlasted_in_silence),
		OUTAGE_TEST(test_attach__what_ended_in_an_outage_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
