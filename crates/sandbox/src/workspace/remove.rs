//! Take away a whole tree, however deep, while code may still be adding to it.

use super::dir::{Dir, TO_CHANGE, fresh_name};
use rustix::io::Errno;
use std::io;

/// Open folders at a time. What lies deeper is moved up, so that no depth takes more descriptors.
const DEPTH_MAX: usize = 32;

/// Remove `name` in `parent`. `left` counts down for each name that is removed: a race with code that creates names
/// must end.
pub(super) fn remove(parent: &Dir, name: &[u8], left: &mut u64) -> io::Result<()> {
    spend(left)?;
    match parent.unlink(name) {
        Err(error) if is(&error, Errno::ISDIR) => {}
        result => return result,
    }
    // The folders from the one to remove to the one at work, each with its name in the one before.
    let mut open: Vec<(Dir, Vec<u8>)> = vec![(parent.folder_forced(name, TO_CHANGE)?.0, name.to_vec())];
    while let Some((folder, _)) = open.last() {
        if let Some(inner) = empty(folder, left)? {
            if open.len() < DEPTH_MAX {
                match folder.folder_forced(&inner, TO_CHANGE) {
                    Ok((folder, _)) => open.push((folder, inner)),
                    // It has become something else since.
                    Err(error) if is(&error, Errno::NOENT) || is(&error, Errno::NOTDIR) => {}
                    Err(error) => return Err(error),
                }
            } else {
                spend(left)?;
                // Moving a folder takes the right to change it.
                folder.folder_forced(&inner, TO_CHANGE)?;
                folder.rename(&inner, &open[0].0, &fresh_name()?)?;
            }
            continue;
        }
        let Some((_, name)) = open.pop() else { break };
        let above = open.last().map_or(parent, |(folder, _)| folder);
        spend(left)?;
        match above.remove_folder(&name) {
            Err(error) if open.is_empty() && is(&error, Errno::NOTEMPTY) => {
                open.push((above.folder_forced(&name, TO_CHANGE)?.0, name));
            }
            // The folder above is read again, and finds it again.
            Err(error) if is(&error, Errno::NOTEMPTY) || is(&error, Errno::NOENT) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Remove everything in `folder` that goes without opening it. Returns the first folder that does not.
fn empty(folder: &Dir, left: &mut u64) -> io::Result<Option<Vec<u8>>> {
    let mut inner = None;
    folder.each_name(|name| {
        spend(left)?;
        match folder.unlink(name) {
            Err(error) if is(&error, Errno::ISDIR) => match folder.remove_folder(name) {
                Ok(()) => {}
                Err(_) => inner = Some(name.to_vec()),
            },
            Err(error) if !is(&error, Errno::NOENT) => return Err(error),
            _ => {}
        }
        Ok(inner.is_none())
    })?;
    Ok(inner)
}

fn spend(left: &mut u64) -> io::Result<()> {
    *left = left.checked_sub(1).ok_or_else(|| {
        io::Error::new(io::ErrorKind::QuotaExceeded, "it holds too many names, or new ones keep coming")
    })?;
    Ok(())
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
