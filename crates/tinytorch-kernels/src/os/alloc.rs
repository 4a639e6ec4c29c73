//! A global allocator that counts, so that "four times smaller" is read off the heap and not off a
//! constant.
//!
//! The counters belong to the process: they are plain relaxed atomics, three additions per
//! allocation at most. What a thread holds is counted beside them, in a cell that begins as a constant and has
//! no destructor, so that it never allocates itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OF_THIS_THREAD: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator with counters around it; install it with `#[global_allocator]`.
///
/// Bytes are those asked for (`Layout::size`), not what the system's allocator rounds them up to.
#[derive(Debug, Default)]
pub struct CountingAllocator(());

impl CountingAllocator {
    /// An allocator for a `static`.
    pub const fn new() -> Self {
        Self(())
    }
}

/// What the heap held when [`stats`] was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocStats {
    /// Bytes allocated and not yet freed.
    pub live_bytes: usize,
    /// The largest `live_bytes` since the process started or [`reset_peak`] was called.
    pub peak_bytes: usize,
    /// Calls that obtained or resized memory since the process started; it never decreases.
    pub allocations: usize,
}

/// The counters, or `None` if no [`CountingAllocator`] is installed in this process.
///
/// Other threads may allocate between the reads of the counters; a caller that needs exact
/// figures measures while it is the only one running.
pub fn stats() -> Option<AllocStats> {
    let allocations = ALLOCATIONS.load(Relaxed);
    // The run-time allocates before `main`, so a process whose counter is 0 does not count.
    if allocations == 0 {
        return None;
    }
    let live_bytes = LIVE.load(Relaxed);
    Some(AllocStats { live_bytes, peak_bytes: PEAK.load(Relaxed).max(live_bytes), allocations })
}

/// Bytes that this thread has allocated, less those that it has freed; `None` where [`stats`] is.
///
/// It is negative in a thread that frees what others allocated. What other threads do meanwhile does not move it, so that the
/// growth around something that one thread does alone is exact whatever else runs.
pub fn of_this_thread() -> Option<isize> {
    stats().map(|_| OF_THIS_THREAD.get())
}

/// Starts the peak anew from the bytes that are live.
pub fn reset_peak() {
    PEAK.store(LIVE.load(Relaxed), Relaxed);
}

fn grew(by: usize) {
    OF_THIS_THREAD.set(OF_THIS_THREAD.get().wrapping_add_unsigned(by));
    let live = LIVE.fetch_add(by, Relaxed).wrapping_add(by);
    // A load is shared between caches where a `fetch_max` is not, and the peak seldom moves.
    if live > PEAK.load(Relaxed) {
        PEAK.fetch_max(live, Relaxed);
    }
}

fn shrank(by: usize) {
    OF_THIS_THREAD.set(OF_THIS_THREAD.get().wrapping_sub_unsigned(by));
    LIVE.fetch_sub(by, Relaxed);
}

fn count_new(pointer: *mut u8, size: usize) -> *mut u8 {
    if !pointer.is_null() {
        ALLOCATIONS.fetch_add(1, Relaxed);
        grew(size);
    }
    pointer
}

// SAFETY: every call goes to `System` with the caller's own arguments, and its answer is returned
// unchanged; the counters neither allocate nor unwind.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, which is `System`'s too.
        count_new(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc::alloc_zeroed`'s contract, which is `System`'s too.
        count_new(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through this allocator, with this `layout`.
        unsafe { System.dealloc(pointer, layout) };
        shrank(layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: `pointer` came from `System` through this allocator, with this `layout`.
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        // A failed call leaves the old block alive, and so the counters as they are.
        if !moved.is_null() {
            ALLOCATIONS.fetch_add(1, Relaxed);
            match new_size.checked_sub(layout.size()) {
                Some(growth) => grew(growth),
                None => shrank(layout.size() - new_size),
            }
        }
        moved
    }
}
