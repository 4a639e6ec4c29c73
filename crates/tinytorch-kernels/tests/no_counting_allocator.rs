//! A process without the counting allocator knows that it does not count.

#[test]
fn there_are_no_figures_without_the_allocator() {
    drop(std::hint::black_box(vec![0_u8; 1000]));
    assert_eq!(tinytorch_kernels::os::alloc::stats(), None);
}
