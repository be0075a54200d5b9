//! One open folder of a workspace: the only place that opens anything in it.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The user whose files a workspace holds, as the host sees the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who the host is while it touches a workspace.
///
/// A privileged host becomes the session's user for the file accesses of the calling thread (`fsuid`): what that user
/// cannot reach, code in the session cannot trick the host into reaching, and new files belong to it. It is also the
/// only way to create files on a file system that belongs to a user namespace without a root of the host. The kernel
/// makes a process that does this non-dumpable, and forgets the parent-death signal of the calling thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Actor(pub Option<Owner>);

thread_local! {
    static IS_ACTING: Cell<bool> = const { Cell::new(false) };
}

/// Ends the act when dropped. Bound to its thread, as the identity is.
pub(super) struct Acting {
    previous: Option<(u32, u32)>,
    _thread: PhantomData<*const ()>,
}

fn filesystem_uid(uid: u32) -> u32 {
    // SAFETY: takes and returns numbers; changes the credentials of this thread only.
    unsafe { libc::setfsuid(uid) }.cast_unsigned()
}

fn filesystem_gid(gid: u32) -> u32 {
    // SAFETY: as above.
    unsafe { libc::setfsgid(gid) }.cast_unsigned()
}

impl Actor {
    /// Be the session's user until the result is dropped. Acts within acts are one act.
    pub fn act(self) -> io::Result<Acting> {
        let mut acting = Acting { previous: None, _thread: PhantomData };
        let Some(owner) = self.0.filter(|_| !IS_ACTING.get()) else { return Ok(acting) };
        // The group first: with the user goes the right to change it.
        acting.previous = Some((filesystem_gid(owner.gid), filesystem_uid(owner.uid)));
        IS_ACTING.set(true);
        // -1 changes nothing and returns what holds now: these calls report no errors.
        if (filesystem_uid(u32::MAX), filesystem_gid(u32::MAX)) != (owner.uid, owner.gid) {
            return Err(Errno::PERM.into());
        }
        Ok(acting)
    }

    /// The user that files made now belong to.
    pub fn uid(self) -> u32 {
        self.0.map_or_else(|| rustix::process::geteuid().as_raw(), |owner| owner.uid)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        if let Some((gid, uid)) = self.previous {
            filesystem_uid(uid);
            filesystem_gid(gid);
            IS_ACTING.set(false);
        }
    }
}

/// Seconds and nanoseconds.
pub(super) type Time = (i64, u32);

/// What the kernel says about one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub kind: FileType,
    pub mode: u32,
    pub uid: u32,
    pub links: u32,
    pub device: (u32, u32),
    pub inode: u64,
    pub bytes: u64,
    /// What it takes on disk.
    pub blocks_bytes: u64,
    pub modified: Time,
    /// Cannot be set at will.
    pub changed: Time,
}

impl Facts {
    /// A file of another user with several names may live outside of the workspace as well: where nothing but file
    /// permissions confines a session, it could have linked it in, for a privileged host to read or to give away.
    pub fn is_shared(&self, actor: Actor) -> bool {
        self.links > 1 && self.uid != actor.uid()
    }
}

/// An open folder of a workspace.
#[derive(Debug)]
pub(super) struct Dir {
    fd: OwnedFd,
    pub actor: Actor,
}

/// Enough for a few hundred names at a time.
const NAMES_BYTES: usize = 16 << 10;
const LOOKUPS_MAX: usize = 8;
/// What changing a folder takes, and what looking into it takes.
pub(super) const TO_CHANGE: u32 = 0o700;
pub(super) const TO_LOOK: u32 = 0o500;

impl Dir {
    pub fn new(fd: OwnedFd, actor: Actor) -> Dir {
        Dir { fd, actor }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Open `path` strictly below this folder. Never blocks on a FIFO or a lease, never follows a link.
    pub fn open(&self, path: &[u8], flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let _acting = self.actor.act()?;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let mut flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if !flags.contains(OFlags::PATH) {
            flags |= OFlags::NONBLOCK | OFlags::NOCTTY;
        }
        let mut result = Err(Errno::AGAIN);
        for _ in 0..LOOKUPS_MAX {
            result = rustix::fs::openat2(&self.fd, path, flags, Mode::from_raw_mode(mode), resolve);
            // The kernel gives up a safe lookup that races with renames.
            if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        if matches!(result, Err(Errno::PERM)) && !self.is_supported() {
            result = Err(Errno::NOSYS);
        }
        Ok(result?)
    }

    /// A seccomp filter of a container may answer `EPERM` for a call that it does not know.
    fn is_supported(&self) -> bool {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.fd, c".", flags, Mode::empty(), ResolveFlags::empty()).is_ok()
    }

    /// The folder at `path`; `.` is this one, open for reading.
    pub fn folder(&self, path: &[u8]) -> io::Result<Dir> {
        let fd = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        Ok(Dir::new(fd, self.actor))
    }

    /// As [`Dir::folder`], giving its owner `rights` to it first where they are missing. Returns the mode it had.
    pub fn folder_forced(&self, path: &[u8], rights: u32) -> io::Result<(Dir, u32)> {
        let look = self.open(path, OFlags::PATH | OFlags::DIRECTORY, 0)?;
        let facts = facts_of(look.as_fd())?;
        if facts.mode & rights != rights && facts.uid == self.actor.uid() && facts.uid != 0 {
            self.set_mode(look.as_fd(), facts.mode | rights)?;
        }
        // The descriptor is that very folder, whatever its name means by now.
        let fd = Dir::new(look, self.actor).open(b".", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        Ok((Dir::new(fd, self.actor), facts.mode))
    }

    /// A regular file, for reading.
    pub fn readable(&self, path: &[u8]) -> io::Result<(File, Facts)> {
        let file = File::from(self.open(path, OFlags::RDONLY, 0)?);
        let facts = facts_of(file.as_fd())?;
        if facts.kind != FileType::RegularFile {
            return Err(Errno::NXIO.into());
        }
        let flags = rustix::fs::fcntl_getfl(&file)?;
        rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
        Ok((file, facts))
    }

    /// As [`Dir::readable`], even where its mode forbids reading to its owner: that is changed for a moment.
    pub fn readable_forced(&self, path: &[u8]) -> io::Result<(File, Facts)> {
        // A look first: opening some special files has effects.
        let look = self.open(path, OFlags::PATH, 0)?;
        let seen = facts_of(look.as_fd())?;
        if seen.kind != FileType::RegularFile {
            return Err(Errno::NXIO.into());
        }
        match self.readable(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && seen.uid == self.actor.uid() => {}
            result => return result,
        }
        self.set_mode(look.as_fd(), seen.mode | 0o400)?;
        let result = self.readable(path);
        self.set_mode(look.as_fd(), seen.mode)?;
        let (file, _) = result?;
        let facts = facts_of(file.as_fd())?;
        Ok((file, facts))
    }

    /// What `name`, a single name, is. A link is itself.
    pub fn facts(&self, name: &[u8]) -> io::Result<Facts> {
        let _acting = self.actor.act()?;
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        Ok(Facts::from(rustix::fs::statx(&self.fd, name, flags, StatxFlags::BASIC_STATS)?))
    }

    /// Hand each name in this folder to `on_name` until it returns false. Starts over at each call.
    pub fn each_name(&self, mut on_name: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<()> {
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0))?;
        let mut buffer = vec![MaybeUninit::uninit(); NAMES_BYTES];
        let mut names = RawDir::new(&self.fd, &mut buffer);
        while let Some(entry) = names.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && !on_name(name)? {
                break;
            }
        }
        Ok(())
    }

    /// A new empty file under a name of its own, which is returned.
    pub fn create(&self, mode: u32) -> io::Result<(Vec<u8>, File)> {
        loop {
            let name = fresh_name()?;
            match self.open(&name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return Ok((name, File::from(opened?))),
            }
        }
    }

    /// A new folder.
    pub fn make_folder(&self, name: &[u8], mode: u32) -> io::Result<()> {
        let _acting = self.actor.act()?;
        Ok(rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode))?)
    }

    pub fn make_link(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        let _acting = self.actor.act()?;
        Ok(rustix::fs::symlinkat(target, &self.fd, name)?)
    }

    pub fn link_target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let _acting = self.actor.act()?;
        Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    pub fn rename(&self, from: &[u8], folder: &Dir, to: &[u8]) -> io::Result<()> {
        let _acting = self.actor.act()?;
        Ok(rustix::fs::renameat(&self.fd, from, &folder.fd, to)?)
    }

    pub fn unlink(&self, name: &[u8]) -> io::Result<()> {
        let _acting = self.actor.act()?;
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    pub fn remove_folder(&self, name: &[u8]) -> io::Result<()> {
        let _acting = self.actor.act()?;
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// The mode of what `fd` is open on, which may be a mere reference (`O_PATH`).
    pub fn set_mode(&self, fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
        let _acting = self.actor.act()?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        match rustix::fs::fchmod(fd, mode) {
            // Such a reference can be changed through its name in /proc alone, which leads to the file itself.
            Err(Errno::BADF) => Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)?),
            result => Ok(result?),
        }
    }

    pub fn set_modified(&self, fd: BorrowedFd<'_>, time: Time) -> io::Result<()> {
        let _acting = self.actor.act()?;
        Ok(rustix::fs::futimens(fd, &times(time))?)
    }

    pub fn set_link_modified(&self, name: &[u8], time: Time) -> io::Result<()> {
        let _acting = self.actor.act()?;
        Ok(rustix::fs::utimensat(&self.fd, name, &times(time), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

impl From<rustix::fs::Statx> for Facts {
    fn from(found: rustix::fs::Statx) -> Facts {
        let mode = u32::from(found.stx_mode);
        Facts {
            kind: FileType::from_raw_mode(mode),
            mode: mode & 0o7777,
            uid: found.stx_uid,
            links: found.stx_nlink,
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            bytes: found.stx_size,
            blocks_bytes: found.stx_blocks.saturating_mul(512),
            modified: (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
            changed: (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
        }
    }
}

/// What `fd` is open on.
pub(super) fn facts_of(fd: BorrowedFd<'_>) -> io::Result<Facts> {
    Ok(Facts::from(rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
}

/// What an error message calls it.
pub(super) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}

/// A name that nothing else has.
pub(super) fn fresh_name() -> io::Result<Vec<u8>> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!(".codeact-{:016x}.part", u64::from_ne_bytes(random)).into_bytes())
}

fn times((seconds, nanoseconds): Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    }
}
