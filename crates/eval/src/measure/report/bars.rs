//! Grouped bars with intervals as SVG, in words, and as a table.

use std::fmt::Write;

use codeact_data::page::text::{number, percent, shortened};

/// Units of the picture; its text is sized in the style sheet.
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 54.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 246.0;
const WIDTH_MIN: f64 = 640.0;
/// A bar, and what lies between two groups.
const BAR: f64 = 34.0;
const GAP: f64 = 30.0;

/// Groups of a picture; the table has them all.
const GROUPS_MAX: usize = 12;
/// Characters of a name.
const NAME_CHARACTERS: usize = 60;
/// Characters of a name below its bars, for each bar that stands there.
const LABEL_CHARACTERS: usize = 7;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0 to 1, as per cent.
    Part,
    /// From 0 on.
    Number,
}

/// A value and the ends of its interval.
pub type Bar = (f64, Option<(f64, f64)>);

/// A picture.
#[derive(Debug, Clone)]
pub struct Bars {
    /// What it shows, in the words of this program.
    pub title: String,
    /// The unit of the values, and what else there is to know.
    pub unit: &'static str,
    /// How they are laid out.
    pub scale: Scale,
    /// What the bars of a group are: at most eight, as there are colours.
    pub series: Vec<String>,
    /// Each group with a bar for each of the series, where there is one.
    pub groups: Vec<(String, Vec<Option<Bar>>)>,
}

impl Bars {
    /// The whole figure. `index` makes its ids.
    pub fn html(&self, index: usize) -> String {
        let title = shortened(&self.title, 2 * NAME_CHARACTERS);
        let mut html = format!("<figure id=\"bars-{index}\"><h3>{title}</h3>\n<p class=\"unit\">{}</p>\n", self.unit);
        html.push_str(&self.svg(index, &title));
        html.push_str("<ul class=\"legend\">");
        for (color, name) in self.series.iter().enumerate() {
            let name = shortened(name, NAME_CHARACTERS);
            let _ = write!(
                html,
                "<li><svg class=\"key\" viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path class=\"bar c{color}\" \
                 d=\"M1 0H27V8H1z\"/></svg>{name}</li>"
            );
        }
        if self.groups.len() > GROUPS_MAX {
            let _ = write!(html, "<li class=\"hint\">the first {GROUPS_MAX} of {}</li>", self.groups.len());
        }
        html.push_str("</ul>\n");
        html.push_str(&self.table());
        html.push_str("</figure>\n");
        html
    }

    fn value(&self, value: f64) -> String {
        if self.scale == Scale::Part { percent(value) } else { number(value) }
    }

    /// A value with its interval.
    fn told(&self, bar: &Bar) -> String {
        let interval = bar.1.map(|(low, high)| format!(" ({} to {})", self.value(low), self.value(high)));
        self.value(bar.0) + &interval.unwrap_or_default()
    }

    fn table(&self) -> String {
        let mut table = "<details><summary>Numbers</summary><div class=\"wide\" tabindex=\"0\" role=\"group\" \
             aria-label=\"Numbers of the figure\"><table><thead><tr><th scope=\"col\">of</th>"
            .to_owned();
        for name in &self.series {
            let _ = write!(table, "<th scope=\"col\">{}</th>", shortened(name, NAME_CHARACTERS));
        }
        table.push_str("</tr></thead><tbody>");
        for (name, bars) in &self.groups {
            let _ = write!(table, "<tr><th scope=\"row\">{}</th>", shortened(name, NAME_CHARACTERS));
            for bar in bars {
                let _ = write!(table, "<td>{}</td>", bar.as_ref().map_or_else(|| "–".to_owned(), |bar| self.told(bar)));
            }
            table.push_str("</tr>");
        }
        table.push_str("</tbody></table></div></details>\n");
        table
    }

    fn shown_groups(&self) -> &[(String, Vec<Option<Bar>>)] {
        &self.groups[..self.groups.len().min(GROUPS_MAX)]
    }

    /// The largest value of the axis, and the distance of its ticks.
    fn top(&self) -> (f64, f64) {
        if self.scale == Scale::Part {
            return (1.0, 0.2);
        }
        let bars = self.shown_groups().iter().flat_map(|(_, bars)| bars).flatten();
        let most = bars.map(|(value, interval)| interval.map_or(*value, |(_, high)| high)).fold(0.0, f64::max);
        let power = 10_f64.powf((most.max(1e-9) / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| 5.0 * step >= most);
        let step = step.unwrap_or(10.0 * power);
        ((most / step).ceil().max(1.0) * step, step)
    }

    fn svg(&self, index: usize, title: &str) -> String {
        let (groups, group_width) = (self.shown_groups(), BAR * self.series.len().max(1) as f64 + GAP);
        let right = (LEFT + group_width * groups.len() as f64).max(WIDTH_MIN);
        let words = self.words();
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {right:.0} {HEIGHT}\" role=\"img\" aria-labelledby=\"bars-title-{index} \
             bars-words-{index}\"><title id=\"bars-title-{index}\">{title}</title><desc \
             id=\"bars-words-{index}\">{words}</desc>\n"
        );
        let (top, step) = self.top();
        let y = |value: f64| BOTTOM - (value / top).clamp(0.0, 1.0) * (BOTTOM - TOP);
        for tick in 0..=(top / step).round() as usize {
            let (at, label) = (y(tick as f64 * step), self.value(tick as f64 * step));
            let label = label.replace(".0%", "%");
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right:.0}\"/><text class=\"y\" x=\"{:.1}\" \
                 y=\"{:.1}\">{label}</text>",
                LEFT - 8.0,
                at + 4.0
            );
        }
        // Few groups stand in the middle of their shares of the picture.
        let share = (right - LEFT) / groups.len().max(1) as f64;
        for (place, (name, bars)) in groups.iter().enumerate() {
            let middle = LEFT + share * (place as f64 + 0.5);
            let start = middle - BAR * bars.len() as f64 / 2.0;
            for (color, bar) in bars.iter().enumerate() {
                if let Some(bar) = bar {
                    self.put_bar(&mut svg, (start + BAR * color as f64, color), bar, &y);
                }
            }
            let label = shortened(name, (LABEL_CHARACTERS * self.series.len()).max(12));
            let _ = write!(svg, "<text class=\"x\" x=\"{middle:.1}\" y=\"{:.1}\">{label}</text>", BOTTOM + 22.0);
        }
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{right:.0}\"/></svg>");
        svg
    }

    fn put_bar(&self, svg: &mut String, (left, color): (f64, usize), bar: &Bar, y: &dyn Fn(f64) -> f64) {
        let (value, interval) = bar;
        let (middle, top) = (left + BAR / 2.0, y(*value));
        let _ = write!(
            svg,
            "<g><title>{}: {}</title><path class=\"bar c{}\" d=\"M{:.1} {BOTTOM}V{top:.1}h{:.1}V{BOTTOM}z\"/>",
            shortened(&self.series[color], NAME_CHARACTERS),
            self.told(bar),
            color % 8,
            left + 2.0,
            BAR - 4.0
        );
        let mut highest = top;
        if let Some((low, high)) = interval {
            highest = y(*high).min(top);
            let _ = write!(
                svg,
                "<path class=\"whisker\" d=\"M{:.1} {:.1}h10M{middle:.1} {:.1}V{:.1}M{:.1} {:.1}h10\"/>",
                middle - 5.0,
                y(*high),
                y(*high),
                y(*low),
                middle - 5.0,
                y(*low)
            );
        }
        let label = match self.scale {
            Scale::Part => format!("{:.0}", 100.0 * value),
            // No wider than its bar: the exact one is in the title and in the table.
            Scale::Number if *value < 10.0 => format!("{value:.1}"),
            Scale::Number => number(value.round()),
        };
        let _ = write!(svg, "<text class=\"value\" x=\"{middle:.1}\" y=\"{:.1}\">{label}</text></g>", highest - 5.0);
    }

    /// What a reader sees, for one who does not.
    fn words(&self) -> String {
        let mut words = String::new();
        for (name, bars) in self.shown_groups() {
            for (series, bar) in self.series.iter().zip(bars) {
                if let Some(bar) = bar {
                    let (name, series) = (shortened(name, NAME_CHARACTERS), shortened(series, NAME_CHARACTERS));
                    let _ = write!(words, "{name}, {series}: {}. ", self.told(bar));
                }
            }
        }
        words.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(scale: Scale, groups: Vec<(String, Vec<Option<Bar>>)>) -> Bars {
        let series = vec!["code".to_owned(), "<json>".to_owned()];
        Bars { title: "Success & more".to_owned(), unit: "share", scale, series, groups }
    }

    #[test]
    fn bars_end_at_their_values_and_whiskers_at_the_interval() {
        let group = ("a<b>".to_owned(), vec![Some((0.5, Some((0.25, 0.75)))), None]);
        let html = bars(Scale::Part, vec![group]).html(2);
        // From 246 at 0 to 22 at 1.
        assert!(html.contains("V134.0h30.0V246z") && html.contains("78.0V190.0M"), "{html}");
        assert!(html.contains("a&lt;b&gt;, code: 50.0% (25.0% to 75.0%).") && html.contains("<td>–</td>"));
        assert!(html.contains(">100%</text>") && !html.contains("<b>") && !html.contains("<json>"));
        assert!(html.contains("Success &amp; more") && html.contains("aria-labelledby=\"bars-title-2 bars-words-2\""));
    }

    #[test]
    fn axes_have_round_ends_above_all_values() {
        let top = |value: f64| bars(Scale::Number, vec![("g".to_owned(), vec![Some((value, None)), None])]).top();
        assert_eq!([0.0, 3.0, 4.1, 7.3, 10.0, 118.0].map(top).map(|(top, _)| top > 0.0), [true; 6]);
        for value in [1e-3, 0.7, 3.0, 4.1, 7.3, 10.0, 118.0, 9.9e8] {
            let (top, step) = top(value);
            assert!(top >= value && top <= 2.1 * value && top / step <= 5.1, "{value}: {top} {step}");
        }
    }

    #[test]
    fn a_number_above_a_bar_is_no_wider_than_the_bar() {
        let group = ("g".to_owned(), vec![Some((4.0 / 3.0, None)), Some((12.3456, None))]);
        let html = bars(Scale::Number, vec![group]).html(0);
        assert!(html.contains(">1.3</text>") && html.contains(">12</text>") && html.contains("code: 1.333"), "{html}");
    }

    #[test]
    fn many_groups_are_cut_and_nothing_is_no_number() {
        let group = |index: usize| (format!("g{index}"), vec![Some((0.0, Some((0.0, 0.0)))), Some((1.0, None))]);
        for count in [0, 1, 40] {
            let html = bars(Scale::Number, (0..count).map(group).collect()).html(0);
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
            assert_eq!(html.matches("<title>code").count(), count.min(GROUPS_MAX));
            assert_eq!(html.matches("scope=\"row\"").count(), count);
        }
    }
}
