//! One cell: started, listened to, and ended by its answer, by the death of its process, or by the clock.

use super::checkpoints::Asleep;
use super::{DRAIN_BYTES_MAX, Doing, Init};
use crate::wire::fields::{Fields, Writer};
use crate::wire::frame::{Frame, Nonce};
use std::time::{Duration, Instant};

/// Between the SIGINTs that an interrupted cell gets.
const AGAIN: Duration = Duration::from_millis(100);
/// Time from the first SIGINT to SIGKILL.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time that a process which closed its socket has to end by itself.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A cell that runs.
#[derive(Debug)]
pub(super) struct Cell {
    pub nonce: Nonce,
    /// The checkpoint of the state before it.
    base: Option<u64>,
    deadline: Instant,
    stopping: Option<Stopping>,
}

#[derive(Debug)]
struct Stopping {
    reason: &'static str,
    next: Instant,
    last: Instant,
}

impl Cell {
    pub(super) fn next_time(&self) -> Instant {
        self.stopping.as_ref().map_or(self.deadline, |stopping| stopping.next.min(stopping.last))
    }
}

impl Init {
    pub(super) fn start_cell(&mut self, nonce: Nonce, fields: &Fields<'_>) {
        let wall = Duration::from_millis(fields.number("wall_ms").unwrap_or(0));
        let cell = Cell { nonce, base: fields.number("base"), deadline: Instant::now() + wall, stopping: None };
        let code = fields.bytes("code").unwrap_or_default();
        self.read_output(DRAIN_BYTES_MAX); // what threads of earlier cells wrote is not of this one
        if let Some(head) = &mut self.head {
            head.link.send(&nonce, b'C', code, None);
            self.doing = Doing::Cell(cell);
            return;
        }
        // It ended between two cells: a thread called os._exit. The state after the last cell is that of its checkpoint.
        let status = "the interpreter ended between two cells".to_string();
        let resumed = self.resume(cell.base);
        self.end(&nonce, "not_run", &status, resumed, &[]);
    }

    pub(super) fn hear_cell(&mut self, frame: Frame) {
        match frame.tag {
            b'D' | b'T' => self.host.send(&frame.nonce, frame.tag, &frame.payload, None),
            b'F' | b'R' => {
                let Doing::Cell(cell) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return };
                let outcome = if frame.tag == b'F' { "finished" } else { "raised" };
                let outcome = cell.stopping.map_or(outcome, |stopping| stopping.reason);
                // What the runner flushed before its answer is in the pipes now.
                self.drain(&frame.nonce);
                self.end(&frame.nonce, outcome, "", None, &frame.payload);
            }
            _ => self.give_up_on_head("the cell wrote to the control channel"),
        }
    }

    /// The host's wish to stop the cell.
    pub(super) fn interrupt(&mut self) {
        self.stop("interrupted");
    }

    fn stop(&mut self, reason: &'static str) {
        let Doing::Cell(cell) = &mut self.doing else { return };
        if cell.stopping.is_none() {
            let now = Instant::now();
            cell.stopping = Some(Stopping { reason, next: now + AGAIN, last: now + PATIENCE });
            self.head.iter().for_each(super::Runner::interrupt);
        }
    }

    /// The next rung of the ladder is due: SIGINT, SIGINT again, SIGKILL and the state before the cell.
    pub(super) fn climb(&mut self, now: Instant) {
        let Doing::Cell(cell) = &mut self.doing else { return };
        match &mut cell.stopping {
            None => self.stop("timed_out"),
            Some(stopping) if now < stopping.last => {
                stopping.next = now + AGAIN;
                // The first one may have come before the cell began, or gone to a library that swallowed it.
                self.head.iter().for_each(super::Runner::interrupt);
            }
            Some(stopping) => {
                let reason = stopping.reason;
                self.fall_back(reason, "killed");
            }
        }
    }

    /// The head has closed its socket: it ends now, or it cannot be talked to any more.
    pub(super) fn head_closed(&mut self) {
        std::thread::sleep(Duration::from_millis(1));
        let end = Instant::now() + LAST_WORDS;
        let pid = self.head.as_ref().map_or(0, |head| head.pid);
        while Instant::now() < end {
            let ended = super::processes::reap();
            if let Some((_, status)) = ended.iter().find(|(child, _)| *child == pid) {
                return self.give_up_on_head(&super::processes::describe(*status));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.give_up_on_head("the cell closed the control channel");
    }

    /// The head is dead or of no use: whatever it was doing fails.
    pub(super) fn give_up_on_head(&mut self, status: &str) {
        let reason = match &self.doing {
            Doing::Cell(cell) => cell.stopping.as_ref().map_or("exited", |stopping| stopping.reason),
            _ => "exited",
        };
        self.fall_back(reason, status);
    }

    /// Kill the line that runs, and go on from the checkpoint before the cell.
    fn fall_back(&mut self, reason: &'static str, status: &str) {
        self.census.kill_all_but(&self.others());
        (self.head, self.asleep) = (None, None);
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Cell(cell) => {
                self.drain(&cell.nonce);
                let resumed = self.resume(cell.base);
                self.end(&cell.nonce, reason, status, resumed, &[]);
            }
            Doing::Starting => self.host.send(&super::NO_NONCE, b'X', status.as_bytes(), None),
            Doing::Telling { nonce } => self.answer(&nonce, b'D', Some(status)),
            Doing::Checking { nonce, .. } => self.answer(&nonce, b'K', Some(status)),
            Doing::Saving(saving) => self.answer(&saving.nonce, saving.tag(), Some(status)),
            Doing::Waking(waking) => self.answer(&waking.nonce, b'W', Some(status)),
            Doing::Nothing => {}
        }
    }

    /// Put the checkpoint `base` in the place of the head, to be woken by the host. Returns its id if there is one.
    fn resume(&mut self, base: Option<u64>) -> Option<u64> {
        let id = base?;
        let runner = self.checkpoints.remove(&id)?;
        self.replace_head(runner, Asleep::Checkpoint);
        Some(id)
    }

    pub(super) fn drain(&mut self, nonce: &Nonce) {
        let doing = std::mem::replace(
            &mut self.doing,
            Doing::Cell(Cell { nonce: *nonce, base: None, deadline: Instant::now(), stopping: None }),
        );
        self.read_output(DRAIN_BYTES_MAX);
        self.doing = doing;
    }

    /// Tell the host how the cell ended. What Python said comes last, so that it cannot speak for this process.
    pub(super) fn end(&mut self, nonce: &Nonce, end: &str, status: &str, resumed: Option<u64>, said: &[u8]) {
        let fields = Writer::default().put("end", end).put("status", status);
        let fields = match resumed {
            Some(id) => fields.number("resumed", id),
            None => fields.put("resumed", ""),
        };
        let payload = [fields.finish().as_slice(), said].concat();
        self.host.send(nonce, b'Z', &payload, None);
    }
}
