//! Thousands of real conversations: read, packed, counted and shown. They are not part of the repository.

use std::path::{Path, PathBuf};

use codeact_chat::ChatFormat;
use codeact_data::preview::{Preview, Style};
use codeact_data::{LengthPolicy, LoadOptions, Plan, PlanSettings, Shape, Sort, TooLong, load};

use crate::room::{options, source};

/// Files that live beside the repository.
fn shared(path: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("CODEACT_SHARED").map_or_else(beside, PathBuf::from).join(path);
    if !path.exists() {
        println!("skipped: real data: `{}` is missing", path.display());
    }
    path.exists().then_some(path)
}

#[test]
fn real_trajectories_are_read_packed_counted_and_shown() {
    let files = ["codeactinstruct_sample", "mint_codeactagent", "mint_trajectories"];
    let files: Option<Vec<PathBuf>> = files.iter().map(|name| shared(&format!("data/{name}.jsonl"))).collect();
    let (Some(files), Some(model)) = (files, shared("tokenizers/mistral")) else { return };
    let chat = ChatFormat::chatml_added(&model).unwrap();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let sources = [source(&files)];
    let policy = LengthPolicy { tokens_max: 4096, too_long: TooLong::Truncate };
    let data = load(&sources, &chat, LoadOptions { policy, ..options(None) }, &()).unwrap();
    let rows: Vec<usize> = data.reports.iter().map(|report| report.row_count).collect();
    assert_eq!(rows, [2, 472, 2212]);
    assert!(data.reports.iter().all(|report| report.shape == Shape::Messages && report.rejected.is_empty()));
    assert_eq!(data.train.documents.len(), 2 + 472 + 2212);
    let settings =
        PlanSettings { seed: 1, pack_tokens: 4096, accumulation: 8, steps: None, epochs: Some(1), sort: Sort::Random };
    let plan = Plan::new(&data.train.documents, &data.train.shares, &settings);
    assert!(plan.efficiency(4096) > 0.98, "{}", plan.efficiency(4096));
    let stats = codeact_data::stats::stats(&sources, &data, &settings, plan.steps.len());
    assert!(stats.tokens > 2_000_000 && stats.supervised_tokens > 500_000, "{stats}");
    let preview = Preview::new(&chat);
    for index in (0..data.train.documents.len()).step_by(7) {
        let example = data.train.example(index).unwrap();
        let text = preview.text(&example, Style::Marks);
        // An observation is seen and never learned.
        for learned in text.split('⟦').skip(1).filter_map(|rest| rest.split('⟧').next()) {
            assert!(!learned.starts_with("Observation:") && !learned.contains("<|im_start|>"), "{text}");
        }
        assert!(text.matches('⟦').count() >= data.train.entry(index).1.turns as usize / 2, "{text}");
    }
}
