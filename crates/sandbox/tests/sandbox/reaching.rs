use crate::{run, see, start, start_if, start_with};
use codeact_sandbox::{Layer, Limits, Policy, SandboxError, Session};
use std::net::TcpListener;
use std::path::Path;

#[test]
fn the_network_of_the_host_cannot_be_reached() {
    let Some(mut session) = start_if(Layer::Network) else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = see(&mut session, &format!("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"));
    assert!(text.contains("Error"), "{text}");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let code = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'x', ('127.0.0.1', 9))";
    let text = see(&mut session, code);
    assert!(text.ends_with("Network is unreachable"), "{text}");
}

#[test]
fn nothing_outside_the_workspace_can_be_written() {
    let Some(mut session) = start_if(Layer::Filesystem) else {
        return;
    };
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("target");
    std::fs::write(&target, "untouched").unwrap();
    for code in [
        format!("open({target:?}, 'w')"),
        format!("import os\nos.truncate({target:?}, 0)"),
        format!("import os\nos.remove({target:?})"),
        format!("import os\nos.link({target:?}, 'link')"),
        format!("import os\nos.rename({target:?}, 'moved')"),
        format!("import os\nos.symlink({target:?}, 'alias')\nopen('alias', 'w')"),
        format!("import os\nos.mkdir({:?})", outside.path().join("new")),
        format!("open('/tmp/codeact-test-escape-{}', 'w')", std::process::id()),
        "import os\nopen(os.path.dirname(os.__file__) + '/codeact_test.py', 'w')".to_string(),
        "open('/proc/sys/kernel/core_pattern', 'w')".to_string(),
    ] {
        let text = see(&mut session, &code);
        assert!(text.contains("Error: [Errno"), "{code}: {text}");
    }
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "untouched");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn files_outside_cannot_be_read() {
    let Some(mut session) = start_if(Layer::Filesystem) else {
        return;
    };
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "hunter2").unwrap();
    let parent = format!("/proc/{}/environ", std::process::id());
    for path in [secret.as_path(), Path::new("/etc/shadow"), Path::new("/proc/1/environ"), Path::new(&parent)] {
        let text = see(&mut session, &format!("open({path:?}, 'rb').read()"));
        assert!(text.contains("PermissionError"), "{}: {text}", path.display());
    }
    let text = see(&mut session, &format!("import os\nos.listdir({:?})", outside.path()));
    assert!(text.contains("PermissionError"), "{text}");
    let text = see(&mut session, &format!("import subprocess\nsubprocess.run(['cat', {secret:?}]).returncode"));
    assert!(text.ends_with("Permission denied\n1"), "{text}");
}

#[test]
fn processes_of_the_host_cannot_be_signalled() {
    let Some(mut session) = start_if(Layer::Signals) else {
        return;
    };
    let mut victim = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let code = format!("import os, signal\nos.kill({}, signal.SIGKILL)", victim.id());
    assert!(see(&mut session, &code).contains("PermissionError"));
    let code = "os.kill(os.getppid(), 0)";
    assert!(see(&mut session, code).contains("PermissionError"));
    assert!(victim.try_wait().unwrap().is_none());
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn the_host_is_not_root_inside() {
    let Some(mut session) = start_if(Layer::Identity) else {
        return;
    };
    let code = "import os\n[os.getuid() == 0, os.geteuid() == 0, len(os.getgroups())]";
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } == 0 {
        assert_eq!(see(&mut session, code), "[False, False, 0]");
    }
    let text = see(&mut session, "import os\nos.setuid(0)");
    // Refused, or no such user in its namespace.
    assert!(text.contains("Error: [Errno"), "{text}");
}

#[test]
fn a_fork_bomb_runs_into_the_limit() {
    let mut session = start_with(Limits { processes_max: 20, wall_ms_max: 10_000, ..Limits::default() });
    if !session.protection().holds(Layer::Processes) {
        println!("skipped: Processes does not hold on this host");
        return;
    }
    let code = "import os, time\nchildren = 0\ntry:\n    while children < 200:\n        if os.fork() == 0:\n            time.sleep(1000)\n        \
                children += 1\nexcept BlockingIOError:\n    print('refused')\nchildren < 20";
    assert_eq!(see(&mut session, code), "refused\nTrue");
}

#[test]
fn the_environment_is_scrubbed_and_no_descriptor_leaks() {
    let kept_open = std::fs::File::open("/dev/null").unwrap();
    let mut session = start();
    let text = see(&mut session, "import os\nsorted(os.environ)");
    assert_eq!(text, "['HOME', 'LANG', 'LOGNAME', 'MPLBACKEND', 'PATH', 'TMPDIR', 'USER']");
    let code = "found = []\nfor fd in range(512):\n    try:\n        os.fstat(fd)\n        found.append(fd)\n    except OSError:\n        pass\nlen(found)";
    // Standard streams, the control socket, and the runner's two copies of stdout and stderr.
    assert_eq!(see(&mut session, code), "6");
    drop(kept_open);
}

#[test]
fn dropping_a_session_kills_its_daemons() {
    let Some(mut session) = start_if(Layer::Network) else {
        return;
    };
    let code = "import os, time\nr, w = os.pipe()\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        \
                os.write(w, str(os.getpid()).encode())\n        time.sleep(1000)\n    os._exit(0)\nint(os.read(r, 20))";
    let pid = see(&mut session, code);
    let entry = format!("/proc/{pid}");
    assert!(Path::new(&entry).exists());
    drop(session);
    // A killed orphan stays a zombie until init reaps it.
    let status = std::fs::read_to_string(format!("{entry}/status")).unwrap_or_default();
    assert!(status.is_empty() || status.contains("State:\tZ") || status.contains("State:\tX"), "{status}");
}

#[test]
fn a_given_workspace_is_used_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.txt"), "7").unwrap();
    let policy = Policy { workspace: Some(folder.path().to_path_buf()), ..Policy::default() };
    let mut session = Session::start(&policy).unwrap();
    assert_eq!(see(&mut session, "n = int(open('in.txt').read())\nopen('out.txt', 'w').write(str(n + 1))"), "1");
    drop(session);
    assert_eq!(std::fs::read_to_string(folder.path().join("out.txt")).unwrap(), "8");
}

#[test]
fn a_missing_workspace_is_an_error() {
    let policy = Policy { workspace: Some("/no/such/folder".into()), ..Policy::default() };
    let error = Session::start(&policy).unwrap_err();
    assert!(matches!(error, SandboxError::Workspace { .. }) && error.to_string().contains("/no/such/folder"));
}

#[test]
fn the_protection_lists_every_layer_and_says_what_is_missing() {
    let session = start();
    let text = session.protection().to_string();
    for layer in ["Network", "Filesystem", "Signals", "Identity", "Privileges", "Resources", "Processes", "ParentDeath"]
    {
        assert!(text.contains(layer), "{text}");
    }
    assert!(text.contains("not protected: no PID namespace"), "{text}");
    assert!(session.protection().holds(Layer::Privileges) && session.protection().holds(Layer::Resources));
}

#[test]
fn set_user_id_programs_give_nothing() {
    let mut session = start();
    let text = see(&mut session, "[line for line in open('/proc/self/status') if 'NoNewPrivs' in line]");
    if !text.contains("NoNewPrivs:\\t1") {
        // /proc/self may be closed by the file rules; ask the kernel.
        let code = "import ctypes\nctypes.CDLL(None).prctl(39, 0, 0, 0, 0)";
        assert_eq!(run(&mut session, code).value.as_deref(), Some("1"));
    }
}
