/*
 * The DPDK functions krono uses, as plain functions.
 *
 * Much of DPDK is inline or a macro and has no symbol to bind to. This file gives each such thing
 * one, and wraps the rest too, so that the C compiler checks every call against the headers it is
 * built with. Functions that can fail return a negative errno. Nothing here is called per packet:
 * the smallest unit is a burst, but for krono_mbuf_free.
 */
#include "gate.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

/* lib.rs reads and writes these fields by itself: a DPDK that moves one must not compile. */
#define AT(field, offset) \
	_Static_assert(offsetof(struct rte_mbuf, field) == (offset), "rte_mbuf." #field " has moved")
AT(buf_addr, 0);
AT(data_off, 16);
AT(refcnt, 18);
AT(nb_segs, 20);
AT(pkt_len, 36);
AT(data_len, 40);
AT(buf_len, 54);
_Static_assert(sizeof(struct rte_mbuf) == 128, "rte_mbuf has another size");

/* The same fields as in lib.rs. */
struct krono_device_stats {
	uint64_t received, sent, missed, receive_errors, send_errors, no_buffer;
};

/* Written once, by the thread that starts the EAL, before it hands anything of it on. */
static volatile int eal_started;

static int negative_errno(void)
{
	return rte_errno > 0 ? -rte_errno : -EIO;
}

const char *krono_version(void)
{
	return rte_version();
}

const char *krono_strerror(int number)
{
	return rte_strerror(number);
}

/* Logs to standard error: the default stream is standard output, which belongs to results. */
int krono_eal_init(int count, char **arguments)
{
	int ret;

	rte_openlog_stream(stderr);
	ret = rte_eal_init(count, arguments) < 0 ? negative_errno() : krono_gate_start();
	eal_started = ret == 0;
	return ret;
}

int krono_eal_started(void)
{
	return eal_started;
}

const char *krono_eal_runtime_dir(void)
{
	return rte_eal_get_runtime_dir();
}

/* Whether this thread has an lcore id, and with it a cache in every pool. */
int krono_thread_known(void)
{
	return rte_lcore_id() != LCORE_ID_ANY;
}

int krono_thread_register(void)
{
	return rte_thread_register() < 0 ? negative_errno() : 0;
}

void krono_thread_unregister(void)
{
	rte_thread_unregister();
}

int krono_vdev_add(const char *name, const char *arguments)
{
	return rte_eal_hotplug_add("vdev", name, arguments);
}

int krono_vdev_remove(const char *name)
{
	return rte_eal_hotplug_remove("vdev", name);
}

static void clear_data_room(struct rte_mempool *pool, void *unused, void *object, unsigned int index)
{
	struct rte_mbuf *mbuf = object;

	(void)pool;
	(void)unused;
	(void)index;
	memset(mbuf->buf_addr, 0, mbuf->buf_len);
}

/* Frames of `data_room` zeroed bytes, headroom not included; NULL and an errno when refused. */
struct rte_mempool *krono_pool_create(const char *name, uint32_t frames, uint32_t cache,
				      uint16_t data_room, int *error)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		name, frames, cache, 0, data_room + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);

	*error = pool == NULL ? negative_errno() : 0;
	if (pool != NULL)
		rte_mempool_obj_iter(pool, clear_data_room, NULL);
	return pool;
}

/* Frames that are neither in the pool nor in a cache of it. */
uint32_t krono_pool_in_use(const struct rte_mempool *pool)
{
	return rte_mempool_in_use_count(pool);
}

int krono_port_by_name(const char *name, uint16_t *port)
{
	return rte_eth_dev_get_port_by_name(name, port);
}

/* MTU of a kernel interface of this network namespace, or negative errno. */
int krono_interface_mtu(const char *name)
{
	struct ifreq request = { 0 };
	int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret;

	if (any < 0)
		return -errno;
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	ret = ioctl(any, SIOCGIFMTU, &request) < 0 ? -errno : request.ifr_mtu;
	close(any);
	return ret;
}

/*
 * One queue each way, of about `descriptors` entries, receiving into `pool`. Asks for the largest
 * MTU up to `mtu`: several virtual devices claim no more than 1,500 and carry more.
 */
int krono_port_setup(uint16_t port, struct rte_mempool *pool, uint16_t descriptors, uint16_t mtu)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	uint16_t receive = descriptors, send = descriptors;
	uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
	int socket = rte_eth_dev_socket_id(port);
	int ret = rte_eth_dev_info_get(port, &info);

	if (ret < 0)
		return ret;
	if (strcmp(info.driver_name, "net_memif") == 0)
		krono_gate_port(port);
	if (info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu)
		overhead = info.max_rx_pktlen - info.max_mtu;
	conf.rxmode.mtu = RTE_MIN((uint32_t)mtu, (uint32_t)info.max_mtu);
	if (info.max_rx_pktlen > overhead)
		conf.rxmode.mtu = RTE_MIN(conf.rxmode.mtu, info.max_rx_pktlen - overhead);

	ret = rte_eth_dev_configure(port, 1, 1, &conf);
	if (ret == 0)
		ret = rte_eth_dev_adjust_nb_rx_tx_desc(port, &receive, &send);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(port, 0, receive, socket, NULL, pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(port, 0, send, socket, NULL);
	return ret;
}

/* The same fields as in raw.rs. Addresses are in network order. */
struct krono_flow_rule {
	uint8_t mac[6];
	uint16_t vlan; /* 0 is none */
	uint32_t address, mask;
	uint32_t priority;
	uint16_t queue;
	uint16_t ipv4; /* 0: address and mask do not count */
};

/* Not validated before: only a rule that has been created is there. */
int krono_flow_create(uint16_t port, const struct krono_flow_rule *rule, char *reason, size_t size)
{
	struct rte_flow_attr attr = { .ingress = 1, .priority = rule->priority };
	struct rte_flow_item_eth eth = { 0 }, eth_mask = { 0 };
	struct rte_flow_item_vlan vlan = { 0 }, vlan_mask = { 0 };
	struct rte_flow_item_ipv4 ipv4 = { 0 }, ipv4_mask = { 0 };
	struct rte_flow_action_queue queue = { .index = rule->queue };
	struct rte_flow_action actions[] = {
		{ .type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};
	struct rte_flow_item pattern[4];
	struct rte_flow_error error = { 0 };
	int items = 0;

	memset(pattern, 0, sizeof(pattern));
	memcpy(eth.hdr.dst_addr.addr_bytes, rule->mac, sizeof(rule->mac));
	memset(eth_mask.hdr.dst_addr.addr_bytes, 0xff, sizeof(rule->mac));
	pattern[items].type = RTE_FLOW_ITEM_TYPE_ETH;
	pattern[items].spec = &eth;
	pattern[items++].mask = &eth_mask;
	if (rule->vlan != 0) {
		vlan.hdr.vlan_tci = rte_cpu_to_be_16(rule->vlan);
		vlan_mask.hdr.vlan_tci = rte_cpu_to_be_16(0x0fff);
		pattern[items].type = RTE_FLOW_ITEM_TYPE_VLAN;
		pattern[items].spec = &vlan;
		pattern[items++].mask = &vlan_mask;
	}
	if (rule->ipv4 != 0) {
		ipv4.hdr.dst_addr = rule->address;
		ipv4_mask.hdr.dst_addr = rule->mask;
		pattern[items].type = RTE_FLOW_ITEM_TYPE_IPV4;
		pattern[items].spec = &ipv4;
		pattern[items++].mask = &ipv4_mask;
	}
	pattern[items].type = RTE_FLOW_ITEM_TYPE_END;
	if (rte_flow_create(port, &attr, pattern, actions, &error) != NULL)
		return 0;
	snprintf(reason, size, "%s", error.message != NULL ? error.message : "no reason given");
	return negative_errno();
}

int krono_flow_flush(uint16_t port)
{
	struct rte_flow_error error = { 0 };

	return rte_flow_flush(port, &error);
}

/* Gives an address to a pool of VMDq. */
int krono_pool_address_add(uint16_t port, const uint8_t *mac, uint16_t pool)
{
	struct rte_ether_addr address;

	memcpy(address.addr_bytes, mac, sizeof(address.addr_bytes));
	return rte_eth_dev_mac_addr_add(port, &address, pool);
}

int krono_pool_address_remove(uint16_t port, const uint8_t *mac)
{
	struct rte_ether_addr address;

	memcpy(address.addr_bytes, mac, sizeof(address.addr_bytes));
	return rte_eth_dev_mac_addr_remove(port, &address);
}

/* Frames for any address are wanted; a device that cannot filter need not be told. */
int krono_port_start(uint16_t port)
{
	int ret = rte_eth_dev_start(port);

	if (ret == 0)
		(void)rte_eth_promiscuous_enable(port);
	return ret;
}

int krono_port_stop(uint16_t port)
{
	return rte_eth_dev_stop(port);
}

int krono_port_close(uint16_t port)
{
	return rte_eth_dev_close(port);
}

/* 1 up, 0 down, negative errno. */
int krono_port_link(uint16_t port)
{
	struct rte_eth_link link;
	int ret = rte_eth_link_get_nowait(port, &link);

	return ret < 0 ? ret : link.link_status == RTE_ETH_LINK_UP;
}

int krono_port_stats(uint16_t port, struct krono_device_stats *out)
{
	struct rte_eth_stats stats;
	int ret = rte_eth_stats_get(port, &stats);

	if (ret < 0)
		return ret;
	out->received = stats.ipackets;
	out->sent = stats.opackets;
	out->missed = stats.imissed;
	out->receive_errors = stats.ierrors;
	out->send_errors = stats.oerrors;
	out->no_buffer = stats.rx_nombuf;
	return 0;
}

uint16_t krono_rx_burst(uint16_t port, struct rte_mbuf **frames, uint16_t count)
{
	krono_gate_enter(port);
	count = rte_eth_rx_burst(port, 0, frames, count);
	krono_gate_leave(port);
	return count;
}

uint16_t krono_tx_burst(uint16_t port, struct rte_mbuf **frames, uint16_t count)
{
	krono_gate_enter(port);
	count = rte_eth_tx_burst(port, 0, frames, count);
	krono_gate_leave(port);
	return count;
}

/* All or none. */
int krono_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **frames, uint32_t count)
{
	return rte_pktmbuf_alloc_bulk(pool, frames, count);
}

void krono_mbuf_free_bulk(struct rte_mbuf **frames, uint32_t count)
{
	rte_pktmbuf_free_bulk(frames, count);
}

void krono_mbuf_free(struct rte_mbuf *frame)
{
	rte_pktmbuf_free(frame);
}
