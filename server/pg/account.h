/* account: which advisory locks the locks session holds. PostgreSQL counts a lock taken twice and does not give back on rollback,
 * so what is held has to be known here. */
#ifndef PG_ACCOUNT_H
#define PG_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

struct account {
	struct held_lock {
		int64_t key;
		char mode;		/* 'x' or 's' */
	} * locks;
	size_t count, room;
};

void account_init(struct account *);
void account_release(struct account *);
void account_clear(struct account *);

/* Adding what is there, or removing what is not, changes nothing. */
void account_add(struct account *, int64_t key, char mode);
void account_remove(struct account *, int64_t key, char mode);

/* The keys of that mode as an array literal of PostgreSQL, {1,2}. The result is the caller's (free). */
char *account_literal(const struct account *, char mode);

#endif
