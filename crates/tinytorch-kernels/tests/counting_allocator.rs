//! The counters, in a process where the allocator is installed and nothing else runs.

use std::alloc::{GlobalAlloc, Layout};
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
}
