//! Reads the lines that a function prints.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// In bytes. Longer lines are cut into pieces, so that a function that never ends its line does not fill our memory.
const LINE_LIMIT: u64 = 1024 * 1024;

/// One line, without its line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub pid: u32,
    /// Bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Takes the lines of all environments of a function. The lines of one stream of a process come in order.
#[derive(Clone)]
pub struct LogSink(Arc<dyn Fn(LogLine) + Send + Sync>);

impl LogSink {
    /// `take` is called for each line and must not block.
    pub fn new(take: impl Fn(LogLine) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }
}

/// Reads `output` to its end.
pub(super) async fn forward(output: impl AsyncRead + Unpin, pid: u32, sink: LogSink) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        // An error is the end, too: the process has ended.
        if (&mut output).take(LINE_LIMIT).read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text)).into_owned();
        (sink.0)(LogLine { pid, text });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    async fn lines(output: &[u8]) -> Vec<String> {
        let lines = Arc::new(Mutex::new(vec![]));
        let taken = Arc::clone(&lines);
        let sink = LogSink::new(move |line| taken.lock().unwrap().push(line.text));
        forward(output, 1, sink).await;
        lines.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn lines_come_whole_and_the_last_needs_no_line_break() {
        assert_eq!(lines(b"one\n\ntwo\r\nthr\xffee").await, ["one", "", "two", "thr\u{fffd}ee"]);
    }

    #[tokio::test]
    async fn an_endless_line_comes_in_pieces() {
        let lengths: Vec<_> = lines(&vec![b'x'; 2_500_000]).await.iter().map(String::len).collect();
        assert_eq!(lengths, [1_048_576, 1_048_576, 402_848]);
    }
}
