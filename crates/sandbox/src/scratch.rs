//! Private folders of this host among the temporary files, and the end of those that a dead host left.

use crate::cgroup;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tempfile::TempDir;

/// Between the name of the host and the part that tempfile draws.
const SEPARATOR: char = '.';

/// A folder that is removed when it is dropped, or, where this host is killed before, by [`sweep`] of a later one.
///
/// # Errors
/// Those of making it.
pub(crate) fn folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(&format!("{}{SEPARATOR}", cgroup::new_name())).tempdir()
}

/// Remove the folders of dead hosts.
pub(crate) fn sweep() {
    sweep_in(&std::env::temp_dir());
}

fn sweep_in(temporary: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dead = name.split_once(SEPARATOR).is_some_and(|(host, _)| cgroup::is_of_the_dead(host));
        if is_dead && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own) {
            // What cannot be removed is tried again by the next host.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_living_stay() {
        let temporary = tempfile::tempdir().unwrap();
        let living = temporary.path().join(folder().unwrap().path().file_name().unwrap());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let name = cgroup::new_name();
        let parts: Vec<&str> = name.split('-').collect();
        let dead = temporary.path().join(format!("codeact-{}-{}-{}-0.x", parts[1], child.id(), parts[3]));
        let foreign = temporary.path().join("codeact-mine.x");
        for path in [&living, &dead, &foreign] {
            std::fs::create_dir_all(path.join("inside")).unwrap();
        }
        sweep_in(temporary.path());
        assert_eq!((living.exists(), dead.exists(), foreign.exists()), (true, false, true));
    }
}
