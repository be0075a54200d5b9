//! Which solved tasks are shown before a task: those whose words are most like its own, and never the task itself.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codeact_agent::{ActionFormat, AgentError, Model};
use codeact_chat::{Message, Role};
use codeact_sandbox::skills::{Terms, scores};

use super::rows::{Solved, solved_rows};
use crate::{EvalError, Task};

/// How many of the most similar conversations are looked at for some that fit.
const CANDIDATES_MAX: usize = 64;
/// Words from which on an example is the task itself, with less text: fewer stand in many tasks.
const WORDS_MIN: usize = 8;
/// Characters for which a token is counted where the model does not count: fewer than tokens mostly have.
const CHARS_PER_TOKEN: usize = 3;

/// A solved task.
#[derive(Debug)]
pub struct Example {
    /// What is shown.
    solved: Solved,
    /// What the user says, by its words alone: the task first.
    said: Vec<String>,
}

impl Example {
    /// Its name: that of its row, or where it has none, its place in the file.
    pub fn id(&self) -> &str {
        &self.solved.id
    }

    /// What is shown: user and assistant in turn, without a system message.
    pub fn messages(&self) -> &[Message] {
        &self.solved.messages
    }

    /// Whether it is this task, solved: by id, because a user message is or holds the same prompt, or because the prompt
    /// holds all that the example begins with.
    fn is_of(&self, task: &Task, prompt: &str) -> bool {
        let is_named = [Some(self.id()), self.solved.task.as_deref()].contains(&Some(task.id.as_str()));
        is_named
            || match prompt.trim().is_empty() {
                // A prompt without a word is the same where it is the same text.
                true => self.messages().iter().any(|message| message.content.trim() == task.prompt.trim()),
                false => {
                    let first = &self.said[0];
                    self.said.iter().any(|said| said.contains(prompt))
                        || (first.split_whitespace().count() >= WORDS_MIN && prompt.contains(first.as_str()))
                }
            }
    }

    /// Tokens of its texts.
    fn tokens(&self, model: &dyn Model) -> usize {
        let count = |message: &Message| {
            let guess = || message.content.chars().count().div_ceil(CHARS_PER_TOKEN);
            model.count_tokens(&message.content).unwrap_or_else(guess)
        };
        self.messages().iter().map(count).sum()
    }
}

/// The solved tasks of a file.
#[derive(Debug)]
pub struct Examples {
    path: PathBuf,
    examples: Vec<Example>,
    /// What the task of each is about.
    documents: Vec<Terms>,
    digest: String,
}

impl Examples {
    /// Reads the conversations of a file, and keeps those that solved their task.
    ///
    /// # Errors
    /// When the file cannot be read, a line is no conversation, or none solved its task.
    pub fn load(path: &Path) -> Result<Examples, EvalError> {
        let (solved, digest) = solved_rows(path)?;
        if solved.is_empty() {
            let what = format!("`{}` has no conversation that could be an example", path.display());
            let hint = "hint: one begins with the user and ends with the assistant, in turn, and with a <solution>";
            return Err(EvalError::Options(format!("{what}\n{hint}")));
        }
        let mut examples = Vec::with_capacity(solved.len());
        let mut documents = Vec::with_capacity(solved.len());
        for (index, mut solved) in solved.into_iter().enumerate() {
            if solved.id.is_empty() {
                solved.id = format!("{index}");
            }
            let said = solved.messages.iter().filter(|message| message.role == Role::User);
            let said: Vec<String> = said.map(|message| words(&message.content)).collect();
            let mut document = Terms::default();
            document.add(&about(&solved.messages[0].content), 1);
            documents.push(document);
            examples.push(Example { solved, said });
        }
        Ok(Examples { path: path.to_owned(), examples, documents, digest })
    }

    /// Whether there are some in this form of action.
    ///
    /// # Errors
    /// When there are none: they would teach another form than the one that is asked for.
    pub fn check(&self, format: ActionFormat) -> Result<(), EvalError> {
        match self.examples.iter().any(|example| example.solved.format == format) {
            true => Ok(()),
            false => {
                let (path, name) = (self.path.display(), format.name());
                let hint = "hint: give conversations in that form, or another `--action-format`";
                Err(EvalError::Options(format!("`{path}` has no example with actions as {name}\n{hint}")))
            }
        }
    }
}

/// Examples, and how much of them is shown.
#[derive(Debug, Clone)]
pub struct Shots {
    /// Those that there are.
    pub examples: Arc<Examples>,
    /// How many are shown at most.
    pub count_max: usize,
    /// Tokens that their texts may take, all together.
    pub tokens_max: usize,
}

impl Shots {
    /// What results depend on, in a line.
    pub fn line(&self) -> String {
        let Examples { path, examples, digest, .. } = self.examples.as_ref();
        let (most, tokens, count) = (self.count_max, self.tokens_max, examples.len());
        format!("{most} of {count} in {} within {tokens} tokens, {}", path.display(), &digest[..16])
    }

    /// The solved tasks that are most like `task`, by BM25 over the words of what the user asks for, numbers aside; the
    /// most similar last, next to the task. Equals go by their place in the file. Not among them: the task itself, one
    /// task twice, and what has no word in common with it.
    ///
    /// They take at most `tokens_max` tokens and, where the model knows its context, with everything else half of what a
    /// prompt may have, so that there is room to act. One that does not fit is passed over for the next.
    ///
    /// * `head`: the system message and the task, as the model will see them.
    ///
    /// # Errors
    /// When the messages cannot be turned into a prompt.
    pub fn choose(
        &self,
        task: &Task,
        format: ActionFormat,
        model: &dyn Model,
        head: &[Message; 2],
    ) -> Result<Vec<&Example>, AgentError> {
        let Examples { examples, documents, .. } = self.examples.as_ref();
        let prompt = words(&task.prompt);
        let scores = scores(documents, &about(&task.prompt));
        let is_candidate = |index: &usize| {
            let example = &examples[*index];
            scores[*index] > 0.0 && example.solved.format == format && !example.is_of(task, &prompt)
        };
        let mut order: Vec<usize> = (0..examples.len()).filter(is_candidate).collect();
        // All scores are above 0, where bits are in the order of numbers.
        order.sort_by_key(|index| (Reverse(scores[*index].to_bits()), *index));
        let (mut chosen, mut left): (Vec<&Example>, usize) = (Vec::new(), self.tokens_max);
        for index in order.into_iter().take(CANDIDATES_MAX) {
            if chosen.len() == self.count_max {
                break;
            }
            let example = &examples[index];
            let cost = example.tokens(model);
            if cost > left || chosen.iter().any(|other| other.said[0] == example.said[0]) {
                continue;
            }
            chosen.push(example);
            let shown = chosen.iter().flat_map(|example| example.messages());
            let messages: Vec<Message> = head[..1].iter().chain(shown).chain(&head[1..]).cloned().collect();
            match model.room(&messages)? {
                Some(room) if 2 * room.prompt_tokens > room.prompt_tokens_max => {
                    chosen.pop();
                }
                _ => left -= cost,
            }
        }
        chosen.reverse();
        Ok(chosen)
    }
}

/// Words and numbers in lower case with one blank around each, so that texts which differ in nothing else are the same,
/// and one holds another only in whole words.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 2);
    words.push(' ');
    for letter in text.chars() {
        if letter.is_alphanumeric() {
            words.extend(letter.to_lowercase());
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

/// A task without its numbers: they say nothing about its kind, and each is rare, so that they would decide everything.
fn about(text: &str) -> String {
    text.replace(|letter: char| letter.is_numeric(), " ")
}
