//! The child's side of living no longer than its parent.

use std::io::Read;

/// Ends this process as soon as its standard input is at its end; to be called first thing by a program that a
/// [`FunctionHost`](super::FunctionHost) runs.
///
/// The host holds the other end of that pipe. Whatever becomes of the host, even a SIGKILL, the operating system closes
/// it, and no child is left behind. The host closes it, too, to ask an idle child to go.
pub fn exit_with_parent() {
    std::thread::spawn(|| {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 256];
        // Nothing is ever sent; whatever ends the reading, the parent is no longer there.
        while matches!(stdin.read(&mut ignored), Ok(1..)) {}
        std::process::exit(0);
    });
}
