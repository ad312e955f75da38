//! The world of a simulated process: its clocks, its chance, and its waiting. Not the network.
//!
//! Three functions of the C library are replaced for the whole program; whatever reads a clock or draws a random number, in any
//! crate, ends there. Time stands still while anything runs, and when all wait it jumps to the next timer. This holds for one
//! thread: a second one would run in no particular order.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const NANOS: u64 = 1_000_000_000;
/// Where the monotonic clock begins: not at nothing, since programs subtract from it.
const MONOTONIC_START_NS: u64 = 1_000_000 * NANOS;
/// When simulated time begins: 2026-01-01T00:00:00Z.
const EPOCH_NS: u64 = 1_767_225_600 * NANOS;

static SIMULATED: AtomicBool = AtomicBool::new(false);
static ELAPSED_NS: AtomicU64 = AtomicU64::new(0);
static CHANCE: AtomicU64 = AtomicU64::new(0);
static WAITS: AtomicU64 = AtomicU64::new(0);

/// From now on this process lives in the world of this seed. Before any other thread, and before anything drew a number.
pub(crate) fn begin(seed: u64) {
    CHANCE.store(mix(seed), Relaxed);
    SIMULATED.store(true, Relaxed);
}

/// Simulated time since the beginning.
pub(crate) fn elapsed() -> Duration {
    Duration::from_nanos(ELAPSED_NS.load(Relaxed))
}

/// How often everything waited.
pub(crate) fn waits() -> u64 {
    WAITS.load(Relaxed)
}

/// The time that really passes.
pub(crate) fn real_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the system call writes one timespec, and is given one.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// One step of the generator splitmix64.
fn mix(state: u64) -> u64 {
    let mut x = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Stands in for the C library's.
///
/// # Safety
/// As `getrandom(2)`: the buffer is valid for writes of its length.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    if !SIMULATED.load(Relaxed) {
        // SAFETY: what the caller gave, handed on.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) } as isize;
    }
    if length == 0 {
        return 0; // a question whether there is such a function; its pointer dangles
    }
    // SAFETY: the caller says that so many bytes may be written.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        let drawn = mix(CHANCE.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed)).to_le_bytes();
        chunk.copy_from_slice(&drawn[..chunk.len()]);
    }
    length as isize
}

/// Stands in for the C library's.
///
/// # Safety
/// As `clock_gettime(2)`: the time may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let start = match clock {
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME => {
            MONOTONIC_START_NS
        }
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => EPOCH_NS,
        _ => 0,
    };
    if start == 0 || !SIMULATED.load(Relaxed) {
        // SAFETY: what the caller gave, handed on.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as c_int;
    }
    let now = start + ELAPSED_NS.load(Relaxed);
    let now = libc::timespec {
        tv_sec: (now / NANOS).cast_signed(),
        tv_nsec: (now % NANOS).cast_signed(),
    };
    // SAFETY: the caller says that it may be written.
    unsafe { time.write(now) };
    0
}

/// Stands in for the C library's: the one place where the runtime waits. Nothing comes from outside, so the wait is over at
/// once, and the time is what it would have been.
///
/// # Safety
/// As `epoll_wait(2)`: the events are valid for so many writes.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    events_max: c_int,
    timeout_ms: c_int,
) -> c_int {
    let simulated = SIMULATED.load(Relaxed) && timeout_ms > 0;
    let real_timeout = if simulated { 0 } else { timeout_ms };
    let no_signals = std::ptr::null::<c_void>();
    // SAFETY: what the caller gave, handed on; without a signal mask its size is not read.
    let ready = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait,
            epoll,
            events,
            events_max,
            real_timeout,
            no_signals,
            8_usize,
        )
    };
    if simulated && ready == 0 {
        WAITS.fetch_add(1, Relaxed);
        ELAPSED_NS.fetch_add(u64::from(timeout_ms.unsigned_abs()) * 1_000_000, Relaxed);
    }
    ready as c_int
}
