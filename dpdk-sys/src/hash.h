/* rte_hash with 16-byte keys and CRC32C; see hash.c. */
#ifndef KRONO_HASH_H
#define KRONO_HASH_H

#include <stddef.h>
#include <stdint.h>

struct krono_hash;

/* A table for `entries` keys, its name made of `number`; NULL and a negative errno in `error`. */
struct krono_hash *krono_hash_create(uint32_t number, uint32_t entries, int *error);
void krono_hash_free(struct krono_hash *hash);

/* Bytes of memory held. */
size_t krono_hash_bytes(const struct krono_hash *hash);

/* The key's position, or a negative errno. */
int krono_hash_add(struct krono_hash *hash, const void *key);
int krono_hash_remove(struct krono_hash *hash, const void *key);

/* Positions of up to 64 keys, negative where there is none. */
int krono_hash_lookup_bulk(const struct krono_hash *hash, const void **keys, uint32_t count,
			   int32_t *positions);

#endif
