//! Functions that an agent defined and that proved useful, kept with their tests for later sessions.
//!
//! A store is a folder with one folder per skill: `skill.json`, `skill.py`, `tests.py`, and older versions under
//! `versions/`. Nothing is stored before its tests have passed in a fresh sandbox, which the caller runs, and nothing
//! is offered that was changed since. What a skill says about itself was written by a model: it is data, and the code
//! runs in a sandbox or nowhere. Processes may share a store.

mod candidate; // read first: what may become a skill

mod folder; // one skill on the disk

mod terms; // search by words, for others too

#[cfg(test)]
mod tests;

pub use candidate::{Candidate, Unfit};
pub use folder::Skill;
pub use terms::{Terms, scores};

use folder::Stored;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const LOCK: &str = ".lock";
/// Skills in one store; each is read for every search.
const SKILLS_MAX: usize = 10_000;

/// How much a word counts in the name, the signature, the description and the source.
const WEIGHTS: [u32; 4] = [4, 2, 3, 1];

/// A folder of skills.
#[derive(Debug, Clone)]
pub struct SkillStore {
    root: PathBuf,
}

/// What the tests of a candidate said, in a fresh sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The program ran to its end.
    Passed,
    /// It did not, for this reason.
    Failed(String),
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// Stored as this version.
    Stored {
        /// Counts from 1.
        version: u64,
    },
    /// It was there already, with the same source and tests.
    Known {
        /// Counts from 1.
        version: u64,
    },
    /// Its tests failed, for this reason; nothing was stored.
    Rejected(String),
}

/// A skill that answers a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The skill.
    pub skill: Skill,
    /// How well it answers; only its order means something.
    pub score: f64,
}

/// A folder of the store that is no usable skill, and is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, reason) = (self.path.display(), &self.reason);
        write!(formatter, "skill `{path}` is passed over: {reason}\nhint: delete the folder, or add the skill again")
    }
}

/// The answer to a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Best first.
    pub hits: Vec<Hit>,
    /// What could not be searched.
    pub problems: Vec<Problem>,
}

/// Why a store could not do what it was asked to. `E` is the error of the caller's verification.
#[derive(Debug, thiserror::Error)]
pub enum SkillError<E = std::convert::Infallible> {
    /// The candidate breaks a rule.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The verification itself failed, so that nothing is known.
    #[error("verifying skill `{name}` failed")]
    Verify {
        /// The candidate.
        name: String,
        /// The reason.
        source: E,
    },
    /// There is no such skill.
    #[error("there is no skill `{name}`\nhint: search for one")]
    Unknown {
        /// The name.
        name: String,
    },
    /// There is something with this name that is no usable skill.
    #[error("{0}")]
    Damaged(Problem),
    /// The store has as many skills as it may.
    #[error("the store has {SKILLS_MAX} skills, which is the limit\nhint: delete folders of skills that are not used")]
    Full,
    /// A call of the system failed.
    #[error("{action} the skills in `{}` failed", path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// The folder of the store.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl SkillStore {
    /// Open the store in `root`, which is made if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(root: &Path) -> Result<SkillStore, SkillError> {
        let store = SkillStore { root: root.to_path_buf() };
        std::fs::create_dir_all(root).map_err(|source| store.failed("opening", source))?;
        match store.locked() {
            Ok(_lock) => folder::recover(root).map_err(|source| store.failed("recovering", source))?,
            // A store that others fill may be read all the same.
            Err(error) if is_read_only(&error) => {}
            Err(error) => return Err(store.failed("locking", error)),
        }
        Ok(store)
    }

    /// Have `verify` run the candidate's source and tests in a fresh sandbox, and store it if they pass. A new source
    /// or new tests under a known name become its new version, with counts from 0; the old one is kept.
    ///
    /// # Errors
    /// When the candidate breaks a rule, the verification fails to say anything, or the disk fails. Tests that fail are
    /// no error.
    pub fn add<E>(
        &self,
        candidate: &Candidate,
        verify: &mut dyn FnMut(&str) -> Result<Verdict, E>,
    ) -> Result<Added, SkillError<E>> {
        candidate.check()?;
        let source_hash = candidate::hash(&candidate.source, &candidate.tests);
        let known = |old: &Stored| old.skill.source_hash == source_hash;
        let path = self.root.join(&candidate.name);
        if let Ok(old) = self.reading(|| folder::read(&path, &candidate.name))
            && known(&old)
        {
            return Ok(Added::Known { version: old.skill.version });
        }
        // Takes seconds, in which others may use the store.
        let verdict = verify(&candidate.program());
        let verdict = verdict.map_err(|source| SkillError::Verify { name: candidate.name.clone(), source })?;
        if let Verdict::Failed(reason) = verdict {
            return Ok(Added::Rejected(reason));
        }
        let _lock = self.locked().map_err(|source| self.failed("locking", source))?;
        folder::recover(&self.root).map_err(|source| self.failed("recovering", source))?;
        let old = folder::read(&path, &candidate.name).ok();
        if let Some(old) = old.as_ref().filter(|old| known(old)) {
            return Ok(Added::Known { version: old.skill.version });
        }
        if old.is_none() && self.names().map_err(|source| self.failed("listing", source))?.len() >= SKILLS_MAX {
            return Err(SkillError::Full);
        }
        let version = old.as_ref().map_or(1, |old| old.skill.version.saturating_add(1));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let created_ms = since.as_millis().try_into().unwrap_or(u64::MAX);
        let Candidate { name, signature, doc, source, tests } = candidate.clone();
        let skill = Skill { name, signature, doc, version, created_ms, uses: 0, successes: 0, source_hash };
        folder::replace(&self.root, &Stored { skill, source, tests }, old.as_ref())
            .map_err(|source| self.failed("writing", source))?;
        Ok(Added::Stored { version })
    }

    /// The skills that answer `query` best, at most `limit`. Those that often failed come later; ties go by name.
    ///
    /// # Errors
    /// When the folder cannot be read. Damaged skills are no error.
    pub fn search(&self, query: &str, limit: usize) -> Result<Found, SkillError> {
        let (stored, problems) = self.reading(|| self.read_all()).map_err(|source| self.failed("reading", source))?;
        let documents: Vec<Terms> = stored.iter().map(document).collect();
        let scored = stored.into_iter().zip(terms::scores(&documents, query));
        let mut hits: Vec<Hit> = scored
            .filter(|(_, score)| *score > 0.0)
            .map(|(Stored { skill, .. }, score)| Hit { score: score * reliability(&skill), skill })
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.skill.name.cmp(&b.skill.name)));
        hits.truncate(limit);
        Ok(Found { hits, problems })
    }

    /// All skills by name, and what could not be read.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn skills(&self) -> Result<(Vec<Skill>, Vec<Problem>), SkillError> {
        let (stored, problems) = self.reading(|| self.read_all()).map_err(|source| self.failed("reading", source))?;
        Ok((stored.into_iter().map(|stored| stored.skill).collect(), problems))
    }

    /// Count a use of a skill, and whether it went well.
    ///
    /// # Errors
    /// When there is no such skill, it is damaged, or the disk fails.
    pub fn record_use(&self, name: &str, success: bool) -> Result<(), SkillError> {
        let _lock = self.locked().map_err(|source| self.failed("locking", source))?;
        let mut skill = self.read_one(name)?.skill;
        skill.uses = skill.uses.saturating_add(1);
        skill.successes = skill.successes.saturating_add(u64::from(success));
        folder::write_about(&self.root.join(name), &skill).map_err(|source| self.failed("writing", source))
    }

    /// Python that defines these skills in a new session, each once, in the order given.
    ///
    /// # Errors
    /// When one of them is unknown or damaged.
    pub fn prelude(&self, names: &[&str]) -> Result<String, SkillError> {
        let mut prelude = String::new();
        for (index, name) in names.iter().enumerate().filter(|(index, name)| !names[..*index].contains(name)) {
            let Stored { skill, source, .. } = self.reading(|| self.read_one(name))?;
            prelude.push_str(if index == 0 { "" } else { "\n\n" });
            prelude.push_str(&format!("# skill {name}, version {}\n{}\n", skill.version, source.trim_end()));
        }
        Ok(prelude)
    }

    fn read_one(&self, name: &str) -> Result<Stored, SkillError> {
        candidate::check_name(name)?;
        let path = self.root.join(name);
        if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Err(SkillError::Unknown { name: name.to_string() });
        }
        folder::read(&path, name).map_err(|reason| SkillError::Damaged(Problem { path, reason }))
    }

    fn read_all(&self) -> io::Result<(Vec<Stored>, Vec<Problem>)> {
        let (mut stored, mut problems) = (Vec::new(), Vec::new());
        for name in self.names()? {
            let path = self.root.join(&name);
            // A name that is not UTF-8 is no identifier either.
            match folder::read(&path, &name.to_string_lossy()) {
                Ok(skill) => stored.push(skill),
                Err(reason) => problems.push(Problem { path, reason }),
            }
        }
        Ok((stored, problems))
    }

    /// Names in the folder, sorted, without those that begin with a dot: they are this module's own, or no skills.
    fn names(&self) -> io::Result<Vec<std::ffi::OsString>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            if !name.as_encoded_bytes().starts_with(b".") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Keep others, in this process or another, from changing the store until this is dropped.
    fn locked(&self) -> io::Result<File> {
        let path = self.root.join(LOCK);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        Ok(file)
    }

    /// Read without a change underway. Where no lock can be had the store cannot be changed from here, and a skill that
    /// is being replaced is missed for a moment.
    fn reading<T>(&self, read: impl FnOnce() -> T) -> T {
        let lock = File::open(self.root.join(LOCK)).and_then(|file| file.lock_shared().map(|()| file));
        let result = read();
        drop(lock);
        result
    }

    fn failed<E>(&self, action: &'static str, source: io::Error) -> SkillError<E> {
        SkillError::System { action, path: self.root.clone(), source }
    }
}

/// What a skill is about, in words.
fn document(stored: &Stored) -> Terms {
    let Stored { skill, source, .. } = stored;
    let mut terms = Terms::default();
    for (text, weight) in [&skill.name, &skill.signature, &skill.doc, source].into_iter().zip(WEIGHTS) {
        terms.add(text, weight);
    }
    terms
}

/// Between 1/2 and 1: how far what was seen speaks against a skill. One that was never used is not held back.
fn reliability(skill: &Skill) -> f64 {
    0.5 + 0.5 * (skill.successes as f64 + 1.0) / (skill.uses as f64 + 1.0)
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}
