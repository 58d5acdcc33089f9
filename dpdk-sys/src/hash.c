/*
 * DPDK's hash table, rte_hash, as plain functions: what the flow table is measured against.
 *
 * Each table lives in a heap of its own, made of anonymous memory for which 2 MiB pages are asked
 * the same way as for krono's own tables (madvise), so that a comparison of the two is one of
 * tables and not of page sizes, and needs neither root nor reserved pages. The memory is touched at
 * creation. One thread uses a table: no flag for concurrency is set, which is rte_hash's fastest.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>

#include "hash.h"

#define HUGE ((size_t)2 << 20)
#define KEY_BYTES 16

struct krono_hash {
	struct rte_hash *table;
	char name[RTE_HASH_NAMESIZE];
	int heap, memory;
	void *mapping, *first;
	size_t mapped, bytes;
};

static int last_error(void)
{
	return rte_errno > 0 ? -rte_errno : -EIO;
}

/* Buckets of 64 bytes for 8, a key slot of 32, a ring of 4-byte slot numbers, and the heap's own. */
static size_t bytes_for(uint32_t entries)
{
	size_t slots = rte_align64pow2(entries);

	return RTE_ALIGN_CEIL(8 * slots + 32 * ((size_t)entries + 1) +
			      4 * rte_align64pow2((size_t)entries + 1) + HUGE, HUGE);
}

static int map_memory(struct krono_hash *hash, size_t bytes)
{
	hash->mapped = bytes + HUGE;
	hash->mapping = mmap(NULL, hash->mapped, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (hash->mapping == MAP_FAILED) {
		hash->mapping = NULL;
		return -errno;
	}
	hash->first = RTE_PTR_ALIGN_CEIL(hash->mapping, HUGE);
	hash->bytes = bytes;
	/* Refused where transparent huge pages are off; krono's own tables are then as slow. */
	(void)madvise(hash->first, bytes, MADV_HUGEPAGE);
	for (size_t at = 0; at < bytes; at += 4096)
		((volatile char *)hash->first)[at] = 0;
	return 0;
}

static int make_table(struct krono_hash *hash, uint32_t entries)
{
	struct rte_hash_parameters parameters = {
		.name = hash->name,
		.entries = entries,
		.key_len = KEY_BYTES,
		.hash_func = rte_hash_crc,
	};

	if (rte_malloc_heap_create(hash->name) < 0)
		return last_error();
	hash->heap = 1;
	if (rte_malloc_heap_memory_add(hash->name, hash->first, hash->bytes, NULL,
				       hash->bytes / HUGE, HUGE) < 0)
		return last_error();
	hash->memory = 1;
	parameters.socket_id = rte_malloc_heap_get_socket(hash->name);
	hash->table = rte_hash_create(&parameters);
	return hash->table == NULL ? last_error() : 0;
}

struct krono_hash *krono_hash_create(uint32_t number, uint32_t entries, int *error)
{
	struct krono_hash *hash = calloc(1, sizeof(*hash));

	if (hash == NULL) {
		*error = -ENOMEM;
		return NULL;
	}
	snprintf(hash->name, sizeof(hash->name), "krono-hash-%u", number);
	*error = map_memory(hash, bytes_for(entries));
	if (*error == 0)
		*error = make_table(hash, entries);
	if (*error != 0) {
		krono_hash_free(hash);
		return NULL;
	}
	return hash;
}

void krono_hash_free(struct krono_hash *hash)
{
	rte_hash_free(hash->table);
	if (hash->memory)
		rte_malloc_heap_memory_remove(hash->name, hash->first, hash->bytes);
	if (hash->heap)
		rte_malloc_heap_destroy(hash->name);
	if (hash->mapping != NULL)
		munmap(hash->mapping, hash->mapped);
	free(hash);
}

size_t krono_hash_bytes(const struct krono_hash *hash)
{
	return hash->bytes;
}

int krono_hash_add(struct krono_hash *hash, const void *key)
{
	return rte_hash_add_key(hash->table, key);
}

int krono_hash_remove(struct krono_hash *hash, const void *key)
{
	return rte_hash_del_key(hash->table, key);
}

int krono_hash_lookup_bulk(const struct krono_hash *hash, const void **keys, uint32_t count,
			   int32_t *positions)
{
	return rte_hash_lookup_bulk(hash->table, keys, count, positions);
}
