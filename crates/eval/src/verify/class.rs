//! How an output can differ, and what that says about its row.

use serde::{Deserialize, Serialize};

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Verdict {
    /// Every output that could be compared came out the same
    Reproduced,
    /// Something came out otherwise, and something else than a wrong row explains it
    Flagged,
    /// It needs something that is not here, such as a tool or a package, or has no code to run
    NotVerifiable,
    /// The code does not give what the row says
    Dropped,
    /// No conversation: never kept
    Unreadable,
}

impl Verdict {
    /// All of them, as tables list them.
    pub const ALL: [Verdict; 5] =
        [Verdict::Reproduced, Verdict::Flagged, Verdict::NotVerifiable, Verdict::Dropped, Verdict::Unreadable];

    /// As in files and options.
    pub fn name(self) -> &'static str {
        ["reproduced", "flagged", "not_verifiable", "dropped", "unreadable"][self as usize]
    }
}

/// Why a row is not reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Another output.
    Output,
    /// An error, where the row has none.
    RaisesNow,
    /// No error, where the row has one.
    RaisedThen,
    /// An error of another type.
    OtherError,
    /// The same type of error with another message: Python and its libraries change their words.
    ErrorMessage,
    /// The same words in another order.
    Order,
    /// Two runs with different seeds differ from each other.
    Nondeterministic,
    /// The code reads the clock.
    Clock,
    /// One of the two ran out of time.
    Time,
    /// Python was ended by a limit of the sandbox, or crashed.
    Resources,
    /// A library does not have what the code asks for, or has it now.
    Library,
    /// The time for the row was over before its last cell.
    RowTime,
    /// The sandbox could not go on with this row, and can with others.
    Sandbox,
    /// The row calls a function of its environment that nobody has given here.
    Tool,
    /// The row uses a name that its prompts speak of, and that nothing here defines.
    Variable,
    /// A package is not installed.
    Module,
    /// A file is not there.
    File,
    /// There is no network.
    Network,
    /// The code asks a person.
    Input,
    /// The code is larger than a cell may be.
    Size,
    /// No reply runs code.
    NoCode,
    /// Nothing that ran has an output beside it.
    NoOutput,
    /// The line is no conversation.
    Line,
}

impl Reason {
    /// What it says about the row.
    pub fn verdict(self) -> Verdict {
        use Reason::*;
        match self {
            Output | RaisesNow | RaisedThen | OtherError => Verdict::Dropped,
            ErrorMessage | Order | Nondeterministic | Clock | Time | Resources | Library | RowTime | Sandbox => {
                Verdict::Flagged
            }
            Tool | Variable | Module | File | Network | Input | Size | NoCode | NoOutput => Verdict::NotVerifiable,
            Line => Verdict::Unreadable,
        }
    }

    /// Whether later cells can still be compared: variables are as they were when the row was made.
    pub fn leaves_state(self) -> bool {
        matches!(self, Reason::ErrorMessage | Reason::Order)
    }

    /// Whether a second run with other seeds is worth it.
    pub fn may_be_chance(self) -> bool {
        use Reason::*;
        matches!(self, Output | RaisesNow | RaisedThen | OtherError | ErrorMessage | Order)
    }

    /// As in files.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The option that may help, if one may.
    pub fn option(self) -> Option<&'static str> {
        use Reason::*;
        match self {
            Tool | Variable | File => Some("--setup"),
            Module | Library => Some("--python"),
            Time => Some("--cell-seconds"),
            RowTime => Some("--row-seconds"),
            Resources => Some("--memory-mib"),
            Network => Some("--network"),
            _ => None,
        }
    }

    /// In a few words, for a table.
    pub fn words(self) -> &'static str {
        use Reason::*;
        match self {
            Output => "another output",
            RaisesNow => "an error, where the row has none",
            RaisedThen => "no error, where the row has one",
            OtherError => "an error of another type",
            ErrorMessage => "the same error in other words",
            Order => "the same words in another order",
            Nondeterministic => "two runs with different seeds differ",
            Clock => "reads the clock",
            Time => "out of time, then or now",
            Resources => "Python was ended by a limit, or crashed",
            Library => "another version of a library",
            RowTime => "the time for the row was over",
            Sandbox => "the sandbox could not go on",
            Tool => "calls a function that is not here",
            Variable => "uses a name that is not here",
            Module => "needs a package that is not installed",
            File => "needs a file that is not here",
            Network => "needs the network",
            Input => "asks a person",
            Size => "code larger than a cell may be",
            NoCode => "runs no code",
            NoOutput => "has no output to compare",
            Line => "no conversation",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
            assert_eq!(clap::ValueEnum::to_possible_value(&verdict).unwrap().get_name(), verdict.name());
        }
        assert_eq!(Reason::RaisesNow.name(), "raises_now");
    }

    #[test]
    fn what_contradicts_a_row_drops_it_and_what_is_missing_here_does_not() {
        assert_eq!(Reason::Output.verdict(), Verdict::Dropped);
        for missing in [Reason::Tool, Reason::Variable, Reason::Module, Reason::File, Reason::Network, Reason::NoCode] {
            assert_eq!(missing.verdict(), Verdict::NotVerifiable);
            assert!(!missing.may_be_chance());
        }
    }
}
