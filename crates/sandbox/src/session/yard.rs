//! What the branches of one session share: its processes, its workspace with the snapshots, and its cgroup.

use super::costs::Costs;
use super::history::Point;
use super::jail::{Heard, Jail};
use super::{Stream, Usage};
use crate::SandboxError;
use crate::cgroup::{self, Group};
use crate::launcher::client::Launcher;
use crate::policy::{Network, Policy};
use crate::proxy::{AllowList, Decision, Proxy, ProxyLimits};
use crate::wire::fields::{Fields, Writer};
use crate::wire::frame::{Frame, Nonce};
use crate::workspace::{Files, Owner, RestoredFiles, SnapshotError, SnapshotId, SnapshotLimits, Snapshots};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A fork of a large interpreter on a loaded machine takes a while.
const SAVE_MAX: Duration = Duration::from_secs(2);
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Paths that are told of a restore that left some out.
const FAILED_TOLD_MAX: usize = 3;
/// The line that a session begins with. Lines, like checkpoints, are named by the next free number.
pub(super) const FIRST_LINE: u64 = 0;

#[derive(Debug)]
struct Saving {
    nonce: Nonce,
    id: u64,
    line: u64,
}

/// See the module. Fields drop in this order: the processes first.
#[derive(Debug)]
pub(crate) struct Yard {
    pub jail: Jail,
    proxy: Option<Proxy>,
    group: Group,
    /// What the cgroup could not bound.
    pub missing: Vec<cgroup::Missing>,
    pub files: Arc<Files>,
    snapshots: Snapshots,
    /// The files of lines that do not run.
    parked: HashMap<u64, SnapshotId>,
    /// The line that runs.
    pub active: u64,
    /// Whether its session is gone.
    is_abandoned: bool,
    next_id: u64,
    /// A checkpoint that was asked for.
    saving: Option<Saving>,
    /// Checkpoints that were made, by line, until the line asks.
    saved: HashMap<u64, Point>,
    /// What checkpoints take, and the request to measure it.
    pub(super) costs: Costs,
    measuring: Option<Nonce>,
    kills_seen: u64,
    /// Copies of files.
    _folder: tempfile::TempDir,
}

impl Yard {
    pub(super) fn open(launcher: Arc<Launcher>, policy: &Policy) -> Result<Yard, SandboxError> {
        let limits = &policy.limits;
        let (group, missing) = Group::create(&Yard::group_limits(policy));
        let bounds_memory = !missing.iter().any(|missing| missing.what == cgroup::Resource::Memory);
        let cgroups = group.procs().map_err(SandboxError::system("opening the cgroup"))?;
        let allowed = match &policy.network {
            Network::Allow(names) => Some(AllowList::parse(names).map_err(SandboxError::AllowList)?),
            _ => None,
        };
        let (jail, workspace, listener) = Jail::open(launcher, policy, &cgroups, bounds_memory)?;
        let proxy = match (allowed, listener) {
            (Some(allowed), Some(listener)) => Some(
                Proxy::start(listener.into(), allowed, ProxyLimits::default())
                    .map_err(SandboxError::system("starting the proxy"))?,
            ),
            _ => None,
        };
        let folder = crate::scratch::folder().map_err(SandboxError::system("making a private folder"))?;
        let owner = jail.cell_id().map(|id| Owner { uid: id, gid: id });
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(SandboxError::system("copying a descriptor"));
        let snapshot_limits =
            SnapshotLimits { bytes_max: limits.checkpoint_bytes_max, files_max: limits.disk_files_max };
        let snapshots = Snapshots::new(copy(&workspace)?, owner, folder.path(), snapshot_limits);
        Ok(Yard {
            jail,
            proxy,
            group,
            missing,
            files: Arc::new(Files::new(copy(&workspace)?, owner)),
            snapshots: snapshots.map_err(|error| SandboxError::Snapshot(error.to_string()))?,
            parked: HashMap::new(),
            active: FIRST_LINE,
            is_abandoned: false,
            next_id: FIRST_LINE + 1,
            saving: None,
            saved: HashMap::new(),
            costs: Costs::new(limits.checkpoint_bytes_max),
            measuring: None,
            kills_seen: 0,
            _folder: folder,
        })
    }

    pub(super) fn group_limits(policy: &Policy) -> cgroup::Limits {
        let limits = &policy.limits;
        cgroup::Limits {
            memory_bytes_max: limits.memory_bytes_max,
            // Checkpoints are processes too.
            processes_max: limits.processes_max + limits.checkpoints_max as u64 + 4,
            cpu_percent_max: limits.cpu_percent_max,
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Ask the first process for something, and wait for its word. Output that comes meanwhile is late output, which
    /// nobody is there to see.
    pub(super) fn command(&mut self, tag: u8, fields: Writer) -> Result<Vec<u8>, String> {
        self.command_hearing(tag, fields, &mut |_, _| {})
    }

    /// The same. `on_late` gets what is printed meanwhile.
    pub(super) fn command_hearing(
        &mut self,
        tag: u8,
        fields: Writer,
        on_late: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Vec<u8>, String> {
        let nonce = self.jail.ask(tag, fields).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            match self.jail.listen(None, deadline) {
                Heard::Frame(frame) if frame.nonce == nonce => {
                    return match Fields::parse(&frame.payload).unwrap_or_default().text("error") {
                        Some(error) => Err(error),
                        None => Ok(frame.payload),
                    };
                }
                Heard::Frame(frame) => {
                    Stream::of_tag(frame.tag).into_iter().for_each(|stream| on_late(stream, &frame.payload));
                }
                Heard::Woken => {}
                Heard::TimeOut => return Err("the session does not answer".to_string()),
                Heard::Gone => return Err("the processes of the session are gone".to_string()),
            }
        }
    }

    /// Record the files. `Err`: they are too many or too large, and undo cannot bring them back.
    pub(super) fn take_snapshot(&mut self) -> Result<SnapshotId, String> {
        self.snapshots.take().map_err(|error| error.to_string())
    }

    /// Bring the files of `point` back. `Err`: why they, or some of them, are not as they were.
    pub(super) fn restore(&mut self, point: &Point) -> Result<(), String> {
        whole(self.snapshots.restore(point.files()?))
    }

    /// Whether the files are other than at `point`, as far as can be seen.
    pub(super) fn differs_from(&mut self, point: &Point) -> bool {
        let (Ok(before), Ok(now)) = (point.files(), self.take_snapshot()) else { return true };
        let differs = !self.changes(before, now, 1).is_empty();
        self.snapshots.forget(now);
        differs
    }

    pub(super) fn forget_snapshot(&mut self, id: SnapshotId) {
        self.snapshots.forget(id);
    }

    /// Give up what a point keeps.
    pub(super) fn forget(&mut self, point: &Point) {
        if let Some(id) = point.checkpoint {
            self.drop_checkpoint(id);
        }
        if let Some(id) = point.snapshot {
            self.snapshots.forget(id);
        }
    }

    pub(super) fn drop_checkpoint(&mut self, id: u64) {
        self.costs.gone(id);
        // A session whose processes are gone has no checkpoints either.
        let _ = self.jail.ask(b'X', Writer::default().number("id", id));
    }

    /// Ask for a checkpoint of the line that runs, to be heard of later.
    pub(super) fn save(&mut self) {
        let (id, line) = (self.next_id(), self.active);
        // A session whose processes are gone says so when the next cell is to run.
        let asked = self.jail.ask(b'S', Writer::default().number("id", id));
        self.saving = asked.ok().map(|nonce| Saving { nonce, id, line });
        if self.costs.must_be_measured() {
            // Answered behind the one above, and in the time between two cells.
            self.measuring = self.jail.ask(b'M', Writer::default()).ok();
        }
    }

    /// Wait for the checkpoint that was asked for. `on_late` gets what is printed meanwhile.
    pub(super) fn finish_saving(&mut self, on_late: &mut dyn FnMut(Stream, &[u8])) {
        let deadline = Instant::now() + SAVE_MAX;
        while self.saving.is_some() || self.measuring.is_some() {
            match self.jail.listen(None, deadline) {
                Heard::Frame(frame) => self.hear(&frame, on_late),
                Heard::Woken => {}
                Heard::TimeOut | Heard::Gone => {
                    self.measuring = None;
                    if let Some(saving) = self.saving.take() {
                        self.drop_checkpoint(saving.id); // should it come after all
                    }
                }
            }
        }
    }

    /// A frame that is no part of a cell.
    fn hear(&mut self, frame: &Frame, on_late: &mut dyn FnMut(Stream, &[u8])) {
        if let Some(saving) = self.saving.take_if(|saving| saving.nonce == frame.nonce) {
            let point = Point::saved(saving.id, &frame.payload);
            match point.checkpoint {
                Some(id) if !self.is_abandoned => self.costs.made(id, &frame.payload),
                // It may have been made, and nobody can go back to it.
                _ => self.drop_checkpoint(saving.id),
            }
            self.saved.insert(saving.line, point);
        } else if self.measuring.take_if(|nonce| *nonce == frame.nonce).is_some() {
            self.costs.measured(&frame.payload);
        } else if let Some(stream) = Stream::of_tag(frame.tag) {
            on_late(stream, &frame.payload);
        }
    }

    /// The checkpoint of `line` that was made last, once.
    pub(super) fn saved(&mut self, line: u64) -> Option<Point> {
        self.saved.remove(&line)
    }

    /// Let a line that took its place begin to run, its files being in place.
    pub(super) fn wake(&mut self) -> Result<(), String> {
        self.command(b'W', Writer::default()).map(drop)
    }

    /// Let `line` run, with the files that it had, and keep the one that ran with its files. Returns why files are not
    /// all as they were, if so.
    pub(super) fn switch(&mut self, line: u64, entry: u64) -> Result<Option<String>, String> {
        let fields = Writer::default().number("id", entry);
        if self.is_abandoned {
            self.command(b'A', fields)?;
        } else {
            let before = self.take_snapshot()?;
            self.command(b'A', fields.number("park", self.active))?;
            self.parked.insert(self.active, before);
        }
        self.costs.gone(entry);
        (self.active, self.is_abandoned) = (line, false);
        let mut unrestored = None;
        if let Some(files) = self.parked.remove(&line) {
            unrestored = whole(self.snapshots.restore(files)).err();
            self.snapshots.forget(files);
        }
        self.wake().map(|()| unrestored)
    }

    /// The session of `line`, which goes on from `entry` where it does not run, is gone.
    pub(super) fn abandon(&mut self, line: u64, entry: u64) {
        if let Some(point) = self.saved.remove(&line) {
            self.forget(&point);
        }
        if self.active == line {
            self.is_abandoned = true; // there has to be one that runs
            return;
        }
        self.drop_checkpoint(entry);
        if let Some(files) = self.parked.remove(&line) {
            self.snapshots.forget(files);
        }
    }

    /// Remember which files a new line begins with. `Err`: those of the line before it, and why.
    pub(super) fn park_new(&mut self, line: u64, point: &Point) -> Result<(), String> {
        let copy = self.snapshots.copy(point.files()?).ok_or_else(|| SnapshotError::Forgotten.to_string())?;
        self.parked.insert(line, copy);
        Ok(())
    }

    /// The files, those of now if none are given, put into the workspace of `other`. `Err`: why not all are there.
    pub(super) fn hand_files_over(&mut self, files: Option<SnapshotId>, other: &mut Yard) -> Result<(), String> {
        let files = match files {
            Some(files) => files,
            None => self.take_snapshot()?,
        };
        whole(self.snapshots.restore_into(files, &other.snapshots))
    }

    /// What a snapshot taken now would leave out.
    pub(super) fn uncovered(&mut self, paths_max: usize) -> Vec<String> {
        match self.snapshots.take() {
            Ok(id) => {
                let paths = self.snapshots.uncovered(id, paths_max).unwrap_or_default();
                self.snapshots.forget(id);
                paths
            }
            Err(error) => vec![error.to_string()],
        }
    }

    /// What the session uses now.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            memory_bytes: self.group.memory_bytes(),
            processes: self.group.processes(),
            snapshot_bytes: self.snapshots.bytes(),
        }
    }

    /// Paths that differ between two snapshots.
    pub(super) fn changes(&self, before: SnapshotId, after: SnapshotId, changes_max: usize) -> Vec<String> {
        let changes = self.snapshots.changes(before, after, changes_max).unwrap_or_default();
        changes.into_iter().map(|change| change.path).collect()
    }

    /// What the proxy decided.
    pub(super) fn decisions(&self) -> Vec<Decision> {
        self.proxy.as_ref().map(|proxy| proxy.decisions().0).unwrap_or_default()
    }

    /// Whether the kernel killed something of this session for memory since the last time this was asked.
    pub(super) fn out_of_memory(&mut self) -> bool {
        let kills = self.group.out_of_memory_kills();
        std::mem::replace(&mut self.kills_seen, kills) < kills
    }
}

/// `Err`: what is missing of a restore.
fn whole(restored: Result<RestoredFiles, SnapshotError>) -> Result<(), String> {
    let failed = restored.map_err(|error| error.to_string())?.failed;
    match failed.len() {
        0 => Ok(()),
        count @ 1..=FAILED_TOLD_MAX => Err(failed[..count].join(", ")),
        count => Err(format!("{} and {} more", failed[..FAILED_TOLD_MAX].join(", "), count - FAILED_TOLD_MAX)),
    }
}

impl AsFd for Yard {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.jail.as_fd()
    }
}
