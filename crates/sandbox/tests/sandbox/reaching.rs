use crate::{policy, see, start, start_if, start_with};
use codeact_sandbox::{Layer, Limits, Network, Policy, Rung, SandboxError, Session};
use std::io::{Read, Write};
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
    let text = see(&mut session, "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)");
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
        "import os\nopen(os.path.dirname(os.__file__) + '/codeact_test.py', 'w')".to_string(),
        "open('/proc/sys/kernel/core_pattern', 'w')".to_string(),
    ] {
        let text = see(&mut session, &code);
        assert!(text.contains("Error: [Errno"), "{code}: {text}");
    }
    // There is a place of this name inside, and it is another one.
    let name = format!("/tmp/codeact-test-escape-{}", std::process::id());
    see(&mut session, &format!("open('{name}', 'w').close()"));
    assert!(!Path::new(&name).exists());
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
        assert!(text.contains("PermissionError") || text.contains("FileNotFoundError"), "{}: {text}", path.display());
    }
    let text = see(&mut session, &format!("import os\nos.listdir({:?})", outside.path()));
    assert!(text.contains("PermissionError") || text.contains("FileNotFoundError"), "{text}");
    let text = see(&mut session, &format!("import subprocess\nsubprocess.run(['cat', {secret:?}]).returncode"));
    assert!(text.ends_with("Permission denied\n1") || text.ends_with("No such file or directory\n1"), "{text}");
}

#[test]
fn processes_of_the_host_cannot_be_signalled() {
    let Some(mut session) = start_if(Layer::Signals) else {
        return;
    };
    let mut victim = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let code = format!("import os, signal\nos.kill({}, signal.SIGKILL)", victim.id());
    let text = see(&mut session, &code);
    assert!(text.contains("PermissionError") || text.contains("ProcessLookupError"), "{text}");
    let text = see(&mut session, "os.kill(os.getppid(), signal.SIGKILL)");
    assert!(text.contains("PermissionError"), "{text}");
    assert!(victim.try_wait().unwrap().is_none());
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn nobody_is_root_inside() {
    let mut session = start();
    let code = "import os\n[os.getuid() == 0, os.geteuid() == 0, 0 in os.getgroups()]";
    assert_eq!(see(&mut session, code), "[False, False, False]");
    let text = see(&mut session, "os.setuid(0)");
    // Refused, or no such user in its namespace.
    assert!(text.contains("Error: [Errno"), "{text}");
    let code =
        "[line.split()[1] for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNewPrivs', 'Seccomp:'))]";
    let none = "'0000000000000000'";
    assert_eq!(see(&mut session, code), format!("[{none}, {none}, {none}, {none}, {none}, '1', '2']"));
}

#[test]
fn a_fork_bomb_runs_into_the_limit() {
    let mut session = start_with(Limits { processes_max: 20, wall_ms_max: 10_000, ..Limits::default() });
    if !session.protection().holds(Layer::Processes) {
        println!("skipped: Processes does not hold on this host");
        return;
    }
    let code = "import os, time\nchildren = 0\ntry:\n    while children < 200:\n        if os.fork() == 0:\n            time.sleep(1000)\n        \
                children += 1\nexcept BlockingIOError:\n    print('refused')\nchildren <= 20 + 12"; // checkpoints have room of their own
    assert_eq!(see(&mut session, code), "refused\nTrue");
}

#[test]
fn the_environment_is_scrubbed_and_no_descriptor_leaks() {
    let kept_open = std::fs::File::open("/dev/null").unwrap();
    let mut session = start();
    let text = see(&mut session, "import os\nsorted(os.environ)");
    assert!(!text.contains("CARGO") && !text.contains("TOKEN"), "{text}");
    let names = ["HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER", "CODEACT_NETWORK", "CUDA_VISIBLE_DEVICES"];
    assert!(names.iter().all(|name| text.contains(name)) && text.matches(',').count() < 12, "{text}");
    let code = "found = []\nfor fd in range(512):\n    try:\n        os.fstat(fd)\n        found.append(fd)\n    except OSError:\n        pass\nlen(found)";
    // Standard streams, the control socket, and the runner's copies of stdout, stderr and the null device.
    let count: usize = see(&mut session, code).parse().unwrap();
    assert!((6..=8).contains(&count), "{count}");
    let code = "import os\n[os.readlink(f'/proc/self/fd/{fd}') for fd in found if fd > 2]";
    let text = see(&mut session, code);
    assert!(!text.contains("'/") || text.matches("'/").count() == text.matches("'/dev/null'").count(), "{text}");
    drop(kept_open);
}

#[test]
fn dropping_a_session_kills_its_daemons() {
    let Some(mut session) = start_if(Layer::Ending) else {
        return;
    };
    // The name is what it is found by: ids inside are not those of the host.
    let name = format!("codeact-daemon-{}", std::process::id());
    let code = format!(
        "import os, subprocess\nos.symlink('/bin/sleep', {name:?})\n\
         subprocess.Popen(['setsid', './{name}', '1000'], start_new_session=True)\nNone"
    );
    let is_alive = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.starts_with(format!("./{name}").as_bytes())
        })
    };
    see(&mut session, &code);
    assert!((0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        is_alive()
    }));
    drop(session);
    assert!((0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        !is_alive()
    }));
}

#[test]
fn a_given_workspace_is_used_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.txt"), "7").unwrap();
    let policy = Policy { workspace: Some(folder.path().to_path_buf()), ..policy() };
    let mut session = Session::start(&policy).unwrap();
    assert_eq!(see(&mut session, "n = int(open('in.txt').read())\nopen('out.txt', 'w').write(str(n + 1))"), "1");
    drop(session);
    assert_eq!(std::fs::read_to_string(folder.path().join("out.txt")).unwrap(), "8");
}

#[test]
fn a_missing_workspace_is_an_error() {
    let policy = Policy { workspace: Some("/no/such/folder".into()), ..policy() };
    let error = Session::start(&policy).unwrap_err();
    assert!(matches!(error, SandboxError::Workspace { .. }) && error.to_string().contains("/no/such/folder"));
}

#[test]
fn the_protection_lists_every_layer_and_the_rung() {
    let session = start();
    let text = session.protection().to_string();
    for layer in
        ["Network", "Filesystem", "Signals", "Identity", "Privileges", "Memory", "Processes", "Disk", "Syscalls"]
    {
        assert!(text.contains(layer), "{text}");
    }
    assert!(text.starts_with("rung ") && session.protection().rung <= Rung::User, "{text}");
    assert!(session.protection().holds(Layer::Privileges) && session.protection().holds(Layer::Syscalls));
}

#[test]
fn a_machine_that_offers_less_than_asked_is_refused_with_reasons() {
    // As root, B and C are refused so that cells do not run as root; as a user, A is.
    let is_root = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() == 0;
    let rung = if is_root { Rung::User } else { Rung::Root };
    let error = Session::start(&Policy { strongest: rung, weakest: rung, ..policy() }).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SandboxError::TooWeak { .. }), "{text}");
    assert!(text.contains(rung.name()) && text.contains("started by") && text.contains("hint: "), "{text}");
}

#[test]
fn a_loopback_reaches_the_session_and_not_the_host() {
    let Some(_) = start_if(Layer::Network) else {
        return;
    };
    let mut session = Session::start(&Policy { network: Network::Loopback, ..policy() }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let code = format!("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)");
    assert!(see(&mut session, &code).contains("ConnectionRefusedError"));
    let code = "a = socket.create_server(('127.0.0.1', 0))\nb = socket.create_connection(a.getsockname())\n\
                b.send(b'hi')\na.accept()[0].recv(9)";
    assert_eq!(see(&mut session, code), "b'hi'");
}

#[test]
fn the_whole_network_reaches_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let mut session = Session::start(&Policy { network: Network::Full, ..policy() }).unwrap();
    assert!(!session.protection().holds(Layer::Network), "{}", session.protection());
    let code = format!(
        "import os, socket\ns = socket.create_connection(('127.0.0.1', {port}), 5)\nheard = s.recv(9)\n\
         s.send(b'from a cell')\ns.close()\nheard, os.environ['CODEACT_NETWORK']"
    );
    assert_eq!(see(&mut session, &code), "(b'hello', 'full')");
    assert_eq!(host.join().unwrap(), "from a cell");
}

#[test]
fn a_proxy_reaches_what_is_allowed() {
    let Some(_) = start_if(Layer::Network) else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").unwrap();
    });
    let network = Network::Allow(vec![format!("127.0.0.1:{port}")]);
    let mut session = Session::start(&Policy { network, ..policy() }).unwrap();
    let code = format!("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}/').read()");
    assert_eq!(see(&mut session, &code), "b'hello'");
    let text = see(&mut session, "urllib.request.urlopen('http://169.254.169.254/latest').read()");
    assert!(text.contains("HTTP Error 403"), "{text}");
    assert_eq!(session.network_decisions().len(), 2);
}

#[test]
fn a_network_of_its_own_is_refused_where_it_would_be_that_of_the_machine() {
    for network in [Network::Loopback, Network::Allow(vec!["example.org".to_string()])] {
        let unprotected = Policy { strongest: Rung::None, weakest: Rung::None, network, ..policy() };
        let error = Session::start(&unprotected).unwrap_err().to_string();
        assert!(error.contains("needs a network namespace"), "{error}");
    }
}
