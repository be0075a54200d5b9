//! Where a test runs: root has rung A; for B and C this program runs once more as a user without rights, from a folder
//! that everybody can read.

use codeact_sandbox::Rung;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `nobody`: has no files and no rights.
const USER: u32 = 65_534;
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Call `body` with each rung that this machine may have; `test` is the path of the calling test.
pub fn on_each(test: &str, body: impl Fn(Rung)) {
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        body(Rung::Root);
        as_user(test);
    } else {
        body(Rung::User);
        body(Rung::Weak);
    }
}

/// Say why a check was left out. Seen without `--nocapture` too.
pub fn skip(reason: &str) {
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let _ = writeln!(std::io::stderr(), "skipped: {reason} (check {count} left out)");
}

/// The test `test` of this program as an unprivileged user.
fn as_user(test: &str) {
    let folder = tempfile::Builder::new().prefix("codeact-test-").tempdir_in("/tmp").unwrap();
    let reachable = |path: &std::path::Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.path().join("libraries");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    [folder.path(), &program].into_iter().for_each(reachable);
    let mut command = Command::new(&program);
    command.args(["--exact", test, "--nocapture"]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.envs(std::env::vars_os().filter(|(name, _)| name == "CODEACT_SANDBOX_PYTHON"));
    let output = command.current_dir("/").stdin(Stdio::null()).uid(USER).gid(USER).output().unwrap();
    let (shown, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in told.lines().filter_map(|line| line.strip_prefix("skipped: ")) {
        skip(&format!("as another user: {}", line.rsplit_once(" (check").map_or(line, |(reason, _)| reason)));
    }
    assert!(shown.contains("1 passed"), "as another user, {}:\n{shown}\n{told}", output.status);
}
