/*
 * Keeps DPDK's interrupt thread from unmapping memory that a burst is using.
 *
 * When a memif peer goes away, the driver's control handler, on the interrupt thread, unmaps the
 * shared rings without waiting for the thread that polls them. If that thread was preempted inside
 * a burst, it then faults: a server that polled while its client was killed died with it in 2 of about 50
 * trials on one processor.
 *
 * So the interrupt thread spends its time in a handler of ours. Bursts are open while it waits there
 * for some other event, and closed whenever it is outside, handling what is ready. A burst costs an
 * exchange on a line of its own core (about 20 cycles) and is delayed only while a peer comes or
 * goes.
 *
 * The handler sees other events by polling the thread's own epoll set, which holds our eventfd and
 * is found by that. Where it is not found, bursts stay open and DPDK behaves as it comes.
 */
/* An interrupt handle of one's own is experimental API in 22.11. */
#define ALLOW_EXPERIMENTAL_API

#include "gate.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_interrupts.h>

/* One line for each port: written by the thread that polls it, read by the interrupt thread. */
static struct {
	_Alignas(64) atomic_int inside;
	int gated;
} ports[RTE_MAX_ETHPORTS];

static atomic_int closed;
static int wake = -1;

void krono_gate_port(uint16_t port)
{
	ports[port].gated = 1;
}

void krono_gate_enter(uint16_t port)
{
	if (!ports[port].gated)
		return;
	for (;;) {
		atomic_store_explicit(&ports[port].inside, 1, memory_order_seq_cst);
		if (!atomic_load_explicit(&closed, memory_order_seq_cst))
			return;
		atomic_store_explicit(&ports[port].inside, 0, memory_order_release);
		/* The interrupt thread may be waiting for this very processor, which a thread in real
		 * time does not yield to one that is not. */
		usleep(1);
	}
}

void krono_gate_leave(uint16_t port)
{
	if (ports[port].gated)
		atomic_store_explicit(&ports[port].inside, 0, memory_order_release);
}

static void close_bursts(void)
{
	atomic_store_explicit(&closed, 1, memory_order_seq_cst);
	for (unsigned int i = 0; i < RTE_MAX_ETHPORTS; i++)
		while (atomic_load_explicit(&ports[i].inside, memory_order_seq_cst))
			usleep(1);
}

static void open_bursts(void)
{
	atomic_store_explicit(&closed, 0, memory_order_release);
}

/* Whether the epoll set `fd` watches our eventfd, by the lines "tfd: N" of its fdinfo. */
static int watches_us(int fd)
{
	char path[64], line[256];
	int found = 0, target;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	while (info != NULL && !found && fgets(line, sizeof(line), info) != NULL)
		found = sscanf(line, "tfd: %d", &target) == 1 && target == wake;
	if (info != NULL)
		fclose(info);
	return found;
}

/* The interrupt thread's epoll set, which it makes anew whenever a handler comes or goes. */
static int find_epoll(void)
{
	DIR *open_files = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	while (open_files != NULL && found < 0 && (entry = readdir(open_files)) != NULL) {
		char target[64] = "";
		ssize_t length = readlinkat(dirfd(open_files), entry->d_name, target,
					    sizeof(target) - 1);

		if (length > 0 && strcmp(target, "anon_inode:[eventpoll]") == 0 &&
		    watches_us(atoi(entry->d_name)))
			found = atoi(entry->d_name);
	}
	if (open_files != NULL)
		closedir(open_files);
	return found;
}

/*
 * Runs on the interrupt thread. An event that came in one batch with the call of this handler, and
 * has its turn after it, still makes the epoll set readable: the wait then ends at once.
 */
static void keeper(void *unused)
{
	uint64_t count = 1;
	struct pollfd events = { .events = POLLIN };
	struct sched_param lowest = { .sched_priority = 1 };

	(void)unused;
	/*
	 * Bursts wait for this thread while a peer comes or goes, for 80 ms once on a machine with
	 * more to do than processors. So it goes before all that is not in real time, where it may.
	 */
	sched_setscheduler(0, SCHED_FIFO, &lowest);
	if (read(wake, &count, sizeof(count)) < 0)
		return;
	open_bursts();
	events.fd = find_epoll();
	if (events.fd < 0)
		return;
	while (poll(&events, 1, -1) < 0 && errno == EINTR)
		;
	close_bursts();
	/* Back here after whatever is ready; the counter was read, so this cannot fail. */
	if (write(wake, &count, sizeof(count)) < 0)
		open_bursts();
}

int krono_gate_start(void)
{
	uint64_t count = 1;
	struct rte_intr_handle *handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);

	if (handle == NULL)
		return -ENOMEM;
	wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake < 0)
		return -errno;
	if (write(wake, &count, sizeof(count)) < 0)
		return -errno;
	if (rte_intr_fd_set(handle, wake) != 0 ||
	    rte_intr_type_set(handle, RTE_INTR_HANDLE_EXT) != 0)
		return -EIO;
	return rte_intr_callback_register(handle, keeper, NULL);
}
