//! Which numbers a setting may have: checked while it is read, and told by the schema.

use std::fmt;

use serde_json::{Map, Value, json};

/// From one number to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    low: f64,
    high: f64,
    is_low_out: bool,
    is_high_out: bool,
    hint: Option<&'static str>,
}

impl Range {
    /// More than 0.
    pub(super) const POSITIVE: Range = Range { is_low_out: true, ..Range::at_least(0) };
    /// 0 or more.
    pub(super) const NOT_NEGATIVE: Range = Range::at_least(0);
    /// 0 to 1.
    pub(super) const PART: Range = Range::to(0, 1);
    /// 0 or more and less than 1.
    pub(super) const LESS_THAN_ONE: Range = Range { is_high_out: true, ..Range::PART };

    /// So much or more.
    pub(super) const fn at_least(low: u32) -> Range {
        Range { low: low as f64, high: f64::INFINITY, is_low_out: false, is_high_out: false, hint: None }
    }

    /// From one number to another, both included.
    pub(super) const fn to(low: u32, high: u32) -> Range {
        Range { high: high as f64, ..Range::at_least(low) }
    }

    /// With a way out for whoever is outside.
    pub(super) const fn hinting(self, hint: &'static str) -> Range {
        Range { hint: Some(hint), ..self }
    }

    /// The way out.
    pub(super) fn hint(&self) -> Option<String> {
        self.hint.map(str::to_owned)
    }

    /// Whether a number lies inside; what is not finite never does.
    pub(super) fn contains(&self, number: f64) -> bool {
        let is_above = if self.is_low_out { number > self.low } else { number >= self.low };
        let is_below = if self.is_high_out { number < self.high } else { number <= self.high };
        number.is_finite() && is_above && is_below
    }

    /// As keywords of JSON Schema.
    pub(super) fn keywords(&self) -> Map<String, Value> {
        let number = |value: f64| if value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
        let mut keywords = Map::new();
        keywords.insert(if self.is_low_out { "exclusiveMinimum" } else { "minimum" }.to_owned(), number(self.low));
        if self.high.is_finite() {
            keywords
                .insert(if self.is_high_out { "exclusiveMaximum" } else { "maximum" }.to_owned(), number(self.high));
        }
        keywords
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { low, high, .. } = self;
        match (self.is_low_out, self.high.is_finite(), self.is_high_out) {
            (true, false, _) => write!(formatter, "more than {low}"),
            (false, false, _) if *low == 0.0 => write!(formatter, "0 or more"),
            (false, false, _) => write!(formatter, "at least {low}"),
            (true, true, _) => write!(formatter, "more than {low} and at most {high}"),
            (false, true, true) => write!(formatter, "{low} or more and less than {high}"),
            (false, true, false) => write!(formatter, "{low} to {high}"),
        }
    }
}
