//! Memory that was freed, and that the C library keeps for later.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

/// What those who live now want of memory that is freed.
static WANTED: Mutex<Wanted> = Mutex::new(Wanted { kept: 0, at_once: 0 });

struct Wanted {
    kept: usize,
    at_once: usize,
}

impl Wanted {
    /// Tells glibc. Who computes for long wins over who holds much.
    fn tell(&self) {
        match self {
            Wanted { kept: 1.., .. } => set(LARGEST, i32::MAX),
            Wanted { at_once: 1.., .. } => set(OF_ITS_OWN, 2 * OF_ITS_OWN),
            _ => set(LARGEST, 2 * LARGEST),
        }
    }
}

fn change(change: impl FnOnce(&mut Wanted)) {
    let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
    change(&mut wanted);
    wanted.tell();
}

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
        change(|wanted| wanted.kept += 1);
        KeepFreed(())
    }
}

impl Drop for KeepFreed {
    fn drop(&mut self) {
        change(|wanted| {
            wanted.kept -= 1;
            if wanted.kept == 0 {
                set(LARGEST, 0);
                give_back_freed();
                // What is free at the end of another heap than the main one goes when something large is freed there.
                drop(black_box(Vec::<u8>::with_capacity(256 << 10)));
            }
        });
    }
}

/// While one of these lives, arrays of four megabytes and more go back to the system as soon as they are freed, so that a process
/// never holds much more than what is alive. By itself glibc puts arrays of up to 32 MB on its heaps once such a one was
/// freed, where what lies between them stays: a pass over a model of 95 MB took 87 MB more than what it computed with
/// (`scripts/onnx_memory.py`). Each such array costs its pages anew, which is much where activations are as large: a search on
/// a recognizer of text spent two thirds of its time there, of a megabyte and more. Memory of the whole process is meant, and where a
/// [`KeepFreed`] lives too, that counts; only glibc can be asked to.
#[derive(Debug)]
pub struct FreeAtOnce(());

impl FreeAtOnce {
    /// Begins to give back what is freed.
    #[expect(clippy::new_without_default, reason = "a value does something while it lives")]
    pub fn new() -> FreeAtOnce {
        change(|wanted| wanted.at_once += 1);
        FreeAtOnce(())
    }
}

impl Drop for FreeAtOnce {
    fn drop(&mut self) {
        change(|wanted| wanted.at_once -= 1);
    }
}

/// Bytes of an array above which glibc maps each by itself, at most (`DEFAULT_MMAP_THRESHOLD_MAX`, mallopt(3)).
const LARGEST: i32 = 32 << 20;

/// The same while a [`FreeAtOnce`] lives.
const OF_ITS_OWN: i32 = 4 << 20;

/// Tells glibc from how many bytes on it maps an array by itself, and how many free bytes at the end of its heap it keeps.
fn set(of_its_own: i32, kept: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes numbers, locks what it changes, and changes nothing that is allocated.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, of_its_own);
        libc::mallopt(libc::M_TRIM_THRESHOLD, kept);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = (of_its_own, kept);
}

/// [`give_back_freed`], if a [`FreeAtOnce`] lives and no [`KeepFreed`]: after a part of a long work, whose smaller arrays lay on the
/// heaps.
pub fn give_back_if_wanted() {
    let wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
    if wanted.kept == 0 && wanted.at_once > 0 {
        give_back_freed();
    }
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
