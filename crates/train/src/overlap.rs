//! Tasks to measure with whose prompts are in the data: what is learned says nothing of what was not.

use std::collections::HashMap;

use codeact_agent::Profile;
use codeact_data::preview::harmless;
use codeact_data::{Part, hash};
use codeact_eval::Task;

/// A task that the data has, and where.
pub(crate) struct Overlap {
    /// Id of the task.
    task: String,
    /// The first conversation that asks it, and nothing else, first.
    place: String,
    /// Other conversations whose user asks one of the tasks first.
    more: usize,
}

impl Overlap {
    /// The first conversation of `part` whose first message of a user is, as a whole, the prompt of one of `tasks`, in the
    /// wording of any profile and but for case and blanks, and how many more there are; none where there is none.
    pub(crate) fn find<'a>(tasks: impl IntoIterator<Item = &'a Task>, part: &Part) -> Option<Overlap> {
        // The wording of a profile may put something before the prompt.
        let profiles: Vec<Profile> = Profile::NAMES.iter().filter_map(|name| Profile::named(name)).collect();
        let worded =
            |task: &'a Task| profiles.iter().map(move |profile| (hash::of_prompt(&profile.task(&task.prompt)), task));
        let prompts: HashMap<[u64; 2], &Task> = tasks.into_iter().flat_map(worded).collect();
        let mut same = (0..part.documents.len()).filter_map(|index| {
            let (file, entry) = part.entry(index);
            prompts.get(&entry.prompt).map(|task| (task, file, entry))
        });
        let (task, file, entry) = same.next()?;
        let place = format!("`{}` line {}", file.path.display(), entry.line);
        Some(Overlap { task: harmless(&task.id), place, more: same.count() })
    }

    /// It in a sentence.
    pub(crate) fn told(&self) -> String {
        let more = match self.more {
            0 => String::new(),
            1 => ", and that of 1 more conversation is, too".to_owned(),
            more => format!(", and those of {more} more conversations are, too"),
        };
        let Overlap { task, place, .. } = self;
        format!(
            "task `{task}` is learned, word for word but for case and blanks: the first message of the \
             user in {place} is its prompt{more}"
        )
    }
}

/// Tells of tasks of `evaluation.tasks` that the data has. They may be meant so, to see whether anything is learned at all.
pub(crate) fn warn(tasks: &[Task], part: &Part, say: &dyn Fn(&str)) {
    if let Some(overlap) = Overlap::find(tasks, part) {
        let what = overlap.told();
        say(&format!(
            "warning: `evaluation.tasks`: {what}\nhint: what is solved of learned tasks says little of others; take one of \
             both out"
        ));
    }
}
