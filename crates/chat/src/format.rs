//! A chat format: tokenizer, template and stop tokens of one model folder, loaded and saved as Hugging Face does.

mod files;
mod text;

use std::path::Path;

use serde_json::Value;

use crate::conversation::{Conversation, Message, Role};
use crate::error::FormatError;
use crate::render::{Example, Renderer, locate};
use crate::stream::{TokenStream, decode};
use crate::template::{CHATML, ChatTemplate, LLAMA2, MISTRAL};
use crate::token_bytes::token_bytes;
use crate::vocabulary::Vocabulary;

use files::{FormatFiles, token_text};
pub use text::TextToken;

/// Changes whenever the same files give other tokens or another mask than before: what others kept is stale then.
const RULES: &str = "rules of rendering 1";

/// Where ChatML turns begin and end.
const CHATML_TOKENS: [&str; 2] = ["<|im_start|>", "<|im_end|>"];

/// Settings of `tokenizer_config.json` that name a control token; templates may use them as variables.
const NAMED_TOKENS: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

/// Turns conversations into token ids and token ids into text, the way one model was trained.
#[derive(Debug)]
pub struct ChatFormat {
    renderer: Renderer,
    end_of_turn_ids: Vec<u32>,
    files: FormatFiles,
}

impl ChatFormat {
    /// Loads the format of an instruct model: `tokenizer.json`, `tokenizer_config.json`, the chat template (in
    /// `chat_template.jinja` or in the former), and further stop tokens of `generation_config.json`.
    ///
    /// # Errors
    /// When a file is missing or broken, when there is no template, and when the mask cannot be decided with this
    /// template and tokenizer, which is tried on a small conversation.
    pub fn load(model_dir: &Path) -> Result<ChatFormat, FormatError> {
        let files = FormatFiles::read(model_dir)?;
        if files.chat_template.is_none() {
            return Err(FormatError::NoTemplate { path: model_dir.to_owned() });
        }
        ChatFormat::build(files, &[])
    }

    /// Gives a base model without chat template ChatML: a built-in template without default system message, and
    /// `<|im_start|>`, `<|im_end|>`, which are appended to the vocabulary if the tokenizer lacks them (ids 32000 and
    /// 32001 in Llama-2 and Mistral). `<|im_end|>` becomes the end-of-sequence token.
    ///
    /// The model's embedding must have [`ChatFormat::vocab_size`] rows.
    ///
    /// # Errors
    /// When a file is missing or broken, or the tokenizer is not supported.
    pub fn chatml_added(model_dir: &Path) -> Result<ChatFormat, FormatError> {
        let mut files = FormatFiles::read(model_dir)?;
        files.chat_template = Some(CHATML.to_owned());
        files.tokenizer_config.insert("eos_token".to_owned(), Value::from(CHATML_TOKENS[1]));
        let mut format = ChatFormat::build(files, &CHATML_TOKENS)?;
        let vocabulary = &format.renderer.vocabulary;
        let ids = CHATML_TOKENS.map(|token| (token, vocabulary.id_of(token)));
        format.files.describe_chatml(&ids, vocabulary.prefix_ids());
        Ok(format)
    }

    /// Gives a base model the turns of Llama-2-chat, between `[INST]` and `[/INST]`; no token is added, the tokenizer's
    /// end-of-sequence token ends a turn.
    ///
    /// # Errors
    /// When a file is missing or broken, the tokenizer is not supported, or it names no `bos_token` and `eos_token`.
    pub fn llama2(model_dir: &Path) -> Result<ChatFormat, FormatError> {
        ChatFormat::inst(model_dir, LLAMA2)
    }

    /// As [`ChatFormat::llama2`], the turns of Mistral-7B-Instruct.
    ///
    /// # Errors
    /// As [`ChatFormat::llama2`].
    pub fn mistral(model_dir: &Path) -> Result<ChatFormat, FormatError> {
        ChatFormat::inst(model_dir, MISTRAL)
    }

    fn inst(model_dir: &Path, template: &str) -> Result<ChatFormat, FormatError> {
        let mut files = FormatFiles::read(model_dir)?;
        for name in ["bos_token", "eos_token"] {
            if files.tokenizer_config.get(name).and_then(token_text).is_none() {
                let path = model_dir.join("tokenizer_config.json");
                return Err(FormatError::BadFile {
                    path,
                    what: format!("names no `{name}`, which ends or begins turns"),
                });
            }
        }
        files.chat_template = Some(template.to_owned());
        ChatFormat::build(files, &[])
    }

    fn build(mut files: FormatFiles, added: &[&str]) -> Result<ChatFormat, FormatError> {
        let named: Vec<(&'static str, String)> = NAMED_TOKENS
            .into_iter()
            .filter_map(|name| Some((name, token_text(files.tokenizer_config.get(name)?)?)))
            .collect();
        // transformers makes the named tokens special even where tokenizer.json does not say so.
        let of_turns = named.iter().filter(|(name, _)| matches!(*name, "bos_token" | "eos_token"));
        let added = added.iter().map(|token| token.to_string());
        let mut special: Vec<String> = added.collect();
        special.extend(
            of_turns.map(|(_, token)| token.clone()).filter(|token| !special.contains(token)).collect::<Vec<_>>(),
        );
        let path = files.dir.join("tokenizer.json");
        let (vocabulary, json) = Vocabulary::parse(&files.tokenizer_json, &path, &special)?;
        files.tokenizer_json = json;

        let named_id = |wanted| {
            let (_, token) = named.iter().find(|(name, _)| *name == wanted)?;
            vocabulary.id_of(token)
        };
        let (bos_id, eos_id) = (named_id("bos_token"), named_id("eos_token"));
        let template = ChatTemplate::new(files.chat_template.as_deref().unwrap_or_default(), &named)?;
        let renderer = Renderer::new(template, vocabulary, bos_id)?;
        let mut end_of_turn_ids = renderer.turn_end_ids().to_vec();
        for id in eos_id.into_iter().chain(files.generation_stop_ids()?) {
            if !end_of_turn_ids.contains(&id) {
                end_of_turn_ids.push(id);
            }
        }
        Ok(ChatFormat { renderer, end_of_turn_ids, files })
    }

    /// The text of a conversation, as the template writes it. `add_generation_prompt` opens the assistant's turn.
    ///
    /// # Errors
    /// When the template refuses the messages or rewrites one.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, FormatError> {
        Ok(locate(&self.renderer.template, messages, add_generation_prompt)?.text)
    }

    /// The ids from which the model writes the next assistant turn: with generation prompt, and with the
    /// beginning-of-sequence token if the format has one. Control-token text within messages stays text.
    ///
    /// # Errors
    /// When the template refuses the messages or rewrites one.
    pub fn prompt_ids(&self, messages: &[Message]) -> Result<Vec<u32>, FormatError> {
        self.renderer.ids(messages, true)
    }

    /// The ids of a conversation and which of them are learned: the assistant's text and its end-of-turn token.
    ///
    /// # Errors
    /// When the template refuses or rewrites a message, or a promise about the mask would be broken.
    pub fn example(&self, conversation: &Conversation) -> Result<Example, FormatError> {
        let of_assistant = |message: &Message| message.role == Role::Assistant;
        self.example_of(conversation, &conversation.messages.iter().map(of_assistant).collect::<Vec<_>>())
    }

    /// As [`ChatFormat::example`], learned from the messages marked in `is_learned` alone, one flag for each message. Of
    /// a message that is not the assistant's the text is learned, and a control token that follows it at once.
    ///
    /// # Errors
    /// As [`ChatFormat::example`].
    ///
    /// # Panics
    /// When there are not as many flags as messages.
    pub fn example_of(&self, conversation: &Conversation, is_learned: &[bool]) -> Result<Example, FormatError> {
        assert_eq!(conversation.messages.len(), is_learned.len(), "one flag for each message");
        self.renderer.example(conversation, is_learned)
    }

    /// Texts that decide the tokens and the mask of every conversation, in a fixed order: the version of the rules of
    /// rendering, the tokenizer, the template, and the tokens that the template may name.
    pub fn identity(&self) -> Vec<String> {
        let template = &self.renderer.template;
        let mut texts = vec![RULES.to_owned(), self.files.tokenizer_json.clone(), template.source().to_owned()];
        for name in NAMED_TOKENS {
            let token = self.files.tokenizer_config.get(name).and_then(token_text);
            texts.push(format!("{name}={token:?}"));
        }
        texts
    }

    /// Ids at which generation stops, the template's own first. Never empty.
    pub fn end_of_turn_ids(&self) -> &[u32] {
        &self.end_of_turn_ids
    }

    /// Largest token id plus one.
    pub fn vocab_size(&self) -> usize {
        self.renderer.vocabulary.size()
    }

    /// The id of a token by its exact text, for example `<|im_end|>`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.renderer.vocabulary.id_of(token)
    }

    /// The ids of a plain text, without control tokens even where the text spells one.
    ///
    /// # Errors
    /// When the tokenizer's pattern gives up on the text (it bounds how far it backtracks).
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.renderer.vocabulary.encode_text(text)
    }

    /// The text of ids. `skip_special` leaves control tokens out.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        decode(self.renderer.vocabulary.tokenizer(), ids, skip_special)
    }

    /// For each id below [`ChatFormat::vocab_size`], the bytes it adds to an answer; `None` for control tokens, and for
    /// ids that stand for no text. A token may hold only a part of a character.
    pub fn token_bytes(&self) -> Vec<Option<Vec<u8>>> {
        token_bytes(self.renderer.vocabulary.tokenizer(), self.vocab_size())
    }

    /// Decodes the tokens of one answer while they arrive.
    pub fn stream(&self) -> TokenStream {
        TokenStream::new(self.renderer.vocabulary.tokenizer().clone(), self.renderer.prompt_tail_ids())
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`, `chat_template.jinja` and
    /// `generation_config.json` (with the stop tokens) into `dir`, which is created if missing. The folder loads in
    /// transformers and with [`ChatFormat::load`].
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), FormatError> {
        self.files.write(dir, &self.end_of_turn_ids)
    }
}
