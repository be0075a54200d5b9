//! What is taken of sources, what is kept for the next start, and what never changes anything.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use codeact_data::{
    DataError, DataSet, Filter, HeldOut, LengthPolicy, LoadOptions, Plan, PlanSettings, Share, Sort, Source, TooLong,
    Watch, load,
};
use serde_json::json;

use crate::room::{Room, options, row, rows, skipping, source};

fn ids(data: &DataSet) -> Vec<String> {
    (0..data.train.documents.len()).map(|index| data.train.entry(index).1.id.clone()).collect()
}

#[test]
fn every_row_is_somewhere_and_counted_once() {
    let room = Room::new();
    let path = room.lines("a.jsonl", &rows(0..100));
    let filter =
        Filter { not_ids: vec![glob::Pattern::new("row/?").unwrap()], tokens_max: Some(90), ..Filter::default() };
    let taken = Source { filter, held_out: HeldOut::Some(7), max_samples: Some(40), ..source(&[&path]) };
    let data = room.load(&[taken]).unwrap();
    let report = &data.reports[0];
    assert!(report.filtered >= 10, "{report:?}");
    assert_eq!((report.held_out, report.train_count), (7, 40));
    assert_eq!(report.filtered + report.held_out + report.train_count + report.not_drawn, 100);
    assert_eq!((data.train.documents.len(), data.validation.documents.len()), (40, 7));
    let learned = ids(&data);
    let held: Vec<String> = (0..7).map(|index| data.validation.entry(index).1.id.clone()).collect();
    assert!(held.iter().all(|id| !learned.contains(id)));
    assert!(learned.iter().all(|id| id.len() > "row/9".len()));
}

#[test]
fn every_token_is_kept_exactly_once() {
    let room = Room::new();
    let path = room.lines("a.jsonl", &rows(0..60));
    let data = room.load(&[source(&[&path])]).unwrap();
    let documents = &data.train.documents;
    let settings =
        PlanSettings { seed: 3, pack_tokens: 300, accumulation: 2, steps: None, epochs: Some(1), sort: Sort::Random };
    let plan = Plan::new(documents, &data.train.shares, &settings);
    let mut found: Vec<_> =
        plan.packs().flat_map(|pack| &pack.documents).map(|index| data.train.example(*index).unwrap()).collect();
    let mut wanted: Vec<_> = codeact_chat::read_jsonl(&path)
        .unwrap()
        .iter()
        .map(|row| room.chat.example(&row.conversation).unwrap())
        .collect();
    let key = |example: &codeact_chat::Example| (example.token_ids.clone(), example.is_target.clone());
    found.sort_by_key(key);
    wanted.sort_by_key(key);
    assert_eq!(found, wanted);
}

#[test]
fn names_file_order_and_threads_change_nothing() {
    let room = Room::new();
    let (first, second) = (rows(0..300), rows(300..420));
    let [a, b] = [room.lines("1/a.jsonl", &first), room.lines("1/b.jsonl", &second)];
    let [y, x] = [room.lines("2/z.jsonl", &first), room.lines("2/c.jsonl", &second)];
    let load_with = |threads, files: &[&Path]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let sampled = Source { max_samples: Some(350), held_out: HeldOut::Some(20), ..source(files) };
        pool.install(|| room.load(&[sampled]).unwrap())
    };
    let plan = |data: &DataSet| {
        let settings = PlanSettings {
            seed: 3,
            pack_tokens: 300,
            accumulation: 2,
            steps: None,
            epochs: Some(2),
            sort: Sort::Random,
        };
        Plan::new(&data.train.documents, &data.train.shares, &settings).hash(&data.content_hash)
    };
    let one = load_with(1, &[&a, &b]);
    for other in [load_with(2, &[&a, &b]), load_with(4, &[&x, &y]), load_with(1, &[&y, &x])] {
        assert_eq!(plan(&one), plan(&other));
        assert_eq!((&one.content_hash, &one.held_out_hash), (&other.content_hash, &other.held_out_hash));
    }
    let changed = room.lines("3/a.jsonl", &[&first[1..], &[row(999)]].concat());
    assert_ne!(plan(&one), plan(&load_with(1, &[&changed, &b])));
}

#[test]
fn long_conversations_are_dropped_cut_or_refused() {
    let room = Room::new();
    let mut long = row(1);
    long["conversations"][1]["content"] = json!("y".repeat(500));
    let mut question = row(2);
    question["conversations"][0]["content"] = json!("x".repeat(500));
    let path = room.lines("a.jsonl", &[row(0), long, question]);
    let with = |too_long| {
        let policy = LengthPolicy { tokens_max: 200, too_long };
        load(&[source(&[&path])], &room.chat, LoadOptions { policy, ..options(None) }, &())
    };
    let cut = with(TooLong::Truncate).unwrap();
    assert_eq!((cut.reports[0].truncated, cut.reports[0].dropped), (1, 1));
    let longest = cut.train.documents.iter().position(|document| document.token_count == 200).unwrap();
    let example = cut.train.example(longest).unwrap();
    assert_eq!(example.token_ids.len(), 200);
    let targets = example.is_target.iter().filter(|target| **target).count();
    assert_eq!(cut.train.documents[longest].target_count, targets);
    let dropped = with(TooLong::Drop).unwrap();
    assert_eq!((dropped.reports[0].truncated, dropped.reports[0].dropped), (0, 2));
    let error = with(TooLong::Error).unwrap_err();
    assert!(matches!(error, DataError::TooLong { line: 2, max: 200, .. }), "{error}");
}

#[test]
fn nothing_left_is_an_error_that_says_where_it_went() {
    let room = Room::new();
    let path = room.lines("a.jsonl", &rows(0..5));
    let none = Filter { turns_min: Some(9), ..Filter::default() };
    let error = room.load(&[Source { filter: none, ..source(&[&path]) }]).unwrap_err().to_string();
    assert!(error.contains("of train data is left: 5 read, 5 filtered out, 0 longer"), "{error}");
    let error = room.load(&[Source { held_out: HeldOut::Some(5), ..source(&[&path]) }]).unwrap_err().to_string();
    assert!(error.contains("5 conversations are to be held out, but it has only 5"), "{error}");
    let weighted = Source { share: Share::Weight(1.0), ..source(&[&path]) };
    let filter = Filter { tokens_max: Some(1), ..Filter::default() };
    let empty = Source { filter, ..weighted.clone() };
    let error = room.load(&[weighted, empty]).unwrap_err().to_string();
    assert!(error.contains("it has a weight, but no conversation of it is left"), "{error}");
    let [heavy, light] = [1.0, 1e-6].map(|weight| Source { share: Share::Weight(weight), ..source(&[&path]) });
    let error = room.load(&[heavy, light]).unwrap_err().to_string();
    assert!(error.contains("its weight gives it none of the"), "{error}");
}

/// Counts the files that are encoded.
#[derive(Default)]
struct Heard {
    begun: AtomicU64,
    tokens: AtomicU64,
    notes: Mutex<Vec<String>>,
}

impl Watch for Heard {
    fn begin(&self, _path: &Path, _bytes: u64) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }
    fn advance(&self, _bytes: u64, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
    }
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
}

fn cached(room: &Room, cache: &Path, sources: &[Source]) -> (Result<DataSet, DataError>, u64) {
    let heard = Heard::default();
    let data = load(sources, &room.chat, options(Some(cache)), &heard);
    (data, heard.begun.into_inner())
}

fn kept(cache: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_second_start_takes_the_cache_and_gives_the_same() {
    let room = Room::new();
    let cache = room.path("cache");
    let path = room.lines("a.jsonl", &rows(0..50));
    let in_memory = room.load(&[source(&[&path])]).unwrap();
    let (first, begun) = cached(&room, &cache, &[source(&[&path])]);
    assert_eq!((begun, first.unwrap().content_hash), (1, in_memory.content_hash.clone()));
    // The same content under another name.
    let copy = room.lines("b.jsonl", &rows(0..50));
    let (second, begun) = cached(&room, &cache, &[source(&[&copy])]);
    let second = second.unwrap();
    assert_eq!((begun, &second.content_hash), (0, &in_memory.content_hash));
    assert!(second.reports[0].is_cached);
    for index in 0..50 {
        assert_eq!(second.train.example(index).unwrap(), in_memory.train.example(index).unwrap());
    }
    // Other roles are other masks.
    let users = Source { roles_to_train: vec![codeact_data::Role::User], ..source(&[&path]) };
    assert_eq!(cached(&room, &cache, &[users]).1, 1);
    assert_eq!(kept(&cache).len(), 4);
}

#[test]
fn a_damaged_cache_is_made_anew_and_one_that_cannot_be_written_only_costs_time() {
    let room = Room::new();
    let cache = room.path("cache");
    let path = room.lines("a.jsonl", &rows(0..20));
    let (first, _) = cached(&room, &cache, &[source(&[&path])]);
    let wanted = first.unwrap().content_hash;
    for at in 0..2 {
        let file = &kept(&cache)[at];
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).unwrap();
        let (again, begun) = cached(&room, &cache, &[source(&[&path])]);
        assert_eq!((begun, again.unwrap().content_hash), (1, wanted.clone()), "{}", file.display());
        assert_eq!(cached(&room, &cache, &[source(&[&path])]).1, 0);
    }
    let blocked = room.write("blocked", "a file");
    let heard = Heard::default();
    let data = load(&[source(&[&path])], &room.chat, options(Some(&blocked)), &heard).unwrap();
    assert_eq!(data.content_hash, wanted);
    assert!(heard.notes.lock().unwrap()[0].contains("not kept for the next start"));
}

#[test]
fn bad_rows_that_were_skipped_once_are_refused_from_the_cache_too() {
    let room = Room::new();
    let cache = room.path("cache");
    let path = room.lines("a.jsonl", &[row(0), json!({"conversations": []}), row(1)]);
    let (skipped, begun) = cached(&room, &cache, &[skipping(&[&path])]);
    assert_eq!((begun, skipped.unwrap().reports[0].rejected[0].count), (1, 1));
    let (refused, begun) = cached(&room, &cache, &[source(&[&path])]);
    assert_eq!(begun, 0);
    let error = refused.unwrap_err();
    assert!(matches!(error, DataError::Row { line: 2, .. }) && error.to_string().contains("no messages"), "{error}");
}

#[test]
fn statistics_count_duplicates_and_what_is_held_out_and_learned() {
    let room = Room::new();
    let path = room.lines("a.jsonl", &[rows(0..9), rows(4..7)].concat());
    let held = room.lines("b.jsonl", &rows(8..12));
    let sources = [source(&[&path]), Source { held_out: HeldOut::All, ..source(&[&held]) }];
    let data = room.load(&sources).unwrap();
    let settings =
        PlanSettings { seed: 3, pack_tokens: 300, accumulation: 2, steps: Some(2), epochs: None, sort: Sort::Random };
    let stats = codeact_data::stats::stats(&sources, &data, &settings, 2);
    assert_eq!((stats.duplicates, stats.held_out_and_learned, stats.conversations), (3, 1, 12));
    assert_eq!(stats.sources[0].turns, [(2, 12)].into());
    assert_eq!(stats.sources[0].lengths.histogram.iter().map(|(_, count)| count).sum::<usize>(), 12);
    assert!((stats.sources[0].mix_by_rows - 1.0).abs() < 1e-12);
    let pairs: u64 = data.train.documents.iter().map(|one| (one.token_count * (one.token_count + 1) / 2) as u64).sum();
    assert_eq!(stats.plan.attention_pairs, pairs);
    assert_eq!(stats.plan.steps_after_epochs.len(), 3);
    let text = stats.to_string();
    for part in [
        "12 rows, messages",
        "3 duplicates",
        "warning: 1 held-out conversations are learned too",
        "████",
        "this run takes 2",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["sources"][1]["is_held_out"], true);
}
