/* A network that swallows everything between a server and PostgreSQL: a namespace of its own, joined by a pair of interfaces.
 * Needs root and iproute2; without them it says so and is skipped. */
#include "support/private.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOST, INSIDE, PATIENCE_S = 45 };

struct partition {
	struct private_stage own;	/* its first server is in the namespace, the second beside PostgreSQL */
	char name[16];			/* of the namespace, and of the interfaces with one letter more */
	char network[24];		/* "198.18.7." */
	int spaces[2];
};

/* Runs a script, whose $1 is the name, $2 the network, and $inside ip in the namespace: by nsenter, because `ip -n` wants to
 * mount, and fails where the root is no mount point. Whether it succeeded. */
static bool succeeds(const struct partition *p, const char *script)
{
	char text[1024];
	const char *const words[] = { "sh", "-c", text, "sh", p->name, p->network, NULL };
	int status;
	pid_t pid;

	snprintf(text, sizeof(text), "inside=\"nsenter --net=/run/netns/$1 ip\"; %s", script);
	if (posix_spawnp(&pid, "sh", NULL, NULL, (char *const *)(uintptr_t)words, environ) != 0)
		fail_msg("no shell");
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Everything that is opened or started from now on is in that namespace. */
static void enter(struct partition *p, int space)
{
	assert_int_equal(setns(p->spaces[space], CLONE_NEWNET), 0);
}

static bool make_namespace(struct partition *p)
{
	char path[64];

	snprintf(p->name, sizeof(p->name), "dg%d", (int)getpid());
	snprintf(p->network, sizeof(p->network), "198.18.%d.", (int)getpid() % 250);
	if (!succeeds(p,
		    "exec 2>/dev/null; ip netns add $1 && $inside link set lo up &&"
		    " ip link add ${1}h type veth peer name ${1}i netns $1 && ip addr add ${2}1/24 dev ${1}h &&"
		    " ip link set ${1}h up && $inside addr add ${2}2/24 dev ${1}i && $inside link set ${1}i up"))
		return false;
	snprintf(path, sizeof(path), "/run/netns/%s", p->name);
	p->spaces[HOST] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	p->spaces[INSIDE] = open(path, O_RDONLY | O_CLOEXEC);
	return p->spaces[HOST] >= 0 && p->spaces[INSIDE] >= 0;
}

/* PostgreSQL listens on this side of the pair too. */
static void listen_to_namespace(struct partition *p)
{
	struct cluster *cluster = &p->own.cluster;
	struct psql admin;

	cluster_start(cluster);
	psql_open(&admin, &cluster->db, NULL);
	psql_run(&admin, "copy (select 'host all all %s0/24 trust') to program 'cat >>pg_hba.conf'", p->network);
	psql_close(&admin);
	cluster_stop(cluster, "fast");
	snprintf(cluster->listen, sizeof(cluster->listen), "127.0.0.1,%s1", p->network);
	cluster_start_again(cluster);
}

static int setup(void **state)
{
	struct partition *p = calloc(1, sizeof(*p));
	struct stage *stage = &p->own.stage;
	char conninfo[128];

	assert_non_null(p);
	*state = p;
	if (geteuid() != 0 || !make_namespace(p)) {
		print_message("skipped: this test wants root and iproute2, and to make a network namespace\n");
		return 0;
	}
	listen_to_namespace(p);
	stage->db = p->own.cluster.db;
	psql_open(&stage->admin, &stage->db, NULL);
	http_init(&stage->http);
	server_start(&stage->two, stage->db.conninfo, "two", NULL);
	snprintf(conninfo, sizeof(conninfo), "host=%s1 port=%u user=postgres dbname=postgres", p->network,
		p->own.cluster.port);
	enter(p, INSIDE);
	server_start(&stage->one, conninfo, "one", NULL);
	enter(p, HOST);
	return 0;
}

static int teardown(void **state)
{
	struct partition *p = *state;
	struct stage *stage = &p->own.stage;

	if (stage->http.multi)
		http_release(&stage->http);
	psql_close(&stage->admin);
	server_release(&stage->one);
	server_release(&stage->two);
	cluster_release(&p->own.cluster);
	succeeds(p, "exec 2>/dev/null; ip netns del $1; ip link del ${1}h");
	free(p);
	return 0;
}

/* From now on each side sends to an address that nobody has: packets vanish, and nobody is told. */
static void cut(struct partition *p)
{
	assert_true(succeeds(p,
		"ip neigh replace ${2}2 lladdr 02:00:00:00:00:99 dev ${1}h nud permanent &&"
		" $inside neigh replace ${2}1 lladdr 02:00:00:00:00:99 dev ${1}i nud permanent"));
}

static void mend(struct partition *p)
{
	assert_true(succeeds(p, "ip neigh del ${2}2 dev ${1}h && $inside neigh del ${2}1 dev ${1}i"));
}

/* Asks the server inside. */
static struct ask *ask_inside(struct partition *p, const char *request, const char *body)
{
	struct ask *ask;

	enter(p, INSIDE);
	ask = http_ask(&p->own.stage.http, &p->own.stage.one, request, body ? "%s" : NULL, body);
	enter(p, HOST);
	return ask;
}

/* Within the time that PostgreSQL and the other server need to notice. */
static void await_lock_at(struct stage *stage, const char *name)
{
	int64_t deadline_ns = clock_ns() + PATIENCE_S * 1000000000LL;

	while (!psql_true(&stage->admin,
		"select exists (select from deploy_gate.locks l join deploy_gate.session s on s.pid = l.pid"
		" where l.gate = 'cut' and l.mode = 'exclusive' and l.granted and s.name = '%s' and s.ended_at is "
		"null)",
		name))
		if (clock_ns() > deadline_ns)
			fail_msg("the lock does not come to %s", name);
}

static void test_partition__frees_the_locks_and_silences_who_is_cut_off(void **state)
{
	struct partition *p = *state;
	struct stage *stage = &p->own.stage;
	struct ask *window;
	int64_t deadline_ns;

	if (!stage->http.multi)
		skip();
	window = ask_inside(p, "POST /v1/gates/cut/close", "ttl=10m&token=" TOKEN("cut"));
	assert_answer(window, 201, NULL);
	await_lock_at(stage, "one");
	cut(p);
	/* The window lives on, with its lock, at the other. */
	await_lock_at(stage, "two");
	assert_answer(http_ask(&stage->http, &stage->two, "GET /v1/gates/cut/check", NULL), 423, "closed");
	assert_answer(http_ask(&stage->http, &stage->two, "POST /v1/gates/cut/open", "token=" TOKEN("cut")), 200, NULL);
	/* What has changed since it cannot know, so it says nothing of it. */
	assert_answer(ask_inside(p, "GET /v1/gates/cut/check", NULL), 503, "unavailable");
	assert_answer(ask_inside(p, "POST /v1/gates/cut/close", NULL), 503, "unavailable");
	assert_answer(ask_inside(p, "GET /readyz", NULL), 503, "unavailable");
	mend(p);
	for (deadline_ns = clock_ns() + PATIENCE_S * 1000000000LL; ask_inside(p, "GET /readyz", NULL)->status != 200;)
		assert_true(clock_ns() < deadline_ns);
	assert_answer(ask_inside(p, "GET /v1/gates/cut/check", NULL), 200, NULL);
	assert_answer(ask_inside(p, "POST /v1/gates/cut/open", "token=" TOKEN("cut")), 200, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_partition__frees_the_locks_and_silences_who_is_cut_off, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
