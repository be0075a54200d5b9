//! The page: one file, no script, nothing from elsewhere.

use std::fmt::Write;

use codeact_data::page::{end, head, put_section};

use super::charts::charts;
use super::folder::Run;
use super::text::{shortened, shown};
use super::{data, samples, settings, summary};

/// A page about runs, at least one: about one all there is, about several what can be compared.
pub fn html(runs: &[Run]) -> String {
    let names: Vec<String> = runs.iter().map(|run| shortened(&run.name, 60)).collect();
    let title = match names.as_slice() {
        [name] => format!("Run {name}"),
        names => format!("{} runs: {}", names.len(), names.join(", ")),
    };
    let mut page = head(&title);
    match runs {
        [run] => put_one(&mut page, &title, run),
        runs => put_several(&mut page, &title, runs),
    }
    page.push_str(&end("codeact-train", "the files of the run"));
    page
}

fn put_one(page: &mut String, title: &str, run: &Run) {
    let state = if run.is_finished { "finished" } else { "open" };
    let _ = writeln!(
        page,
        "<header><h1>{title}</h1><p><span class=\"state {state}\">{}</span> {}</p></header>",
        run.state(),
        subtitle(run)
    );
    put_notes(page, std::slice::from_ref(run));
    page.push_str(&summary::tiles(run));
    put_charts(page, std::slice::from_ref(run));
    put_section(page, "data", "Data", &data::table(run));
    put_section(page, "samples", "What the model wrote", &samples::html(&run.samples));
    put_section(page, "settings", "Settings", &settings::html(run));
}

fn put_several(page: &mut String, title: &str, runs: &[Run]) {
    let _ = writeln!(page, "<header><h1>{title}</h1></header>");
    put_notes(page, runs);
    page.push_str(&summary::table(runs));
    put_charts(page, runs);
    put_section(page, "settings", "Settings that differ", &settings::differences(runs));
    for (index, run) in runs.iter().enumerate() {
        let name = shortened(&run.name, 60);
        put_section(page, &format!("data-{index}"), &format!("Data of {name}"), &data::table(run));
    }
}

/// Model and method in a line.
fn subtitle(run: &Run) -> String {
    let setting = |table: &str, key: &str| run.setting(table, key).map(|value| shortened(&value, 80));
    let mut parts: Vec<String> = setting("model", "name").into_iter().collect();
    if let (Some(rank), Some(alpha)) = (setting("lora", "rank"), setting("lora", "alpha")) {
        parts.push(format!("LoRA rank {rank}, alpha {alpha}"));
    }
    parts.extend(setting("optimizer", "learning_rate").map(|rate| format!("learning rate {rate}")));
    parts.extend(setting("train", "dtype"));
    parts.extend(setting("train", "device"));
    parts.push(format!("<code>{}</code>", shortened(&run.path, 200)));
    parts.join(" · ")
}

/// What could not be read.
fn put_notes(page: &mut String, runs: &[Run]) {
    let mut items = String::new();
    for run in runs {
        let name = if runs.len() > 1 { format!("{}: ", shortened(&run.name, 60)) } else { String::new() };
        for note in &run.notes {
            let _ = writeln!(items, "<li>{name}{}</li>", shown(note));
        }
    }
    if !items.is_empty() {
        let _ = writeln!(page, "<ul class=\"notes\" aria-label=\"What could not be read\">{items}</ul>");
    }
}

fn put_charts(page: &mut String, runs: &[Run]) {
    let charts = charts(runs);
    if charts.is_empty() {
        page.push_str("<p>Nothing was measured yet.</p>");
        return;
    }
    page.push_str("<section aria-labelledby=\"curves\"><h2 id=\"curves\">Curves</h2>\n<div class=\"charts\">\n");
    for (index, chart) in charts.iter().enumerate() {
        page.push_str(&chart.html(index));
    }
    page.push_str("</div></section>\n");
}
