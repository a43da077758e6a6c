//! Ends a child process when its parent ends. This is the child's part.

use std::io::Read;

/// Ends this process as soon as its standard input ends. A program that a [`FunctionHost`](super::FunctionHost) runs
/// must call this first.
///
/// The host holds the other end of that pipe. When the host ends, even by SIGKILL, the operating system closes the
/// pipe, so no child outlives it. The host also closes it to ask an idle child to end.
pub fn exit_with_parent() {
    std::thread::spawn(|| {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 256];
        // The host never sends anything, so the end of reading means that the host has ended or closed the pipe.
        while matches!(stdin.read(&mut ignored), Ok(1..)) {}
        std::process::exit(0);
    });
}
