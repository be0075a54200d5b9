//! The system call filter of a session: a classic BPF program, assembled here.
//!
//! It allows what it does not name. What it names are calls that reach parts of the kernel with a bad record or that
//! would undo another layer; [`table`] lists them by reason. Answers are error numbers, so that libraries which probe
//! for a feature go on without it; only a call of another architecture, whose numbers mean something else, kills.

mod table;

use libc::sock_filter;
use table::{ARCHITECTURE, NEWEST_CALL};

/// What the rest of the sandbox provides, and so what the filter need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Internet sockets may be made.
    pub network: bool,
    /// A process id namespace of its own: no id in it names a process outside.
    ///
    /// Without one, calls that change a process by its id are bound to the caller. The host may run as the same user,
    /// and `prlimit` on it would end it. Signals are left to Landlock's scope: a filter cannot tell a child's id from
    /// a stranger's, and refusing `pidfd_open` would gain nothing while `kill` reaches the same processes. Only the
    /// signal to everybody, which has no id, is refused here.
    pub private_pids: bool,
}

/// A block of instructions that ends in a return.
type Block = Vec<sock_filter>;

// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// `SOCK_TYPE_MASK` (linux/net.h): the rest of the argument are flags.
const SOCKET_TYPE_MASK: u32 = 0xf;

/// TIOCSTI, TIOCSETD and TIOCLINUX (asm-generic/ioctls.h): type into the terminal, change what drives it, and paste.
const TERMINAL_REQUESTS: &[u32] = &[0x5412, 0x5423, 0x541c];

/// The filter as an array of `struct sock_filter`, for the architecture this program runs on.
pub(crate) fn program(rules: &Rules) -> Vec<u8> {
    let mut program = vec![
        load(ARCHITECTURE_OFFSET),
        jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER_OFFSET),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([jump(libc::BPF_JSET, X32_BIT, 0, 1), refuse(libc::EPERM)]);
    // A call that came after this list was made may be one that belongs on it.
    program.extend([jump(libc::BPF_JGT, NEWEST_CALL, 0, 1), refuse(libc::ENOSYS)]);
    // Its flags lie in memory, where no filter sees them. The C library then uses `clone`.
    on(&mut program, libc::SYS_clone3, vec![refuse(libc::ENOSYS)]);
    for call in table::refused() {
        on(&mut program, call.number, vec![refuse(libc::EPERM)]);
    }
    for (number, block) in checked(rules) {
        on(&mut program, number, block);
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program.iter().flat_map(bytes).collect()
}

/// Put `program` on the calling thread and all it will start.
///
/// # Errors
/// EACCES without the "no new privileges" bit, EINVAL on a kernel without filters or for a program it rejects.
pub(crate) fn install(program: &[u8]) -> std::io::Result<()> {
    let invalid = || std::io::Error::from_raw_os_error(libc::EINVAL);
    let length = u16::try_from(program.len() / size_of::<sock_filter>()).map_err(|_| invalid())?;
    let description = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the kernel copies `length` instructions, which are within `program`, and writes nothing.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const description) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Calls whose answer depends on their arguments. All of these are 32-bit values to the kernel, so their low half is
/// all there is to see.
fn checked(rules: &Rules) -> Vec<(libc::c_long, Block)> {
    let mut calls = vec![
        (libc::SYS_clone, clone()),
        (libc::SYS_socket, socket(rules.network)),
        (libc::SYS_socketpair, only(0, &[libc::AF_UNIX as u32], libc::EAFNOSUPPORT)),
        (libc::SYS_ioctl, all_but(1, TERMINAL_REQUESTS)),
        // The default, or the question what it is: others switch off address randomization, or make data executable.
        (libc::SYS_personality, only(0, &[0, u32::MAX], libc::EPERM)),
        (libc::SYS_sched_setscheduler, scheduler(rules.private_pids)),
    ];
    if !rules.private_pids {
        let own = |argument| only(argument, &[0], libc::EPERM);
        calls.extend([
            (libc::SYS_kill, all_but(0, &[u32::MAX])),
            (libc::SYS_prlimit64, own(0)),
            (libc::SYS_sched_setaffinity, own(0)),
            (libc::SYS_sched_setparam, own(0)),
            (libc::SYS_setpriority, own_process(libc::PRIO_PROCESS)),
            (libc::SYS_ioprio_set, own_process(IOPRIO_WHO_PROCESS)),
        ]);
    }
    calls
}

/// From linux/ioprio.h.
const IOPRIO_WHO_PROCESS: u32 = 1;

fn clone() -> Block {
    vec![load_argument(0), jump(libc::BPF_JSET, NAMESPACE_FLAGS, 0, 1), refuse(libc::EPERM), allow()]
}

fn socket(network: bool) -> Block {
    let [unix, inet, inet6] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6].map(|family| family as u32);
    let mut block = vec![
        load_argument(0),
        jump(libc::BPF_JEQ, unix, 0, 1),
        allow(),
        jump(libc::BPF_JEQ, inet, 2, 0),
        jump(libc::BPF_JEQ, inet6, 1, 0),
        refuse(libc::EAFNOSUPPORT),
    ];
    if !network {
        block.push(refuse(libc::ENETUNREACH));
        return block;
    }
    // Streams and datagrams; a raw socket, or type 10, an old name of packet sockets, forges and reads packets.
    block.extend([
        load_argument(1),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, SOCKET_TYPE_MASK),
        jump(libc::BPF_JEQ, libc::SOCK_STREAM as u32, 2, 0),
        jump(libc::BPF_JEQ, libc::SOCK_DGRAM as u32, 1, 0),
        refuse(libc::EPERM),
    ]);
    // The kernel would load a module for any other protocol it knows.
    let protocols = [libc::IPPROTO_IP, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6];
    block.extend(only(2, &protocols.map(|protocol| protocol as u32), libc::EPROTONOSUPPORT));
    block
}

/// A realtime policy can take a whole processor.
fn scheduler(private_pids: bool) -> Block {
    let mut block = Block::new();
    if !private_pids {
        block.extend([load_argument(0), jump(libc::BPF_JEQ, 0, 1, 0), refuse(libc::EPERM)]);
    }
    let fair = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
    let policies = fair.into_iter().flat_map(|policy| [policy, policy | libc::SCHED_RESET_ON_FORK]);
    block.extend(only(1, &policies.map(|policy| policy as u32).collect::<Vec<_>>(), libc::EPERM));
    block
}

/// Calls of the form (kind of target, target): only the caller itself.
fn own_process(kind: u32) -> Block {
    let mut block = vec![load_argument(0), jump(libc::BPF_JEQ, kind, 1, 0), refuse(libc::EPERM)];
    block.extend(only(1, &[0], libc::EPERM));
    block
}

/// Allow the call when the argument is one of `values`.
fn only(argument: u32, values: &[u32], otherwise: i32) -> Block {
    let mut block = vec![load_argument(argument)];
    for value in values {
        block.extend([jump(libc::BPF_JEQ, *value, 0, 1), allow()]);
    }
    block.push(refuse(otherwise));
    block
}

/// Refuse the call when the argument is one of `values`.
fn all_but(argument: u32, values: &[u32]) -> Block {
    let mut block = vec![load_argument(argument)];
    for value in values {
        block.extend([jump(libc::BPF_JEQ, *value, 0, 1), refuse(libc::EPERM)]);
    }
    block.push(allow());
    block
}

/// Run `block` for the call `number`. The number must be what was loaded last on the way here.
fn on(program: &mut Block, number: libc::c_long, block: Block) {
    let length = u8::try_from(block.len()).expect("blocks have a few dozen instructions");
    let number = u32::try_from(number).expect("call numbers are small");
    program.push(jump(libc::BPF_JEQ, number, 0, length));
    program.extend(block);
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

/// The low half of an argument; both architectures are little-endian.
fn load_argument(index: u32) -> sock_filter {
    load(ARGUMENTS_OFFSET + 8 * index)
}

fn jump(condition: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    let code = libc::BPF_JMP | condition | libc::BPF_K;
    sock_filter { code: code as u16, jt: if_true, jf: if_false, k: value }
}

fn statement(code: u32, value: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

fn answer(action: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

fn allow() -> sock_filter {
    answer(libc::SECCOMP_RET_ALLOW)
}

fn refuse(errno: i32) -> sock_filter {
    answer(libc::SECCOMP_RET_ERRNO | errno as u32)
}

fn bytes(instruction: &sock_filter) -> [u8; size_of::<sock_filter>()] {
    let [code_low, code_high] = instruction.code.to_ne_bytes();
    let [a, b, c, d] = instruction.k.to_ne_bytes();
    [code_low, code_high, instruction.jt, instruction.jf, a, b, c, d]
}

#[cfg(test)]
mod tests;
