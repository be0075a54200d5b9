//! The joint to the model: what the engine needs of one.

use codeact_model::serving::{ServedAdapter, ServedModel};
pub use codeact_model::serving::{Step, Wanted};

/// A model that continues sequences whose keys and values lie in numbered pages.
///
/// What a row gives depends only on its own tokens and positions: not on the other steps of a pass, nor on how many
/// tokens a step brings, nor on the numbers of its pages. That is what makes an answer independent of its company.
pub trait Forward: Send + 'static {
    /// What changes the model for some requests.
    type Adapter: Send + Sync + 'static;

    /// Names an adapter as it was loaded: another load of the same files is another adapter.
    fn adapter_id(adapter: &Self::Adapter) -> u64;

    /// Tokens that an adapter adds behind the model's own.
    fn added_token_count(adapter: &Self::Adapter) -> usize;

    /// Tokens the model knows without an adapter.
    fn vocab_size(&self) -> usize;

    /// The longest sequence the model was made for.
    fn context_tokens_max(&self) -> usize;

    /// Tokens of one page.
    fn page_tokens(&self) -> usize;

    /// How many pages there are, numbered from 0.
    fn page_count(&self) -> usize;

    /// One pass over all `steps`: writes keys and values of their tokens into their pages, over what is there, and
    /// shows what each step wants.
    ///
    /// * `on_row`: gets the index of the step, the index of the token in it, and the row, which it may change. Rows of
    ///   one step come in the order of their tokens.
    ///
    /// # Errors
    /// What the model said. What the pages of these steps hold from `first` on is then undefined.
    fn forward(
        &mut self,
        steps: &[Step<'_, Self::Adapter>],
        on_row: &mut dyn FnMut(usize, usize, &mut [f32]),
    ) -> Result<(), String>;
}

impl Forward for ServedModel {
    type Adapter = ServedAdapter;

    fn adapter_id(adapter: &ServedAdapter) -> u64 {
        adapter.id()
    }

    fn added_token_count(adapter: &ServedAdapter) -> usize {
        adapter.new_token_count()
    }

    fn vocab_size(&self) -> usize {
        self.config().vocab_size
    }

    fn context_tokens_max(&self) -> usize {
        self.config().context_tokens_max
    }

    fn page_tokens(&self) -> usize {
        self.page_tokens()
    }

    fn page_count(&self) -> usize {
        self.page_count()
    }

    fn forward(&mut self, steps: &[Step<'_>], on_row: &mut dyn FnMut(usize, usize, &mut [f32])) -> Result<(), String> {
        self.forward(steps, on_row).map_err(|error| error.to_string())
    }
}
