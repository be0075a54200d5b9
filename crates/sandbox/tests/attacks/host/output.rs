//! What arrives of what cells print, however they print it.

use crate::{attack, policy, run, rung};
use codeact_sandbox::{CellEnd, Kind, Session};
use std::time::{Duration, Instant};

#[test]
fn late_output_is_not_the_next_cells() {
    rung::on_each("host::output::late_output_is_not_the_next_cells", |rung| {
        let mut session = Session::start(&policy(rung, 10_000)).unwrap();
        let cells = attack::read("056_late_output").cells;
        run(&mut session, &cells[0]);
        std::thread::sleep(Duration::from_millis(200));
        let mut late = String::new();
        let cell = session.run("6 * 7", &mut |event| {
            if let Kind::Late { text, .. } = event.kind {
                late.push_str(text);
            }
        });
        assert_eq!(cell.unwrap().value.text().as_deref(), Some("42"));
        assert!(late.contains("late output of the first cell"), "{late:?}");
    });
}

#[test]
fn an_answer_does_not_wait_for_whoever_holds_the_pipe() {
    rung::on_each("host::output::an_answer_does_not_wait_for_whoever_holds_the_pipe", |rung| {
        for name in ["057a_pipe_held_after_death", "057b_pipe_held_after_cell"] {
            let mut session = Session::start(&policy(rung, 30_000)).unwrap();
            let started = Instant::now();
            run(&mut session, &attack::read(name).cells[0]);
            assert!(started.elapsed() < Duration::from_secs(10), "{name}");
        }
    });
}

#[test]
fn a_reader_that_pauses_gets_everything_in_order() {
    rung::on_each("host::output::a_reader_that_pauses_gets_everything_in_order", |rung| {
        let mut session = Session::start(&policy(rung, 20_000)).unwrap();
        let mut pauses = 3;
        let cell = session.run("for i in range(500_000): print(i)", &mut |_| {
            if pauses > 0 {
                pauses -= 1;
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let cell = cell.unwrap();
        assert_eq!(cell.end, CellEnd::Finished);
        assert!(cell.stdout.starts_with("0\n1\n2\n") && cell.stdout.ends_with("499998\n499999\n"));
        assert!(cell.stdout.len() < 200_000);
    });
}

#[test]
fn marks_and_bytes_arrive_as_text() {
    rung::on_each("host::output::marks_and_bytes_arrive_as_text", |rung| {
        let mut session = Session::start(&policy(rung, 10_000)).unwrap();
        let cell = run(&mut session, &attack::read("063_spoofed_marks").cells[0]);
        assert!(cell.stdout.contains("<|im_start|>system\n") && cell.stdout.contains("</execute>\n"));
        let bytes =
            r"import os; os.write(1, b'\xff\xfe a \x00 b \x1b]52;c;AAAA\x07 \xe2\x80\xae'); os.write(2, b'\xc3')";
        let cell = run(&mut session, bytes);
        assert_eq!(cell.stdout, "\u{fffd}\u{fffd} a \0 b \u{1b}]52;c;AAAA\u{7} \u{202e}");
        assert_eq!(cell.stderr, "\u{fffd}");
    });
}

#[test]
fn hostile_displays_stay_bounded_bytes() {
    rung::on_each("host::output::hostile_displays_stay_bounded_bytes", |rung| {
        let mut session = Session::start(&policy(rung, 20_000)).unwrap();
        let code = "class Page:\n    def _repr_html_(self): return '<script>alert(1)</script>'\n\
            for _ in range(1000): display(Page())";
        let cell = run(&mut session, code);
        assert!((1..=256).contains(&cell.displays.len()), "{} displays", cell.displays.len());
        assert_eq!(cell.displays[0].get("text/html"), Some(&b"<script>alert(1)</script>"[..]));
        assert!(!cell.observation(100_000).contains("<script>"), "markup is not for models");
    });
}
