//! The models that requests can name: the base, and adapters on it that come and go while it serves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use codeact_chat::ChatFormat;
use codeact_eval::{Actor, EvalError};
use codeact_grammar::{GrammarError, Vocabulary};
use codeact_model::source::ModelFiles;
use serde_json::{Value, json};

use crate::edge::Taken;
use crate::error::ErrorKind;
use crate::{ApiError, AppState};

/// Adapters at once.
pub(crate) const ADAPTERS_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 64;
/// How much shorter a text may get before it is cut into tokens: letters and their accents become one.
const NORMALISED: usize = 2;

/// A model that a request can name. Who holds one keeps using it, also when it is replaced or unloaded.
#[derive(Clone)]
pub(crate) struct Target {
    /// `base`, or `base:adapter`.
    pub name: Arc<str>,
    pub actor: Actor,
    pub words: Arc<Words>,
    /// Tokens that prompts may have.
    pub vocab_size: usize,
}

/// What tokens stand for.
pub(crate) struct Words {
    format: Arc<ChatFormat>,
    bytes: OnceLock<Vec<Option<Vec<u8>>>>,
    longest: OnceLock<usize>,
    /// For grammars. Made when the first request wants one.
    vocabulary: OnceLock<Result<Arc<Vocabulary>, GrammarError>>,
}

/// All of them.
pub struct Models {
    base: Target,
    /// The small files of the base stay with it: adapters take what they do not bring from there.
    files: ModelFiles,
    adapters: RwLock<BTreeMap<String, Loaded>>,
    /// Below it lie the folders that may be loaded while serving.
    adapter_dir: Option<PathBuf>,
    /// Held while one is loaded: several at once would only take memory from each other.
    loading: Mutex<()>,
    started: u64,
}

#[derive(Clone)]
struct Loaded {
    target: Target,
    folder: PathBuf,
    /// Unix time in seconds.
    created: u64,
}

impl Words {
    fn new(format: Arc<ChatFormat>) -> Words {
        Words { format, bytes: OnceLock::new(), longest: OnceLock::new(), vocabulary: OnceLock::new() }
    }

    fn all(&self) -> &[Option<Vec<u8>>] {
        self.bytes.get_or_init(|| self.format.token_bytes())
    }

    /// The bytes of a token; those of its name, if it is a control token.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        match self.all().get(id as usize) {
            Some(Some(bytes)) => bytes.clone(),
            _ => self.format.decode(&[id], false).into_bytes(),
        }
    }

    /// For grammars.
    ///
    /// # Errors
    /// When these tokens cannot spell one.
    pub fn vocabulary(&self) -> Result<Arc<Vocabulary>, GrammarError> {
        let made = self.vocabulary.get_or_init(|| Vocabulary::new(self.all(), self.format.end_of_turn_ids()));
        made.clone()
    }

    /// Bytes of the longest token.
    pub fn longest(&self) -> usize {
        let of = |id: usize| self.bytes(u32::try_from(id).unwrap_or(u32::MAX)).len();
        *self.longest.get_or_init(|| (0..self.all().len()).map(of).max().unwrap_or(1))
    }

    /// The same as text; parts of characters become U+FFFD.
    pub fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(&self.bytes(id)).into_owned()
    }
}

impl Target {
    /// Memory to tokenise a text, unless it is so long that its tokens could not fit in the context.
    ///
    /// * `param`: the field it stands in.
    ///
    /// # Errors
    /// When it is too long (400), or other requests take all memory (429).
    pub fn room_for(&self, text_bytes: usize, param: &str, state: &AppState) -> Result<Taken, ApiError> {
        let context = self.actor.engine.context_tokens_max();
        if text_bytes > context.saturating_mul(self.words.longest()).saturating_mul(NORMALISED) {
            let message = format!(
                "the context of this model is {context} tokens, but a text of {text_bytes} bytes is more than so many\nhint: shorten `{param}`"
            );
            return Err(ApiError::new(ErrorKind::ContextLength, message).of(param));
        }
        state.edge.memory_for_tokens(text_bytes)
    }

    fn new(name: String, actor: Actor, words: Arc<Words>) -> Target {
        let adapter = actor.adapter.as_ref();
        let vocab_size = actor.engine.vocab_size() + adapter.map_or(0, |adapter| adapter.new_token_count());
        Target { name: name.into(), actor, words, vocab_size }
    }
}

impl Models {
    /// * `base`: serves under `name`.
    /// * `files`: what it was loaded from.
    /// * `adapter_dir`: below it lie the folders that requests may load; `None`: none may.
    pub fn new(base: Actor, name: String, files: ModelFiles, adapter_dir: Option<PathBuf>) -> Models {
        let words = Arc::new(Words::new(Arc::clone(&base.format)));
        let base = Target::new(name, base, words);
        let started = now();
        Models { base, files, adapters: RwLock::default(), adapter_dir, loading: Mutex::new(()), started }
    }

    pub(crate) fn base(&self) -> &Target {
        &self.base
    }

    /// What a request's `model` names: nothing or the base's name, `base:adapter`, or `adapter` alone.
    ///
    /// # Errors
    /// When there is no such model: 404.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Target, ApiError> {
        let base = &*self.base.name;
        let Some(name) = name.filter(|name| *name != base) else { return Ok(self.base.clone()) };
        let adapter = name.strip_prefix(base).and_then(|rest| rest.strip_prefix(':')).unwrap_or(name);
        let adapters = self.adapters.read().unwrap_or_else(PoisonError::into_inner);
        match adapters.get(adapter) {
            Some(loaded) => Ok(loaded.target.clone()),
            None => {
                let message = format!("there is no model {}; this server has {}", shown(name), self.names(&adapters));
                Err(ApiError::new(ErrorKind::ModelNotFound, message).of("model"))
            }
        }
    }

    fn names(&self, adapters: &BTreeMap<String, Loaded>) -> String {
        let adapters = adapters.values().map(|loaded| &*loaded.target.name);
        let names = std::iter::once(&*self.base.name).chain(adapters).map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The adapters by the names that requests use for them.
    pub(crate) fn adapter_names(&self) -> Vec<String> {
        self.adapters.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        1 + self.adapters.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// As `/v1/models` lists them.
    pub(crate) fn cards(&self) -> Vec<Value> {
        let adapters = self.adapters.read().unwrap_or_else(PoisonError::into_inner);
        let base = std::iter::once(self.base_card());
        base.chain(adapters.values().map(|loaded| self.adapter_card(loaded))).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// As [`Models::find`].
    pub(crate) fn card(&self, name: &str) -> Result<Value, ApiError> {
        let target = self.find(Some(name))?;
        let cards = self.cards();
        let found = cards.into_iter().find(|card| card["id"] == *target.name);
        found.ok_or_else(|| ApiError::new(ErrorKind::ModelNotFound, "this model was unloaded just now"))
    }

    fn base_card(&self) -> Value {
        self.new_card(&self.base, self.started)
    }

    fn adapter_card(&self, loaded: &Loaded) -> Value {
        let mut card = self.new_card(&loaded.target, loaded.created);
        card["parent"] = json!(&*self.base.name);
        card["root"] = json!(loaded.folder);
        card
    }

    fn new_card(&self, target: &Target, created: u64) -> Value {
        let context = target.actor.engine.context_tokens_max();
        json!({
            "id": &*target.name, "object": "model", "created": created, "owned_by": "codeact", "max_model_len": context,
        })
    }

    /// Loads an adapter, or another one in the place of that name. Blocks. Requests that run keep the one they have.
    ///
    /// # Errors
    /// When the folder does not hold an adapter of this model.
    pub fn load(&self, name: &str, folder: &Path) -> Result<Value, EvalError> {
        let actor = self.base.actor.with_adapter(self.files.folder(), folder)?;
        let is_own = !folder.join("tokenizer.json").exists();
        let words = if is_own { Arc::clone(&self.base.words) } else { Arc::new(Words::new(Arc::clone(&actor.format))) };
        let target = Target::new(format!("{}:{name}", self.base.name), actor, words);
        let loaded = Loaded { target, folder: folder.to_owned(), created: now() };
        let card = self.adapter_card(&loaded);
        self.adapters.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), loaded);
        Ok(card)
    }

    /// As [`Models::load`], for a request: `path` must lie below the folder that is set up for this.
    ///
    /// * `is_replacement`: whether there may be one of that name.
    ///
    /// # Errors
    /// When requests may load none, or not this one, or it does not fit.
    pub(crate) fn load_from(&self, name: &str, path: &str, is_replacement: bool) -> Result<Value, ApiError> {
        let folder = self.allowed(path)?;
        if !is_adapter_name(name) || name == &*self.base.name {
            let message = format!(
                "`lora_name` is {}; it must have letters, digits, `.`, `_` and `-` only, {NAME_CHARS_MAX} at most, and not be the model's",
                shown(name)
            );
            return Err(ApiError::invalid("lora_name", message));
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_there, count) = {
            let adapters = self.adapters.read().unwrap_or_else(PoisonError::into_inner);
            (adapters.contains_key(name), adapters.len())
        };
        if is_there && !is_replacement {
            let message = format!("there is an adapter `{name}` already\nhint: `load_inplace`: true replaces it");
            return Err(ApiError::conflict(message));
        }
        if !is_there && count >= ADAPTERS_MAX {
            return Err(ApiError::conflict(format!("there are {ADAPTERS_MAX} adapters already; unload one")));
        }
        self.load(name, &folder).map_err(|error| {
            // What was asked for is in the file system; the caller must see why it does not load.
            let causes = with_sources(&error);
            ApiError::invalid("lora_path", format!("the adapter does not load: {causes}"))
        })
    }

    fn allowed(&self, path: &str) -> Result<PathBuf, ApiError> {
        let Some(dir) = &self.adapter_dir else {
            let message = "adapters are not loaded on request here\nhint: `model.adapter_dir` in the settings names a folder of those that may";
            return Err(ApiError::not_found(message));
        };
        // Followed to their ends, so that neither `..` nor a link leads out.
        let folder = dir.canonicalize().and_then(|dir| Ok((dir.join(path).canonicalize()?, dir)));
        match folder {
            Ok((folder, dir)) if folder.starts_with(&dir) && folder != dir && folder.is_dir() => Ok(folder),
            _ => Err(ApiError::invalid("lora_path", "`lora_path` is not a folder below the one for adapters")),
        }
    }

    /// Forgets an adapter. Requests that run keep it.
    ///
    /// # Errors
    /// When there is none of that name: 404.
    pub(crate) fn unload(&self, name: &str) -> Result<(), ApiError> {
        if self.adapter_dir.is_none() {
            return Err(ApiError::not_found("adapters are not unloaded on request here"));
        }
        let removed = self.adapters.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        // Dropped after the lock.
        removed.map(drop).ok_or_else(|| ApiError::not_found(format!("there is no adapter {}", shown(name))))
    }
}

/// Whether requests can name an adapter so.
pub(crate) fn is_adapter_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.bytes().all(is_plain)
}

fn shown(name: &str) -> String {
    crate::fields::shown(&Value::from(name))
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
