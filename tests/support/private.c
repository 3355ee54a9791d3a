#include "support/private.h"

#include <stdlib.h>

int private_setup(void **state)
{
	struct private_stage *own = calloc(1, sizeof(*own));

	assert_non_null(own);
	*state = own;
	cluster_start(&own->cluster);
	own->stage.db = own->cluster.db;
	server_start(&own->stage.one, own->cluster.db.conninfo, "one", NULL);
	psql_open(&own->stage.admin, &own->cluster.db, NULL);
	http_init(&own->stage.http);
	return 0;
}

int private_teardown(void **state)
{
	struct private_stage *own = *state;

	http_release(&own->stage.http);
	psql_close(&own->stage.admin);
	server_release(&own->stage.one);
	server_release(&own->stage.two);
	cluster_release(&own->cluster);
	free(own);
	return 0;
}
