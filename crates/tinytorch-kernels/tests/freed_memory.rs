//! What a process keeps of the memory that it frees, in a process of its own.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use tinytorch_kernels::os::{FreeAtOnce, KeepFreed, ProcessMemory};

#[test]
fn freed_memory_stays_until_the_last_one_who_wants_it_goes() {
    const ARRAY: usize = 8 << 20;
    let resident = || ProcessMemory::now().unwrap().resident;
    let arrays = || (0..4).map(|_| vec![1u8; ARRAY]).collect::<Vec<_>>();
    let before = resident();
    let (first, second) = (KeepFreed::new(), KeepFreed::new());
    drop(arrays());
    drop(first);
    assert!(resident() > before + 3 * ARRAY as u64, "nothing was kept");
    drop(second);
    assert!(resident() < before + ARRAY as u64, "it was not given back");

    // What is freed goes back although something that was allocated after it lives.
    let at_once = FreeAtOnce::new();
    let (freed, small) = (arrays(), vec![1u8; 1 << 10]);
    drop(freed);
    assert!(resident() < before + ARRAY as u64, "it was kept");
    drop(at_once);
    let (freed, alive) = (arrays(), vec![1u8; ARRAY]);
    drop(freed);
    assert!(resident() > before + 3 * ARRAY as u64, "what glibc does by itself has changed");
    drop((small, alive));
}
