//! The process that starts sessions: a small copy of this program, away from the host's threads, files and secrets.

mod entry; // read first: how a copy of the host becomes a launcher

pub(crate) mod request; // what the host asks for

mod serve; // the launcher itself

mod open; // one session: its first process, its disk, its Python

mod zygote; // the Python that sessions are forked from

pub(crate) mod client; // the host's side
