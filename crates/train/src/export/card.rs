//! `README.md` of an export: what it is, what it learned, how well, and how to run it.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::manifest::{Kind, Manifest};
use super::markdown::{code, shell, yaml};
use super::training::{Amount, DataUsed, Training};
use crate::standing::Solved;

/// Longest part of a base's README that is read for its licence.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Everything a card tells.
pub(super) struct Card<'a> {
    pub(super) manifest: &'a Manifest,
    /// Where the folder will lie.
    pub(super) target: &'a Path,
    /// Of the base, where its folder says it.
    pub(super) license: Option<String>,
}

impl Card<'_> {
    /// The whole file.
    pub(super) fn text(&self) -> String {
        let mut text = self.header();
        self.introduction(&mut text);
        if let Some(training) = &self.manifest.training {
            data_section(&mut text, training);
            training_section(&mut text, training);
        }
        self.check_section(&mut text);
        self.usage_section(&mut text);
        self.license_section(&mut text);
        text
    }

    fn is_adapter(&self) -> bool {
        self.manifest.kind == Kind::Adapter
    }

    /// What the hub reads.
    fn header(&self) -> String {
        let mut text = String::from("---\n");
        // A local path is nothing that the hub could look up.
        if is_hub_name(&self.manifest.base) {
            let _ = writeln!(text, "base_model: {}", yaml(&self.manifest.base));
            let relation = if self.is_adapter() { "adapter" } else { "finetune" };
            let _ = writeln!(text, "base_model_relation: {relation}");
        }
        if let Some(license) = &self.license {
            let _ = writeln!(text, "license: {}", yaml(license));
        }
        let library = if self.is_adapter() { "peft" } else { "transformers" };
        let _ = writeln!(text, "library_name: {library}\npipeline_tag: text-generation\ntags:");
        let method = if self.manifest.kind == Kind::Trained { "full-fine-tuning" } else { "lora" };
        let learns_pairs =
            self.manifest.training.as_ref().is_some_and(|training| training.settings.get("preference").is_some());
        for tag in ["codeact", "agent", method].into_iter().chain(learns_pairs.then_some("dpo")) {
            let _ = writeln!(text, "- {tag}");
        }
        let sources = self.manifest.training.iter().flat_map(|training| &training.data);
        let mut sets: Vec<&str> =
            sources.filter_map(|source| source.hub.as_deref()).filter(|name| is_hub_name(name)).collect();
        sets.sort_unstable();
        sets.dedup();
        if !sets.is_empty() {
            text.push_str("datasets:\n");
            sets.iter().for_each(|name| {
                let _ = writeln!(text, "- {}", yaml(name));
            });
        }
        text.push_str("---\n\n");
        text
    }

    fn introduction(&self, text: &mut String) {
        let base = code(&self.manifest.base);
        let title = self.target.components().rev().filter_map(|part| part.as_os_str().to_str());
        let title = title.take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/");
        let _ = writeln!(text, "# {}\n", code(&title));
        let what = match self.manifest.kind {
            Kind::Adapter if self.is_dora() => format!("A DoRA adapter in PEFT's format for {base}"),
            Kind::Adapter => format!("A LoRA adapter in PEFT's format for {base}"),
            Kind::Trained => format!("{base}, of which all weights were trained"),
            _ => format!("{base} with a LoRA adapter merged into its weights"),
        };
        let _ = writeln!(
            text,
            "{what}, for agents that act by writing Python. Made by `codeact-train` {}.\n",
            env!("CARGO_PKG_VERSION")
        );
    }

    fn check_section(&self, text: &mut String) {
        let check = &self.manifest.agreement;
        let relative = check.relative.map_or("not a number".to_owned(), |relative| format!("{relative:.1e}"));
        let _ = writeln!(
            text,
            "## Check\n\nRead again after it was written and compared with the model it was made of, on {} tokens of {} {}: \
             logits differ by at most {relative} of the largest one (allowed {:.0e}), and {:.1}% of the most likely tokens are \
             the same. `manifest.json` has the figures, and size and sha256 of every file.\n",
            check.tokens,
            check.conversations,
            check.asked,
            check.bound,
            100.0 * check.same_first_choice,
        );
        if !check.holds() {
            text.push_str("**This is more than is allowed: do not rely on this export.**\n\n");
        }
    }

    /// Whether it is an adapter of DoRA, which is served merged, not beside its base.
    fn is_dora(&self) -> bool {
        self.manifest.training.as_ref().is_some_and(|training| training.settings["lora"]["dora"] == true)
    }

    fn new_tokens(&self) -> usize {
        self.manifest.training.as_ref().map_or(0, |training| training.new_tokens)
    }

    fn usage_section(&self, text: &mut String) {
        let target = self.target.display().to_string();
        let word = shell(&target);
        text.push_str("## Use\n\n");
        match self.manifest.kind {
            Kind::Adapter => {
                let base = shell(&self.manifest.base);
                let serve = match self.is_dora() {
                    true => "merged".to_owned(),
                    false => format!("{base} --adapter tuned={word}"),
                };
                let _ = writeln!(
                    text,
                    "```\ncodeact-train merge --adapter {word} --out merged\n\
                     codeact-serve --model {serve}\n\
                     codeact-train gguf --model {base} --adapter {word} --quant q4_k_m --out model.gguf\n\
                     llama-cli -m model.gguf\n```\n"
                );
                let (base, path) = (python(&self.manifest.base), python(&target));
                // PEFT trains rows that the model has; those of added tokens have to be made.
                let grown = match self.new_tokens() {
                    0 => "",
                    _ => "model.resize_token_embeddings(len(tokenizer))\n",
                };
                let _ = writeln!(
                    text,
                    "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n\
                     tokenizer = AutoTokenizer.from_pretrained({path})\n\
                     model = AutoModelForCausalLM.from_pretrained({base})\n\
                     {grown}model = PeftModel.from_pretrained(model, {path})\n```\n"
                );
            }
            _ => {
                let _ = writeln!(
                    text,
                    "```\ncodeact-chat --model {word}\ncodeact-serve --model {word}\n\
                     codeact-train gguf --model {word} --quant q4_k_m --out model.gguf\nllama-cli -m model.gguf\n```\n"
                );
                let path = python(&target);
                let _ = writeln!(
                    text,
                    "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n\
                     tokenizer = AutoTokenizer.from_pretrained({path})\n\
                     model = AutoModelForCausalLM.from_pretrained({path})\n```\n"
                );
            }
        }
        text.push_str(
            "The model writes code that is meant to be run. Run it in a sandbox, as `codeact-chat` and `codeact-serve` do.\n\n",
        );
    }

    fn license_section(&self, text: &mut String) {
        let base = match &self.license {
            Some(license) => format!("The base says {}.", code(license)),
            None => "The folder of the base does not say its licence: look it up.".to_owned(),
        };
        let _ = writeln!(text, "## Licences\n\n{base}\n");
        let sources = self.manifest.training.as_ref().map_or(&[][..], |training| &training.data);
        for source in sources {
            let license = source.license.as_deref().map_or("not known, look it up".to_owned(), code);
            let _ = writeln!(text, "* {}: {license}", code(&source.name));
        }
        if sources.is_empty() {
            text.push_str(
                "Those of the training data are not known here: look them up before you share this export.\n",
            );
        }
    }
}

fn data_section(text: &mut String, training: &Training) {
    if training.data.is_empty() {
        return;
    }
    text.push_str("## Data\n\n| source | rows | learned | held out | tokens | supervised | share of training |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for used in &training.data {
        let DataUsed { name, rows, learned, held_out, tokens, supervised_tokens, share, .. } = used;
        let name = code(name);
        let share = 100.0 * share;
        let _ = writeln!(
            text,
            "| {name} | {rows} | {learned} | {held_out} | {tokens} | {supervised_tokens} | {share:.1}% |"
        );
    }
    text.push_str(
        "\nTokens are those of all conversations that are left after filters, each counted once; the share is \
                   of the tokens of all steps.\n\n",
    );
}

fn training_section(text: &mut String, training: &Training) {
    text.push_str("## Training\n\n");
    if let Some(amount) = &training.amount {
        let Amount { steps, epochs, tokens, supervised_tokens, parameters } = amount;
        let _ = writeln!(
            text,
            "{steps} steps over {epochs} epoch{}: {tokens} tokens, {supervised_tokens} of them supervised, on {}. {parameters} \
             trainable values; {} tokens added to the vocabulary.\n",
            if *epochs == 1 { "" } else { "s" },
            code(&training.hardware),
            training.new_tokens,
        );
    }
    if let Some((before, after)) = training.held_out_loss {
        let _ = writeln!(text, "Held-out loss per supervised token, in nats: {before:.4} before, {after:.4} after.\n");
    }
    if let Some(Solved { solved, tasks, .. }) = &training.solved {
        let _ = writeln!(text, "Held-out tasks solved by running code in a sandbox: {solved} of {tasks}.\n");
    }
    if training.settings["preference"].is_object() {
        let start = match training.settings["model"]["adapter"].as_str() {
            Some(adapter) => format!("the adapter {}", code(adapter)),
            None => "the base model".to_owned(),
        };
        let _ = writeln!(text, "Pairs were compared with what the run began as: {start}.\n");
    }
    text.push_str("| setting | value |\n| --- | --- |\n");
    for table in ["lora", "train", "optimizer", "preference"] {
        for (key, value) in training.settings[table].as_object().into_iter().flatten() {
            let _ = writeln!(text, "| {} | {} |", code(&format!("{table}.{key}")), code(&shown(value)));
        }
    }
    text.push('\n');
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A string of Python. JSON's is one, but for the fence of Markdown around it.
fn python(text: &str) -> String {
    yaml(text).replace("```", "` ` `")
}

/// `organisation/model`.
fn is_hub_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
    };
    matches!(name.split('/').collect::<Vec<_>>()[..], [owner, model] if is_part(owner) && is_part(model))
        && !Path::new(name).exists()
}

/// What the header of a base's README says of its licence.
pub(super) fn license_of(base: &Path) -> Option<String> {
    use std::io::Read;
    let path = base.join("README.md");
    if !std::fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(HEADER_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let header = lines.take_while(|line| line.trim_end() != "---");
    let value = header.filter_map(|line| line.strip_prefix("license:")).next()?.trim().trim_matches(['"', '\'']);
    (!value.is_empty() && value.len() <= 100).then(|| value.to_owned())
}
