//! DPDK's environment: started once, kept until the last port, thread and frame are gone.

use super::bursts::Dpdk;
use super::lane::Lane;
use super::mbuf::DROPPING;
use super::{DpdkError, EalConfig, PortKind};
use crate::frame::CAPACITY;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a buffer after its headroom: room for a frame, up to the end of a cache line. memif
/// receives in bulk only where its own buffers are no larger than these.
pub(super) const DATA_ROOM: u16 = CAPACITY.next_multiple_of(64) as u16;

/// Frames each thread's cache of a pool holds at most.
const CACHE: u32 = 256;

/// Smallest pool: some bursts for each of the two directions.
const POOL_FRAMES_MIN: u32 = 256;

/// DPDK's name and version.
///
/// # Errors
/// [`DpdkError::Absent`] where it is not built in.
pub fn available() -> Result<&'static str, DpdkError> {
    // SAFETY: a static, terminated string that needs no EAL.
    let version = unsafe { CStr::from_ptr(dpdk_sys::krono_version()) };
    Ok(version.to_str().unwrap_or("DPDK"))
}

/// What DPDK calls an errno, given as a negative number.
pub(super) fn reason(error: c_int) -> String {
    // SAFETY: the string is static or this thread's own and is copied before the next call.
    unsafe { CStr::from_ptr(dpdk_sys::krono_strerror(-error)) }.to_string_lossy().into_owned()
}

/// `value` as DPDK's option parsers take it: neither their separators nor anything unprintable.
pub(super) fn plain_name<'a>(name: &'static str, value: &'a str) -> Result<&'a str, DpdkError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@/".contains(&byte);
    if !value.is_empty() && value.len() <= 100 && value.bytes().all(fits) {
        return Ok(value);
    }
    let expected = "1 to 100 letters, digits or characters of -_.:@/";
    Err(DpdkError::Invalid { name, value: value.to_owned(), expected })
}

pub(super) fn c_string(text: String) -> CString {
    CString::new(text).expect("names were checked for their characters")
}

/// A pool of frames. Never freed alone: a frame may outlive the port it came from.
#[derive(Debug)]
pub(super) struct Pool {
    raw: NonNull<dpdk_sys::Mempool>,
    frames: u32,
}

// SAFETY: DPDK's pools may be used from any thread.
unsafe impl Send for Pool {}

impl Pool {
    pub(super) fn raw(&self) -> *mut dpdk_sys::Mempool {
        self.raw.as_ptr()
    }

    pub(super) fn in_use(&self) -> u32 {
        // SAFETY: pools live as long as the EAL.
        unsafe { dpdk_sys::krono_pool_in_use(self.raw.as_ptr()) }
    }
}

/// The started EAL and the pools whose ports are closed, ready for the next port.
#[derive(Debug)]
pub(super) struct Instance {
    retired: Mutex<Vec<Pool>>,
    pools: AtomicU32,
}

impl Instance {
    /// A pool of `frames`, perhaps one that an earlier port has left.
    pub(super) fn pool(&self, frames: u32) -> Result<Pool, DpdkError> {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = retired.iter().position(|pool| pool.frames == frames) {
            return Ok(retired.swap_remove(at));
        }
        let name = c_string(format!("krono{}", self.pools.fetch_add(1, Ordering::Relaxed)));
        let cache = CACHE.min(frames / 8);
        let mut error = 0;
        // SAFETY: the name is terminated and copied; `error` is written before the return.
        let raw = unsafe {
            dpdk_sys::krono_pool_create(name.as_ptr(), frames, cache, DATA_ROOM, &mut error)
        };
        match NonNull::new(raw) {
            Some(raw) => Ok(Pool { raw, frames }),
            None => Err(DpdkError::Pool { frames, reason: reason(error) }),
        }
    }

    pub(super) fn retire(&self, pool: Pool) {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
    }
}

impl Drop for Instance {
    /// Ends the EAL, unless a frame is still held: its memory would go away under it.
    ///
    /// No port exists now, so a frame can come back to its pool only by being dropped. Whoever
    /// drops one first raises `DROPPING`: pools found complete before `DROPPING` is found to be
    /// zero were completed by drops that have ended.
    fn drop(&mut self) {
        let pools = self.retired.get_mut().unwrap_or_else(PoisonError::into_inner);
        let complete = pools.iter().all(|pool| pool.in_use() == 0);
        if complete && DROPPING.load(Ordering::SeqCst) == 0 {
            // SAFETY: no port, registered thread or frame is left that could use the EAL.
            unsafe { dpdk_sys::krono_eal_cleanup() };
        }
    }
}

/// DPDK, started. One per process, and once in its life.
#[derive(Debug)]
pub struct Eal {
    instance: Arc<Instance>,
}

impl Eal {
    /// Starts DPDK. The calling thread keeps its affinity, and DPDK gets no threads of its own but
    /// one for interrupts; it leaves no files, not even when the process is killed.
    ///
    /// # Errors
    /// [`DpdkError::Started`] the second time, [`DpdkError::Invalid`] for names DPDK cannot parse,
    /// [`DpdkError::Init`] when it refuses, for instance for want of huge pages.
    pub fn init(config: &EalConfig) -> Result<Self, DpdkError> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        let affinity = sched_getaffinity(Pid::from_raw(0))
            .map_err(|errno| DpdkError::Init { reason: errno.to_string() })?;
        let arguments = arguments(config, &affinity)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(DpdkError::Started);
        }
        // DPDK keeps and reorders its arguments: they are never freed.
        let mut argv: Vec<*mut c_char> =
            arguments.into_iter().map(|text| c_string(text).into_raw()).collect();
        argv.push(std::ptr::null_mut());
        let argv = argv.leak();
        // SAFETY: `argv` is a terminated array of terminated strings that live for ever, and the
        // flag above lets one caller pass.
        let result =
            unsafe { dpdk_sys::krono_eal_init((argv.len() - 1) as c_int, argv.as_mut_ptr()) };
        // The EAL pins the thread that starts it, though here to the processors it already had.
        let restored = sched_setaffinity(Pid::from_raw(0), &affinity);
        if result < 0 {
            return Err(DpdkError::Init { reason: reason(result) });
        }
        restored.map_err(|errno| DpdkError::Init { reason: errno.to_string() })?;
        remove_runtime_directory();
        let instance = Instance { retired: Mutex::new(Vec::new()), pools: AtomicU32::new(0) };
        Ok(Self { instance: Arc::new(instance) })
    }

    /// Lets the calling thread use the pools' caches until the guard is dropped: without it every
    /// burst goes through the pool's shared ring. For threads that move frames.
    ///
    /// # Errors
    /// [`DpdkError::Thread`] beyond 127 threads.
    pub fn register_thread(&self) -> Result<EalThread, DpdkError> {
        // SAFETY: reads a variable of this thread.
        let known = unsafe { dpdk_sys::krono_thread_known() } == 1;
        if !known {
            // SAFETY: the EAL is running and the thread is not registered.
            let result = unsafe { dpdk_sys::krono_thread_register() };
            if result < 0 {
                return Err(DpdkError::Thread { reason: reason(result) });
            }
        }
        let instance = Arc::clone(&self.instance);
        Ok(EalThread { registered: !known, _instance: instance, not_send: PhantomData })
    }

    /// Opens one core's port, with a lane for each of `kinds`, in order, and a pool of
    /// `pool_frames`: all that its queues, its caches and its user hold at once. A memif client
    /// dials until its server answers; whether a link is up, [`Dpdk::wait_link`] tells.
    ///
    /// # Errors
    /// [`DpdkError::Invalid`] for names DPDK cannot parse, no lane or a pool below 256 frames,
    /// [`DpdkError::Pool`] for want of memory, [`DpdkError::Device`] when a device cannot be made
    /// and [`DpdkError::NoLink`] when a memif server has not answered after `patience`.
    pub fn open(
        &self,
        kinds: &[PortKind],
        pool_frames: u32,
        patience: Duration,
    ) -> Result<Dpdk, DpdkError> {
        if kinds.is_empty() {
            let expected = "at least one lane";
            return Err(DpdkError::Invalid { name: "lanes", value: "0".into(), expected });
        }
        if pool_frames < POOL_FRAMES_MIN {
            let (name, value) = ("pool_frames", pool_frames.to_string());
            return Err(DpdkError::Invalid { name, value, expected: "at least 256 frames" });
        }
        let pool = Lease::new(Arc::clone(&self.instance), pool_frames)?;
        // The lanes are declared last and so dropped first, should one of them fail.
        let mut lanes = Vec::with_capacity(kinds.len());
        for kind in kinds {
            lanes.push(Lane::open(kind, pool.pool())?);
        }
        // Servers first, so that clients of this very process find theirs.
        lanes.iter_mut().filter(|lane| !lane.dials()).try_for_each(Lane::start)?;
        for lane in lanes.iter_mut().filter(|lane| lane.dials()) {
            lane.dial(patience)?;
        }
        Ok(Dpdk::new(lanes, pool))
    }
}

/// A thread that DPDK knows; dropped on the thread that made it.
#[derive(Debug)]
pub struct EalThread {
    registered: bool,
    _instance: Arc<Instance>,
    not_send: PhantomData<*const ()>,
}

impl Drop for EalThread {
    fn drop(&mut self) {
        if self.registered {
            // SAFETY: this thread registered itself and cannot have sent the guard away.
            unsafe { dpdk_sys::krono_thread_unregister() };
        }
    }
}

/// A pool in the hands of one port, which keeps the EAL alive.
#[derive(Debug)]
pub(super) struct Lease {
    instance: Arc<Instance>,
    pool: Option<Pool>,
}

impl Lease {
    fn new(instance: Arc<Instance>, frames: u32) -> Result<Self, DpdkError> {
        let pool = Some(instance.pool(frames)?);
        Ok(Self { instance, pool })
    }

    pub(super) fn pool(&self) -> &Pool {
        self.pool.as_ref().expect("taken by drop alone")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            self.instance.retire(pool);
        }
    }
}

/// One lcore on the processors this thread may use, no shared files and no servers of DPDK's own.
fn arguments(config: &EalConfig, affinity: &CpuSet) -> Result<Vec<String>, DpdkError> {
    let prefix = plain_name("file_prefix", &config.file_prefix)?;
    if prefix.contains('/') {
        let (name, value) = ("file_prefix", prefix.to_owned());
        return Err(DpdkError::Invalid { name, value, expected: "a name without /" });
    }
    let allowed = (0..CpuSet::count()).filter(|&cpu| affinity.is_set(cpu).unwrap_or(false));
    let allowed: Vec<String> = allowed.map(|cpu| cpu.to_string()).collect();
    let mut arguments = vec![
        "krono".to_owned(),
        format!("--file-prefix={prefix}"),
        format!("--lcores=0@({})", allowed.join(",")),
        "--no-telemetry".to_owned(),
        format!("--log-level={}", if config.verbose { "info" } else { "critical" }),
        "-m".to_owned(),
        config.memory_mb.to_string(),
    ];
    if config.huge {
        arguments.extend(["--in-memory".to_owned(), "--single-file-segments".to_owned()]);
    } else {
        arguments.extend(["--no-huge".to_owned(), "--no-shconf".to_owned()]);
    }
    if config.pci.is_empty() {
        arguments.push("--no-pci".to_owned());
    }
    for address in &config.pci {
        arguments.extend(["-a".to_owned(), plain_name("pci", address)?.to_owned()]);
    }
    Ok(arguments)
}

/// Removes the directory DPDK makes for files it then does not have. Elsewhere than in an empty
/// directory this fails, as it should.
fn remove_runtime_directory() {
    // SAFETY: a static, terminated string once the EAL has started.
    let path = unsafe { CStr::from_ptr(dpdk_sys::krono_eal_runtime_dir()) };
    if let Ok(path) = path.to_str() {
        let _ = std::fs::remove_dir(path);
    }
}
