//! What was said, try by try: what went wrong first, and not more than a page can bear.

use std::fmt::Write;

use codeact_chat::Role;
use codeact_data::page::text::shortened;

use super::super::record::Record;

/// Tries that are shown.
const TRIES_MAX: usize = 300;
/// Bytes of them all.
const BYTES_MAX: usize = 6 << 20;
/// Characters of a message, and of a name.
const MESSAGE_CHARACTERS: usize = 6_000;
const NAME_CHARACTERS: usize = 80;

/// Transcripts of the tries, those that did not solve their task before the others, so many of each column as of each
/// other as long as there is room.
pub fn html(records: &[Record]) -> String {
    let with: Vec<&Record> = records.iter().filter(|record| !record.transcript.is_empty()).collect();
    let mut order: Vec<(usize, bool, &Record)> = Vec::new();
    let mut counts = std::collections::HashMap::new();
    for is_solved in [false, true] {
        for record in with.iter().filter(|record| record.is_solved == is_solved) {
            let count = counts.entry((&record.key.contestant, &record.key.format, is_solved)).or_insert(0_usize);
            order.push((*count, is_solved, record));
            *count += 1;
        }
    }
    // The first few of each kind, so that what was solved is seen too, and then what was not.
    order.sort_by_key(|(place, is_solved, _)| (*place >= 3, *place >= 3 && *is_solved, *place));
    let mut chosen: Vec<(&Record, String)> = Vec::new();
    let mut bytes = 0;
    for (_, _, record) in order {
        let article = article(record);
        if chosen.len() == TRIES_MAX || bytes + article.len() > BYTES_MAX {
            break;
        }
        bytes += article.len();
        chosen.push((record, article));
    }
    let shown = chosen.len();
    chosen.sort_by(|(one, _), (other, _)| {
        let key = |record: &Record| (record.key.suite.clone(), record.key.task.clone());
        key(one).cmp(&key(other)).then_with(|| one.key.cmp(&other.key))
    });
    let mut html = String::new();
    if shown < records.len() {
        let _ = writeln!(
            html,
            "<p class=\"hint\">{shown} of {} tries, chosen from each contestant and format, unsolved ones first; \
             results.jsonl has them all.</p>",
            records.len()
        );
    }
    let mut task = None;
    for (record, article) in &chosen {
        let this = (&record.key.suite, &record.key.task);
        if task != Some(this) {
            let (suite, id) = (shortened(this.0, NAME_CHARACTERS), shortened(this.1, NAME_CHARACTERS));
            let _ = writeln!(
                html,
                "{}<article class=\"sample\"><h3>{suite}: {id}</h3>",
                if task.is_some() { "</article>\n" } else { "" }
            );
            task = Some(this);
        }
        html.push_str(article);
    }
    if task.is_some() {
        html.push_str("</article>\n");
    }
    html
}

/// One try, folded.
fn article(record: &Record) -> String {
    let short = |text: &str| shortened(text, NAME_CHARACTERS);
    let (class, word) = if record.is_solved { ("solved", "solved") } else { ("unsolved", "not solved") };
    let sample = if record.key.sample > 0 { format!(", try {}", record.key.sample) } else { String::new() };
    let why = record.failure.as_ref().filter(|_| !record.is_solved).map(|why| format!(": {}", short(why)));
    let mut html = format!(
        "<details><summary>{}, {}{sample}: <span class=\"{class}\">{word}{}</span>, {} turns, {} tokens, {:.1} s</summary>",
        short(&record.key.contestant),
        short(&record.key.format),
        why.unwrap_or_default(),
        record.steps,
        record.completion_tokens,
        record.seconds
    );
    if let Some(helped) = &record.helped {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let (examples, called) = (list(&helped.examples), list(&helped.called));
        let told = format!("examples shown: {examples}; skills defined: {}; called: {called}", helped.skills);
        let _ = write!(html, "<p class=\"hint\">{}</p>", shortened(&told, MESSAGE_CHARACTERS));
    }
    for message in &record.transcript {
        let role = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        put(&mut html, role, &message.content);
    }
    if let Some(reason) = &record.reason {
        put(&mut html, "grader", reason);
    }
    html.push_str("</details>\n");
    html
}

/// What somebody said. A browser takes the first line end in a `<pre>` for none.
fn put(html: &mut String, who: &str, text: &str) {
    let text = shortened(text, MESSAGE_CHARACTERS);
    let _ = write!(html, "<div class=\"message\"><h4>{who}</h4><pre>\n{text}</pre></div>");
}

#[cfg(test)]
mod tests {
    use codeact_chat::Message;

    use super::super::super::record::tests::record;
    use super::*;

    #[test]
    fn few_tries_are_all_shown_by_task() {
        let records = [record("m", "code", "b", true), record("m", "json", "a", false), record("m", "code", "a", true)];
        let html = html(&records);
        assert_eq!((html.matches("<article").count(), html.matches("<details>").count()), (2, 3));
        assert!(html.find("<h3>s: a</h3>") < html.find("<h3>s: b</h3>") && !html.contains("class=\"hint\""));
        assert!(html.contains("not solved: wrong solution") && html.contains("<pre>\ndo it</pre>"));
    }

    #[test]
    fn many_large_and_hostile_ones_stay_small_and_texts() {
        let hostile = "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>";
        let records: Vec<Record> = (0..2000)
            .map(|index| {
                let mut record = record(hostile, "code", &format!("{hostile}{index}"), index % 2 == 0);
                record.transcript = vec![Message::user("<".repeat(1 << 14)), Message::assistant(hostile)];
                record.reason = Some(hostile.to_owned());
                record.failure = Some(hostile.to_owned());
                let names = vec![hostile.to_owned()];
                record.helped = Some(crate::help::Helped { examples: names.clone(), skills: 1, called: names });
                record
            })
            .collect();
        let html = html(&records);
        assert!(html.len() < BYTES_MAX + (1 << 20), "{}", html.len());
        assert!(!html.contains("<script") && !html.contains("<img"));
        assert!(
            html.contains("of 2000 tries") && html.contains("class=\"solved\"") && html.contains("class=\"unsolved\"")
        );
        assert_eq!(html.matches("<article").count(), html.matches("</article>").count());
    }
}
