//! What checkpoints cost in memory.
//!
//! A fork shares its pages with the interpreter until that writes to them. At most, then, it costs what it had when it
//! was made, which is cheap to know. Only where all of them together may take too much does the first process measure,
//! page by page.

use crate::wire::fields::Fields;
use std::collections::BTreeMap;
use std::time::Duration;

/// Cells that run for less, all together, can change some hundred megabytes at most, and are not worth measuring.
const UNMEASURED_MAX: Duration = Duration::from_millis(20);
/// But for this many.
const UNMEASURED_CELLS_MAX: u32 = 8;

/// The checkpoints of all branches of a session.
#[derive(Debug)]
pub(super) struct Costs {
    bytes_max: u64,
    checkpoints: BTreeMap<u64, Cost>,
    /// The one that was made last had this much.
    newest: u64,
    /// Beyond the limit, as it was measured last.
    excess: u64,
    /// Cells since then, and how long they ran.
    cells: u32,
    run: Duration,
}

#[derive(Debug)]
struct Cost {
    at_most: u64,
    measured: Option<u64>,
}

impl Costs {
    /// All together may take `bytes_max`.
    pub fn new(bytes_max: u64) -> Costs {
        let checkpoints = BTreeMap::new();
        Costs { bytes_max, checkpoints, newest: 0, excess: 0, cells: UNMEASURED_CELLS_MAX, run: Duration::ZERO }
    }

    /// A cell ran for so long.
    pub fn ran(&mut self, time: Duration) {
        self.cells = self.cells.saturating_add(1);
        self.run = self.run.saturating_add(time);
    }

    /// Checkpoint `id` is there, and the first process said `payload` of it.
    pub fn made(&mut self, id: u64, payload: &[u8]) {
        let (fields, _) = Fields::parse_start(payload);
        self.newest = fields.number("bytes").unwrap_or(0);
        self.checkpoints.insert(id, Cost { at_most: self.newest, measured: None });
    }

    /// Checkpoint `id` was given up, or runs.
    pub fn gone(&mut self, id: u64) {
        self.checkpoints.remove(&id);
    }

    /// Whether they may take too much, with one more that is being made.
    pub fn must_be_measured(&self) -> bool {
        let at_most = self.checkpoints.values().fold(self.newest, |sum, cost| sum.saturating_add(cost.at_most));
        at_most > self.bytes_max && (self.cells >= UNMEASURED_CELLS_MAX || self.run >= UNMEASURED_MAX)
    }

    /// What the first process found.
    pub fn measured(&mut self, payload: &[u8]) {
        let fields = Fields::parse(payload).unwrap_or_default();
        let mut sum: u64 = 0;
        for (id, cost) in &mut self.checkpoints {
            cost.measured = fields.number(&id.to_string());
            sum = sum.saturating_add(cost.bytes());
        }
        // What the interpreter has too would be there without them.
        let shared = fields.number("shared").unwrap_or(0);
        self.excess = sum.saturating_sub(shared).saturating_sub(self.bytes_max);
        // The part of what is given up now is for the others to bear, which may be too much again.
        self.cells = if self.excess > 0 { UNMEASURED_CELLS_MAX } else { 0 };
        self.run = Duration::ZERO;
    }

    /// How much has to be given up; once for each time that it was measured.
    pub fn take_excess(&mut self) -> u64 {
        std::mem::take(&mut self.excess)
    }

    /// What giving up `id` gives back, at least. The next time that it is measured, the others have its part.
    pub fn of(&self, id: u64) -> u64 {
        self.checkpoints.get(&id).map_or(0, Cost::bytes)
    }
}

impl Cost {
    fn bytes(&self) -> u64 {
        self.measured.unwrap_or(self.at_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fields::Writer;

    fn costs(at_most: &[u64]) -> Costs {
        let mut costs = Costs::new(100);
        for (id, bytes) in (0..).zip(at_most) {
            costs.made(id, &Writer::default().number("bytes", *bytes).finish());
        }
        costs
    }

    #[test]
    fn small_ones_are_never_measured() {
        assert!(!costs(&[20, 20, 20, 20]).must_be_measured(), "the next one fits, too");
        let mut large = costs(&[20, 20, 20, 20, 20]);
        assert!(large.must_be_measured());
        large.gone(3);
        assert!(!large.must_be_measured());
    }

    #[test]
    fn short_cells_are_measured_now_and_then() {
        let mut costs = costs(&[90, 90]);
        let fits = Writer::default().number("0", 40).number("1", 40).finish();
        costs.measured(&fits);
        for _ in 0..UNMEASURED_CELLS_MAX {
            assert!(!costs.must_be_measured());
            costs.ran(Duration::from_millis(1));
        }
        assert!(costs.must_be_measured());
        costs.measured(&fits);
        costs.ran(UNMEASURED_MAX);
        assert!(costs.must_be_measured());
        costs.measured(&Writer::default().number("0", 90).number("1", 90).finish());
        assert!(costs.must_be_measured(), "after something was given up");
    }

    #[test]
    fn only_what_the_interpreter_does_not_have_counts() {
        let mut costs = costs(&[90, 90, 90]);
        let shared = Writer::default().number("0", 30).number("1", 30).number("2", 30).number("shared", 60);
        costs.measured(&shared.finish());
        assert_eq!(costs.take_excess(), 0);
        costs.measured(&Writer::default().number("0", 90).number("1", 30).number("2", 5).finish());
        assert_eq!((costs.take_excess(), costs.of(0), costs.take_excess()), (25, 90, 0));
    }

    #[test]
    fn what_cannot_be_measured_counts_whole() {
        let mut costs = costs(&[90, 90]);
        costs.measured(b"nonsense");
        assert_eq!(costs.take_excess(), 80);
    }
}
