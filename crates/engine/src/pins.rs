//! Pages that open sessions keep between two of their requests.

use std::collections::HashMap;
use std::time::Instant;

use crate::pool::PagePool;
use crate::radix::{NodeId, Radix};
use crate::request::SessionId;

/// What sessions keep: at most `pages_max` pages together; then the session that was not used for longest gives way.
#[derive(Debug)]
pub(crate) struct Pins {
    pages_max: usize,
    by_session: HashMap<SessionId, Pin>,
    /// How many sessions keep a node.
    keepers: HashMap<NodeId, usize>,
    clock: u64,
}

#[derive(Debug)]
struct Pin {
    path: Vec<NodeId>,
    since: u64,
    used: Instant,
}

impl Pins {
    pub fn new(pages_max: usize) -> Pins {
        Pins { pages_max, by_session: HashMap::new(), keepers: HashMap::new(), clock: 0 }
    }

    /// Pages that are kept.
    pub fn page_count(&self) -> usize {
        self.keepers.len()
    }

    /// Keeps `path`, which the caller holds, or as much of its beginning as may be kept.
    pub fn pin(&mut self, radix: &mut Radix, pool: &mut PagePool, session: SessionId, path: &[NodeId], now: Instant) {
        let path = path[..path.len().min(self.pages_max)].to_vec();
        for &node in &path {
            radix.hold(pool, node);
            *self.keepers.entry(node).or_insert(0) += 1;
        }
        self.unpin(radix, pool, session);
        self.clock += 1;
        self.by_session.insert(session, Pin { path, since: self.clock, used: now });
        while self.keepers.len() > self.pages_max {
            self.unpin_oldest(radix, pool);
        }
    }

    /// Keeps nothing more for `session`.
    pub fn unpin(&mut self, radix: &mut Radix, pool: &mut PagePool, session: SessionId) {
        let Some(pin) = self.by_session.remove(&session) else {
            return;
        };
        for node in &pin.path {
            let keepers = self.keepers.get_mut(node).expect("a kept node has keepers");
            *keepers -= 1;
            if *keepers == 0 {
                self.keepers.remove(node);
            }
        }
        radix.release(pool, &pin.path);
    }

    /// When the session was used last that was not used for longest.
    pub fn oldest_use(&self) -> Option<Instant> {
        self.by_session.values().min_by_key(|pin| pin.since).map(|pin| pin.used)
    }

    /// Keeps nothing more for the session that was not used for longest; false when there is none.
    pub fn unpin_oldest(&mut self, radix: &mut Radix, pool: &mut PagePool) -> bool {
        let oldest = self.by_session.iter().min_by_key(|(_, pin)| pin.since).map(|(&session, _)| session);
        oldest.is_some_and(|session| {
            self.unpin(radix, pool, session);
            true
        })
    }

    /// Shows each hold of each session.
    #[cfg(test)]
    pub fn check(&self, mut on_hold: impl FnMut(NodeId)) {
        let mut keepers = HashMap::new();
        for &node in self.by_session.values().flat_map(|pin| &pin.path) {
            on_hold(node);
            *keepers.entry(node).or_insert(0) += 1;
        }
        assert_eq!(keepers, self.keepers);
        assert!(keepers.len() <= self.pages_max, "{} pages are kept", keepers.len());
    }
}
