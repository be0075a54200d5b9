//! Looking at the data of a run without running it: single conversations with their masks, and all of it in numbers.

use codeact_data::preview::{MARKS, Preview, Shown, Style, harmless};
use codeact_data::stats::{Stats, stats};
use codeact_data::{DataError, Part, Plan, Watch};

use crate::config::Config;
use crate::error::TrainError;
use crate::material::{Material, plan_settings};

/// Most conversations of one id that are shown.
const SAME_ID_MAX: usize = 20;

/// Which conversations are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// The first one of the first step.
    First,
    /// The one with this index, in the order that `plan.jsonl` counts.
    Index(usize),
    /// Those with this id.
    Id(String),
    /// So many, drawn by the seed.
    Random(usize, u64),
}

/// How they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// As text.
    Text(Style),
    /// As a list of tokens with their ids.
    Ids,
    /// As a page.
    Page,
}

/// The picked conversations as the model sees them.
///
/// # Errors
/// As reading the data for a run, and a pick that there is not.
pub fn preview(
    config: &Config,
    pick: &Pick,
    show: Show,
    say: &dyn Fn(&str),
    watch: &dyn Watch,
) -> Result<String, TrainError> {
    let material = Material::without_weights(config, say, watch)?;
    let mut all_shown = Vec::new();
    for (part, index) in picked(config, &material, pick)? {
        all_shown.extend(shown(part, index, std::ptr::eq(part, &material.data.validation))?);
    }
    let preview = Preview::new(&material.format);
    let text = |one: &Shown| match show {
        Show::Text(style) => preview.text(&one.example, style),
        Show::Ids => preview.ids(&one.example),
        Show::Page => String::new(),
    };
    if show == Show::Page {
        return Ok(preview.html(&format!("What {} learns", config.model.name), &all_shown));
    }
    let mut all = match show {
        Show::Text(Style::Marks) => format!("learned text stands between {} and {}\n\n", MARKS.0, MARKS.1),
        _ => String::new(),
    };
    for one in &all_shown {
        all.push_str(&format!("{}\n\n{}\n\n", one.title, text(one).trim_end_matches('\n')));
    }
    Ok(all)
}

/// The conversations of a document with their titles.
fn shown(part: &Part, index: usize, is_held_out: bool) -> Result<Vec<Shown>, DataError> {
    let (file, entry) = part.entry(index);
    let held_out = if is_held_out { "held out, " } else { "" };
    let examples = part.conversations(index)?;
    // How many turns the rejected one has was not counted.
    let turns = format!("{} turns, ", entry.turns);
    let sides = match examples.len() {
        1 => vec![("", turns.as_str())],
        _ => vec![("chosen, ", turns.as_str()), ("rejected, ", "")],
    };
    let titled = examples.into_iter().zip(sides).map(|(example, (side, turns))| {
        let title = format!(
            "conversation {index}, {side}id {:?}, {held_out}{turns}{} tokens, {} learned: `{}` line {}",
            entry.id,
            example.token_ids.len(),
            example.is_target.iter().filter(|is_target| **is_target).count(),
            file.path.display(),
            entry.line
        );
        Shown { title: harmless(&title), example }
    });
    Ok(titled.collect())
}

fn picked<'a>(config: &Config, material: &'a Material, pick: &Pick) -> Result<Vec<(&'a Part, usize)>, TrainError> {
    let (train, held) = (&material.data.train, &material.data.validation);
    let count = train.documents.len();
    let none = |what: String| DataError::Source { name: "preview".to_owned(), what };
    match pick {
        Pick::First => {
            let plan = Plan::new(&train.documents, &train.shares, &plan_settings(config));
            Ok(vec![(train, plan.steps[0].packs[0].documents[0])])
        }
        Pick::Index(index) if *index < count => Ok(vec![(train, *index)]),
        Pick::Index(index) => {
            Err(none(format!("there is no conversation {index}, they are numbered 0 to {}", count - 1)).into())
        }
        Pick::Id(id) => {
            let parts = [train, held].into_iter();
            let all = parts.flat_map(|part| (0..part.documents.len()).map(move |index| (part, index)));
            let same = all.filter(|(part, index)| part.entry(*index).1.id == *id);
            let same: Vec<_> = same.take(SAME_ID_MAX).collect();
            match same.is_empty() {
                true => Err(none(format!("no conversation has the id {id:?}")).into()),
                false => Ok(same),
            }
        }
        Pick::Random(wanted, seed) => {
            let drawn = codeact_data::plan::draw(count, *wanted, *seed);
            Ok(drawn.into_iter().map(|index| (train, index)).collect())
        }
    }
}

/// All of the data in numbers.
///
/// # Errors
/// As reading the data for a run.
pub fn statistics(config: &Config, say: &dyn Fn(&str), watch: &dyn Watch) -> Result<Stats, TrainError> {
    let material = Material::without_weights(config, say, watch)?;
    let (data, settings) = (&material.data, plan_settings(config));
    let run = Plan::new(&data.train.documents, &data.train.shares, &settings);
    Ok(stats(&material.sources, data, &settings, run.steps.len()))
}
