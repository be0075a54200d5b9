//! Curves as SVG that reads itself out under the mouse, in words, and as a table.

use std::fmt::Write;

use super::axis::Axis;
use super::curve::{at, smoothed, thinned};
use super::history::Series;
use super::text::{count, number, shortened};

/// Units of the picture; its text is sized in the style sheet.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 626.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 244.0;

/// Points of a curve on the page: twice as many at most.
const BUCKETS: usize = 280;

/// Places of a curve that are read out under the mouse, at most.
const READ_OUT_MAX: usize = 60;

/// Rows of the table under a chart, at most.
const TABLE_ROWS_MAX: usize = 24;

/// Curves with at most so many points get a dot for each.
const DOTS_MAX: usize = 40;

/// Characters of a name in a legend.
const NAME_CHARACTERS: usize = 60;

/// How an axis is laid around values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// In equal steps.
    Linear,
    /// In equal factors where values are far apart.
    Wide,
    /// From 0 to 1, as per cent.
    Part,
}

/// A curve with its name.
#[derive(Debug, Clone)]
pub struct Line {
    /// Name in legend and table.
    pub name: String,
    /// Which of the eight colours.
    pub color: usize,
    /// Its points.
    pub points: Series,
    /// Whether its noise is averaged out, with the points themselves pale behind it.
    pub is_noisy: bool,
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows.
    pub title: &'static str,
    /// The unit of its values, and what else there is to know.
    pub unit: &'static str,
    /// Its curves, at least one of which has a point.
    pub lines: Vec<Line>,
    /// How the values are laid out.
    pub span: Span,
    /// A value to compare with, and what it is.
    pub level: Option<(f64, String)>,
    /// A step to point out, and what it is.
    pub mark: Option<(f64, String)>,
}

impl Chart {
    /// The whole figure. `index` makes its ids.
    pub fn html(&self, index: usize) -> String {
        let mut html = format!("<figure id=\"chart-{index}\"><h3>{}</h3>\n<p class=\"unit\">{}", self.title, self.unit);
        let picture = Picture::new(self);
        if picture.value.is_logarithmic() {
            html.push_str(", logarithmic scale");
        }
        html.push_str("</p>\n");
        html.push_str(&picture.svg(index));
        html.push_str(&self.legend());
        html.push_str(&self.table());
        html.push_str("</figure>\n");
        html
    }

    fn legend(&self) -> String {
        let mut items = String::new();
        for line in self.lines.iter().filter(|_| self.lines.len() > 1) {
            let _ = write!(
                items,
                "<li><svg class=\"key\" viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path class=\"line c{0}\" \
                 d=\"M1 4H27\"/></svg>{1}</li>",
                line.color,
                shortened(&line.name, NAME_CHARACTERS)
            );
        }
        if self.lines.iter().any(|line| line.is_noisy && smoothed(&line.points).is_some()) {
            items.push_str("<li class=\"hint\">bold: smoothed; pale: every step</li>");
        }
        if let Some((_, what)) = &self.level {
            let _ = write!(items, "<li class=\"hint\">dashed: {}</li>", shortened(what, NAME_CHARACTERS));
        }
        if let Some((_, what)) = &self.mark {
            let _ = write!(items, "<li class=\"hint\">upright: {}</li>", shortened(what, NAME_CHARACTERS));
        }
        if items.is_empty() { items } else { format!("<ul class=\"legend\">{items}</ul>\n") }
    }

    fn value(&self, value: f64) -> String {
        if self.span == Span::Part { super::text::percent(value) } else { number(value) }
    }

    /// Steps of all curves, in order.
    fn steps(&self) -> Vec<f64> {
        let mut steps: Vec<f64> = self.lines.iter().flat_map(|line| &line.points).map(|point| point.0).collect();
        steps.sort_by(f64::total_cmp);
        steps.dedup();
        steps
    }

    fn table(&self) -> String {
        let steps = self.steps();
        let shown = spread(&steps, TABLE_ROWS_MAX);
        let of = if shown.len() < steps.len() {
            format!(", {} of {}", shown.len(), count(steps.len() as u64))
        } else {
            String::new()
        };
        let mut table = format!(
            "<details><summary>Numbers{of}</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">Step</th>"
        );
        for line in &self.lines {
            let _ = write!(table, "<th scope=\"col\">{}</th>", shortened(&line.name, NAME_CHARACTERS));
        }
        table.push_str("</tr></thead><tbody>");
        for step in shown {
            let _ = write!(table, "<tr><th scope=\"row\">{}</th>", count(step as u64));
            for line in &self.lines {
                let value = at(&line.points, step).filter(|point| point.0 == step);
                let _ = write!(table, "<td>{}</td>", value.map_or_else(|| "–".to_owned(), |point| self.value(point.1)));
            }
            table.push_str("</tr>");
        }
        table.push_str("</tbody></table></div></details>\n");
        table
    }

    /// What a reader sees, for one who does not.
    fn words(&self) -> String {
        let mut words = String::new();
        for line in &self.lines {
            let by_value = |left: &&(f64, f64), right: &&(f64, f64)| left.1.total_cmp(&right.1);
            let (least, greatest) = (line.points.iter().min_by(by_value), line.points.iter().max_by(by_value));
            let ends = line.points.first().zip(line.points.last());
            if let (Some((first, last)), Some(least), Some(greatest)) = (ends, least, greatest) {
                let told =
                    [first, last, least, greatest].map(|(step, value)| (self.value(*value), count(*step as u64)));
                let [(a, a_step), (b, b_step), (low, low_step), (high, high_step)] = told;
                let _ = write!(
                    words,
                    "{}: {a} at step {a_step}, {b} at step {b_step}; lowest {low} at step {low_step}, highest {high} at \
                     step {high_step}. ",
                    shortened(&line.name, NAME_CHARACTERS)
                );
            }
        }
        words
    }
}

/// At most `wanted` of them, evenly, the first and the last among them.
fn spread(steps: &[f64], wanted: usize) -> Vec<f64> {
    if steps.len() <= wanted {
        return steps.to_vec();
    }
    (0..wanted).map(|index| steps[index * (steps.len() - 1) / (wanted - 1)]).collect()
}

/// A chart with its axes.
struct Picture<'a> {
    chart: &'a Chart,
    step: Axis,
    value: Axis,
    /// What is drawn bold.
    bold: Vec<Series>,
}

impl<'a> Picture<'a> {
    fn new(chart: &'a Chart) -> Picture<'a> {
        let points = || chart.lines.iter().flat_map(|line| &line.points);
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (first, last) = ends(&mut points().map(|point| point.0));
        let (low, high) = ends(&mut points().map(|point| point.1));
        let value = match chart.span {
            Span::Linear => Axis::linear(low, high),
            Span::Wide => Axis::wide(low, high),
            Span::Part => Axis::part(),
        };
        let bold = |line: &Line| {
            line.is_noisy.then(|| smoothed(&line.points)).flatten().unwrap_or_else(|| line.points.clone())
        };
        let bold = chart.lines.iter().map(bold).collect();
        Picture { chart, step: Axis::steps(if first <= 1.0 { 0.0 } else { first }, last), value, bold }
    }

    fn x(&self, step: f64) -> f64 {
        LEFT + self.step.place(step) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.value.place(value) * (BOTTOM - TOP)
    }

    fn svg(&self, index: usize) -> String {
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"title-{index} words-{index}\">\
             <title id=\"title-{index}\">{}</title><desc id=\"words-{index}\">{}</desc>\n",
            self.chart.title,
            self.chart.words()
        );
        self.put_axes(&mut svg);
        if let Some((level, _)) = self.chart.level.as_ref().filter(|(level, _)| self.is_inside(*level)) {
            let _ = writeln!(svg, "<path class=\"level\" d=\"M{LEFT} {0:.1}H{RIGHT}\"/>", self.y(*level));
        }
        if let Some((step, _)) = &self.chart.mark {
            let _ = writeln!(svg, "<path class=\"mark\" d=\"M{:.1} {TOP}V{BOTTOM}\"/>", self.x(*step));
        }
        for (line, bold) in self.chart.lines.iter().zip(&self.bold) {
            if line.is_noisy && bold.len() == line.points.len() && *bold != line.points {
                let _ = writeln!(svg, "<path class=\"pale c{}\" d=\"{}\"/>", line.color, self.path(&line.points));
            }
        }
        for (line, bold) in self.chart.lines.iter().zip(&self.bold) {
            let _ = writeln!(svg, "<path class=\"line c{}\" d=\"{}\"/>", line.color, self.path(bold));
            for (step, value) in bold.iter().filter(|_| bold.len() <= DOTS_MAX) {
                let (x, y) = (self.x(*step), self.y(*value));
                let _ = write!(svg, "<circle class=\"dot c{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>", line.color);
            }
        }
        self.put_read_out(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn is_inside(&self, value: f64) -> bool {
        let (low, high) = self.value.ends();
        (low..=high).contains(&value)
    }

    fn path(&self, points: &Series) -> String {
        let (first, last) = self.step.ends();
        let mut path = String::new();
        for (step, value) in thinned(points, (first, last), BUCKETS) {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.x(step), self.y(value));
        }
        path
    }

    fn put_axes(&self, svg: &mut String) {
        for (value, label) in self.value.ticks(5) {
            let y = self.y(value);
            let label = if self.chart.span == Span::Part { format!("{:.0}%", 100.0 * value) } else { label };
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/><text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for (step, label) in self.step.whole_ticks(6) {
            let x = self.x(step);
            let _ = write!(
                svg,
                "<path class=\"tick\" d=\"M{x:.1} {BOTTOM}v5\"/><text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                BOTTOM + 22.0
            );
        }
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>");
    }

    /// Upright strips, each of which shows its values while the mouse is over it. No script is needed for that.
    fn put_read_out(&self, svg: &mut String) {
        let steps = spread(&self.chart.steps(), READ_OUT_MAX);
        for (index, step) in steps.iter().enumerate() {
            let x = self.x(*step);
            let middle = |other: Option<&f64>, end: f64| other.map_or(end, |other| (x + self.x(*other)) / 2.0);
            let left = middle(index.checked_sub(1).and_then(|before| steps.get(before)), LEFT);
            let right = middle(steps.get(index + 1), RIGHT);
            let mut lines = vec![format!("step {}", count(*step as u64))];
            let mut dots = String::new();
            for (line, bold) in self.chart.lines.iter().zip(&self.bold) {
                let Some((_, value)) = at(bold, *step).filter(|point| point.0 <= *step) else { continue };
                let name =
                    if self.chart.lines.len() > 1 { format!(" {}", shortened(&line.name, 24)) } else { String::new() };
                lines.push(format!("{}{name}", self.chart.value(value)));
                let _ = write!(
                    dots,
                    "<circle class=\"dot c{}\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\"/>",
                    line.color,
                    self.y(value)
                );
            }
            let is_left = x < (LEFT + RIGHT) / 2.0;
            let _ = write!(
                svg,
                "<g class=\"hit\"><path class=\"area\" d=\"M{left:.1} {TOP}H{right:.1}V{BOTTOM}H{left:.1}z\"/><g \
                 class=\"tip\"><path class=\"cursor\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/>{dots}"
            );
            for (row, text) in lines.iter().enumerate() {
                let (at, class) = if is_left { (x + 10.0, "tl") } else { (x - 10.0, "tr") };
                let y = TOP + 14.0 + 18.0 * row as f64;
                let _ = write!(svg, "<text class=\"{class}\" x=\"{at:.1}\" y=\"{y:.1}\">{text}</text>");
            }
            svg.push_str("</g></g>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Series) -> Chart {
        let line = Line { name: "<a> & b".to_owned(), color: 0, points, is_noisy: true };
        Chart { title: "Loss", unit: "nats", lines: vec![line], span: Span::Linear, level: None, mark: None }
    }

    #[test]
    fn a_long_curve_is_small_and_has_all_its_words() {
        let html = chart((0..100_000).map(|step| (f64::from(step), f64::from(step % 7))).collect()).html(3);
        assert!(html.len() < 60_000, "{}", html.len());
        assert!(
            html.contains("&lt;a&gt; &amp; b: 0 at step 0, 4 at step 99,999; lowest 0 at step 0, highest 6 at step 6.")
        );
        assert!(html.contains("Numbers, 24 of 100,000") && html.contains("aria-labelledby=\"title-3 words-3\""));
        assert!(!html.contains("<a>") && !html.contains("NaN") && !html.contains("inf"));
    }

    #[test]
    fn one_point_is_a_chart_too() {
        let html = chart(vec![(7.0, 0.0)]).html(0);
        assert!(html.contains("<circle") && !html.contains("NaN") && !html.contains("inf"), "{html}");
    }
}
