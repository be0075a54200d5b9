//! The joint to the model: what the engine needs of one.

use codeact_model::serving::card::CardModel;
pub use codeact_model::serving::{Choice, Row, Step, Wanted};
use codeact_model::serving::{ServedAdapter, ServedModel};

/// A model that continues sequences whose keys and values lie in numbered pages.
///
/// What a row gives depends only on its own tokens and positions: not on the other steps of a pass, nor on how many
/// tokens a step brings, nor on the numbers of its pages. That is what makes an answer independent of its company. The
/// model on the processor holds it bit for bit; that on a card for steps of few tokens ([`CardModel`] says how far).
pub trait Forward: Send + 'static {
    /// What changes the model for some requests.
    type Adapter: Send + Sync + 'static;

    /// Names an adapter as it was loaded: another load of the same files is another adapter.
    fn adapter_id(adapter: &Self::Adapter) -> u64;

    /// Tokens that an adapter adds behind the model's own.
    fn added_token_count(adapter: &Self::Adapter) -> usize;

    /// Whether the model can go through an adapter.
    ///
    /// # Errors
    /// Why not.
    fn check_adapter(adapter: &Self::Adapter) -> Result<(), String> {
        let _ = adapter;
        Ok(())
    }

    /// Guessed tokens that a step may bring at most without being slower for it.
    fn draft_tokens_max(&self) -> usize {
        usize::MAX
    }

    /// Whether [`Wanted::Tokens`] is answered with tokens.
    fn chooses(&self) -> bool {
        false
    }

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
    /// * `on_row`: gets the index of the step, the index of the token in it, and its row. Rows of one step come in the
    ///   order of their tokens.
    ///
    /// # Errors
    /// What the model said. What the pages of these steps hold from `first` on is then undefined.
    fn forward(
        &mut self,
        steps: &[Step<'_, Self::Adapter>],
        on_row: &mut dyn FnMut(usize, usize, Row<'_>),
    ) -> Result<(), String>;
}

/// What the model on the processor and that on a card are asked alike.
macro_rules! shape_of {
    () => {
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
    };
}

impl Forward for ServedModel {
    shape_of!();

    fn forward(&mut self, steps: &[Step<'_>], on_row: &mut dyn FnMut(usize, usize, Row<'_>)) -> Result<(), String> {
        let mut on_values = |step: usize, token: usize, row: &mut [f32]| on_row(step, token, Row::Values(row));
        self.forward(steps, &mut on_values).map_err(|error| error.to_string())
    }
}

impl Forward for CardModel {
    shape_of!();

    fn check_adapter(adapter: &ServedAdapter) -> Result<(), String> {
        CardModel::check_adapter(adapter).map_err(|error| error.to_string())
    }

    fn draft_tokens_max(&self) -> usize {
        // Beside them the token that is known.
        CardModel::small_tokens_max() - 1
    }

    fn chooses(&self) -> bool {
        self.chooses()
    }

    fn forward(&mut self, steps: &[Step<'_>], on_row: &mut dyn FnMut(usize, usize, Row<'_>)) -> Result<(), String> {
        self.forward_rows(steps, on_row).map_err(|error| error.to_string())
    }
}
