/* places: what an arena has of its own on this machine: a directory, and as root a network without a wire, in which every replica
 * has an address, and a disk of limited size for each cluster. */
#ifndef CHAOS_PLACES_H
#define CHAOS_PLACES_H

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct cluster;

#define PLACES_NETWORK "198.18.0"

/* Sets dir, has_network, has_disks and the directories of the clusters. Whatever is started later by this process is in there. */
void places_make(struct arena *);

/* Stops the clusters and removes all; with keep, dir stays with the clusters' logs. */
void places_unmake(struct arena *, bool keep);

/* Gives the network an address, or takes it away: then packets to and from it are lost, and nobody is told. */
void places_join(const char *address);
void places_part(const char *address);

/* Fills the disk of a cluster to its last byte; empties it again. */
void places_fill(const struct cluster *);
void places_empty(const struct cluster *);

/* A port of 127.0.0.1 that nobody has. */
unsigned places_free_port(void);

void places_pause(int64_t ms);

#endif
