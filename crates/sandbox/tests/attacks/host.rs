//! What a file of `attacks/` cannot see: the same cases from the host's side.

mod files; // read first: uploads, downloads, listings

mod endings; // what is left when a session or its host ends

mod output; // what arrives of what cells print

mod callers; // two at once, too many, gone, slow to approve

mod machine; // what this machine lacks, or runs out of
