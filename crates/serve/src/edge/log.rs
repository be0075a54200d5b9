//! The log: JSON lines on stderr, written by a thread of its own, so that no request waits for whoever reads it.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

/// Bytes of lines that wait. With prompts and answers a line may have megabytes.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Lines on their way to a writer.
struct Log {
    messages: Sender<Message>,
    waiting_bytes: AtomicUsize,
    waiting_bytes_max: usize,
    dropped: AtomicU64,
    /// Nothing is left to a thread any more, because the program ends.
    is_closed: AtomicBool,
}

enum Message {
    Line(String),
    /// Answered when all before it is written.
    Flush(Sender<()>),
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Writes one line of the log, soon; or drops it when too much waits already.
pub(crate) fn log(line: &Value) {
    stderr().add(format!("{line}\n"), &mut io::stderr());
}

/// Lines that nobody took in time.
pub(crate) fn dropped_lines() -> u64 {
    LOG.get().map_or(0, |log| log.dropped.load(Ordering::Relaxed))
}

/// Waits until what was logged is written, `within` this time; what is logged from now on is written at once. Blocks.
pub(crate) fn close(within: Duration) {
    if let Some(log) = LOG.get() {
        log.is_closed.store(true, Ordering::Release);
        log.flush(within);
    }
}

fn stderr() -> &'static Log {
    LOG.get_or_init(|| {
        let (log, messages) = Log::new(WAITING_BYTES_MAX);
        let writing = std::thread::Builder::new().name("log".to_owned());
        let started = writing.spawn(move || {
            // The log is there when the first line comes.
            let log = LOG.wait();
            log.write(&messages, &mut io::stderr());
        });
        // Without a thread each line is written where it is logged.
        log.is_closed.store(started.is_err(), Ordering::Release);
        log
    })
}

impl Log {
    fn new(waiting_bytes_max: usize) -> (Log, Receiver<Message>) {
        let (messages, receiver) = channel();
        let (waiting_bytes, dropped, is_closed) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        (Log { messages, waiting_bytes, waiting_bytes_max, dropped, is_closed }, receiver)
    }

    fn add(&self, line: String, writer: &mut dyn Write) {
        if self.is_closed.load(Ordering::Acquire) {
            // In one piece, so that lines of several threads do not mix. Where stderr is closed there is nobody to tell.
            let _ = writer.write_all(line.as_bytes());
            return;
        }
        let count = line.len();
        let before = self.waiting_bytes.fetch_add(count, Ordering::AcqRel);
        if before > 0 && before + count > self.waiting_bytes_max {
            self.waiting_bytes.fetch_sub(count, Ordering::AcqRel);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let _ = self.messages.send(Message::Line(line));
    }

    fn write(&self, messages: &Receiver<Message>, writer: &mut dyn Write) {
        for message in messages {
            match message {
                Message::Line(line) => {
                    let _ = writer.write_all(line.as_bytes());
                    self.waiting_bytes.fetch_sub(line.len(), Ordering::AcqRel);
                }
                Message::Flush(written) => drop(written.send(())),
            }
        }
    }

    fn flush(&self, within: Duration) {
        let (sender, written) = channel();
        if self.messages.send(Message::Flush(sender)).is_ok() {
            let _ = written.recv_timeout(within);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;

    /// Takes a line when somebody wants it.
    struct Slow(SyncSender<String>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8(bytes.to_vec()).unwrap()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_keeps_nobody_waiting() {
        let (log, messages) = Log::new(100);
        let log = Arc::new(log);
        let (sender, lines) = sync_channel(0);
        // It waits for lines until this process ends.
        let writing = Arc::clone(&log);
        std::thread::spawn(move || writing.write(&messages, &mut Slow(sender)));
        // Comes back at once, though nobody reads: ten lines find room, the others are counted.
        (0..1000).for_each(|number| log.add(format!("{number:09}\n"), &mut io::sink()));
        assert_eq!(log.dropped.load(Ordering::Relaxed), 990);
        let read: Vec<String> = lines.iter().take(10).collect();
        assert_eq!((read[0].trim(), read[9].trim()), ("000000000", "000000009"));
        log.flush(Duration::from_secs(20));
        log.add("after\n".to_owned(), &mut io::sink());
        assert_eq!(lines.recv().unwrap(), "after\n");
        // At the end of the program there may be no thread any more.
        log.is_closed.store(true, Ordering::Release);
        let mut written = Vec::new();
        log.add("last\n".to_owned(), &mut written);
        assert_eq!(written, b"last\n");
    }
}
