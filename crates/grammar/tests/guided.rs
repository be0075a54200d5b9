//! JSON, regular expressions and Lark in a small vocabulary: what is allowed, what is refused, what is bounded.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use codeact_grammar::{Grammar, GrammarError, Matcher, Vocabulary};
use serde_json::{Value, json};

/// All bytes, some pieces of JSON and of words, a control token without text, and an end token.
static VOCABULARY: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| {
    let mut tokens: Vec<Option<Vec<u8>>> = (0..=255u8).map(|byte| Some(vec![byte])).collect();
    let pieces = ["{\"", "\":", "\"}", "},", "[[", "]]", "true", "null", "ab", "abc", " \"", ", ", "é", "語", "12"];
    tokens.extend(pieces.map(|piece| Some(piece.as_bytes().to_vec())));
    tokens.extend([None, None]);
    let end = tokens.len() as u32 - 1;
    Vocabulary::new(&tokens, &[end]).unwrap()
});

fn end() -> u32 {
    VOCABULARY.end_ids()[0]
}

fn matcher(grammar: Grammar) -> Matcher {
    grammar.matcher(&VOCABULARY).unwrap()
}

fn schema(schema: &Value) -> Matcher {
    matcher(Grammar::json_schema(schema).unwrap())
}

fn allowed(matcher: &mut Matcher) -> Vec<u32> {
    let allowed = matcher.allowed().unwrap();
    (0..VOCABULARY.size() as u32 + 64).filter(|id| allowed.has(*id)).collect()
}

/// Whether `text` is an answer, byte by byte, and whether it must end there.
fn takes(mut matcher: Matcher, text: &str) -> bool {
    text.bytes().all(|byte| matcher.accept(u32::from(byte)).is_ok()) && matcher.is_complete().unwrap()
}

fn refusal(grammar: Result<Grammar, GrammarError>) -> String {
    let error = grammar.and_then(|grammar| grammar.matcher(&VOCABULARY)).unwrap_err().to_string();
    assert!(!error.contains('<') || !error.contains("non-verbose"), "{error}");
    error
}

#[test]
fn answers_of_a_schema_are_taken_and_others_are_not() {
    let age = json!({"type": "integer", "minimum": 0, "maximum": 150});
    let person = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "age": age},
        "required": ["name"], "additionalProperties": false});
    for text in ["{\"name\":\"Bo\"}", "{ \"name\": \"語é\", \"age\": 7 }", "{\n  \"name\": \"\",\n  \"age\": 150}"] {
        assert!(takes(schema(&person), text), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_ok());
    }
    for text in ["{}", "{\"name\":\"toolong\"}", "{\"name\":\"a\",\"age\":151}", "{\"name\":1}", "[]", "{\"x\":1}"] {
        assert!(!takes(schema(&person), text), "{text}");
    }
    assert!(takes(matcher(Grammar::json_object()), "{\"a\":[1,{}]}"));
    assert!(!takes(matcher(Grammar::json_object()), "[]"));
    assert!(takes(schema(&json!(true)), "[1]"));
}

#[test]
fn blanks_cannot_go_on_for_ever() {
    let blanks = |count: usize| format!("[{}1]", " ".repeat(count));
    let numbers = json!({"type": "array", "items": {"type": "integer"}});
    assert!(takes(schema(&numbers), &blanks(40)));
    assert!(!takes(schema(&numbers), &blanks(41)));
    // Nor by settings of the library that come with the schema.
    let loose = json!({"type": "array", "items": {"type": "integer"}, "x-guidance": {"whitespace_flexible": true}});
    assert!(!takes(schema(&loose), &blanks(41)));
}

#[test]
fn regular_expressions_match_whole_answers() {
    let regex = |pattern: &str| matcher(Grammar::regex(pattern).unwrap());
    assert!(takes(regex("(ab|c)+\\d{2}"), "abcab12"));
    assert!(!takes(regex("(ab|c)+"), "abd"));
    assert!(takes(regex("a/b\"\n\\\\"), "a/b\"\n\\"));
    assert!(takes(regex("^yes$"), "yes"));
    assert!(takes(regex("[é語]*"), "語é") && takes(regex(""), ""));
    let mut yes = regex("abc?");
    assert_eq!(allowed(&mut yes).len(), 3);
    for piece in ["a", "b"] {
        yes.accept(u32::from(piece.as_bytes()[0])).unwrap();
    }
    assert_eq!(allowed(&mut yes), [u32::from(b'c'), end()]);
    assert!(yes.is_complete().unwrap() && !yes.is_done());
    yes.accept(u32::from(b'c')).unwrap();
    assert!(yes.is_done());
    assert_eq!(allowed(&mut yes), [end()]);
    yes.accept(end()).unwrap();
    assert!(yes.is_done());
}

#[test]
fn lark_grammars_are_followed() {
    let sums = "start: sum\nsum: NUMBER (\"+\" sum)?\nNUMBER: /[0-9]+/";
    let lark = |text: &str| matcher(Grammar::lark(text).unwrap());
    assert!(takes(lark(sums), "1+22+3"));
    assert!(!takes(lark(sums), "1+"));
    // Tokens without text stay out, also where a grammar names them.
    let control = end() - 1;
    assert!(refusal(Grammar::lark(&format!("start: <[{control}]>"))).contains("no answer satisfies it"));
    let mut named = lark(&format!("start: \"a\" | <[{control}]>"));
    assert_eq!(allowed(&mut named), [u32::from(b'a')]);
    assert!(!named.allows(control, 10).unwrap() && named.accept(control).is_err());
}

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    let json = |schema: Value| refusal(Grammar::json_schema(&schema));
    assert!(json(json!({"type": "objct"})).contains("objct"));
    assert!(json(json!({"not": {}})).contains("\"not\""));
    let one_of = json(json!({"oneOf": [{"type": "string"}, {"minLength": 3, "type": "string"}]}));
    assert!(one_of.contains("oneOf") && one_of.contains("hint: ") && one_of.contains("anyOf"), "{one_of}");
    assert!(json(json!({"$ref": "#/$defs/none"})).contains("#/$defs/none"));
    assert!(json(json!({"$ref": "#"})).contains("no answer satisfies it"));
    assert!(json(json!(false)).contains("schema is false"));
    assert!(json(json!(3)).contains("object or boolean"));
    assert!(refusal(Grammar::regex("(a")).contains("unclosed group"));
    assert!(refusal(Grammar::regex("(?=a)b")).contains("look-around"));
    assert!(refusal(Grammar::regex(&"a".repeat(9000))).contains("9000 bytes; it may have 8192"));
    assert!(refusal(Grammar::lark("start: thing")).contains("thing"));
    assert!(refusal(Grammar::lark("")).contains("start"));
    assert!(refusal(Grammar::lark("start: %json {}")).contains("as a JSON schema"));
}

#[test]
fn a_token_that_is_not_allowed_changes_nothing() {
    let mut regex = matcher(Grammar::regex("ab").unwrap());
    regex.accept(u32::from(b'a')).unwrap();
    for id in [u32::from(b'a'), end(), end() - 1, 100_000] {
        assert_eq!(regex.accept(id).unwrap_err(), GrammarError::NotAllowed { id, tokens: 1 });
        assert!(!regex.allows(id, 9).unwrap());
    }
    assert_eq!(allowed(&mut regex), [u32::from(b'b')]);
    let mut copy = regex.clone();
    copy.accept(u32::from(b'b')).unwrap();
    assert!(copy.is_done() && !regex.is_done());
    regex.accept(u32::from(b'b')).unwrap();
    assert!(regex.is_done());
}

#[test]
fn masks_are_what_each_token_alone_says() {
    let mut seed = 3u64;
    for grammar in [Grammar::json_object(), Grammar::regex("([a-c]{1,3}|語)*").unwrap()] {
        let mut answer = matcher(grammar);
        for _ in 0..60 {
            let ids = 0..VOCABULARY.size() as u32 + 9;
            let alone: Vec<u32> = ids.filter(|id| answer.clone().allows(*id, 9).unwrap()).collect();
            let together = allowed(&mut answer);
            assert_eq!(alone, together);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            answer.accept(together[(seed >> 33) as usize % together.len()]).unwrap();
            if answer.is_done() {
                break;
            }
        }
    }
}

/// Grammars that would take for ever, all memory, or the stack. Each is refused or works, in a bounded time.
#[test]
fn hostile_grammars_are_bounded() {
    let mut deep = json!({"type": "null"});
    (0..1000).for_each(|_| deep = json!({"items": std::mem::take(&mut deep)}));
    let pattern = |index: usize| json!({"type": "string", "pattern": format!("a.{{{index}}}b")});
    let many = |count: usize| (0..count).map(pattern).collect::<Vec<Value>>();
    let schemas = [
        json!({"allOf": many(200)}),
        json!({"allOf": many(8)}),
        json!({"type": "integer", "multipleOf": 99_999_989}),
        json!({"type": "array", "minItems": 1_000_000_000u64, "items": {"type": "string"}}),
        json!({"type": "string", "minLength": 1u64 << 53}),
        json!({"const": i64::MIN}),
        json!({"type": "string", "maxLength": -1}),
        json!({"type": "string", "pattern": "((((a?){30}){30}){30}){30}"}),
        json!({"enum": (0..4900).map(|index| format!("value {index}")).collect::<Vec<String>>()}),
        json!({"type": "number", "minimum": -1e308, "maximum": 1e308}),
        json!({"type": "object", "minProperties": 1u64 << 53}),
        deep,
    ];
    let grammars = schemas.iter().map(Grammar::json_schema);
    let patterns = ["(a|b)*a(a|b){30}", "((a{100}){100}){100}", "(x+x+)+y", "(\\p{L}{1,400}\\P{L}){1,4000}"];
    let patterns = patterns.map(str::to_owned).into_iter().chain(["(".repeat(8000), "[".repeat(8000)]);
    let larks =
        ["start: start start | \"a\"", "start: \"a\"{1000000000}", "start: A\nA: /(a|b)*a(a|b){15}/ & ~/(a|b)*b.*/"];
    let larks = larks.map(str::to_owned).into_iter().chain([format!("start: {}", "(".repeat(60_000)), "\0".to_owned()]);
    let grammars =
        grammars.chain(patterns.map(|text| Grammar::regex(&text))).chain(larks.map(|text| Grammar::lark(&text)));
    let mut usable = 0;
    for grammar in grammars {
        let begin = Instant::now();
        let Ok(mut answer) = grammar.and_then(|grammar| grammar.matcher(&VOCABULARY)) else {
            continue;
        };
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?} to make ready", begin.elapsed());
        usable += 1;
        let mut seed = 1u64;
        for _ in 0..100 {
            if answer.is_done() {
                break;
            }
            let begin = Instant::now();
            // A grammar may become too complex on the way; then it says so.
            let Ok(allowed) = answer.allowed() else { break };
            let ids: Vec<u32> = (0..VOCABULARY.size() as u32).filter(|id| allowed.has(*id)).collect();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if answer.accept(ids[(seed >> 33) as usize % ids.len()]).is_err() {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(2), "{:?} for a token", begin.elapsed());
        }
    }
    assert!(usable >= 8, "{usable}");
}

/// Numbers and choices that follow from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// Anything where a schema wants something.
    fn value(&mut self, depth: usize) -> Value {
        match self.below(9) {
            0 => json!(self.one(&[0i64, 1, -1, 7, 97, 1000, 1 << 53, -(1 << 53)])),
            1 => json!(self.one(&[0.5, 1e308, -1e-308, 3.25, 1e15, -9e15])),
            2 => json!(self.one(&[
                "",
                "a",
                "^(a|b)*$",
                "a.{9}b",
                "date",
                "email",
                "#",
                "#/$defs/a",
                "#/properties/a",
                "("
            ])),
            3 => json!(self.one(&["string", "integer", "number", "object", "array", "null", "boolean"])),
            4 => json!((0..self.below(4)).map(|_| self.one(&["a", "b", "é"])).collect::<Vec<&str>>()),
            _ => self.schema(depth),
        }
    }

    fn schema(&mut self, depth: usize) -> Value {
        const KEYWORDS: [&str; 28] = [
            "type",
            "type",
            "type",
            "properties",
            "required",
            "additionalProperties",
            "patternProperties",
            "items",
            "minItems",
            "maxItems",
            "prefixItems",
            "enum",
            "const",
            "anyOf",
            "allOf",
            "oneOf",
            "$ref",
            "$defs",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "multipleOf",
            "minLength",
            "maxLength",
            "pattern",
            "format",
            "minProperties",
            "not",
        ];
        let mut schema = serde_json::Map::new();
        for _ in 0..self.below(if depth > 4 { 1 } else { 5 }) {
            let keyword = self.one(&KEYWORDS);
            let parts = self.below(4);
            let value = match keyword {
                _ if self.below(12) == 0 => self.value(depth + 1),
                "type" => json!(self.one(&["string", "integer", "number", "object", "array", "null"])),
                "properties" | "patternProperties" | "$defs" => {
                    (0..parts).map(|index| (["a", "b", "c"][index].to_owned(), self.schema(depth + 1))).collect()
                }
                "anyOf" | "allOf" | "oneOf" | "prefixItems" => (0..parts).map(|_| self.schema(depth + 1)).collect(),
                "items" | "additionalProperties" | "not" => self.schema(depth + 1),
                "pattern" => json!(self.one(&["^[ab]+$", "a{2,300}", "(a|b)*a(a|b){14}", ".*", "\\d+"])),
                "format" => json!(self.one(&["date", "email", "uuid", "ipv4"])),
                "$ref" => json!(self.one(&["#", "#/$defs/a", "#/$defs/b", "#/properties/a"])),
                _ => self.value(depth + 1),
            };
            schema.insert(keyword.to_owned(), value);
        }
        Value::Object(schema)
    }
}

#[test]
fn random_schemas_neither_hang_nor_panic() {
    let mut random = Random(7);
    let (mut usable, mut complete) = (0, 0);
    for round in 0..3000 {
        let schema = random.schema(0);
        let begin = Instant::now();
        let made = Grammar::json_schema(&schema).and_then(|grammar| grammar.matcher(&VOCABULARY));
        assert!(begin.elapsed() < Duration::from_secs(4), "round {round}: {:?} for {schema}", begin.elapsed());
        let mut answer = match made {
            Ok(answer) => answer,
            Err(error) => {
                assert!(!matches!(error, GrammarError::TooSlow { .. }), "round {round}: {schema}");
                continue;
            }
        };
        usable += 1;
        for _ in 0..60 {
            let Ok(allowed) = answer.allowed() else { break };
            let ids: Vec<u32> = (0..VOCABULARY.size() as u32).filter(|id| allowed.has(*id)).collect();
            if answer.accept(random.one(&ids)).is_err() || answer.is_done() {
                break;
            }
        }
        complete += usize::from(answer.is_done());
        assert!(begin.elapsed() < Duration::from_secs(8), "round {round}: {:?} for {schema}", begin.elapsed());
    }
    assert!(usable > 300 && complete > 100, "{usable} usable, {complete} complete");
}

#[test]
fn matchers_may_go_to_other_threads() {
    fn assert_send<T: Send + Clone + 'static>(value: T) -> T {
        value
    }
    let mut answer = assert_send(matcher(Grammar::json_object()));
    let ids = std::thread::spawn(move || allowed(&mut answer)).join().unwrap();
    assert!(ids.contains(&u32::from(b'{')));
}
