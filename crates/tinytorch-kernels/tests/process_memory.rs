//! What the system says of a process. One test, since what other tests free meanwhile would show.
#![cfg(target_os = "linux")]

use tinytorch_kernels::os::ProcessMemory;

#[test]
fn touching_memory_raises_every_figure() {
    const SIZE: usize = 64 << 20;
    let before = ProcessMemory::now().unwrap();
    let touched = std::hint::black_box(vec![1_u8; SIZE]);
    let after = ProcessMemory::now().unwrap();
    assert_eq!(touched[SIZE - 1], 1);
    // The system counts pages in batches per thread, so that figures lag by up to some 100 kB.
    let least = (SIZE / 2) as u64;
    assert!(after.resident >= before.resident + least);
    assert!(after.private >= before.private + least);
    assert!(after.proportional >= before.proportional + least);
    assert!(after.peak_resident >= after.resident.min(before.resident + least));
}
