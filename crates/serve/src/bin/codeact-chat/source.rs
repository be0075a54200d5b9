//! Where replies come from: a model in this process, or one behind an address.

use std::path::{Path, PathBuf};

use codeact_agent::{AgentOptions, EndpointModel, EndpointOptions, Model};
use codeact_engine::Sampling;
use codeact_eval::{Actor, Sandbox};
use codeact_serve::start_lines;

/// A model, and how it is asked.
pub struct Source {
    pub place: Place,
    pub sampling: Sampling,
    /// Turns that were asked again: each time with another seed.
    pub retries: u64,
}

/// See [`Source`].
pub enum Place {
    /// In this process: as it was loaded, and as it answers now.
    Local { base: Box<Actor>, actor: Box<Actor>, folder: PathBuf, shown: String, adapter: Option<String> },
    /// Behind an address.
    Endpoint { options: EndpointOptions, name: String },
}

impl Source {
    /// A model for one conversation.
    ///
    /// # Errors
    /// When the one behind the address does not answer.
    pub fn model(&self) -> anyhow::Result<Box<dyn Model>> {
        let seed = self.sampling.seed.wrapping_add(self.retries);
        Ok(match &self.place {
            Place::Local { actor, .. } => Box::new(actor.model(Sampling { seed, ..self.sampling.clone() })),
            Place::Endpoint { options, .. } => {
                let options = EndpointOptions { seed: Some(seed), ..options.clone() };
                Box::new(EndpointModel::connect(options)?)
            }
        })
    }

    /// What it was trained with, as far as that is known.
    pub fn options(&self) -> Option<AgentOptions> {
        match &self.place {
            Place::Local { actor, .. } => Some(actor.options()),
            Place::Endpoint { .. } => None,
        }
    }

    /// The line that a conversation begins with.
    pub fn announcement(&self, sandbox: &Sandbox) -> String {
        match &self.place {
            Place::Local { actor, .. } => start_lines(&self.name(), &actor.facts, sandbox),
            Place::Endpoint { .. } => sandbox.announcement(&format!("model {}; ", self.name())),
        }
    }

    /// For people.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Local { shown, adapter: Some(adapter), .. } => format!("{shown} + {adapter}"),
            Place::Local { shown, adapter: None, .. } => shown.clone(),
            Place::Endpoint { options, name } => format!("`{name}` at {}", options.url),
        }
    }

    /// Another one answers from now on: a model behind the same address, or an adapter folder; `base` for the local
    /// model as it was loaded.
    ///
    /// # Errors
    /// When there is no such model; then everything stays.
    pub fn change(&mut self, wanted: &str) -> anyhow::Result<()> {
        match &mut self.place {
            Place::Local { base, actor, adapter, .. } if wanted == "base" => {
                actor.clone_from(base);
                *adapter = None;
            }
            Place::Local { base, actor, folder, adapter, .. } => {
                **actor = base.with_adapter(folder, Path::new(wanted))?;
                *adapter = Some(wanted.to_owned());
            }
            Place::Endpoint { options, name } => {
                let options_new = EndpointOptions { model: Some(wanted.to_owned()), ..options.clone() };
                let model = EndpointModel::connect(options_new.clone())?;
                model.name().clone_into(name);
                *options = options_new;
            }
        }
        Ok(())
    }
}
