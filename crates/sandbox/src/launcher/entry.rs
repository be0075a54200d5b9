//! How a copy of the running program becomes a launcher instead.
//!
//! Sessions must be forked by a process with one thread, no open files of the host, no CUDA context and no secrets in
//! its memory. So the host starts its own executable once more, under another name, and this code, which runs before
//! `main`, never returns to it. That works in every program and every test that links this crate, without a word in
//! their `main` and without a second file to install.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `argv[0]` of a launcher. Its standard input is the socket to the host.
pub(crate) const NAME: &str = "codeact-sandbox-launcher";

// SAFETY: the section holds pointers to functions that the C runtime calls before `main`, with the arguments of `main`,
// which a function without parameters may ignore.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    let is_launcher = std::fs::read("/proc/self/cmdline")
        .is_ok_and(|line| line.split(|byte| *byte == 0).next() == Some(NAME.as_bytes()));
    if !is_launcher {
        return;
    }
    // SAFETY: the host put the socket there, and nothing else in this process knows of it.
    let host = unsafe { OwnedFd::from_raw_fd(std::io::stdin().as_raw_fd()) };
    let status = std::panic::catch_unwind(|| super::serve::run(host)).map_or(70, |()| 0);
    std::process::exit(status);
}
