//! Who is asked.

use codeact_agent::{ActionFormat, Profile, Wording};
use codeact_engine::EngineLimits;
use codeact_model::serving::ServingOptions;

use crate::measure::{Entrant, Place};
use crate::{EvalError, Solver};

/// One of those that are asked: opened when it is its turn, and closed before the next one is.
pub struct Teacher<'a> {
    /// What it is called.
    pub name: String,
    /// A model's folder, file or name, or an address and the name there.
    pub model: String,
    /// The adapter on top of it.
    pub adapter: Option<String>,
    /// What tells it from another one of the same name: its files, and how it is loaded and asked.
    pub fingerprint: String,
    /// Makes it ready.
    pub open: Box<dyn Fn() -> Result<Solver, EvalError> + 'a>,
}

impl<'a> Teacher<'a> {
    /// One that was found.
    ///
    /// * `serving`, `limits`: for a model in this process.
    /// * `wording`: profile and form of actions in place of what it was trained with.
    pub fn of(
        entrant: &'a Entrant,
        serving: &'a ServingOptions,
        limits: &'a EngineLimits,
        wording: (Option<Profile>, Option<ActionFormat>),
    ) -> Teacher<'a> {
        let (model, adapter) = match &entrant.contestant.place {
            Place::Here { model, adapter } => (model.clone(), adapter.as_ref().map(|path| path.display().to_string())),
            Place::Elsewhere { .. } => (entrant.fingerprint.clone(), None),
        };
        let Wording { profile, format } = &entrant.wording;
        let fingerprint = format!(
            "{}, {:?} on the {:?}, profile {}, actions as {}",
            entrant.fingerprint,
            serving.weights,
            serving.place,
            wording.0.as_ref().unwrap_or(profile).name(),
            wording.1.unwrap_or(*format).name(),
        );
        let open = move || {
            let mut solver = entrant.load(None, serving, limits.clone())?;
            solver.worded(wording.0.clone(), wording.1);
            Ok(solver)
        };
        Teacher { name: entrant.contestant.name.clone(), model, adapter, fingerprint, open: Box::new(open) }
    }
}
