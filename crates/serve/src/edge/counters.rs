//! Counts of requests for `/metrics`, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::edge::log::dropped_lines;

/// Upper bounds in seconds of how long requests take.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0];

/// Counts since the server started.
#[derive(Default)]
pub(crate) struct Counters {
    in_flight: AtomicU64,
    ended: Mutex<Ended>,
}

#[derive(Default)]
struct Ended {
    /// By route, method and status.
    requests: BTreeMap<(String, &'static str, u16), u64>,
    /// Answers that were not sent to their end.
    incomplete: u64,
    /// By route.
    durations: BTreeMap<String, Durations>,
}

#[derive(Default)]
struct Durations {
    /// How many are at most so long as each bound of `SECONDS`.
    counts: [u64; SECONDS.len()],
    count: u64,
    sum: f64,
}

impl Counters {
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self, route: &str, method: &'static str, status: u16, is_complete: bool, elapsed: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut ended = self.ended.lock().expect("nothing panics while it holds this lock");
        *ended.requests.entry((route.to_owned(), method, status)).or_default() += 1;
        ended.incomplete += u64::from(!is_complete);
        let durations = ended.durations.entry(route.to_owned()).or_default();
        let seconds = elapsed.as_secs_f64();
        durations.count += 1;
        durations.sum += seconds;
        for (count, _) in durations.counts.iter_mut().zip(SECONDS).filter(|(_, bound)| seconds <= *bound) {
            *count += 1;
        }
    }

    /// Adds all of it to `text`.
    pub fn write(&self, text: &mut String) {
        let ended = self.ended.lock().expect("nothing panics while it holds this lock");
        head(text, "codeact_http_requests_in_flight", "gauge", "Requests being answered.");
        line(text, "codeact_http_requests_in_flight", "", self.in_flight.load(Ordering::Relaxed) as f64);
        head(text, "codeact_http_requests_total", "counter", "Requests answered; 499: the client left first.");
        for ((route, method, status), count) in &ended.requests {
            let labels = format!(r#"route="{route}",method="{method}",status="{status}""#);
            line(text, "codeact_http_requests_total", &labels, *count as f64);
        }
        head(text, "codeact_http_answers_incomplete_total", "counter", "Answers that were not sent to their end.");
        line(text, "codeact_http_answers_incomplete_total", "", ended.incomplete as f64);
        let name = "codeact_log_lines_dropped_total";
        head(text, name, "counter", "Lines of the log that were dropped, because whoever reads them is too slow.");
        line(text, name, "", dropped_lines() as f64);
        head(text, "codeact_http_request_seconds", "histogram", "From the head of a request to the end of its answer.");
        for (route, durations) in &ended.durations {
            let labels = format!(r#"route="{route}""#);
            let buckets = SECONDS.into_iter().zip(durations.counts);
            histogram(text, "codeact_http_request_seconds", &labels, buckets, durations.count, durations.sum);
        }
    }
}

/// What a metric is.
pub(crate) fn head(text: &mut String, name: &str, kind: &str, what: &str) {
    let _ = writeln!(text, "# HELP {name} {what}\n# TYPE {name} {kind}");
}

/// One value.
pub(crate) fn line(text: &mut String, name: &str, labels: &str, value: f64) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

/// The values of one histogram. `buckets`: bounds, each with how many values were at most so large.
pub(crate) fn histogram(
    text: &mut String,
    name: &str,
    labels: &str,
    buckets: impl Iterator<Item = (f64, u64)>,
    count: u64,
    sum: f64,
) {
    let comma = if labels.is_empty() { "" } else { "," };
    for (bound, count) in buckets {
        line(text, &format!("{name}_bucket"), &format!(r#"{labels}{comma}le="{bound}""#), count as f64);
    }
    line(text, &format!("{name}_bucket"), &format!(r#"{labels}{comma}le="+Inf""#), count as f64);
    line(text, &format!("{name}_sum"), labels, sum);
    line(text, &format!("{name}_count"), labels, count as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let counters = Counters::default();
        for (status, milliseconds) in [(200, 7), (200, 8), (429, 700_000)] {
            counters.begin();
            counters.end("/v1/models", "GET", status, status == 200, Duration::from_millis(milliseconds));
        }
        counters.begin();
        let mut text = String::new();
        counters.write(&mut text);
        let expected = [
            "codeact_http_requests_in_flight 1",
            r#"codeact_http_requests_total{route="/v1/models",method="GET",status="200"} 2"#,
            "codeact_http_answers_incomplete_total 1",
            r#"codeact_http_request_seconds_bucket{route="/v1/models",le="0.005"} 0"#,
            r#"codeact_http_request_seconds_bucket{route="/v1/models",le="0.01"} 2"#,
            r#"codeact_http_request_seconds_bucket{route="/v1/models",le="600"} 2"#,
            r#"codeact_http_request_seconds_bucket{route="/v1/models",le="+Inf"} 3"#,
            r#"codeact_http_request_seconds_count{route="/v1/models"} 3"#,
        ];
        for line in expected {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }
}
