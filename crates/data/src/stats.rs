//! The data of a run in numbers: where rows went, what the mix is made of, how it packs, and what it costs.

mod draw; // as text

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::encode::Rejected;
use crate::load::DataSet;
use crate::plan::{Document, Plan, PlanSettings, Share};
use crate::source::{HeldOut, Source};

/// Upper bounds of the length histogram, in tokens; the last bucket has none.
const LENGTHS: [usize; 11] = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// A file of a source.
#[derive(Debug, Clone, Serialize)]
pub struct FileStats {
    /// Its path.
    pub path: String,
    /// Of its content, in hex.
    pub sha256: String,
    /// How its rows are written.
    pub format: String,
    /// Rows of it.
    pub rows: usize,
    /// Those that could not be used, by reason.
    pub rejected: Vec<Rejected>,
    /// Keys of its rows that were not used.
    pub ignored_keys: Vec<String>,
}

/// A source. Counts of conversations and tokens are of those that are learned, held-out ones where all is held out.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStats {
    /// As the settings name it.
    pub name: String,
    /// Whether all of it is held out.
    pub is_held_out: bool,
    /// Its files.
    pub files: Vec<FileStats>,
    /// Rows of all files.
    pub rows: usize,
    /// Rows that could not be used.
    pub rejected: u64,
    /// Conversations that the filter left out.
    pub filtered: usize,
    /// Conversations that were too long.
    pub dropped_too_long: usize,
    /// Conversations cut at the end.
    pub truncated: usize,
    /// Conversations held out.
    pub held_out: usize,
    /// Conversations beyond `max_samples`.
    pub beyond_max_samples: usize,
    /// Conversations that are left.
    pub conversations: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Their supervised tokens.
    pub supervised_tokens: usize,
    /// How often they come up.
    pub share: Share,
    /// Conversations of it in the first epoch.
    pub epoch_conversations: usize,
    /// Tokens of it in the first epoch.
    pub epoch_tokens: usize,
    /// Part of the first epoch's conversations.
    pub mix_by_rows: f64,
    /// Part of the first epoch's tokens.
    pub mix_by_tokens: f64,
    /// Conversations by number of turns, the system message not counted.
    pub turns: BTreeMap<u32, usize>,
    /// Lengths in tokens.
    pub lengths: Lengths,
    /// Conversations that are token by token another one of the data, counted from the second on.
    pub duplicates: usize,
}

/// Lengths of conversations in tokens.
#[derive(Debug, Clone, Serialize)]
pub struct Lengths {
    /// Mean.
    pub mean: f64,
    /// Half are at most so long.
    pub median: usize,
    /// 95 of 100 are at most so long.
    pub p95: usize,
    /// The longest.
    pub max: usize,
    /// Upper bound and count of each bucket; the last one has no bound.
    pub histogram: Vec<(Option<usize>, usize)>,
}

/// How the data packs, and what it costs.
#[derive(Debug, Clone, Serialize)]
pub struct PlanStats {
    /// Tokens of a pack at most.
    pub pack_tokens: usize,
    /// Packs of the first epoch.
    pub packs: usize,
    /// Tokens of the first epoch as part of what its packs could hold.
    pub packing_efficiency: f64,
    /// Steps after one epoch, after two, and so on.
    pub steps_after_epochs: Vec<usize>,
    /// Steps that the settings take.
    pub steps_of_run: usize,
    /// Least, mean and most tokens of a step in the first epoch.
    pub tokens_per_step: (usize, f64, usize),
    /// Least, mean and most supervised tokens of a step in the first epoch.
    pub supervised_tokens_per_step: (usize, f64, usize),
    /// Pairs of tokens that attention compares in the first epoch: n (n + 1) / 2 for each conversation.
    pub attention_pairs: u64,
    /// The same if conversations of a pack saw each other.
    pub attention_pairs_without_borders: u64,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// One for each source.
    pub sources: Vec<SourceStats>,
    /// Conversations learned, by all sources.
    pub conversations: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Their supervised tokens.
    pub supervised_tokens: usize,
    /// Conversations to learn that are another one of them again.
    pub duplicates: usize,
    /// Held-out conversations that are learned too.
    pub held_out_and_learned: usize,
    /// How it packs.
    pub plan: PlanStats,
}

/// Counts. `run_steps` are the steps that the settings take.
///
/// # Panics
/// When there is nothing to learn from: loading refuses that.
pub fn stats(sources: &[Source], data: &DataSet, settings: &PlanSettings, run_steps: usize) -> Stats {
    let documents = &data.train.documents;
    let settings = PlanSettings { steps: None, epochs: Some(3), ..*settings };
    let plan = Plan::new(documents, &data.train.shares, &settings);
    let mut seen: HashMap<[u64; 2], ()> = HashMap::new();
    let mut duplicates_of = vec![0; sources.len()];
    for (index, document) in documents.iter().enumerate() {
        if seen.insert(data.train.entry(index).1.digest, ()).is_some() {
            duplicates_of[document.group] += 1;
        }
    }
    let held = (0..data.validation.documents.len()).map(|index| data.validation.entry(index).1.digest);
    let held_out_and_learned = held.filter(|digest| seen.contains_key(digest)).count();
    let mut epoch = vec![(0, 0); sources.len()];
    let first = plan.steps.iter().filter(|step| step.epoch == 0).flat_map(|step| &step.packs);
    for document in first.flat_map(|pack| &pack.documents).map(|index| &documents[*index]) {
        epoch[document.group].0 += 1;
        epoch[document.group].1 += document.token_count;
    }
    let of_source = |(index, source)| source_stats(index, source, data, &epoch, duplicates_of[index]);
    let sum = |of: fn(&Document) -> usize| documents.iter().map(of).sum();
    Stats {
        sources: sources.iter().enumerate().map(of_source).collect(),
        conversations: documents.len(),
        tokens: sum(|document| document.token_count),
        supervised_tokens: sum(|document| document.target_count),
        duplicates: duplicates_of.iter().sum(),
        held_out_and_learned,
        plan: plan_stats(documents, &plan, settings.pack_tokens, run_steps),
    }
}

fn source_stats(
    index: usize,
    source: &Source,
    data: &DataSet,
    epoch: &[(usize, usize)],
    duplicates: usize,
) -> SourceStats {
    let is_held_out = source.held_out == HeldOut::All;
    let part = if is_held_out { &data.validation } else { &data.train };
    let members = part.documents.iter().enumerate().filter(|(_, document)| document.group == index);
    let (mut lengths, mut turns, mut supervised_tokens) = (Vec::new(), BTreeMap::new(), 0);
    for (member, document) in members {
        lengths.push(document.token_count);
        supervised_tokens += document.target_count;
        *turns.entry(part.entry(member).1.turns).or_default() += 1;
    }
    lengths.sort_unstable();
    let reports = || data.reports.iter().filter(|report| report.source == index);
    let files = reports().map(|report| FileStats {
        path: report.path.display().to_string(),
        sha256: report.sha256.clone(),
        format: report.shape.to_string(),
        rows: report.row_count,
        rejected: report.rejected.clone(),
        ignored_keys: report.ignored_keys.clone(),
    });
    let (rows, tokens) = epoch[index];
    let all = epoch.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    SourceStats {
        name: source.name.clone(),
        is_held_out,
        files: files.collect(),
        rows: reports().map(|report| report.row_count).sum(),
        rejected: reports().flat_map(|report| &report.rejected).map(|rejected| rejected.count).sum(),
        filtered: reports().map(|report| report.filtered).sum(),
        dropped_too_long: reports().map(|report| report.dropped).sum(),
        truncated: reports().map(|report| report.truncated).sum(),
        held_out: reports().map(|report| report.held_out).sum(),
        beyond_max_samples: reports().map(|report| report.not_drawn).sum(),
        conversations: lengths.len(),
        tokens: lengths.iter().sum(),
        supervised_tokens,
        share: source.share,
        epoch_conversations: rows,
        epoch_tokens: tokens,
        mix_by_rows: rows as f64 / all.0 as f64,
        mix_by_tokens: tokens as f64 / all.1 as f64,
        turns,
        lengths: lengths_of(&lengths),
        duplicates,
    }
}

/// Of sorted lengths.
fn lengths_of(lengths: &[usize]) -> Lengths {
    let at = |part: f64| lengths.get(((lengths.len() as f64 * part).ceil() as usize).saturating_sub(1)).copied();
    let bounds = LENGTHS.into_iter().map(Some).chain([None]);
    let mut from = 0;
    let buckets = bounds.map(|bound| {
        let to = bound.map_or(lengths.len(), |bound| lengths.partition_point(|length| *length <= bound));
        let count = to - from;
        from = to;
        (bound, count)
    });
    Lengths {
        mean: lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64,
        median: at(0.5).unwrap_or(0),
        p95: at(0.95).unwrap_or(0),
        max: lengths.last().copied().unwrap_or(0),
        histogram: buckets.collect(),
    }
}

fn plan_stats(documents: &[Document], plan: &Plan, pack_tokens: usize, steps_of_run: usize) -> PlanStats {
    let first = plan.steps.iter().filter(|step| step.epoch == 0);
    let first = Plan { steps: first.cloned().collect() };
    let last_of = |epoch| plan.steps.iter().take_while(|step| step.epoch <= epoch).count();
    let pairs = |count: usize| count as u64 * (count as u64 + 1) / 2;
    let in_packs = first.packs().flat_map(|pack| &pack.documents);
    let spread = |of: fn(&crate::plan::Step) -> usize| {
        let (mut least, mut most, mut sum) = (usize::MAX, 0, 0);
        for count in first.steps.iter().map(of) {
            (least, most, sum) = (least.min(count), most.max(count), sum + count);
        }
        (least, sum as f64 / first.steps.len() as f64, most)
    };
    PlanStats {
        pack_tokens,
        packs: first.packs().count(),
        packing_efficiency: first.efficiency(pack_tokens),
        steps_after_epochs: (0..plan.epoch_count()).map(last_of).collect(),
        steps_of_run,
        tokens_per_step: spread(crate::plan::Step::token_count),
        supervised_tokens_per_step: spread(crate::plan::Step::target_count),
        attention_pairs: in_packs.map(|index| pairs(documents[*index].token_count)).sum(),
        attention_pairs_without_borders: first.packs().map(|pack| pairs(pack.token_count)).sum(),
    }
}
