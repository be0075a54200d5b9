//! One cell, from the request to the result.

use super::calls::Calls;
use super::history::Point;
use super::jail::Heard;
use super::{Event, Kind, LEFT_ALONE, OnEvent, Session, Stream, Yard, lock};
use crate::bundle::Bundle;
use crate::capture::Capture;
use crate::cell::{Cell, CellEnd, CellError, State};
use crate::wire::fields::{Fields, Writer};
use crate::wire::frame::{FRAME_BYTES_MAX, Frame, Nonce};
use crate::{Policy, SandboxError};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the first process may take after the deadline: the ladder, and a loaded machine. The rest of the second that
/// callers are promised is for another one in its place.
const LADDER: Duration = Duration::from_millis(850);
/// Time to make ready for a cell that the cell is given on top of its own: a fork, and a look at the files.
const READY: Duration = Duration::from_millis(250);
/// Cells that end with a rollback, in a row, before the state that they go back to is put to a test.
const ROLLBACKS_MAX: usize = 2;
/// What an interpreter may take to do nothing.
const PROBE: Duration = Duration::from_millis(250);
/// Interpreters, in a row, that end by themselves before they get to run a cell.
const STARTS_MAX: usize = 4;
const CELL_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;
/// Figures and other displays of one cell.
const DISPLAYS_MAX: usize = 256;
/// Bytes of all of them together.
const DISPLAY_BYTES_MAX: usize = 64 << 20;

/// What came out of a cell so far.
pub(super) struct Collected {
    nonce: Nonce,
    stdout: Capture,
    stderr: Capture,
    displays: Vec<Bundle>,
    display_bytes: usize,
    calls: Calls,
}

/// What the first process says about the end of a cell.
#[derive(Debug, Default)]
struct Ending {
    end: String,
    status: String,
    resumed: Option<u64>,
    value: Bundle,
    error: Option<CellError>,
}

impl Session {
    /// Run `code` as one cell, handing what it shows to `on_event` while it runs. Variables of earlier cells are there.
    ///
    /// Returns at the latest one second after the wall-clock limit. Where much time goes into making ready, it is the
    /// cell's.
    ///
    /// # Errors
    /// When `code` is too large, or a fresh interpreter that was needed did not start. Whatever the code does is a
    /// [`Cell`]. And when the cell before could not be written to the journal of a recorded session.
    pub fn run(&mut self, code: &str, on_event: &mut OnEvent<'_>) -> Result<Cell, SandboxError> {
        if let Some(error) = self.unwritten.take() {
            return Err(SandboxError::Journal(error));
        }
        let (cell, effect) = self.run_cell(code, on_event)?;
        self.write_down(&cell, effect, code);
        if effect == State::Lost {
            self.begin_anew();
        }
        Ok(cell)
    }

    /// As [`Session::run`], without writing the cell down. Besides it, what it did to the variables that it found: its
    /// own state also tells that those of earlier cells were gone before.
    pub(super) fn run_cell(&mut self, code: &str, on_event: &mut OnEvent<'_>) -> Result<(Cell, State), SandboxError> {
        if code.len() > CELL_BYTES_MAX {
            return Err(SandboxError::CellTooLarge { bytes: code.len(), bytes_max: CELL_BYTES_MAX });
        }
        if self.interrupter.take() {
            return Ok((Cell::not_run(), State::RolledBack));
        }
        let started = Instant::now();
        let mut was_lost = self.replace_if_dead()?;
        if self.rollbacks >= ROLLBACKS_MAX && !was_lost && self.is_poisoned()? {
            self.lose()?;
            was_lost = true;
        }
        for attempt in 1..=STARTS_MAX {
            let yard = self.yard.clone();
            let mut yard = lock(&yard);
            self.activate(&mut yard)?;
            self.show_unshown(on_event);
            self.settle_point(&mut yard, on_event);
            let wall = Duration::from_millis(self.policy.limits.wall_ms_max);
            let wall = wall - started.elapsed().saturating_sub(READY).min(wall / 2);
            let (collected, ending) = self.exchange(&mut yard, code, wall, on_event)?;
            if ending.as_ref().is_some_and(|ending| ending.end == "not_run") {
                // The interpreter died between two cells; the state after the last one comes back, or all is lost.
                let is_back = attempt == 1
                    && ending.is_some_and(|ending| ending.resumed.is_some())
                    && self.go_on(&mut yard) == State::RolledBack;
                drop(yard);
                if !is_back {
                    self.lose()?;
                    was_lost = true;
                }
                continue;
            }
            self.interrupter.clear();
            let mut cell = self.settle(&mut yard, collected, ending, code);
            let effect = cell.state;
            // Going back to the start of a fresh interpreter is a loss too.
            cell.state = if was_lost { State::Lost } else { effect };
            drop(yard);
            if effect == State::Lost {
                self.replace()?;
            }
            cell.unrestored = self.unrestored.take();
            return Ok((cell, effect));
        }
        let reason = format!("{STARTS_MAX} in a row ended by themselves before they ran a cell");
        Err(SandboxError::NoStart { python: self.policy.python.clone(), reason })
    }

    /// Whether the state that cells went back to cannot even do nothing: what is armed in it ends every cell.
    fn is_poisoned(&mut self) -> Result<bool, SandboxError> {
        let yard = self.yard.clone();
        let mut yard = lock(&yard);
        self.activate(&mut yard)?;
        yard.finish_saving(&mut |_, _| {});
        let (_, ending) = self.exchange(&mut yard, "", PROBE, &mut |_| {})?;
        self.rollbacks = 0;
        Ok(ending.is_none_or(|ending| CellEnd::named(&ending.end) != CellEnd::Finished))
    }

    /// Send the cell and listen until it has ended. `None`: the session's processes are gone or deaf.
    fn exchange(
        &mut self,
        yard: &mut Yard,
        code: &str,
        wall: Duration,
        on_event: &mut OnEvent<'_>,
    ) -> Result<(Collected, Option<Ending>), SandboxError> {
        let fields = Writer::default().number("wall_ms", wall.as_millis() as u64).put("code", code);
        let fields = match self.tip.checkpoint {
            Some(id) => fields.number("base", id),
            None => fields,
        };
        let nonce = yard.jail.ask(b'C', fields)?;
        let begun = Instant::now();
        let deadline = begun + wall + LADDER;
        let mut collected = Collected::new(nonce, &self.policy, self.outputs.path(), self.calls_left());
        let mut is_interrupted = false;
        let ending = loop {
            let frame = match yard.jail.listen(Some(self.wake.as_fd()), deadline) {
                Heard::Frame(frame) => frame,
                Heard::Woken => {
                    let _ = self.wake.read(&mut [0; 64]);
                    if self.interrupter.is_wanted() && !is_interrupted {
                        is_interrupted = true;
                        yard.jail.ask(b'I', Writer::default())?;
                    }
                    collected.calls.send_results(&mut yard.jail, &nonce);
                    continue;
                }
                Heard::TimeOut | Heard::Gone => {
                    yard.jail.kill();
                    break None;
                }
            };
            if frame.tag == b'Z' && frame.nonce == nonce {
                break Some(Ending::parse(&frame.payload));
            }
            self.show(&mut collected, frame, on_event);
        };
        collected.calls.end();
        yard.costs.ran(begun.elapsed());
        Ok((collected, ending))
    }

    /// One frame of a running cell, or of what earlier cells left running.
    fn show(&mut self, collected: &mut Collected, frame: Frame, on_event: &mut OnEvent<'_>) {
        let is_late = frame.nonce != collected.nonce;
        match frame.tag {
            b'O' | b'E' => {
                let Some(stream) = Stream::of_tag(frame.tag) else { return };
                if is_late {
                    return self.show_late(stream, &frame.payload, on_event);
                }
                let capture = match stream {
                    Stream::Stdout => &mut collected.stdout,
                    Stream::Stderr => &mut collected.stderr,
                };
                if let Some(text) = capture.push(&frame.payload) {
                    self.emit(Kind::Output { stream, text: &text }, on_event);
                }
            }
            b'D' if !is_late && collected.displays.len() < DISPLAYS_MAX => {
                collected.display_bytes += frame.payload.len();
                if collected.display_bytes > DISPLAY_BYTES_MAX {
                    return;
                }
                let bundle = Bundle::collect(Fields::parse(&frame.payload).unwrap_or_default().iter(), "");
                if !bundle.is_empty() {
                    self.emit(Kind::Display(&bundle), on_event);
                    collected.displays.push(bundle);
                }
            }
            b'T' if !is_late => {
                let toolbox = self.policy.tools.clone();
                collected.calls.make(&frame.payload, toolbox, self.earlier.as_mut(), &self.interrupter);
            }
            _ => {}
        }
    }

    /// Output of threads and processes that outlived their cell.
    pub(super) fn show_late(&mut self, stream: Stream, bytes: &[u8], on_event: &mut OnEvent<'_>) {
        if let Some(text) = self.late.push(bytes) {
            self.emit(Kind::Late { stream, text: &text }, on_event);
        }
    }

    pub(super) fn emit(&mut self, kind: Kind<'_>, on_event: &mut OnEvent<'_>) {
        self.sequence += 1;
        on_event(Event { sequence: self.sequence, kind });
    }

    /// Make a cell of what came out, and keep the point before it for undo.
    fn settle(&mut self, yard: &mut Yard, mut collected: Collected, ending: Option<Ending>, code: &str) -> Cell {
        let mut limit = |status: String| match yard.out_of_memory() {
            true => "out of memory: killed by the limit".to_string(),
            false => status,
        };
        let (end, mut state, error, value) = match ending {
            None => (CellEnd::Exited, State::Lost, Some(CellError::ended("its processes are gone")), Bundle::default()),
            Some(ending) => {
                let end = CellEnd::named(&ending.end);
                let state = match (end, ending.resumed) {
                    _ if ending.status.is_empty() => State::Kept,
                    (_, Some(_)) => State::RolledBack,
                    (_, None) => State::Lost,
                };
                let ended = (end == CellEnd::Exited).then(|| CellError::ended(&limit(ending.status)));
                (end, state, ending.error.or(ended), ending.value)
            }
        };
        match state {
            State::Kept => {}
            State::RolledBack => state = self.roll_back(yard),
            State::Lost => {}
        }
        let full_output = [&mut collected.stdout, &mut collected.stderr].into_iter().find_map(Capture::spooled);
        let cell = Cell {
            end,
            state,
            unrestored: None,
            stdout: collected.stdout.text(),
            stderr: collected.stderr.text(),
            value,
            displays: collected.displays,
            error,
            // Only what is run again needs them.
            calls: if state == State::Kept { collected.calls.into_kept() } else { Vec::new() },
            full_output,
        };
        self.rollbacks = if state == State::RolledBack { self.rollbacks + 1 } else { 0 };
        if state == State::Kept {
            self.advance(yard, cell.record(code), &cell.calls);
        }
        cell
    }

    /// After the first process put the checkpoint before the cell in place: the files, and then let it run.
    ///
    /// A folder of the host is left alone: what changed in it meanwhile may be the work of somebody else.
    fn roll_back(&mut self, yard: &mut Yard) -> State {
        self.unrestored = match self.policy.workspace {
            None => yard.restore(&self.tip).err(),
            Some(_) => yard.differs_from(&self.tip).then(|| LEFT_ALONE.to_string()),
        };
        self.go_on(yard)
    }

    /// Let the checkpoint run that was put in place.
    fn go_on(&mut self, yard: &mut Yard) -> State {
        self.tip.checkpoint.into_iter().for_each(|id| yard.costs.gone(id));
        match yard.wake() {
            Ok(()) => {
                self.save(yard);
                State::RolledBack
            }
            Err(_) => State::Lost,
        }
    }

    /// Wait for the checkpoint that was asked for after the last cell, and take a snapshot of the files.
    pub(super) fn settle_point(&mut self, yard: &mut Yard, on_event: &mut OnEvent<'_>) {
        self.hear_of_point(yard, on_event);
        self.bound_memory(yard);
        if let Some(old) = self.tip.snapshot.take() {
            yard.forget_snapshot(old);
        }
        match yard.take_snapshot() {
            Ok(id) => (self.tip.snapshot, self.tip.unkept) = (Some(id), None),
            Err(reason) => self.tip.unkept = Some(reason),
        }
    }

    /// Wait for the checkpoint that was asked for after the last cell.
    pub(super) fn hear_of_point(&mut self, yard: &mut Yard, on_event: &mut OnEvent<'_>) {
        yard.finish_saving(&mut |stream, bytes| self.show_late(stream, bytes, on_event));
        if let Some(point) = yard.saved(self.line) {
            self.tip = Point { snapshot: self.tip.snapshot, unkept: self.tip.unkept.take(), ..point };
        }
    }
}

impl Collected {
    fn new(nonce: Nonce, policy: &Policy, folder: &Path, call_bytes_max: usize) -> Collected {
        let limits = &policy.limits;
        let capture = || Capture::new(limits.output_bytes_max).spooling(folder, limits.output_file_bytes_max);
        Collected {
            nonce,
            stdout: capture(),
            stderr: capture(),
            displays: Vec::new(),
            display_bytes: 0,
            calls: Calls::new(call_bytes_max),
        }
    }
}

impl Ending {
    fn parse(payload: &[u8]) -> Ending {
        // A runner that says nonsense spoils its own part of the payload only.
        let (fields, _) = Fields::parse_start(payload);
        Ending {
            end: fields.text("end").unwrap_or_default(),
            status: fields.text("status").unwrap_or_default(),
            resumed: fields.number("resumed"),
            value: Bundle::collect(fields.iter(), "value/"),
            error: CellError::parse(&fields),
        }
    }
}
