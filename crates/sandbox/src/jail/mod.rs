//! Namespaces, mounts and rights: what a launcher and the first process of a session build around a cell.

pub(crate) mod root; // read first: the file system that cells see

pub(crate) mod identity; // user namespaces and their maps

pub(crate) mod session; // the part that each session has for itself

pub(crate) mod landlock; // a second fence around files, signals and sockets

pub(crate) mod calls; // system calls that no crate wraps
