//! The rungs to test on. Root has rung A; for the others this program runs once more as a user without rights, from a
//! folder that everybody can read.

use crate::attack::{self, FOLDER_VARIABLE};
use codeact_sandbox::Rung;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// `nobody`: has no files and no rights.
const USER: u32 = 65_534;

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The best rung for the user that runs this.
pub fn best() -> Rung {
    if is_root() { Rung::Root } else { Rung::User }
}

/// On rungs A and B: see [`on`].
pub fn on_each(test: &str, body: impl Fn(Rung)) {
    match is_root() {
        true => on(Rung::Root, test, &body),
        false => on(Rung::User, test, &body),
    }
    if is_root() {
        on(Rung::User, test, &body);
    }
}

/// Run `body` with `rung`, in this process or in one of another user; `test` is the path of the calling test. One of
/// these runs at a time.
pub fn on(rung: Rung, test: &str, body: impl FnOnce(Rung)) {
    let _turn = crate::turn();
    match (rung, is_root()) {
        (Rung::Root, false) => crate::report(&format!("skipped: {test}: not started by root")),
        (Rung::Root, true) | (_, false) => body(rung),
        (_, true) => as_user(test),
    }
}

/// The test `test` of this program as an unprivileged user.
fn as_user(test: &str) {
    let folder = tempfile::Builder::new().prefix("codeact-test-").tempdir_in("/tmp").unwrap();
    let reachable = |path: &std::path::Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    reachable(folder.path());
    let program = folder.path().join("attacks");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    reachable(&program);
    let attacks = folder.path().join("files");
    std::fs::create_dir(&attacks).unwrap();
    for entry in std::fs::read_dir(attack::folder()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), attacks.join(entry.file_name())).unwrap();
    }
    let temporary = folder.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    std::fs::set_permissions(&temporary, PermissionsExt::from_mode(0o777)).unwrap();
    let own = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CODEACT_"));
    let mut command = Command::new(&program);
    command.args(["--exact", test, "--nocapture"]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(own);
    command
        .env(FOLDER_VARIABLE, &attacks)
        .env("TMPDIR", &temporary)
        .current_dir("/")
        .stdin(Stdio::null())
        .uid(USER)
        .gid(USER);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().filter(|line| line.starts_with("rung ") || line.starts_with("skipped: ")).for_each(crate::report);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("1 passed"), "as another user, {}:\n{shown}\n{text}", output.status);
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "left behind by another user: {left:?}");
}
