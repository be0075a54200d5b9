//! Statistics as text for a terminal.

use std::fmt;

use super::{Lengths, PlanStats, SourceStats, Stats};
use crate::plan::Share;
use crate::preview::harmless;

/// Width of the longest bar, in characters.
const BAR: usize = 40;

/// Most numbers of turns that are listed one by one.
const TURNS: usize = 8;

impl fmt::Display for Stats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for source in &self.sources {
            write!(out, "{source}")?;
        }
        let Stats { conversations, tokens, supervised_tokens, .. } = self;
        writeln!(
            out,
            "all       {conversations} conversations, {tokens} tokens, {supervised_tokens} supervised ({})",
            { percent(*supervised_tokens as f64 / *tokens as f64) }
        )?;
        if self.duplicates > 0 {
            writeln!(out, "          {} conversations are another one again, token by token", self.duplicates)?;
        }
        if self.held_out_and_learned > 0 {
            let count = self.held_out_and_learned;
            writeln!(out, "          warning: {count} held-out conversations are learned too")?;
        }
        write!(out, "{}", self.plan)
    }
}

impl fmt::Display for SourceStats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}{}", harmless(&self.name), if self.is_held_out { ", held out" } else { "" })?;
        for file in &self.files {
            writeln!(out, "  file    {} rows, {}: `{}`", file.rows, file.format, harmless(&file.path))?;
            for rejected in &file.rejected {
                let (count, kind, line) = (rejected.count, &rejected.kind, rejected.first_line);
                writeln!(
                    out,
                    "          {count} rejected, {kind}; the first in line {line}: {}",
                    harmless(&rejected.example)
                )?;
            }
            if !file.ignored_keys.is_empty() {
                writeln!(out, "          keys that are not used: {}", harmless(&file.ignored_keys.join(", ")))?;
            }
        }
        write!(out, "  rows    {} conversations are left", self.conversations)?;
        for (count, what) in [
            (self.rejected as usize, "rejected"),
            (self.filtered, "filtered out"),
            (self.dropped_too_long, "dropped as too long"),
            (self.truncated, "truncated"),
            (if self.is_held_out { 0 } else { self.held_out }, "held out"),
            (self.beyond_max_samples, "beyond max_samples"),
            (self.duplicates, "duplicates"),
        ] {
            if count > 0 {
                write!(out, ", {count} {what}")?;
            }
        }
        let (tokens, targets) = (self.tokens, self.supervised_tokens);
        writeln!(
            out,
            "\n  tokens  {tokens}, {targets} supervised ({})",
            percent(targets as f64 / tokens.max(1) as f64)
        )?;
        if !self.is_held_out {
            let share = match self.share {
                Share::Repeat(1) => "all of it".to_owned(),
                Share::Repeat(count) => format!("{count} times"),
                Share::Weight(weight) => format!("weight {weight}"),
            };
            writeln!(
                out,
                "  mix     {share}: {} conversations an epoch, {} of the rows, {} of the tokens",
                self.epoch_conversations,
                percent(self.mix_by_rows),
                percent(self.mix_by_tokens)
            )?;
        }
        let turns = self.turns.iter().take(TURNS).map(|(turns, count)| format!("{turns}: {count}"));
        let more: usize = self.turns.values().skip(TURNS).sum();
        let more = (more > 0).then(|| format!("more: {more}"));
        writeln!(out, "  turns   {}", turns.chain(more).collect::<Vec<_>>().join(", "))?;
        write!(out, "{}", self.lengths)
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lengths { mean, median, p95, max, .. } = self;
        writeln!(out, "  length  mean {mean:.0}, median {median}, 95% at most {p95}, longest {max} tokens")?;
        let most = self.histogram.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        let filled = |bucket: &(Option<usize>, usize)| bucket.1 > 0;
        let first = self.histogram.iter().position(filled).unwrap_or(0);
        let last = self.histogram.iter().rposition(filled).map_or(0, |last| last + 1);
        for (bound, count) in self.histogram.get(first..last).unwrap_or(&[]) {
            // Whoever is there is seen.
            let bar = "█".repeat((count * BAR).div_ceil(most));
            match bound {
                Some(bound) => writeln!(out, "  {:>8} {count:>8} {bar}", format!("<={bound}"))?,
                None => writeln!(out, "  {:>8} {count:>8} {bar}", "longer")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for PlanStats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (packs, room) = (self.packs, self.pack_tokens);
        writeln!(out, "packs     {packs} of {room} tokens in an epoch, {} full", percent(self.packing_efficiency))?;
        let epochs = self.steps_after_epochs.iter().enumerate();
        let epochs =
            epochs.map(|(index, steps)| format!("{} epoch{}: {steps}", index + 1, if index == 0 { "" } else { "s" }));
        writeln!(out, "steps     {}; this run takes {}", epochs.collect::<Vec<_>>().join(", "), self.steps_of_run)?;
        for (name, (least, mean, most)) in
            [("tokens", self.tokens_per_step), ("supervised tokens", self.supervised_tokens_per_step)]
        {
            writeln!(out, "          {least} to {most} {name} a step, {mean:.0} on average")?;
        }
        let (pairs, without) = (self.attention_pairs, self.attention_pairs_without_borders);
        let part = percent(pairs as f64 / without.max(1) as f64);
        writeln!(out, "attention {pairs} pairs of tokens an epoch, {part} of what packs without borders would take")
    }
}

fn percent(part: f64) -> String {
    format!("{:.1}%", 100.0 * part)
}
