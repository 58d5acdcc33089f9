//! Processors and the threads that own them.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Processors this process may use, in ascending order.
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}

/// A processor that a thread cannot be bound to.
#[derive(Debug, thiserror::Error)]
#[error("cannot run on processor {cpu}: {source}; this process may use {allowed:?}")]
pub struct PinError {
    cpu: usize,
    allowed: Vec<usize>,
    source: nix::Error,
}

/// Binds the calling thread to one processor.
///
/// # Errors
/// When the process may not use it.
pub fn pin(cpu: usize) -> Result<(), PinError> {
    let mut set = CpuSet::new();
    set.set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .map_err(|source| PinError { cpu, allowed: allowed_cpus(), source })
}

/// Has the calling thread run before all that are not in real time (`SCHED_FIFO`, the lowest of its
/// priorities); `false` where the system does not allow it. For workers that sleep when idle: one
/// that does not would keep everything else off its processor.
pub fn real_time() -> bool {
    let fifo = RealtimeThreadSchedulePolicy::Fifo;
    let priority = ThreadPriorityValue::try_from(1u8).map(ThreadPriority::Crossplatform);
    priority.is_ok_and(|priority| {
        set_thread_priority_and_policy(
            thread_native_id(),
            priority,
            ThreadSchedulePolicy::Realtime(fifo),
        )
        .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_where_it_is_put() {
        let cpus = allowed_cpus();
        assert!(!cpus.is_empty());
        let last = cpus[cpus.len() - 1];
        let bound = std::thread::spawn(move || pin(last).map(|()| allowed_cpus()));
        assert_eq!(bound.join().unwrap().unwrap(), [last]);
        assert_eq!(allowed_cpus(), cpus);
        let error = pin(CpuSet::count() - 1).unwrap_err().to_string();
        assert!(error.contains("cannot run on processor"), "{error}");
    }
}
