//! Measuring: suites of tasks by contestants in forms of actions, and what came of it in numbers and on a page.

mod record; // read first: one try of one task, a line of results.jsonl

mod actions; // what became of the actions of a turn

mod solve; // one try

mod results; // results.jsonl, as it grows and as it is read again

mod contestant; // who is measured

mod lineup; // how that is written

mod surroundings; // what results depend on besides who is asked

mod matrix; // all tries, several at once, going on after a stop

mod statistics; // intervals, tests, pass@k

mod tally; // counts over some tasks

mod summary; // all results in numbers

mod table; // the same for a terminal

mod report; // the same as a page

mod runs; // several runs beside each other

pub use actions::{Actions, Watch};
pub use contestant::{Contestant, Entrant, Place, find};
pub use lineup::read_contestants;
pub(crate) use matrix::draw_seed;
pub use matrix::{Matrix, Settings};
pub use record::{Key, Record};
pub use report::html;
pub use results::{Found, Identity, RESULTS, Results, read as read_results};
pub use runs::{Loaded, load};
pub(crate) use solve::{Unanswered, try_task};
pub use statistics::{bootstrap, mcnemar, pass_at, wilson};
pub use summary::{Column, Comparison, SuiteTally, Summary};
pub(crate) use surroundings::{seeded, surroundings};
pub use tally::{HelpTally, Tally};
