//! What results depend on besides who is asked and how: the same for measuring and for collecting.

use codeact_sandbox::Policy;

use super::matrix::draw_seed;
use super::results::Identity;
use crate::Suite;

/// Program, sandbox and suites, by name.
pub(crate) fn surroundings(policy: &Policy, suites: &[Suite]) -> Identity {
    let mut identity = Identity::from([
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("python".to_owned(), policy.python.display().to_string()),
        ("modules".to_owned(), policy.imports.join(",")),
        ("limits".to_owned(), format!("{:?}", policy.limits)),
        ("network".to_owned(), format!("{:?}", policy.network).to_lowercase()),
    ]);
    for suite in suites {
        identity.insert(format!("suite {}", suite.name), format!("{} tasks, {}", suite.tasks.len(), suite.digest()));
    }
    identity
}

/// A policy under which Python's order of sets follows from the seed, too.
pub(crate) fn seeded(policy: &Policy, seed: u64) -> Policy {
    Policy { hash_seed: Some(draw_seed(seed, "", "", 0) as u32), ..policy.clone() }
}
