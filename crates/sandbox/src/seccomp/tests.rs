//! Each rule against the kernel: a fresh Python under the filter makes the calls and says what came back.

use super::*;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

const PROBE: &str = include_str!("probe.py");
const CLOSED: Rules = Rules { network: false, private_pids: true };
const OPEN: Rules = Rules { network: true, private_pids: true };
const SHARED: Rules = Rules { network: false, private_pids: false };

/// What the marked filter adds to each of its error numbers: no kernel answers with these by itself.
const MARK: i32 = 2000;

/// The program with error numbers that only the filter can have given, root or not.
fn marked(rules: &Rules) -> Vec<u8> {
    let mut program = program(rules);
    for instruction in program.as_chunks_mut::<8>().0 {
        let [low, high, _, _, value @ ..] = *instruction;
        let value = u32::from_ne_bytes(value);
        let is_return = u32::from(u16::from_ne_bytes([low, high])) == libc::BPF_RET | libc::BPF_K;
        if is_return && value & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO {
            instruction[4..].copy_from_slice(&(value + MARK as u32).to_ne_bytes());
        }
    }
    program
}

/// Run a Python script, under `program` if there is one, in a session without a terminal.
fn python(program: Option<Vec<u8>>, script: &str, input: &str) -> Output {
    let mut command = Command::new("python3");
    command.args(["-I", "-B", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: system calls only; an error is made from its number, without the heap.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() < 0 || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            program.as_deref().map_or(Ok(()), install)
        });
    }
    let mut child = command.spawn().expect("python3 starts under the filter");
    // A child that ended before reading shows in its status.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The answers to calls, given as number and arguments; the others are zero.
fn answers(program: Option<Vec<u8>>, calls: &[(libc::c_long, &[i64])]) -> Vec<i32> {
    let line = |(number, arguments): &(libc::c_long, &[i64])| {
        let mut words = vec![*number];
        words.extend(*arguments);
        words.resize(7, 0);
        words.iter().map(|word| word.to_string()).collect::<Vec<_>>().join(" ") + "\n"
    };
    let output = python(program, PROBE, &calls.iter().map(line).collect::<String>());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<i32> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(answers.len(), calls.len());
    answers
}

/// Arguments that no call accepts: pointers to nowhere, closed descriptors, unknown flags. Should the filter let a
/// call through, the kernel refuses it by itself, with a number that bears no mark.
const INVALID: &[i64] = &[-1; 6];

#[test]
fn every_call_of_the_table_is_refused_by_the_filter() {
    for rules in [CLOSED, OPEN, SHARED] {
        let table: Vec<_> = table::refused().collect();
        assert!(table.len() > 60, "{} calls", table.len());
        let calls: Vec<_> = table.iter().map(|call| (call.number, INVALID)).collect();
        for (call, answer) in table.iter().zip(answers(Some(marked(&rules)), &calls)) {
            assert_eq!(answer, MARK + libc::EPERM, "{} under {rules:?}", call.name);
        }
    }
}

#[test]
fn a_call_is_in_the_table_once() {
    let mut numbers: Vec<_> = table::refused().map(|call| call.number).collect();
    numbers.extend(checked(&SHARED).iter().map(|(number, _)| *number));
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
}

/// Call, arguments, what the filter answers; 0: the kernel decides.
type Case = (libc::c_long, &'static [i64], i32);

fn check(rules: &Rules, cases: &[Case]) {
    let calls: Vec<_> = cases.iter().map(|(number, arguments, _)| (*number, *arguments)).collect();
    for ((number, arguments, expected), answer) in cases.iter().zip(answers(Some(marked(rules)), &calls)) {
        let by_filter = if answer >= MARK { answer - MARK } else { 0 };
        assert_eq!(by_filter, *expected, "call {number} {arguments:?} under {rules:?} answered {answer}");
    }
}

#[test]
fn arguments_decide() {
    const CHILD: i64 = libc::SIGCHLD as i64;
    check(
        &CLOSED,
        &[
            (libc::SYS_clone3, INVALID, libc::ENOSYS),
            // With these pairs of flags the kernel refuses a clone that the filter let through.
            (libc::SYS_clone, &[CHILD | libc::CLONE_NEWUSER as i64 | libc::CLONE_FS as i64], libc::EPERM),
            (libc::SYS_clone, &[CHILD | libc::CLONE_NEWNS as i64 | libc::CLONE_FS as i64], libc::EPERM),
            (libc::SYS_clone, &[CHILD | libc::CLONE_NEWPID as i64 | libc::CLONE_THREAD as i64], libc::EPERM),
            (libc::SYS_clone, &[CHILD | libc::CLONE_NEWIPC as i64 | libc::CLONE_THREAD as i64], libc::EPERM),
            (libc::SYS_clone, &[CHILD | libc::CLONE_NEWUTS as i64 | libc::CLONE_THREAD as i64], libc::EPERM),
            (libc::SYS_clone, &[CHILD | libc::CLONE_NEWNET as i64 | libc::CLONE_THREAD as i64], libc::EPERM),
            (libc::SYS_clone, &[CHILD | libc::CLONE_NEWCGROUP as i64 | libc::CLONE_THREAD as i64], libc::EPERM),
            (libc::SYS_clone, &[CHILD | libc::CLONE_THREAD as i64], 0),
            (libc::SYS_personality, &[0xffff_ffff], 0),
            (libc::SYS_personality, &[-1], 0),
            (libc::SYS_personality, &[0], 0),
            (libc::SYS_personality, &[0x004_0000], libc::EPERM),
            (libc::SYS_ioctl, &[-1, 0x5412], libc::EPERM),
            (libc::SYS_ioctl, &[-1, 0x541c], libc::EPERM),
            (libc::SYS_ioctl, &[-1, 0x5423], libc::EPERM),
            (libc::SYS_ioctl, &[-1, 0x7_0000_5412], libc::EPERM), // the kernel looks at 32 bits
            (libc::SYS_ioctl, &[-1, 0x5413], 0),
            (libc::SYS_sched_setscheduler, &[0, libc::SCHED_FIFO as i64, -1], libc::EPERM),
            (libc::SYS_sched_setscheduler, &[0, libc::SCHED_RR as i64, -1], libc::EPERM),
            (libc::SYS_sched_setscheduler, &[0, 0x4000_0001, -1], libc::EPERM),
            (libc::SYS_sched_setscheduler, &[0, libc::SCHED_BATCH as i64, -1], 0),
            (libc::SYS_sched_setscheduler, &[0, 0x4000_0003, -1], 0),
            (libc::SYS_sched_setscheduler, &[-1, libc::SCHED_BATCH as i64, -1], 0),
            (NEWEST_CALL as libc::c_long, INVALID, 0),
            (NEWEST_CALL as libc::c_long + 1, INVALID, libc::ENOSYS),
            (0x3fff_ffff, INVALID, libc::ENOSYS),
            #[cfg(target_arch = "x86_64")]
            (0x4000_0000 | libc::SYS_getpid, &[], libc::EPERM),
            (libc::SYS_landlock_create_ruleset, INVALID, 0),
            (libc::SYS_seccomp, INVALID, 0),
            (libc::SYS_getpid, &[], 0),
        ],
    );
}

#[test]
fn calls_by_process_id_are_bound_to_the_caller_without_a_pid_namespace() {
    // The mark of the filter tells; where it lets a call through, the argument after it is invalid.
    let cases: &[(Case, i32)] = &[
        ((libc::SYS_kill, &[-1, 0], libc::EPERM), 0),
        ((libc::SYS_kill, &[0, 0], 0), 0),
        ((libc::SYS_prlimit64, &[1, -1], libc::EPERM), 0),
        ((libc::SYS_prlimit64, &[0, -1], 0), 0),
        ((libc::SYS_sched_setaffinity, &[1, 8, -1], libc::EPERM), 0),
        ((libc::SYS_sched_setaffinity, &[0, 8, -1], 0), 0),
        ((libc::SYS_sched_setparam, &[1, -1], libc::EPERM), 0),
        ((libc::SYS_sched_setparam, &[0, -1], 0), 0),
        ((libc::SYS_sched_setscheduler, &[1, 0, -1], libc::EPERM), 0),
        ((libc::SYS_sched_setscheduler, &[0, 0, -1], 0), 0),
        ((libc::SYS_setpriority, &[0, 0x7fff_ffff, 0], libc::EPERM), 0),
        ((libc::SYS_setpriority, &[2, 0, 0], libc::EPERM), -1),
        ((libc::SYS_setpriority, &[0, 0, 19], 0), 0),
        ((libc::SYS_ioprio_set, &[1, 0x7fff_ffff, 0], libc::EPERM), 0),
        ((libc::SYS_ioprio_set, &[3, 0, 0], libc::EPERM), -1),
        ((libc::SYS_ioprio_set, &[1, 0, -1], 0), 0),
    ];
    check(&SHARED, &cases.iter().map(|(case, _)| *case).collect::<Vec<_>>());
    // With a namespace none of this is the filter's business. Calls that would touch every process of this user
    // (marked -1) are left out here.
    let private: Vec<Case> = cases
        .iter()
        .filter(|(_, safe)| *safe == 0)
        .map(|((number, arguments, _), _)| (*number, *arguments, 0))
        .collect();
    check(&CLOSED, &private);
}

#[test]
fn socket_families() {
    const UNIX: i64 = libc::AF_UNIX as i64;
    const INET: i64 = libc::AF_INET as i64;
    const INET6: i64 = libc::AF_INET6 as i64;
    const STREAM: i64 = libc::SOCK_STREAM as i64;
    const DATAGRAM: i64 = libc::SOCK_DGRAM as i64;
    const FLAGS: i64 = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as i64;
    for rules in [CLOSED, OPEN, SHARED] {
        let inet = if rules.network { 0 } else { libc::ENETUNREACH };
        let strange = |open: i32| if rules.network { open } else { libc::ENETUNREACH };
        check(
            &rules,
            &[
                (libc::SYS_socket, &[UNIX, STREAM], 0),
                (libc::SYS_socket, &[UNIX, DATAGRAM | FLAGS], 0),
                (libc::SYS_socketpair, &[UNIX, STREAM, 0, -1], 0),
                (libc::SYS_socketpair, &[INET, STREAM, 0, -1], libc::EAFNOSUPPORT),
                (libc::SYS_socket, &[INET, STREAM], inet),
                (libc::SYS_socket, &[INET, STREAM | FLAGS, 6], inet),
                (libc::SYS_socket, &[INET6, DATAGRAM, 17], inet),
                (libc::SYS_socket, &[INET, 3, 1], strange(libc::EPERM)),
                (libc::SYS_socket, &[INET6, 3 | FLAGS, 58], strange(libc::EPERM)),
                (libc::SYS_socket, &[INET, 10, 0x300], strange(libc::EPERM)),
                (libc::SYS_socket, &[INET, STREAM, 132], strange(libc::EPROTONOSUPPORT)),
                (libc::SYS_socket, &[INET, STREAM, 262], strange(libc::EPROTONOSUPPORT)),
            ],
        );
        // Every other family there is, and some that are not: 47 are known in Linux 6.18.
        let calls: Vec<_> = (0..64).filter(|family| ![UNIX, INET, INET6].contains(family)).collect();
        let arguments: Vec<[i64; 2]> = calls.iter().map(|family| [*family, 3]).collect();
        let calls: Vec<_> = arguments.iter().map(|arguments| (libc::SYS_socket, arguments.as_slice())).collect();
        for (call, answer) in calls.iter().zip(answers(Some(marked(&rules)), &calls)) {
            assert_eq!(answer, MARK + libc::EAFNOSUPPORT, "family {}", call.1[0]);
        }
    }
}

#[test]
fn the_kernel_alone_would_have_allowed() {
    // Without the filter: none of the refusals above come from elsewhere.
    let calls: &[(libc::c_long, &[i64])] = &[
        (libc::SYS_socket, &[libc::AF_INET as i64, libc::SOCK_DGRAM as i64]),
        (libc::SYS_socket, &[libc::AF_NETLINK as i64, libc::SOCK_RAW as i64]),
        (libc::SYS_unshare, &[0]),
        (libc::SYS_kill, &[-1, 0]),
        (libc::SYS_kcmp, &[0, 0, 100]),
        (libc::SYS_io_uring_setup, INVALID),
    ];
    let free = answers(None, calls);
    let bound = answers(Some(program(&SHARED)), calls);
    assert_eq!(bound, [libc::ENETUNREACH, libc::EAFNOSUPPORT, libc::EPERM, libc::EPERM, libc::EPERM, libc::EPERM]);
    let expected = [&[0], &[0], &[0], &[0], &[libc::EINVAL, libc::ESRCH][..], &[libc::EFAULT, libc::EINVAL]];
    for ((call, answer), expected) in calls.iter().zip(free).zip(expected) {
        if answer == libc::EPERM || answer == libc::ENOSYS || answer == libc::EAFNOSUPPORT {
            println!("skipped: this host refuses call {} by itself", call.0);
            continue;
        }
        assert!(expected.contains(&answer), "call {call:?} answered {answer}");
    }
}

/// Machine code of the kind compilers for 32-bit Linux make: `mov eax, 20; int 0x80; ret`, the old number of getpid.
#[cfg(target_arch = "x86_64")]
const OLD_GATE: &str = r#"
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
print(call() > 0)
"#;

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_through_the_32_bit_gate_kill() {
    let free = python(None, OLD_GATE, "");
    if free.stdout != b"True\n" {
        println!("skipped: this kernel has no 32-bit calls");
        return;
    }
    let status = python(Some(program(&OPEN)), OLD_GATE, "").status;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGSYS));
}

const LIBRARIES: &str = r#"
import asyncio, concurrent.futures, ctypes, multiprocessing, os, random, resource, signal, socket, sqlite3
import subprocess, sys, tempfile, threading, time
from multiprocessing import shared_memory

def square(value):
    return value * value

numbers = []
threads = [threading.Thread(target=numbers.append, args=(n,)) for n in range(4)]
[t.start() for t in threads], [t.join(60) for t in threads]
assert sorted(numbers) == [0, 1, 2, 3]
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    assert list(pool.map(square, range(4))) == [0, 1, 4, 9]
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    assert pool.map(square, range(4)) == [0, 1, 4, 9]
queue = context.Queue()
child = context.Process(target=queue.put, args=("hello",))
child.start()
assert queue.get(timeout=60) == "hello"
child.join(60)
block = shared_memory.SharedMemory(create=True, size=4096)
block.buf[0] = 7
block.close(), block.unlink()
assert subprocess.run(["sh", "-c", "echo $((6 * 7)) | cat"], capture_output=True, check=True).stdout == b"42\n"
assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True).stdout == b"1\n"

async def main():
    await asyncio.sleep(0.01)
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    out, _ = await process.communicate(b"through")
    return out, await asyncio.get_running_loop().run_in_executor(None, square, 5)

assert asyncio.run(main()) == (b"through", 25)
with tempfile.TemporaryDirectory() as folder:
    database = sqlite3.connect(folder + "/data.db")
    database.execute("pragma journal_mode=wal")
    database.execute("create table numbers (n)")
    database.executemany("insert into numbers values (?)", [(n,) for n in range(9)])
    database.commit()
    assert database.execute("select sum(n) from numbers").fetchone() == (36,)
    database.close()
    os.mkfifo(folder + "/pipe")
a, b = socket.socketpair()
a.send(b"x")
assert b.recv(1) == b"x"
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.nice(1)
os.sched_setaffinity(0, os.sched_getaffinity(0))
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
signal.signal(signal.SIGALRM, lambda *_: numbers.append("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while "alarm" not in numbers:
    time.sleep(0.01)
try:
    import numpy
    assert numpy.linalg.norm(numpy.ones((300, 300)) @ numpy.ones((300, 300))) > 0
except ImportError:
    print("without numpy")
print("works")
"#;

#[test]
fn libraries_work_under_the_filter() {
    if !std::path::Path::new("/dev/shm").is_dir() {
        println!("skipped: without /dev/shm the locks of multiprocessing do not work");
        return;
    }
    for rules in [CLOSED, OPEN, SHARED] {
        let output = python(Some(program(&rules)), LIBRARIES, "");
        assert!(output.status.success() && output.stdout.ends_with(b"works\n"), "{rules:?}: {output:?}");
    }
}

#[test]
fn a_program_the_kernel_rejects_is_an_error() {
    // In a fresh process each: had it been accepted, this one would be bound by it.
    for broken in [Vec::new(), program(&OPEN)[..8].to_vec()] {
        let mut command = Command::new("true");
        // SAFETY: as in `python`.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                install(&broken)
            });
        }
        assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
