//! Skills out of programs that solved their tasks, after DynaSaur (Nguyen et al., arXiv 2411.01747): functions are kept
//! with tests out of what they gave, once they gave it again where nothing else is defined.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use codeact_agent::ActionFormat;
use codeact_chat::action::{Action, ActionParser};
use codeact_chat::{Message, Role};
use codeact_sandbox::skills::{Added, Candidate, SkillError, SkillStore};
use codeact_sandbox::{Network, Policy, SandboxError, Session};

use crate::EvalError;
use crate::grade::{Earned, Meaning, earned_by, meanings_of};
use crate::help::solved_rows;

/// What became of the functions of some programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earnings {
    /// Programs that define a function at all.
    pub programs: usize,
    /// What was stored: signature and version.
    pub stored: Vec<(String, u64)>,
    /// Functions that were there already.
    pub known: usize,
    /// Functions, and programs that tell of none, that were left out, by why.
    pub left_out: BTreeMap<String, usize>,
}

/// Keeps functions of `programs` in the store in `folder`, which is made if it is missing, and says what became of them.
/// They are taken in the order of the files; of functions that do the same the first is kept, and of others with one name
/// too. What the store holds was there first, but a new function becomes the new version of one with its name. One that
/// gives a second meaning to a name of another one is left out: all of them are defined in one session.
///
/// * `programs`: conversations, of which those that solved their task count, or files that end with `.py`.
/// * `policy`: what programs and tests run under. They have no tools, no network and no workspace.
///
/// # Errors
/// When a file cannot be read, Python does not start, or the store cannot be read or written. A program that fails is no
/// error.
pub fn earn(programs: &[PathBuf], folder: &Path, policy: &Policy) -> Result<Earnings, EvalError> {
    let mut all: Vec<Vec<String>> = Vec::new();
    for path in programs {
        all.extend(programs_of(path)?);
    }
    let policy = Policy { tools: None, workspace: None, network: Network::None, ..policy.clone() };
    let opened: Result<SkillStore, SkillError> = SkillStore::open(folder);
    let store = opened.map_err(|error| EvalError::Skills { path: folder.to_owned(), reason: error.to_string() })?;
    let mut kept = Kept::of(&store, folder, &policy)?;
    let mut done = Earnings::default();
    // Most solve their task without a function, and Python need not be asked about those.
    for cells in all.iter().filter(|cells| cells.iter().any(|cell| cell.contains("def "))) {
        done.programs += 1;
        let (found, refused) = match earned_by(cells, &policy)? {
            Ok(answer) => answer,
            Err(_) => (Vec::new(), vec!["the program did not end as it should".to_owned()]),
        };
        for why in refused {
            done.leave_out(&why);
        }
        for earned in found {
            match kept.fate(&earned.name, &earned.meaning) {
                Fate::LeftOut(why) => done.leave_out(why),
                Fate::Known => {
                    done.known += 1;
                    kept.now.insert(earned.name);
                }
                Fate::New => {
                    let (name, meaning) = (earned.name.clone(), earned.meaning.clone());
                    let candidate = candidate_of(earned);
                    let learned = Session::learn(&policy, &store, &candidate);
                    if done.note(candidate.signature, learned).map_err(|error| unusable(error, folder))? {
                        kept.now.insert(name.clone());
                        kept.meanings.insert(name, meaning);
                    }
                }
            }
        }
    }
    Ok(done)
}

/// What the store holds.
#[derive(Debug, Default)]
struct Kept {
    /// What each of its functions comes to, by name.
    meanings: BTreeMap<String, Meaning>,
    /// Those that programs of this call defined.
    now: BTreeSet<String>,
}

/// What is to become of a function.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    New,
    Known,
    LeftOut(&'static str),
}

impl Kept {
    /// Reads the store. What is damaged in it is passed over, as where it is used.
    fn of(store: &SkillStore, folder: &Path, policy: &Policy) -> Result<Kept, EvalError> {
        let refused = |reason: String| EvalError::Skills { path: folder.to_owned(), reason };
        let failed = |error: SkillError| refused(error.to_string());
        let (skills, _) = store.skills().map_err(failed)?;
        let sources = skills.iter().map(|skill| store.prelude(&[skill.name.as_str()]).map_err(failed));
        let sources = sources.collect::<Result<Vec<String>, EvalError>>()?;
        let told =
            meanings_of(&sources, policy)?.map_err(|why| refused(format!("they cannot be told apart: {why}")))?;
        let mut kept = Kept::default();
        for (skill, meaning) in skills.into_iter().zip(told) {
            let none = || refused(format!("`{}` is no Python that can be read\nhint: delete its folder", skill.name));
            let meaning = meaning.ok_or_else(none)?;
            kept.meanings.insert(skill.name, meaning);
        }
        Ok(kept)
    }

    fn fate(&self, name: &str, meaning: &Meaning) -> Fate {
        let is_same = |known: &Meaning| known.key == meaning.key;
        if !self.now.contains(name) && self.meanings.get(name).is_some_and(is_same) {
            return Fate::Known;
        }
        if self.meanings.values().any(is_same) {
            return Fate::LeftOut("another one does the same");
        }
        // What one session defines together must not say two things under one name. It may replace what it is.
        let is_other = |(known, _): &(&String, &Meaning)| known.as_str() != name || self.now.contains(name);
        let contradicts = |(_, known): (&String, &Meaning)| {
            let twice = |(name, hash): (&String, &String)| known.defines.get(name).is_some_and(|known| known != hash);
            meaning.defines.iter().any(twice)
        };
        match self.meanings.iter().filter(is_other).any(contradicts) {
            true => Fate::LeftOut("another one gives its name, or one that it needs, another meaning"),
            false => Fate::New,
        }
    }
}

fn candidate_of(earned: Earned) -> Candidate {
    let Earned { name, signature, doc, source, tests, .. } = earned;
    Candidate { name, signature, doc, source, tests }
}

fn unusable(error: SkillError<SandboxError>, folder: &Path) -> EvalError {
    match error {
        SkillError::Verify { source, .. } => source.into(),
        error => EvalError::Skills { path: folder.to_owned(), reason: error.to_string() },
    }
}

impl Earnings {
    fn leave_out(&mut self, why: &str) {
        *self.left_out.entry(why.to_owned()).or_default() += 1;
    }

    /// Counts what became of a function. Gives whether the store has it now.
    fn note(
        &mut self,
        signature: String,
        learned: Result<Added, SkillError<SandboxError>>,
    ) -> Result<bool, SkillError<SandboxError>> {
        match learned {
            Ok(Added::Stored { version }) => self.stored.push((signature, version)),
            Ok(Added::Known { .. }) => self.known += 1,
            Ok(Added::Rejected(_)) => {
                self.leave_out("alone it does not give what it gave");
                return Ok(false);
            }
            Err(SkillError::Unfit(_)) => {
                self.leave_out("the store does not take it");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

/// The programs of a file, cell by cell.
fn programs_of(path: &Path) -> Result<Vec<Vec<String>>, EvalError> {
    if path.extension().is_some_and(|extension| extension == "py") {
        let text = std::fs::read_to_string(path).map_err(|source| EvalError::Read { path: path.to_owned(), source })?;
        return Ok(vec![vec![text]]);
    }
    let (solved, _) = solved_rows(path)?;
    let code = solved.iter().filter(|row| row.format == ActionFormat::Code);
    Ok(code.map(|row| row.messages.iter().filter_map(code_of).collect()).collect())
}

/// The code that a message runs.
fn code_of(message: &Message) -> Option<String> {
    let is_code = message.role == Role::Assistant && message.content.contains("<execute>");
    let mut parser = ActionParser::new(ActionFormat::Code);
    parser.push(is_code.then_some(message.content.as_str())?);
    parser.finish();
    match parser.action() {
        Some(Action::Execute(code)) => Some(code.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AREA: &str = "def root(x):\n    return math.sqrt(x)\n\n\ndef area(r: float) -> float:\n    \
                        '''Twice the root.'''\n    return 2 * root(r)\n\n\ndef bound(x):\n    return x + limit\n\n\n\
                        print(area(4), bound(1))";

    fn row(cells: &[&str], last: &str) -> String {
        let mut messages = vec![json!({"role": "user", "content": "do it"})];
        for cell in cells {
            messages.push(json!({"role": "assistant", "content": format!("<execute>\n{cell}\n</execute>")}));
            messages.push(json!({"role": "user", "content": "Observation:\n"}));
        }
        messages.push(json!({"role": "assistant", "content": last}));
        json!({"id": "x", "conversations": messages}).to_string() + "\n"
    }

    #[test]
    fn functions_are_kept_that_give_alone_what_they_gave_in_a_solved_task() {
        let folder = tempfile::tempdir().unwrap();
        let (rows, store) = (folder.path().join("rows.jsonl"), folder.path().join("store"));
        let solved = "<solution>1</solution>";
        let text = [
            row(&["import math\nlimit = 3", AREA], solved),
            // The same under another name, and another one under the same name.
            row(&["def double(z):\n    # Twice.\n    return z * 2\ndouble(4)"], solved),
            row(&["def twice(z):\n    return z * 2\ntwice(1)", "def area(x):\n    return x\narea(1)"], solved),
            row(&["def unsolved(x):\n    return x\nunsolved(1)"], "I do not know."),
            row(&["def no_call(x):\n    return x"], solved),
            row(&["import os\ndef gone(x):\n    return x\ngone(1)\nos._exit(0)"], solved),
            row(&["open('f', 'w').write('7')\ndef read():\n    return open('f').read()\nread()"], solved),
            row(&["print(1)"], solved),
        ];
        std::fs::write(&rows, text.concat()).unwrap();
        let policy = Policy { imports: Vec::new(), ..Policy::default() };
        let done = earn(std::slice::from_ref(&rows), &store, &policy).unwrap();
        let stored: Vec<&str> = done.stored.iter().map(|(signature, _)| signature.as_str()).collect();
        assert_eq!(stored, ["root(x)", "area(r: float) -> float", "double(z)"], "{done:?}");
        let left_out = [
            "alone it does not give what it gave",
            "another one does the same",
            "another one gives its name, or one that it needs, another meaning",
            "it needs more than functions and imports",
            "no call of it gave a plain value",
            "the program did not end as it should",
        ];
        assert_eq!(done.left_out, BTreeMap::from(left_out.map(|why| (why.to_owned(), 1))));
        assert_eq!((done.programs, done.known), (6, 0));

        // They stand alone, together, and are known the next time.
        let kept = SkillStore::open(&store).unwrap();
        let mut session = Session::start(&policy).unwrap();
        let prelude = kept.prelude(&["area", "double"]).unwrap();
        session.run(&prelude, &mut |_| {}).unwrap();
        assert_eq!(session.run("print(area(9), double(2))", &mut |_| {}).unwrap().stdout, "6.0 4\n");
        let (skills, _) = kept.skills().unwrap();
        assert_eq!((skills[0].name.as_str(), skills[0].doc.as_str()), ("area", "Twice the root."));
        let again = earn(&[rows], &store, &policy).unwrap();
        assert_eq!((again.stored.len(), again.known, &again.left_out), (0, 3, &done.left_out));
    }

    /// What was stored, how many functions were known, and why others were left out.
    type Told = (Vec<(String, u64)>, usize, Vec<String>);

    fn earned(folder: &Path, program: &str) -> Told {
        let path = folder.join("program.py");
        std::fs::write(&path, program).unwrap();
        let policy = Policy { imports: Vec::new(), ..Policy::default() };
        let done = earn(&[path], &folder.join("store"), &policy).unwrap();
        (done.stored, done.known, done.left_out.into_keys().collect())
    }

    const DAY: &str = "import datetime\ndef day(y):\n    return str(datetime.date(y, 1, 1))\nday(2020)\n";
    const OTHER_MEANING: &str = "another one gives its name, or one that it needs, another meaning";

    #[test]
    fn a_name_means_one_thing_in_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let year = "from datetime import datetime\ndef year(y):\n    return datetime(y, 1, 1).year\nyear(2020)\n";
        let text = "def str(y):\n    return [y]\nstr(1)\n";
        let path = "import os\ndef up(p):\n    return os.path.dirname(p)\nup('a/b')\n";
        let same = "import os.path\ndef last(p):\n    return os.path.basename(p)\nlast('a/b')\n";
        let kept = |signature: &str| -> Told { (vec![(signature.to_owned(), 1)], 0, Vec::new()) };
        let left: Told = (Vec::new(), 0, vec![OTHER_MEANING.to_owned()]);
        for (program, expected) in
            [(DAY, kept("day(y)")), (year, left.clone()), (text, left), (path, kept("up(p)")), (same, kept("last(p)"))]
        {
            assert_eq!(earned(folder.path(), program), expected, "{program}");
        }
        let store = SkillStore::open(&folder.path().join("store")).unwrap();
        let names: Vec<String> = store.skills().unwrap().0.into_iter().map(|skill| skill.name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut session = Session::start(&Policy { imports: Vec::new(), ..Policy::default() }).unwrap();
        session.run(&store.prelude(&names).unwrap(), &mut |_| {}).unwrap();
        let cell = session.run("print(day(2021), up('a/b'), last('a/b'))", &mut |_| {}).unwrap();
        assert_eq!(cell.stdout, "2021-01-01 a b\n");
    }

    #[test]
    fn what_was_kept_before_is_as_good_as_what_was_kept_now() {
        let folder = tempfile::tempdir().unwrap();
        let told = |program: &str| earned(folder.path(), program);
        let one = |signature: &str, version: u64| -> Told { (vec![(signature.to_owned(), version)], 0, Vec::new()) };
        let left = |why: &str| -> Told { (Vec::new(), 0, vec![why.to_owned()]) };
        let known = |count: usize| -> Told { (Vec::new(), count, Vec::new()) };
        let root = "def root(x):\n    return x ** 0.5\n";
        let area = format!("{root}def area(x):\n    return 2 * root(x)\narea(4)\n");
        let (stored, _, left_out) = told(&area);
        let signatures: Vec<&str> = stored.iter().map(|(signature, _)| signature.as_str()).collect();
        assert_eq!((signatures, left_out.len()), (vec!["root(x)", "area(x)"], 0));
        assert_eq!(told(&area), known(2));
        assert_eq!(told("def side(x):\n    return x ** 0.5\nside(4)"), left("another one does the same"));
        // `area` needs the other one.
        assert_eq!(told("def root(x):\n    return -x\nroot(4)"), left(OTHER_MEANING));
        assert_eq!(told("def half(x):\n    return x / 2\nhalf(4)"), one("half(x)", 1));
        // With another call the same function is no new one, and another function is a new version.
        assert_eq!(told("def half(x):\n    return x / 2\nhalf(6)"), known(1));
        assert_eq!(told("def half(x):\n    return x // 2\nhalf(4)"), one("half(x)", 2));
        assert_eq!(told("def side(x):\n    return x / 2\nside(4)"), one("side(x)", 1));
    }

    #[test]
    fn a_file_of_python_is_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("library.py");
        std::fs::write(&library, "def shout(text):\n    return text.upper()\n\n\nassert shout('a') == 'A'\n").unwrap();
        let policy = Policy { imports: Vec::new(), ..Policy::default() };
        let done = earn(&[library], &folder.path().join("store"), &policy).unwrap();
        assert_eq!(done.stored, [("shout(text)".to_owned(), 1)]);
        assert!(earn(&[folder.path().join("none.jsonl")], folder.path(), &policy).is_err());
    }
}
