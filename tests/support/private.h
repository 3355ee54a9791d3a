/* private: a stage on a cluster of its own, for tests that stop PostgreSQL or change its settings. Only one server is started. */
#ifndef SUPPORT_PRIVATE_H
#define SUPPORT_PRIVATE_H

#include "support/cluster.h"
#include "support/stage.h"

struct private_stage {
	struct stage stage;		/* first, so that what takes a stage takes this */
	struct cluster cluster;
};

int private_setup(void **state);
int private_teardown(void **state);

#define PRIVATE_TEST(test) cmocka_unit_test_setup_teardown(test, private_setup, private_teardown)

#endif
