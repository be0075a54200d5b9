//! Two tiny tokenizers in the two styles that matter: byte-level (SmolLM2, Llama-3) and SentencePiece (Llama-2,
//! Mistral).

use std::path::Path;

use codeact_chat::{ChatFormat, Conversation, FormatError, Message};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A model folder that vanishes with the value.
pub struct Folder(TempDir);

impl Folder {
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, content: &Value) {
        std::fs::write(self.path().join(name), content.to_string()).unwrap();
    }

    pub fn load(&self) -> Result<ChatFormat, FormatError> {
        ChatFormat::load(self.path())
    }
}

fn special(id: usize, content: &str) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
           "normalized": false, "special": true})
}

fn folder(tokenizer: Value, config: Value) -> Folder {
    let folder = Folder(tempfile::tempdir().unwrap());
    folder.write("tokenizer.json", &tokenizer);
    folder.write("tokenizer_config.json", &config);
    folder
}

/// Byte-level BPE: `<|endoftext|>`, `<|im_start|>`, `<|im_end|>`, 256 bytes, and a few merges, one of which joins a
/// line break with a blank, so that a token can straddle header and text.
pub fn byte_level(template: &str) -> Folder {
    let mut bytes: Vec<char> = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ').collect();
    bytes.extend((0x100..0x144).map(|code| char::from_u32(code).unwrap()));
    assert_eq!(bytes.len(), 256);
    let controls = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let merges = [["h", "e"], ["l", "l"], ["he", "ll"], ["Ġ", "a"], ["Ċ", "Ġ"], ["i", "n"]];
    let mut tokens: Vec<String> = controls.iter().map(|token| token.to_string()).collect();
    tokens.extend(bytes.iter().map(char::to_string));
    tokens.extend(merges.iter().map(|merge| merge.concat()));
    let vocabulary: Value = tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": (0..3).map(|id| special(id, controls[id])).collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": byte_level, "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false, "byte_fallback": false,
                  "vocab": vocabulary, "merges": merges}
    });
    let config = json!({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": template});
    folder(tokenizer, config)
}

/// SentencePiece style: `▁` before every piece, bytes as fallback, `<s>` before every sequence.
pub fn sentence_piece(template: Option<&str>) -> Folder {
    let controls = ["<unk>", "<s>", "</s>"];
    let merges = [["▁", "a"], ["▁", "t"], ["h", "e"], ["▁t", "he"]];
    let mut tokens: Vec<String> = controls.iter().map(|token| token.to_string()).collect();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.push("▁".to_owned());
    tokens.extend((' '..='~').filter(|letter| *letter != ' ').map(|letter| letter.to_string()));
    tokens.extend(merges.iter().map(|merge| merge.concat()));
    let vocabulary: Value = tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let blank = json!({"String": " "});
    let underline = json!({"String": "▁"});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": (0..3).map(|id| special(id, controls[id])).collect::<Vec<_>>(),
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": blank, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": underline, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                  "vocab": vocabulary, "merges": merges}
    });
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": true,
                        "tokenizer_class": "LlamaTokenizer", "chat_template": template});
    folder(tokenizer, config)
}

pub fn conversation(messages: &[Message]) -> Conversation {
    Conversation { id: "test".to_owned(), messages: messages.to_vec() }
}

/// What is learned, as text: one string per run of supervised tokens.
pub fn learned(format: &ChatFormat, messages: &[Message]) -> Vec<String> {
    let example = format.example(&conversation(messages)).unwrap();
    let mut runs: Vec<Vec<u32>> = Vec::new();
    let mut previous = false;
    for (&id, &is_target) in example.token_ids.iter().zip(&example.is_target) {
        if is_target && !previous {
            runs.push(Vec::new());
        }
        if is_target {
            runs.last_mut().unwrap().push(id);
        }
        previous = is_target;
    }
    runs.iter().map(|ids| format.decode(ids, false)).collect()
}
