//! DPDK's environment: started once, and kept until the process ends.
//!
//! There is no end to it before that. DPDK cannot be started a second time, frames may be held
//! anywhere, and its memif driver leaves a callback on the listening socket of a server that was
//! closed. So pools and memif servers that are no longer used are kept for the next port, which
//! makes every pointer to them valid for good. Nothing is left on disk either way.

use super::bursts::Dpdk;
use super::lane::Lane;
use super::{DpdkError, EalConfig, PortKind};
use crate::frame::CAPACITY;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a buffer after its headroom: whole cache lines, with room for a frame and for the 66
/// bytes the kernel puts before it in a packet socket's ring.
pub(super) const DATA_ROOM: u16 = (CAPACITY + 66).next_multiple_of(64) as u16;

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

/// A pool of frames, given to the next port of its size when this is dropped.
#[derive(Debug)]
pub(super) struct Pool {
    raw: NonNull<dpdk_sys::Mempool>,
    frames: u32,
}

/// Pools that no port uses at present, and their sizes.
static SPARE: Mutex<Vec<(Spare, u32)>> = Mutex::new(Vec::new());

struct Spare(NonNull<dpdk_sys::Mempool>);

// SAFETY: DPDK's pools may be used from any thread.
unsafe impl Send for Spare {}
// SAFETY: as above; what changes a pool is synchronised by DPDK.
unsafe impl Send for Pool {}

impl Pool {
    /// A pool of `frames`, perhaps one that an earlier port has left: frames still held of that
    /// come back to it later.
    fn new(frames: u32) -> Result<Self, DpdkError> {
        static POOLS: AtomicU32 = AtomicU32::new(0);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = spare.iter().position(|&(_, size)| size == frames) {
            let (Spare(raw), frames) = spare.swap_remove(at);
            return Ok(Self { raw, frames });
        }
        let name = c_string(format!("krono{}", POOLS.fetch_add(1, Ordering::Relaxed)));
        let cache = CACHE.min(frames / 8);
        let mut error = 0;
        // SAFETY: the name is terminated and copied; `error` is written before the return.
        let raw = unsafe {
            dpdk_sys::krono_pool_create(name.as_ptr(), frames, cache, DATA_ROOM, &mut error)
        };
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw, frames }),
            None => Err(DpdkError::Pool { frames, reason: reason(error) }),
        }
    }

    pub(super) fn raw(&self) -> *mut dpdk_sys::Mempool {
        self.raw.as_ptr()
    }

    pub(super) fn in_use(&self) -> u32 {
        // SAFETY: pools are never freed.
        unsafe { dpdk_sys::krono_pool_in_use(self.raw.as_ptr()) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push((Spare(self.raw), self.frames));
    }
}

/// Proof that DPDK is started, which happens once in a process.
#[derive(Clone, Copy, Debug)]
pub struct Eal(());

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
        Ok(Self(()))
    }

    /// Lets the calling thread use the pools' caches until the guard is dropped: without it every
    /// burst goes through the pool's shared ring. For threads that move frames.
    ///
    /// # Errors
    /// [`DpdkError::Thread`] beyond 127 threads.
    pub fn register_thread(&self) -> Result<EalThread, DpdkError> {
        register_thread()
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
        let pool = Pool::new(pool_frames)?;
        // The lanes are declared last and so dropped first, should one of them fail.
        let mut lanes = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let mut lane = Lane::open(kind, &pool)?;
            if lane.dials() {
                lane.dial(patience)?
            } else {
                lane.start()?
            }
            lanes.push(lane);
        }
        Ok(Dpdk::new(lanes, pool))
    }
}

/// [`Eal::register_thread`] for those who have a port, and so an EAL that is running.
pub(super) fn register_thread() -> Result<EalThread, DpdkError> {
    // SAFETY: reads a variable of this thread.
    let known = unsafe { dpdk_sys::krono_thread_known() } == 1;
    if !known {
        // SAFETY: the EAL is running and the thread is not registered.
        let result = unsafe { dpdk_sys::krono_thread_register() };
        if result < 0 {
            return Err(DpdkError::Thread { reason: reason(result) });
        }
    }
    Ok(EalThread { registered: !known, not_send: PhantomData })
}

/// A thread that DPDK knows; dropped on the thread that made it.
#[derive(Debug)]
pub struct EalThread {
    registered: bool,
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
