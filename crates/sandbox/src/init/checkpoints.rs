//! Checkpoints: forks of the interpreter that wait on sockets of their own, to be woken when a cell is undone.
//!
//! A line is a head with what it started. One line runs; others are parked with all their processes stopped, because
//! they share the workspace, the process ids and the limits of the session.

use super::processes;
use super::runner::Runner;
use super::{Doing, Init};
use crate::wire::fields::Writer;
use crate::wire::frame::{Frame, Nonce};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A fork of gigabytes takes a tenth of this. The time is taken from the next cell.
const SAVE_MAX: Duration = Duration::from_secs(1);
const WAKE_MAX: Duration = Duration::from_millis(300);

/// A line that does not run.
#[derive(Debug)]
pub(super) struct Parked {
    pub runner: Runner,
    pub stopped: BTreeSet<i32>,
}

/// A fork that is being made.
#[derive(Debug)]
pub(super) struct Saving {
    pub nonce: Nonce,
    id: u64,
    /// The checkpoint that forks; `None`: the head.
    pub from: Option<u64>,
    pub runner: Runner,
    /// What the forking side said.
    said: Option<Vec<u8>>,
    has_spoken: bool,
    pub deadline: Instant,
}

impl Saving {
    pub(super) fn tag(&self) -> u8 {
        if self.from.is_some() { b'B' } else { b'S' }
    }
}

/// How a head that has just taken its place begins to run, once the host has put its files in place.
#[derive(Debug)]
pub(super) enum Asleep {
    /// It was parked: these processes are stopped.
    Stopped(BTreeSet<i32>),
    /// It was a checkpoint: it opens its files again when it wakes.
    Checkpoint,
}

/// A checkpoint that is told to wake.
#[derive(Debug)]
pub(super) struct Waking {
    pub nonce: Nonce,
    pub deadline: Instant,
}

impl Init {
    /// Have the head, or the checkpoint `from`, fork.
    pub(super) fn save(&mut self, nonce: Nonce, id: u64, from: Option<u64>) {
        let tag = if from.is_some() { b'B' } else { b'S' };
        let pair = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        );
        let made: Result<(Runner, OwnedFd), std::io::Error> =
            pair.map_err(Into::into).and_then(|(own, theirs)| Ok((Runner::new(own)?, theirs)));
        let (runner, theirs) = match made {
            Ok(made) => made,
            Err(error) => return self.answer(&nonce, tag, Some(&error.to_string())),
        };
        let source = match from {
            Some(from) => self.checkpoints.get_mut(&from),
            None => self.head.as_mut(),
        };
        let Some(source) = source else {
            return self.answer(&nonce, tag, Some("there is no such interpreter"));
        };
        source.link.send(&nonce, b'S', &[], Some(theirs));
        let deadline = Instant::now() + SAVE_MAX;
        self.doing = Doing::Saving(Saving { nonce, id, from, runner, said: None, has_spoken: false, deadline });
    }

    /// The forking side has answered.
    pub(super) fn hear_saved(&mut self, frame: Frame) {
        let Doing::Saving(saving) = &mut self.doing else { return };
        match frame.tag {
            b'S' => {
                saving.said = Some(frame.payload);
                self.finish_saving();
            }
            _ => self.saving_failed(&String::from_utf8_lossy(&frame.payload)),
        }
    }

    /// The fork itself speaks on its socket, by which the kernel tells its process id.
    pub(super) fn hear_checkpoint(&mut self) {
        let Doing::Saving(saving) = &mut self.doing else { return };
        saving.runner.fill();
        if let Ok(Some(frame)) = saving.runner.link.next() {
            saving.has_spoken |= frame.tag == b'S';
        }
        let answer = saving.from.and_then(|from| self.checkpoints.get_mut(&from)).and_then(|source| {
            source.link.flush();
            source.fill();
            source.link.next().ok().flatten()
        });
        match answer.filter(|frame| frame.nonce == saving.nonce) {
            Some(frame) => self.hear_saved(frame),
            None => self.finish_saving(),
        }
    }

    fn finish_saving(&mut self) {
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Saving(Saving { nonce, id, from, runner, said: Some(said), has_spoken: true, .. }) => {
                // Of what the two share, it can cost no more than it has now.
                let bytes = sizes(runner.pid, "status", &["RssAnon:", "VmSwap:"]).unwrap_or(0);
                self.checkpoints.insert(id, runner);
                let tag = if from.is_some() { b'B' } else { b'S' };
                let own = Writer::default().number("id", id).number("bytes", bytes);
                // What Python said comes last, so that it cannot speak for this process.
                let payload = [own.finish().as_slice(), &said].concat();
                self.host.send(&nonce, tag, &payload, None);
            }
            other => self.doing = other,
        }
    }

    pub(super) fn saving_failed(&mut self, reason: &str) {
        if let Doing::Saving(saving) = std::mem::replace(&mut self.doing, Doing::Nothing) {
            processes::signal(saving.runner.pid, Signal::KILL);
            self.answer(&saving.nonce, saving.tag(), Some(reason));
        }
    }

    /// Throw the running line away, and go on from checkpoint `id`.
    pub(super) fn undo(&mut self, nonce: Nonce, id: u64) {
        let Some(runner) = self.checkpoints.remove(&id) else {
            return self.answer(&nonce, b'U', Some("there is no such checkpoint"));
        };
        let mut kept = self.others();
        kept.insert(runner.pid);
        self.census.kill_all_but(&kept);
        self.replace_head(runner, Asleep::Checkpoint);
        self.answer(&nonce, b'U', None);
    }

    /// Park the running line as `park`, and let the parked line or the checkpoint `id` run.
    pub(super) fn activate(&mut self, nonce: Nonce, id: u64, park: Option<u64>) {
        let is_known = self.parked.contains_key(&id) || self.checkpoints.contains_key(&id);
        if !is_known {
            return self.answer(&nonce, b'A', Some("there is no such line"));
        }
        self.read_output(super::DRAIN_BYTES_MAX);
        if let Some(runner) = self.head.take() {
            let stopped = self.census.stop_all_but(&self.others());
            match park {
                Some(park) => drop(self.parked.insert(park, Parked { runner, stopped })),
                None => stopped.iter().for_each(|pid| processes::signal(*pid, Signal::KILL)),
            }
        }
        if let Some(parked) = self.parked.remove(&id) {
            self.replace_head(parked.runner, Asleep::Stopped(parked.stopped));
        } else if let Some(runner) = self.checkpoints.remove(&id) {
            self.replace_head(runner, Asleep::Checkpoint);
        }
        self.answer(&nonce, b'A', None);
    }

    /// Forget a checkpoint, or a parked line.
    pub(super) fn drop_line(&mut self, id: u64) {
        let (parked, checkpoint) = (self.parked.remove(&id), self.checkpoints.remove(&id));
        let pids = parked.iter().flat_map(|parked| parked.stopped.iter().copied().chain([parked.runner.pid]));
        // Killed before its socket is closed, which would only wake it up.
        pids.chain(checkpoint.iter().map(|runner| runner.pid)).for_each(|pid| processes::signal(pid, Signal::KILL));
    }

    pub(super) fn replace_head(&mut self, runner: Runner, asleep: Asleep) {
        self.head = Some(runner);
        self.asleep = Some(asleep);
    }

    /// Let the head run that took its place last.
    pub(super) fn wake(&mut self, nonce: Nonce) {
        match (self.asleep.take(), &mut self.head) {
            (Some(Asleep::Checkpoint), Some(head)) => {
                head.link.send(&nonce, b'W', &[], None);
                self.doing = Doing::Waking(Waking { nonce, deadline: Instant::now() + WAKE_MAX });
            }
            (Some(Asleep::Stopped(pids)), _) => {
                pids.iter().for_each(|pid| processes::signal(*pid, Signal::CONT));
                self.answer(&nonce, b'W', None);
            }
            _ => self.answer(&nonce, b'W', Some("there is nobody to wake")),
        }
    }

    pub(super) fn woken(&mut self) {
        if let Doing::Waking(waking) = std::mem::replace(&mut self.doing, Doing::Nothing) {
            self.answer(&waking.nonce, b'W', None);
        }
    }

    pub(super) fn waking_failed(&mut self) {
        self.give_up_on_head("the checkpoint did not wake");
    }

    /// Memory of each checkpoint in bytes, a page that several have being shared out among them; and of the head what
    /// it has of such pages beyond its own share. What cannot be measured is left out.
    pub(super) fn report_memory(&mut self, nonce: &Nonce) {
        let mut fields = Writer::default();
        for (id, runner) in &self.checkpoints {
            if let Some(bytes) = shares(runner.pid) {
                fields = fields.number(&id.to_string(), bytes);
            }
        }
        let head = self.head.as_ref().map_or(0, |head| head.pid);
        let whole = sizes(head, "smaps_rollup", &["Anonymous:", "Swap:"]);
        if let (Some(whole), Some(own)) = (whole, shares(head)) {
            fields = fields.number("shared", whole.saturating_sub(own));
        }
        self.host.send(nonce, b'M', &fields.finish(), None);
    }
}

/// Memory of a process without files, divided by the number of processes that have it.
fn shares(pid: i32) -> Option<u64> {
    sizes(pid, "smaps_rollup", &["Pss_Anon:", "SwapPss:"])
}

/// The sum of some lines of a file in the folder of a process, in bytes. `None`: there is none of them.
fn sizes(pid: i32, file: &str, names: &[&str]) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    let kibibytes = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes.reduce(|one, other| one + other).map(|sum| sum << 10)
}
