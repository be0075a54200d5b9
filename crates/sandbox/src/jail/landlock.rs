//! A second fence, enforced by the kernel in every process of a cell: Landlock over files, TCP, signals and sockets.
//!
//! Where namespaces hold it is there in case one of them does not. Where they do not it is most of what there is.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    Scope, path_beneath_rules,
};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Version of the kernel's interface from which on signals and abstract sockets are covered.
pub(crate) const SCOPES: i32 = 6;

/// What to allow.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub readable: Vec<PathBuf>,
    pub writable: Vec<PathBuf>,
    pub network: bool,
}

/// Make the ruleset. `None` where this kernel has no Landlock.
///
/// # Errors
/// When the kernel refuses a rule.
pub(crate) fn ruleset(plan: &Plan) -> Result<Option<OwnedFd>, RulesetError> {
    let newest = ABI::V7;
    let all = AccessFs::from_all(newest);
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    if !plan.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(newest))?;
    }
    let created = ruleset
        .scope(Scope::from_all(newest))?
        .create()?
        .add_rules(path_beneath_rules(&plan.readable, AccessFs::from_read(newest)))?
        .add_rules(path_beneath_rules(&plan.writable, all))?;
    Ok(created.into())
}

/// The version of Landlock that this kernel offers; below 1: none.
pub(crate) fn kernel_version() -> i32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with a null attribute and size 0 the call only returns a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) };
    i32::try_from(version).unwrap_or(-1)
}
