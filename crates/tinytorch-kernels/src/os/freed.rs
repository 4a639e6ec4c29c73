//! Memory that was freed, and that the C library keeps for later.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

/// Values that live now.
static KEEPING: Mutex<usize> = Mutex::new(0);

/// While one of these lives, memory that is freed stays with the process, so that a loop whose every round allocates
/// the same does not fetch it from the system each time, page by page: of 16 s of processor time that
/// two epochs of the small transformer take, 4 were the system's, and 0.7 are with it (`tinytorch train --model talks-gpt --data tinytalks`). Memory of the whole process is meant; only glibc can be asked to.
///
/// With the last of them, what the main heap and that of its thread have free goes back. glibc then keeps as much as it does by
/// itself after large arrays were freed: at most 64 MB a heap.
#[derive(Debug)]
pub struct KeepFreed(());

impl KeepFreed {
    /// Begins to keep what is freed.
    #[expect(clippy::new_without_default, reason = "a value does something while it lives")]
    pub fn new() -> KeepFreed {
        let mut keeping = KEEPING.lock().unwrap_or_else(PoisonError::into_inner);
        *keeping += 1;
        if *keeping == 1 {
            keep(i32::MAX);
        }
        KeepFreed(())
    }
}

impl Drop for KeepFreed {
    fn drop(&mut self) {
        let mut keeping = KEEPING.lock().unwrap_or_else(PoisonError::into_inner);
        *keeping -= 1;
        if *keeping == 0 {
            keep(0);
            give_back_freed();
            // What is free at the end of another heap than the main one goes when something large is freed there.
            drop(black_box(Vec::<u8>::with_capacity(256 << 10)));
            keep(2 * LARGE);
        }
    }
}

/// Bytes of an array above which glibc maps each by itself, at most (`DEFAULT_MMAP_THRESHOLD_MAX`, mallopt(3)).
const LARGE: i32 = 32 << 20;

/// Tells glibc how many free bytes at the end of its heap it keeps.
fn keep(bytes: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes numbers, locks what it changes, and changes nothing that is allocated.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = (bytes, LARGE);
}

/// Gives memory that was freed, and that the C library keeps for later, back to the system, so that
/// [`ProcessMemory`](super::ProcessMemory) tells what is in use. Only glibc can be asked to; elsewhere nothing happens.
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes a number, locks what it changes, and changes nothing that is allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}
