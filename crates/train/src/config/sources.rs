//! `[[data]]`: where conversations come from, which of them are taken, and how often.

use codeact_chat::Role;
use codeact_data::{Filter, HeldOut, OnBadRow, RowFormat, Share};
use documented::DocumentedFields;
use serde::Serialize;
use serde_json::json;

use super::range::Range;
use super::reader::{Findings, Setting, TableReader};
use super::tree::{Node, Value};

/// One `[[data]]`: a source of conversations, from `path` or from `hub`.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct DataSource {
    /// A file of JSON lines (`.jsonl`, also `.gz` and `.zst`), a `.json` array, a `.parquet` table, a folder of such
    /// files, or a pattern with `*`. Default: none, for data of `hub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A data set of the Hugging Face hub. Default: none, for data of `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Which split of the data set. Default: all its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// How rows are written. Default `auto`: found out for each file.
    pub format: RowFormat,
    /// What becomes of rows that cannot be used: `error` refuses the run, `skip` leaves them out and counts them.
    /// Default `error`.
    pub on_bad_row: OnBadRow,
    /// Whose messages are learned. Default the assistant's.
    pub roles_to_train: Vec<Role>,
    /// Part of the conversations of an epoch, relative to the weights of the others. Default: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// How often each conversation comes up in an epoch. Default 1. Excludes `weight`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<usize>,
    /// Most conversations to take; beyond, they are drawn by the seed. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<usize>,
    /// Measured instead of learned: everything (`true`), or so many conversations, drawn by the seed. Default `false`.
    pub held_out: HeldOut,
    /// Licence of the data, for the model card. Default: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Which conversations are taken. Default: all.
    pub filter: FilterTable,
}

/// `filter` of a `[[data]]`: all conditions have to hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, DocumentedFields)]
pub struct FilterTable {
    /// Patterns of ids, one of which has to match. `*` stands for any text. Default: all ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Words>,
    /// Patterns of ids, none of which may match. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_id: Option<Words>,
    /// Least turns, the system message not counted. Default: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns_min: Option<usize>,
    /// Most turns. Default: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns_max: Option<usize>,
    /// Least tokens. Default: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_min: Option<usize>,
    /// Most tokens. Default: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_max: Option<usize>,
}

/// Patterns: one text, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(pub Vec<String>);

impl Setting for Words {
    fn expected() -> String {
        "text in quotes, or a list of such".to_owned()
    }
    fn from_node(node: &Node) -> Option<Words> {
        String::from_node(node).map(|word| vec![word]).or_else(|| Vec::from_node(node)).map(Words)
    }
    fn placeholder() -> Words {
        Words(Vec::new())
    }
    fn schema() -> serde_json::Value {
        json!({"anyOf": [String::schema(), Vec::<String>::schema()]})
    }
}

impl Setting for HeldOut {
    fn expected() -> String {
        "true, false, or a number of conversations".to_owned()
    }
    fn from_node(node: &Node) -> Option<HeldOut> {
        match node.value {
            Value::Boolean(true) => Some(HeldOut::All),
            Value::Boolean(false) => Some(HeldOut::None),
            _ => usize::from_node(node).map(HeldOut::Some),
        }
    }
    fn placeholder() -> HeldOut {
        HeldOut::None
    }
    fn schema() -> serde_json::Value {
        json!({"anyOf": [bool::schema(), usize::schema()]})
    }
}

impl DataSource {
    /// As reports name it.
    pub fn name(&self) -> String {
        match (&self.path, &self.hub, &self.split) {
            (Some(path), ..) => path.clone(),
            (None, Some(hub), Some(split)) => format!("{hub} ({split})"),
            (None, hub, _) => hub.clone().unwrap_or_default(),
        }
    }

    /// How often its conversations come up.
    pub fn share(&self) -> Share {
        self.weight.map_or(Share::Repeat(self.repeat.unwrap_or(1)), Share::Weight)
    }
}

impl FilterTable {
    /// The filter; patterns were checked before.
    pub fn filter(&self) -> Filter {
        let patterns = |words: &Option<Words>| {
            let words = words.iter().flat_map(|words| &words.0);
            words.filter_map(|word| glob::Pattern::new(word).ok()).collect()
        };
        Filter {
            ids: patterns(&self.id),
            not_ids: patterns(&self.not_id),
            turns_min: self.turns_min,
            turns_max: self.turns_max,
            tokens_min: self.tokens_min,
            tokens_max: self.tokens_max,
        }
    }

    fn read(mut table: TableReader<'_>) -> FilterTable {
        let filter = FilterTable {
            id: table.optional("id"),
            not_id: table.optional("not_id"),
            turns_min: table.optional("turns_min"),
            turns_max: table.optional("turns_max"),
            tokens_min: table.optional("tokens_min"),
            tokens_max: table.optional("tokens_max"),
        };
        table.finish();
        filter
    }
}

/// Reads all `[[data]]`; faults go to `findings`.
pub(super) fn read(node: Option<&Node>, findings: &Findings) -> Vec<DataSource> {
    let items = match node.map(|node| &node.value) {
        None => return Vec::new(),
        Some(Value::Array(items)) => items.as_slice(),
        Some(_) => {
            let hint = "write `[[data]]` with two brackets; there can be several";
            let origin = node.map(|node| &node.origin);
            findings.fault(origin, "data", "is not a list of tables".to_owned(), Some(hint.to_owned()));
            return Vec::new();
        }
    };
    let weights = Range::POSITIVE.hinting("leave the source out for none of it");
    let read = |(index, node)| {
        let name = format!("data.{index}");
        let mut table = TableReader::new(&name, Some(node), findings);
        let filter = table.node("filter");
        let source = DataSource {
            path: table.optional("path"),
            hub: table.optional("hub"),
            split: table.optional("split"),
            format: table.or("format", RowFormat::Auto),
            on_bad_row: table.or("on_bad_row", OnBadRow::Error),
            roles_to_train: table.noting(json!({"minItems": 1})).or("roles_to_train", vec![Role::Assistant]),
            weight: table.within(weights).optional("weight"),
            repeat: table.within(Range::at_least(1)).optional("repeat"),
            max_samples: table.within(Range::at_least(1)).optional("max_samples"),
            held_out: table.or("held_out", HeldOut::None),
            license: table.optional("license"),
            filter: FilterTable::read(TableReader::new(&format!("{name}.filter"), filter, findings)),
        };
        table.finish();
        source
    };
    items.iter().enumerate().map(read).collect()
}

/// Faults of the values: key, what is wrong, and the way out.
pub(super) fn check(sources: &[DataSource], wrong: &mut dyn FnMut(&str, String, &str)) {
    if !sources.iter().any(|source| source.held_out != HeldOut::All) {
        let what = "has nothing to learn from".to_owned();
        wrong("data", what, "add a table `[[data]]` with `path = \"...\"`");
    }
    let has_weight = |source: &&DataSource| source.held_out != HeldOut::All && source.weight.is_some();
    let has_weights = sources.iter().any(|source| has_weight(&source));
    for (index, source) in sources.iter().enumerate() {
        let mut fault = |name: &str, what: String, hint: &str| wrong(&format!("data.{index}.{name}"), what, hint);
        check_place(source, &mut fault);
        check_amount(source, has_weights, &mut fault);
        if source.roles_to_train.is_empty() {
            fault(
                "roles_to_train",
                "is empty, so nothing would be learned".to_owned(),
                "leave it out for the assistant",
            );
        }
        let FilterTable { id, not_id, turns_min, turns_max, tokens_min, tokens_max } = &source.filter;
        for (name, words) in [("filter.id", id), ("filter.not_id", not_id)] {
            for word in words.iter().flat_map(|words| &words.0) {
                if let Err(error) = glob::Pattern::new(word) {
                    fault(name, format!("has {word:?}, which is no pattern: {}", error.msg), "");
                }
            }
        }
        for (name, min, max) in [("turns", turns_min, turns_max), ("tokens", tokens_min, tokens_max)] {
            if let (Some(min), Some(max)) = (min, max)
                && min > max
            {
                let what = format!("is {max}, less than the {min} of `{name}_min`: nothing would be left");
                fault(&format!("filter.{name}_max"), what, "");
            }
        }
    }
}

/// Where it lies.
fn check_place(source: &DataSource, fault: &mut dyn FnMut(&str, String, &str)) {
    match (&source.path, &source.hub) {
        (None, None) => fault("path", "is missing".to_owned(), "set `path`, or `hub` for a data set of the hub"),
        (Some(_), Some(_)) => fault("hub", "stands beside `path`".to_owned(), "keep one of the two"),
        (Some(_), None) if source.split.is_some() => {
            let what = "is of data sets of the hub, and this one has a `path`".to_owned();
            fault("split", what, "data that is measured and not learned is marked `held_out = true`");
        }
        _ => {}
    }
}

/// How much of it.
fn check_amount(source: &DataSource, has_weights: bool, fault: &mut dyn FnMut(&str, String, &str)) {
    let is_held_out = source.held_out == HeldOut::All;
    if is_held_out && source.repeat.is_some_and(|repeat| repeat > 1) {
        let what = format!("is {}, but held-out data is measured once", source.repeat.unwrap_or(1));
        fault("repeat", what, "leave it out");
    }
    match source.weight {
        Some(_) if is_held_out => {
            fault("weight", "stands at data that is not learned".to_owned(), "leave it out");
        }
        Some(_) if source.repeat.is_some() => {
            fault("repeat", "stands beside `weight`".to_owned(), "keep one of the two");
        }
        None if has_weights && !is_held_out => {
            let what = "is missing, while another source has one".to_owned();
            fault("weight", what, "give every source a weight, or none");
        }
        _ => {}
    }
}
