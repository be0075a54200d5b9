//! What the last cell of an attack may end in.

use crate::attack::{Attack, Expect};
use codeact_sandbox::{Cell, doctor};

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Skipped(String),
    /// An answer came too late.
    Late(String),
    Failed(String),
}

pub fn judge(attack: &Attack, last: &Cell) -> Verdict {
    match attack.judge(last) {
        doctor::Verdict::Held(_) => Verdict::Passed,
        doctor::Verdict::Skipped(reason) => Verdict::Skipped(reason),
        doctor::Verdict::Failed(reason) => Verdict::Failed(reason),
    }
}

#[test]
fn a_verdict_follows_from_the_last_line_and_the_end() {
    let attack = |expect: &[Expect]| Attack {
        name: "000_none".to_string(),
        title: String::new(),
        cases: Vec::new(),
        layer: None,
        expect: expect.to_vec(),
        seconds: 1,
        forges: false,
        cells: Vec::new(),
    };
    let mut session = codeact_sandbox::Session::start(&crate::policy(crate::rung::best(), 1000)).unwrap();
    let mut verdict = |expect: &[Expect], code: &str| judge(&attack(expect), &crate::run(&mut session, code));
    use Expect::{Ends, Held, Survives};
    assert_eq!(verdict(&[Held], "print('held: yes')"), Verdict::Passed);
    assert_eq!(verdict(&[Held], "print('skipped: no numpy')"), Verdict::Skipped("no numpy".to_string()));
    assert_eq!(verdict(&[Ends], "import os; os._exit(0)"), Verdict::Passed);
    assert_eq!(verdict(&[Ends], "while True: pass"), Verdict::Passed);
    assert_eq!(verdict(&[Survives], "1 / 0"), Verdict::Passed);
    for (expect, code) in [
        (Held, "print('held: yes'); print('and more')"),
        (Held, "print('held: yes'); 1 / 0"),
        (Held, "1"),
        (Held, "import os; os._exit(0)"),
        (Ends, "1"),
        (Survives, "print('escaped: out')"),
        (Survives, "import os; os._exit(0)"),
    ] {
        let verdict = verdict(&[expect], code);
        assert!(matches!(verdict, Verdict::Failed(_)), "{code}: {verdict:?}");
    }
}
