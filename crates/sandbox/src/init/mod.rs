//! The first process of a session: holds the channels to Python and to the host, keeps time, and cleans up.
//!
//! It is PID 1 of the session where there is a PID namespace, another user than the cells where the host is root, and
//! does one thing at a time: run a cell, save a checkpoint, wake one. What the host asks meanwhile waits in a queue.
//!
//! ```text
//! host -> init   C cell  D tools  I interrupt  S save  U undo  B branch  A activate  W wake  X drop  M memory  T tool result
//! init -> host   H ready  O stdout  E stderr  D display  T tool call  Z end of a cell
//!                S U B A W M: done, with the field `error` if not
//! ```

mod runner; // a Python process and its socket

mod processes; // all processes of the session

mod cell; // one cell, and the ladder that ends it

mod checkpoints; // save, wake, branch

use crate::wire::fields::{Fields, Writer};
use crate::wire::frame::{Frame, NONCE_BYTES, Nonce};
use crate::wire::link::Link;
use cell::Cell;
use checkpoints::{Asleep, Parked, Saving, Waking};
use processes::Census;
use runner::Runner;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Output waiting for the host. Beyond this the pipes are left full, and what writes to them waits.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Output read at the end of a cell at most, per stream: what its processes had written by then fits in a pipe.
const DRAIN_BYTES_MAX: usize = 256 << 10;
/// Results of tools waiting for Python.
const RESULT_BYTES_MAX: usize = 32 << 20;
/// What compiling a cell without running it may take.
const CHECK_MAX: Duration = Duration::from_secs(3);
const NO_NONCE: Nonce = [0; NONCE_BYTES];

/// The channels of a session.
#[derive(Debug)]
pub(crate) struct Channels {
    pub host: OwnedFd,
    pub control: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// What goes on between the head and this process.
#[derive(Debug)]
enum Doing {
    Nothing,
    /// Until Python has said hello.
    Starting,
    Cell(Cell),
    /// Tools are being defined.
    Telling {
        nonce: Nonce,
    },
    /// Code is being compiled.
    Checking {
        nonce: Nonce,
        deadline: Instant,
    },
    Saving(Saving),
    Waking(Waking),
}

#[derive(Debug)]
struct Init {
    host: Link,
    outputs: [(OwnedFd, u8, bool); 2],
    child_ends: OwnedFd,
    census: Census,
    /// The interpreter that runs cells.
    head: Option<Runner>,
    /// Set while the head has not begun to run.
    asleep: Option<Asleep>,
    checkpoints: BTreeMap<u64, Runner>,
    parked: BTreeMap<u64, Parked>,
    commands: VecDeque<Frame>,
    doing: Doing,
}

/// Serve the session until the host closes its end; then all processes of the session end.
pub(crate) fn run(channels: Channels, has_pid_namespace: bool, child_ends: OwnedFd) -> std::io::Result<()> {
    for fd in [&channels.stdout, &channels.stderr] {
        rustix::io::ioctl_fionbio(fd, true)?;
    }
    let census = if has_pid_namespace { Census::Namespace } else { Census::Descendants };
    let mut init = Init {
        host: Link::new(channels.host)?,
        outputs: [(channels.stdout, b'O', true), (channels.stderr, b'E', true)],
        child_ends,
        census,
        head: Some(Runner::new(channels.control)?),
        asleep: None,
        checkpoints: BTreeMap::new(),
        parked: BTreeMap::new(),
        commands: VecDeque::new(),
        doing: Doing::Starting,
    };
    while !init.host.is_closed() {
        while matches!(init.doing, Doing::Nothing) {
            let Some(command) = init.commands.pop_front() else { break };
            init.obey(&command);
        }
        init.wait();
        init.listen_to_host();
        init.read_output(DRAIN_BYTES_MAX);
        init.listen_to_runners();
        init.look_at_ends();
        init.look_at_clock();
    }
    init.census.kill_all_but(&BTreeSet::new());
    Ok(())
}

impl Init {
    /// Start what the host asks for, in its turn.
    fn obey(&mut self, command: &Frame) {
        let nonce = command.nonce;
        let fields = Fields::parse(&command.payload).unwrap_or_default();
        let number = |key| fields.number(key);
        match (command.tag, number("id")) {
            (b'C', _) => self.start_cell(nonce, &fields),
            (b'D', _) => match &mut self.head {
                Some(head) => {
                    head.link.send(&nonce, b'D', &command.payload, None);
                    self.doing = Doing::Telling { nonce };
                }
                None => self.answer(&nonce, b'D', Some("there is no interpreter")),
            },
            (b'K', _) => match &mut self.head {
                Some(head) => {
                    head.link.send(&nonce, b'K', fields.bytes("code").unwrap_or_default(), None);
                    self.doing = Doing::Checking { nonce, deadline: Instant::now() + CHECK_MAX };
                }
                None => self.answer(&nonce, b'K', Some("there is no interpreter")),
            },
            (b'S', Some(id)) => self.save(nonce, id, None),
            (b'B', Some(id)) => self.save(nonce, id, number("from")),
            (b'U', Some(id)) => self.undo(nonce, id),
            (b'A', Some(id)) => self.activate(nonce, id, number("park")),
            (b'W', _) => self.wake(nonce),
            (b'X', Some(id)) => self.drop_line(id),
            (b'M', _) => self.report_memory(&nonce),
            _ => self.answer(&nonce, command.tag, Some("not a command")),
        }
    }

    fn answer(&mut self, nonce: &Nonce, tag: u8, error: Option<&str>) {
        let fields = Writer::default();
        let fields = match error {
            Some(error) => fields.put("error", error),
            None => fields,
        };
        self.host.send(nonce, tag, &fields.finish(), None);
    }

    /// Sleep until there is something to do.
    fn wait(&mut self) {
        let reads = self.host.waiting_bytes() < WAITING_BYTES_MAX;
        let mut fds =
            vec![PollFd::new(&self.host, self.host.interest(true)), PollFd::new(&self.child_ends, PollFlags::IN)];
        for (fd, _, _) in self.outputs.iter().filter(|(_, _, is_open)| reads && *is_open) {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        let saving = match &self.doing {
            Doing::Saving(saving) => Some(&saving.runner),
            _ => None,
        };
        for runner in self.head.iter().chain(saving).filter(|runner| !runner.link.is_closed()) {
            fds.push(PollFd::new(&runner.link, runner.link.interest(reads)));
        }
        // The checkpoint that is being copied answers on its own socket.
        if let Doing::Saving(Saving { from: Some(from), .. }) = &self.doing
            && let Some(runner) = self.checkpoints.get(from)
        {
            fds.push(PollFd::new(&runner.link, runner.link.interest(true)));
        }
        let timeout = self.next_time().map(|time| time.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|time| Timespec::try_from(time + Duration::from_micros(100)).ok());
        // A signal ends the wait early, which is as good as its end.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    fn listen_to_host(&mut self) {
        self.host.flush();
        self.host.fill();
        while let Ok(Some(frame)) = self.host.next() {
            match frame.tag {
                b'I' => self.interrupt(),
                b'T' => {
                    // A cell that asks for results and does not read them loses those that do not fit.
                    let head = self.head.as_mut().filter(|head| head.link.waiting_bytes() < RESULT_BYTES_MAX);
                    if let Some(head) = head {
                        head.link.send(&frame.nonce, b'T', &frame.payload, None);
                    }
                }
                _ => self.commands.push_back(frame),
            }
        }
    }

    /// Pass on what was printed, up to `bytes_max` per stream.
    fn read_output(&mut self, bytes_max: usize) {
        let nonce = match &self.doing {
            Doing::Cell(cell) => cell.nonce,
            _ => NO_NONCE,
        };
        let mut buffer = [0; 64 << 10];
        for (fd, tag, is_open) in &mut self.outputs {
            let mut read = 0;
            while *is_open && read < bytes_max && self.host.waiting_bytes() < WAITING_BYTES_MAX {
                match rustix::io::read(&*fd, &mut buffer) {
                    Ok(0) => *is_open = false,
                    Ok(count) => {
                        read += count;
                        self.host.send(&nonce, *tag, &buffer[..count], None);
                    }
                    Err(Errno::INTR) => {}
                    Err(_) => break,
                }
            }
        }
    }

    fn listen_to_runners(&mut self) {
        if self.host.waiting_bytes() < WAITING_BYTES_MAX
            && let Some(mut head) = self.head.take()
        {
            head.link.flush();
            head.fill();
            self.head = Some(head);
            while let Some(frame) = self.head.as_mut().map(|head| head.link.next()) {
                match frame {
                    Ok(Some(frame)) => self.hear(frame),
                    Ok(None) => break,
                    Err(_) => {
                        self.give_up_on_head("the cell wrote to the control channel");
                        break;
                    }
                }
            }
            if self.head.as_ref().is_some_and(|head| head.link.is_closed()) {
                self.head_closed();
            }
        }
        self.hear_checkpoint();
    }

    /// A frame of the head.
    fn hear(&mut self, frame: Frame) {
        match &self.doing {
            Doing::Starting if matches!(frame.tag, b'H' | b'X') => {
                // From here on there is code that should not look into this process.
                let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
                self.host.send(&NO_NONCE, frame.tag, &frame.payload, None);
                self.doing = Doing::Nothing;
            }
            Doing::Cell(cell) if cell.nonce == frame.nonce => self.hear_cell(frame),
            Doing::Telling { nonce } if *nonce == frame.nonce => {
                let fields = Fields::parse(&frame.payload).unwrap_or_default();
                let error = (frame.tag != b'F').then(|| fields.text("error/message").unwrap_or_default());
                self.answer(&frame.nonce, b'D', error.as_deref());
                self.doing = Doing::Nothing;
            }
            Doing::Checking { nonce, .. } if *nonce == frame.nonce => {
                self.host.send(&frame.nonce, b'K', &frame.payload, None);
                self.doing = Doing::Nothing;
            }
            Doing::Saving(saving) if saving.from.is_none() && saving.nonce == frame.nonce => self.hear_saved(frame),
            Doing::Waking(waking) if waking.nonce == frame.nonce => self.woken(),
            _ => {} // an answer to nothing
        }
    }

    /// Children that have ended: of interest is only the head.
    fn look_at_ends(&mut self) {
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.child_ends, &mut buffer).is_ok_and(|count| count > 0) {}
        for (pid, status) in processes::reap() {
            self.checkpoints.retain(|_, runner| runner.pid != pid);
            if self.head.as_ref().is_some_and(|head| head.pid == pid) {
                self.give_up_on_head(&processes::describe(status));
            }
        }
    }

    fn next_time(&self) -> Option<Instant> {
        match &self.doing {
            Doing::Nothing | Doing::Starting | Doing::Telling { .. } => None,
            Doing::Cell(cell) => Some(cell.next_time()),
            Doing::Checking { deadline, .. } => Some(*deadline),
            Doing::Saving(saving) => Some(saving.deadline),
            Doing::Waking(waking) => Some(waking.deadline),
        }
    }

    fn look_at_clock(&mut self) {
        let now = Instant::now();
        if self.next_time().is_none_or(|time| now < time) {
            return;
        }
        match &self.doing {
            Doing::Cell(_) => self.climb(now),
            Doing::Checking { .. } => self.give_up_on_head("compiling code took too long"),
            Doing::Saving(_) => self.saving_failed("it took too long"),
            Doing::Waking(_) => self.waking_failed(),
            _ => {}
        }
    }

    /// Processes that are no part of the line that runs now.
    fn others(&self) -> BTreeSet<i32> {
        let mut kept: BTreeSet<i32> = self.checkpoints.values().map(|runner| runner.pid).collect();
        for parked in self.parked.values() {
            kept.insert(parked.runner.pid);
            kept.extend(&parked.stopped);
        }
        kept.remove(&0);
        kept
    }
}
