//! What this machine lacks, or runs out of.

use crate::{policy, run, rung, see};
use codeact_sandbox::journal::{Entry, Journal};
use codeact_sandbox::{CellEnd, Limits, Policy, Restored, Rung, SandboxError, Session};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn a_missing_or_old_python_is_named() {
    rung::on_each("host::machine::a_missing_or_old_python_is_named", |rung| {
        let with = |python: PathBuf| Session::start(&Policy { python, ..policy(rung, 5000) });
        assert!(matches!(with("no-such-python".into()), Err(SandboxError::NoPython { .. })));
        assert!(matches!(with("/etc/passwd".into()), Err(SandboxError::NoPython { .. })));
        assert!(matches!(with("/bin/true".into()), Err(SandboxError::NoPython { .. })));
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("python3");
        std::fs::write(&old, "#!/bin/sh\necho 3.8\necho /usr/bin/python3.8\n").unwrap();
        std::fs::set_permissions(&old, PermissionsExt::from_mode(0o755)).unwrap();
        let error = with(old).unwrap_err();
        assert!(matches!(&error, SandboxError::OldPython { version, .. } if version == "3.8"), "{error}");
    });
}

#[test]
fn a_missing_module_is_told_and_does_no_harm() {
    rung::on_each("host::machine::a_missing_module_is_told_and_does_no_harm", |rung| {
        let imports = vec!["json".to_string(), "no_such_module".to_string()];
        let mut session = Session::start(&Policy { imports, ..policy(rung, 5000) }).unwrap();
        let missing = session.protection().missing_modules.clone();
        assert!(missing.len() == 1 && missing[0].starts_with("no_such_module"), "{missing:?}");
        assert_eq!(see(&mut session, "6 * 7"), "42");
    });
}

#[test]
fn a_layer_that_does_not_hold_is_refused_with_the_reason() {
    rung::on_each("host::machine::a_layer_that_does_not_hold_is_refused_with_the_reason", |rung| {
        let other = if rung == Rung::Root { Rung::User } else { Rung::Root };
        let error = Session::start(&policy(other, 5000)).unwrap_err();
        let SandboxError::TooWeak { weakest, refusals } = &error else { panic!("{error}") };
        assert_eq!((*weakest, refusals.len(), refusals[0].rung), (other, 1, other));
        assert!(!refusals[0].reason.is_empty() && error.to_string().contains(&refusals[0].reason), "{error}");
    });
}

/// States for undo take no more than they may, whether the kernel counts the memory of the session or not.
fn memory_of_kept_states_is_bounded(rung: Rung) {
    let limits = Limits { checkpoints_max: 8, checkpoint_bytes_max: 60 << 20, ..policy(rung, 20_000).limits };
    let mut session = Session::start(&Policy { limits, ..policy(rung, 20_000) }).unwrap();
    see(&mut session, "big = bytearray(b'x') * (40 << 20)");
    for _ in 0..7 {
        // Half of the states share what the other half has not.
        see(&mut session, "1");
        see(&mut session, "big[:] = bytes(range(256)) * (40 << 12)");
    }
    assert_eq!(session.undo(1).unwrap(), Restored::Resumed);
    let older = session.undo(5).unwrap();
    assert!(matches!(&older, Restored::Replayed { reason, .. } if reason.contains("given up")), "{older:?}");
    assert_eq!(see(&mut session, "len(big) >> 20"), "40");
}

#[test]
fn memory_of_kept_states_is_bounded_in_namespaces() {
    const TEST: &str = "host::machine::memory_of_kept_states_is_bounded_in_namespaces";
    rung::on_each(TEST, memory_of_kept_states_is_bounded);
}

#[test]
fn memory_of_kept_states_is_bounded_without_namespaces() {
    const TEST: &str = "host::machine::memory_of_kept_states_is_bounded_without_namespaces";
    rung::on(Rung::Weak, TEST, memory_of_kept_states_is_bounded);
}

const FULL_VARIABLE: &str = "CODEACT_TEST_FULL";

/// The disk of the host is full: spool, snapshots and journal cannot be written.
#[test]
fn a_full_disk_costs_the_extras_only() {
    const TEST: &str = "host::machine::a_full_disk_costs_the_extras_only";
    rung::on(Rung::Root, TEST, |rung| {
        if std::env::var_os(FULL_VARIABLE).is_some() {
            return on_a_full_disk(rung);
        }
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "mount -t tmpfs -o size=128k none '{0}' && TMPDIR='{0}' exec '{1}' --exact {TEST} --nocapture",
            folder.path().display(),
            std::env::current_exe().unwrap().display()
        );
        let output =
            Command::new("unshare").args(["-m", "sh", "-c", &script]).env(FULL_VARIABLE, "1").output().unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    });
}

fn on_a_full_disk(rung: Rung) {
    let limits = Limits { output_file_bytes_max: 16 << 20, ..policy(rung, 10_000).limits };
    let mut session = Session::start(&Policy { limits, ..policy(rung, 10_000) }).unwrap();
    let folder = std::env::temp_dir().join("journal");
    let mut journal = Journal::create(&folder).unwrap();
    let ballast = std::env::temp_dir().join("ballast");
    let _ = std::fs::write(&ballast, vec![1; 1 << 20]);
    let cell = run(&mut session, "x = 1; open('file', 'w').write('y' * 1_000_000); print('z' * 3_000_000)");
    assert_eq!(cell.end, CellEnd::Finished);
    assert!(cell.stdout.starts_with("zzz") && cell.stdout.trim_end().ends_with("zzz"));
    assert_eq!(see(&mut session, "x, len(open('file').read())"), "(1, 1000000)");
    let imports = vec!["m".repeat(100_000)];
    let entry = Entry::Started { python: "3".into(), imports, policy: serde_json::Value::Null };
    assert!(journal.append(&entry).is_err(), "a full disk took an entry");
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(see(&mut session, "x + 41"), "42");
    assert!(Session::start(&policy(rung, 5000)).is_ok());
}
