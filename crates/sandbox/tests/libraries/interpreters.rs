//! Python is taken as it is found: environments wherever they lie, and scripts in front of it.

use crate::{policy, rung, see, start};
use codeact_sandbox::{Policy, Rung};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// An environment in `folder` with a module of its own.
fn make_environment(folder: &Path) {
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let library = std::fs::read_dir(folder.join("lib")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(library.join("site-packages/only_here.py"), "answer = 42\n").unwrap();
}

/// The module is there when a cell imports it, when it is imported before the session, and in processes of the session.
fn check_environment(rung: Rung, folder: &Path) {
    make_environment(folder);
    let bare = Policy { python: folder.join("bin/python"), ..policy(rung) };
    for imports in [Vec::new(), vec!["only_here".to_string()]] {
        let Some(mut session) = start(&Policy { imports, ..bare.clone() }) else { return };
        assert_eq!(session.protection().missing_modules, Vec::<String>::new());
        let code = "import sys, only_here, subprocess\n(only_here.answer, sys.prefix, sys.executable)";
        let (prefix, program) = (folder.display(), folder.join("bin/python"));
        assert_eq!(see(&mut session, code), format!("(42, '{prefix}', '{}')", program.display()));
        let code = "subprocess.check_output([sys.executable, '-c', 'import only_here; print(only_here.answer)'])";
        assert_eq!(see(&mut session, code), "b'42\\n'");
    }
}

#[test]
fn an_environment_in_the_folder_for_temporary_files() {
    rung::on_each("interpreters::an_environment_in_the_folder_for_temporary_files", |rung| {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        check_environment(rung, &folder.path().join("venv"));
    });
}

#[test]
fn an_environment_in_a_folder_that_the_sandbox_does_not_know() {
    rung::on_each("interpreters::an_environment_in_a_folder_that_the_sandbox_does_not_know", |rung| {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        check_environment(rung, &folder.path().join("venv"));
    });
}

/// pyenv, asdf and the like put a script first on the PATH.
#[test]
fn a_script_in_front_of_python() {
    rung::on_each("interpreters::a_script_in_front_of_python", |rung| {
        let folder = tempfile::tempdir().unwrap();
        let environment = folder.path().join("versions/mine");
        make_environment(&environment);
        let shim = folder.path().join("python3");
        std::fs::write(&shim, format!("#!/bin/sh\nexec '{}/bin/python' \"$@\"\n", environment.display())).unwrap();
        std::fs::set_permissions(&shim, PermissionsExt::from_mode(0o755)).unwrap();
        let Some(mut session) = start(&Policy { python: shim, ..policy(rung) }) else { return };
        let code = "import sys, only_here; sys.executable";
        assert_eq!(see(&mut session, code), format!("'{}/bin/python'", environment.display()));
    });
}
