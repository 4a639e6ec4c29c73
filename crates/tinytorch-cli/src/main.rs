//! The `tinytorch` command: train, quantize and audit int8 models.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use tinytorch::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

fn main() -> ExitCode {
    #[cfg(unix)]
    tidy_up_on_signals();
    ExitCode::from(tinytorch_cli::run(std::env::args_os(), None))
}

/// Removes temporary folders before a signal ends the process, which then ends of that signal.
#[cfg(unix)]
fn tidy_up_on_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::{iterator::Signals, low_level::emulate_default_handler};

    // Without a handler the process ends all the same, and the next one removes what it leaves.
    let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGTERM]) else { return };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            tinytorch::files::remove_temporary_folders();
            let _ = emulate_default_handler(signal);
        }
    });
}
