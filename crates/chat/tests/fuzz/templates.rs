//! Chat templates: made at random of what templates are made of, and those that are meant to do harm.

use codeact_chat::{ChatFormat, Message};

use crate::harness::{Bounds, Random, alone, campaign, damage};
use crate::tiny::{CHATML, Folder, byte_level};

/// A template may use what the meter grants: its bytes live as texts, and as items of up to twice that.
const BOUNDS: Bounds = Bounds { factor: 64, constant: 320 << 20 };

fn write(folder: &Folder, template: &[u8]) {
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
}

/// Values that expressions begin with.
const LEAVES: [&str; 22] = [
    "messages",
    "m",
    "m.content",
    "m['role']",
    "messages[0]['content']",
    "ns",
    "ns.a",
    "ns.b",
    "x",
    "y",
    "'ab'",
    "''",
    "0",
    "-1",
    "2",
    "99999",
    "10**9",
    "1e300",
    "[]",
    "{}",
    "none",
    "loop.index",
];

/// Filters, some asking for much.
const FILTERS: [&str; 23] = [
    "list",
    "join",
    "string",
    "tojson",
    "replace('', 'xyz')",
    "indent(99999)",
    "items",
    "reverse",
    "upper",
    "length",
    "sort",
    "unique",
    "map('list')",
    "tojson(indent=9999)",
    "batch(9999999)",
    "join('yyyy')",
    "map('join', 'zz')",
    "selectattr('a')",
    "dictsort",
    "round(99999)",
    "int",
    "safe",
    "default(x)",
];

/// Methods, likewise.
const METHODS: [&str; 13] = [
    "split('')",
    "split()",
    "replace('', 'aaaaaaaa')",
    "join(messages)",
    "format('x', 1)",
    "items()",
    "upper()",
    "strip('a')",
    "get('k')",
    "splitlines()",
    "count('')",
    "title()",
    "keys()",
];

/// An expression of limited depth.
fn expression(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return random.pick(&LEAVES).to_string();
    }
    let (a, b) = (expression(random, depth - 1), expression(random, depth - 1));
    match random.below(14) {
        0 => format!("({a} + {b})"),
        1 => format!("({a} ~ {b})"),
        2 => format!("({a} * {b})"),
        3 => format!("[{a}, {b}]"),
        4 => format!("{{'k': {a}, {b}: 1}}"),
        5 => format!("{a}[{b}:]"),
        6 => format!("{a}[::-1]"),
        7 => {
            format!("({a} | {})", random.pick(&FILTERS))
        }
        8 => {
            format!("{a}.{}", random.pick(&METHODS))
        }
        9 => format!("({a} in {b})"),
        10 => format!("({a} == {b})"),
        11 => format!("({a} if {b} else x)"),
        12 => format!("range({a})"),
        _ => format!("{a}.{}", random.pick(&["a", "content", "k"])),
    }
}

fn statements(random: &mut Random, depth: usize) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(4) {
        let levels = random.below(4);
        let e = expression(random, levels);
        text += &match random.below(if depth == 0 { 5 } else { 10 }) {
            0 => format!("{{{{ {e} }}}}"),
            1 => format!("{{% set x = {e} %}}"),
            2 => format!("{{% set y = {e} %}}"),
            3 => format!("{{% set ns.a = {e} %}}"),
            4 => format!("{{% set ns.b = {e} %}}"),
            5 => format!("{{% for m in {e} %}}{}{{% endfor %}}", statements(random, depth - 1)),
            6 => format!("{{% for i in range(99999) %}}{}{{% endfor %}}", statements(random, depth - 1)),
            7 => format!("{{% if {e} %}}{}{{% endif %}}", statements(random, depth - 1)),
            8 => format!("{{% set x %}}{}{{% endset %}}", statements(random, depth - 1)),
            _ => format!("{{% macro f(x) %}}{}{{% endmacro %}}{{{{ f({e}) }}}}", statements(random, depth - 1)),
        };
    }
    text
}

#[test]
fn random_templates() {
    let folder = byte_level(CHATML);
    let messages = [Message::user("a b\nc"), Message::assistant("<|im_end|> d"), Message::user("")];
    let (mut used, mut refused) = (0, 0);
    campaign("chat templates", 1500, BOUNDS, |case| {
        let mut template = match case.random.below(4) {
            0 => CHATML.as_bytes().to_vec(),
            1 => format!("{}{CHATML}", statements(&mut case.random, 1)).into_bytes(),
            _ => format!("{{% set ns = namespace(a='', b=[]) %}}{}", statements(&mut case.random, 3)).into_bytes(),
        };
        if case.random.once_in(3) {
            damage(&mut case.random, &mut template);
        }
        write(&folder, &template);
        let result = case.measure(template.len(), || match folder.load() {
            Ok(format) => format.prompt_ids(&messages).map(drop),
            Err(error) => Err(error),
        });
        match result {
            Ok(()) => used += 1,
            Err(_) => refused += 1,
        }
    });
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (used > 100 && refused > 500), "{used} used, {refused} refused");
}

/// What a template is refused with, on a thread with the stack of a server's.
fn refusal(template: &str) -> String {
    let folder = byte_level(CHATML);
    write(&folder, template.as_bytes());
    let load = move || ChatFormat::load(folder.path()).map(drop);
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(load).unwrap();
    match thread.join().unwrap() {
        Ok(()) => panic!("it was taken: {}", &template[..template.len().min(200)]),
        Err(error) => error.to_string(),
    }
}

/// Statements that make much of little.
fn bombs() -> Vec<String> {
    let doubling = |step: &str| format!("{{% set ns = namespace(a='ab') %}}{}", format!("{{% {step} %}}").repeat(60));
    let looped = |step: &str| {
        format!("{{% set ns = namespace(a=['ab']) %}}{{% for i in range(99999) %}}{{% {step} %}}{{% endfor %}}")
    };
    let long = "x".repeat(100_000);
    vec![
        "{{ 'a' * 10**9 }}".to_owned(),
        "{{ ('a' * 99999999) ~ ('b' * 99999999) }}".to_owned(),
        "{{ [0] * 99999999 }}".to_owned(),
        doubling("set ns.a = ns.a + ns.a"),
        doubling("set ns.a = ns.a ~ ns.a"),
        doubling("set ns.a = ns.a * 2"),
        doubling("set ns.a = ns.a.replace('', 'xyz')"),
        doubling("set ns.a = ns.a | replace('', 'xyz')"),
        doubling("set ns.a = ns.a.join(ns.a | list)"),
        doubling("set ns.a = [ns.a, ns.a]"),
        doubling("set ns.a = {'k': ns.a, 'l': ns.a}"),
        doubling("set ns.a = (ns.a | list) + (ns.a | list)"),
        doubling("set ns.a = '{0}{0}'.format(ns.a)"),
        doubling("set ns.a = ns.a | tojson | tojson"),
        format!("{}{{{{ x }}}}", "{% set x = [x, x, x] %}".repeat(40)),
        looped("set ns.a = [ns.a]"),
        looped("set ns.a = ns.a[:]"),
        looped("set ns.a = ns.a + ['x']"),
        looped("set ns.a = ns"),
        looped("set ns.a = [{'k': ns}]"),
        looped("set ns.a = ns.a | reverse"),
        format!("{{% for a in range(99999) %}}{long}{{% endfor %}}"),
        format!("{{% set x %}}{{% for a in range(99999) %}}{long}{{% endfor %}}{{% endset %}}"),
        format!("{{% macro f() %}}{long}{{% endmacro %}}{{% for a in range(99999) %}}{{{{ f() }}}}{{% endfor %}}"),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".to_owned(),
        "{{ 'a\nb' | indent(999999999) }}".to_owned(),
        "{{ messages | tojson(indent=999999999) }}".to_owned(),
        "{{ '{:>999999999}'.format(1) }}".to_owned(),
        "{{ '%999999999d' | format(1) }}".to_owned(),
        "{{ [1] | batch(999999999, 0) | list }}".to_owned(),
        "{% include 'chat_template' %}".to_owned(),
        "{% extends 'chat_template' %}".to_owned(),
        "{% import 'x' as y %}".to_owned(),
        "{% block a %}{{ self.a() }}{% endblock %}".to_owned(),
        "{{ f(*messages) }}".to_owned(),
        format!("{{{{ {} }}}}", "a ~ ".repeat(50_000) + "a"),
        format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(50_000), "]".repeat(50_000)),
        format!("{{{{ a{} }}}}", ".b".repeat(50_000)),
        format!("{{{{ {}a }}}}", "not ".repeat(50_000)),
        format!("{{{{ {}1 }}}}", "-".repeat(50_000)),
        format!("{{{{ a{} }}}}", " | upper".repeat(50_000)),
        format!("{}{}", "{% if a %}".repeat(50_000), "{% endif %}".repeat(50_000)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}x".repeat(50_000)),
        "x".repeat(2 << 20),
        ('\u{F0000}'..='\u{FFFFD}').collect::<String>() + CHATML,
    ]
}

#[test]
fn templates_that_mean_harm_are_stopped() {
    let _alone = alone();
    for bomb in bombs() {
        let (start, before) = (std::time::Instant::now(), crate::allocation::reset_peak());
        let error = refusal(&bomb);
        let (time, bytes) = (start.elapsed(), crate::allocation::peak().saturating_sub(before));
        let shown = &bomb[..bomb.len().min(100)];
        assert!(bytes < BOUNDS.constant && time.as_secs() < 20, "{bytes} bytes and {time:?} for {shown}");
        assert!(error.contains("chat template"), "{error}");
    }
}

#[test]
fn long_conversations_are_not_taken_for_harm() {
    let _alone = alone();
    // What the templates of large models do for each message of many.
    let template = "{% set ns = namespace(last=messages|length - 1, text='') %}\
        {% for m in messages[::-1] %}{% set index = (messages|length - 1) - loop.index0 %}\
        {% if m.role == 'user' and '</tool>' not in m.content and index < ns.last %}{% set ns.last = index %}\
        {% endif %}{% endfor %}\
        {% for m in messages %}{% if m.content is string %}{% set content = m.content %}{% else %}\
        {% set content = '' %}{% endif %}\
        {% if '</think>' in content and content.startswith('<think>') %}\
        {% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}\
        {{ '<|im_start|>' + m.role + '\n' + content + '<|im_end|>' + '\n' }}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let folder = byte_level(CHATML);
    write(&folder, template.as_bytes());
    let format = folder.load().unwrap();
    let turn = |index: usize| match index % 2 {
        0 => Message::user("what is it? ".repeat(80)),
        _ => Message::assistant("it is this. ".repeat(80)),
    };
    let messages: Vec<Message> = (0..1001).map(turn).collect();
    assert!(format.prompt_ids(&messages).unwrap().len() > 100_000);
}
