/* Bursts on memif ports exclude the handlers of DPDK's interrupt thread; see gate.c. */
#ifndef KRONO_GATE_H
#define KRONO_GATE_H

#include <stdint.h>

/* Once, after the EAL has started. */
int krono_gate_start(void);

/* Before the first burst of a port whose driver unmaps memory behind its bursts. */
void krono_gate_port(uint16_t port);

/* Around each burst, by the one thread that uses the port. */
void krono_gate_enter(uint16_t port);
void krono_gate_leave(uint16_t port);

#endif
