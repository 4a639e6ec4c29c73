//! The counters, in a process where the allocator is installed and nothing else runs.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Arc, Barrier};
use tinytorch_kernels::os::{CountingAllocator, alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const KB: usize = 1024;

/// One test, since the counters belong to the process and a second test thread would move them.
#[test]
fn the_heap_is_counted_to_the_byte() {
    let stats = || alloc::stats().expect("the allocator is installed");
    let start = stats();

    let mut buffer = Vec::<u8>::with_capacity(10 * KB);
    assert_eq!(stats().live_bytes, start.live_bytes + 10 * KB);
    assert_eq!(stats().allocations, start.allocations + 1);

    buffer.reserve_exact(30 * KB);
    assert_eq!(stats().live_bytes, start.live_bytes + 30 * KB, "growing counts the difference");
    buffer.shrink_to(5 * KB);
    assert_eq!(stats().live_bytes, start.live_bytes + 5 * KB, "and so does shrinking");
    assert_eq!(stats().allocations, start.allocations + 3, "each resize is a call");

    alloc::reset_peak();
    assert_eq!(stats().peak_bytes, stats().live_bytes);
    drop(vec![0_u8; 100 * KB]);
    assert_eq!(stats().peak_bytes, start.live_bytes + 105 * KB, "the peak outlives the block");
    assert_eq!(stats().live_bytes, start.live_bytes + 5 * KB);

    drop(buffer);
    assert_eq!(stats().live_bytes, start.live_bytes);

    let impossible = Layout::from_size_align(isize::MAX as usize / 2, 1).unwrap();
    // SAFETY: the layout's size is not 0, and a null pointer is not used.
    assert!(unsafe { ALLOCATOR.alloc(impossible) }.is_null());
    assert_eq!(stats().live_bytes, start.live_bytes, "a failed allocation counts nothing");

    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                for size in 1..1000 {
                    std::hint::black_box(vec![0_u8; size]);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(stats().allocations >= start.allocations + 4 * 999);
    assert!(stats().live_bytes < start.live_bytes + 64 * KB, "threads give back what they took");

    what_other_threads_hold_is_not_this_threads();
}

fn what_other_threads_hold_is_not_this_threads() {
    let (process, thread) =
        (|| alloc::stats().unwrap().live_bytes, || alloc::of_this_thread().unwrap());
    let step = Arc::new(Barrier::new(2));
    let other = std::thread::spawn({
        let step = step.clone();
        move || {
            step.wait();
            step.wait();
            let held = vec![1_u8; 100 * KB];
            step.wait();
            step.wait();
            drop(held);
            step.wait();
        }
    });
    step.wait();
    let (process_before, thread_before) = (process(), thread());
    step.wait();
    step.wait();
    let held = vec![1_u8; 10 * KB];
    assert_eq!(process(), process_before + 110 * KB);
    assert_eq!(thread(), thread_before + 10 * KB as isize);
    step.wait();
    step.wait();
    assert_eq!(thread(), thread_before + 10 * KB as isize);
    drop(held);
    assert_eq!(thread(), thread_before);
    other.join().unwrap();
    let held_elsewhere = std::thread::spawn(|| vec![1_u8; 5 * KB]).join().unwrap();
    let before = thread();
    drop(held_elsewhere);
    assert_eq!(thread(), before - 5 * KB as isize, "freed here, allocated elsewhere");
}
