//! Values as a solution writes them: as JSON, or as a literal of Python. Nothing is evaluated.

use serde_json::Value as Json;

use super::value::Value;

/// Bytes of a text that is read.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Brackets within brackets.
const DEPTH_MAX: usize = 100;

/// The value that `text` writes; the error says why it is none.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("it has {} bytes, and at most {TEXT_BYTES_MAX} are read", text.len()));
    }
    if let Ok(json) = serde_json::from_str::<Json>(text) {
        return Ok(Value::of(&json));
    }
    let mut reader = Reader { text, at: 0 };
    let value = reader.whole();
    value.map_err(|what| format!("it is neither JSON nor a literal of Python: {what} at character {}", reader.place()))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

type Read<T> = Result<T, &'static str>;

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn place(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']).len();
    }

    /// Goes behind `word`, if that is next.
    fn eat(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word);
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    /// One value and nothing behind it; several with commas are a tuple.
    fn whole(&mut self) -> Read<Value> {
        let first = self.value(0)?;
        self.blanks();
        if !self.rest().starts_with(',') {
            return if self.rest().is_empty() { Ok(first) } else { Err("something follows the value") };
        }
        let mut items = vec![first];
        while self.eat(",") {
            self.blanks();
            if self.rest().is_empty() {
                break;
            }
            items.push(self.value(0)?);
            self.blanks();
        }
        if self.rest().is_empty() { Ok(Value::List(items)) } else { Err("something follows the value") }
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        if depth > DEPTH_MAX {
            return Err("too many brackets");
        }
        self.blanks();
        match self.peek().ok_or("the text ends")? {
            '[' => Ok(Value::List(self.items("[", "]", depth)?.0)),
            '(' => {
                let (mut items, has_comma) = self.items("(", ")", depth)?;
                let is_tuple = has_comma || items.len() != 1;
                Ok(if is_tuple { Value::List(items) } else { items.remove(0) })
            }
            '{' => self.braces(depth),
            '+' | '-' | '.' | '0'..='9' => self.number(),
            '"' | '\'' => self.strings(),
            next if next.is_alphabetic() || next == '_' => self.word(depth),
            _ => Err("no value begins"),
        }
    }

    /// Values with commas between brackets, and whether there was a comma.
    fn items(&mut self, open: &str, close: &str, depth: usize) -> Read<(Vec<Value>, bool)> {
        let (mut items, mut has_comma) = (Vec::new(), false);
        self.eat(open);
        loop {
            self.blanks();
            if self.eat(close) {
                return Ok((items, has_comma));
            }
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.eat(",") {
                true => has_comma = true,
                false if self.rest().starts_with(close) => {}
                false => return Err("a comma or a bracket is missing"),
            }
        }
    }

    /// A dictionary or a set.
    fn braces(&mut self, depth: usize) -> Read<Value> {
        let (mut pairs, mut items) = (Vec::new(), Vec::new());
        self.eat("{");
        loop {
            self.blanks();
            if self.eat("}") {
                break;
            }
            let key = self.value(depth + 1)?;
            self.blanks();
            match self.eat(":") {
                true => pairs.push((key, self.value(depth + 1)?)),
                false => items.push(key),
            }
            self.blanks();
            if !self.eat(",") && !self.rest().starts_with('}') {
                return Err("a comma or a bracket is missing");
            }
        }
        match (pairs.is_empty(), items.is_empty()) {
            (_, true) => Ok(Value::Dict(pairs)),
            (true, false) => Ok(Value::Set(items)),
            (false, false) => Err("a dictionary has a key without a value"),
        }
    }

    /// A constant, `set(..)`, or the prefix of a string.
    fn word(&mut self, depth: usize) -> Read<Value> {
        let end = self.rest().find(|next: char| !(next.is_alphanumeric() || next == '_'));
        let word = self.rest()[..end.unwrap_or(self.rest().len())].to_owned();
        let behind = &self.rest()[word.len()..];
        if behind.starts_with(['"', '\'']) {
            return self.strings();
        }
        let value = match word.as_str() {
            "None" | "null" => Value::None,
            "True" | "true" => Value::Bool(true),
            "False" | "false" => Value::Bool(false),
            "set" | "frozenset" if behind.starts_with('(') => {
                self.at += word.len();
                let (mut items, _) = self.items("(", ")", depth)?;
                return match (items.pop(), items.is_empty()) {
                    (None, _) => Ok(Value::Set(Vec::new())),
                    (Some(Value::List(items) | Value::Set(items)), true) => Ok(Value::Set(items)),
                    _ => Err("a set of something that is no list"),
                };
            }
            _ => return Err("a name that means nothing here"),
        };
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Read<Value> {
        let is_negative = self.rest().starts_with('-');
        if is_negative || self.rest().starts_with('+') {
            self.at += 1;
            self.blanks();
        }
        let bytes = self.rest().as_bytes();
        let mut end = 0;
        while let Some(next) = bytes.get(end) {
            let follows_exponent = end > 0 && matches!(bytes[end - 1], b'e' | b'E');
            match next {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'.' => end += 1,
                b'+' | b'-' if follows_exponent => end += 1,
                _ => break,
            }
        }
        let written = &self.rest()[..end];
        let value = Value::number(written).ok_or("a number that is none")?;
        self.at += end;
        Ok(if is_negative { value.negated() } else { value })
    }

    /// Strings that stand side by side are one.
    fn strings(&mut self) -> Read<Value> {
        let first = self.string()?;
        let mut whole = first;
        loop {
            self.blanks();
            let quote = self.rest().find(['"', '\'']);
            let is_prefix = |prefix: &str| prefix.len() <= 2 && prefix.chars().all(|next| "rRbBuU".contains(next));
            if !quote.is_some_and(|quote| is_prefix(&self.rest()[..quote])) {
                return Ok(whole);
            }
            whole = match (whole, self.string()?) {
                (Value::Text(one), Value::Text(other)) => Value::Text(one + &other),
                (Value::Bytes(one), Value::Bytes(other)) => Value::Bytes([one, other].concat()),
                _ => return Err("text and bytes side by side"),
            };
        }
    }

    fn string(&mut self) -> Read<Value> {
        let quote_at = self.rest().find(['"', '\'']).ok_or("a quote is missing")?;
        let prefix = self.rest()[..quote_at].to_ascii_lowercase();
        let (is_raw, is_bytes) = match prefix.as_str() {
            "" | "u" => (false, false),
            "r" => (true, false),
            "b" => (false, true),
            "rb" | "br" => (true, true),
            _ => return Err("a string with a prefix that means nothing here"),
        };
        self.at += quote_at;
        let quote = if self.rest().starts_with('"') { '"' } else { '\'' };
        let triple: String = [quote; 3].iter().collect();
        let close = if self.eat(&triple) { triple } else { quote.to_string() };
        if close.len() == 1 {
            self.at += 1;
        }
        let (mut text, mut bytes) = (String::new(), Vec::new());
        while !self.eat(&close) {
            let next = self.peek().ok_or("a string does not end")?;
            self.at += next.len_utf8();
            match next {
                '\n' if close.len() == 1 => return Err("a string is broken by the end of a line"),
                '\\' if is_raw => {
                    let after = self.peek().ok_or("a string does not end")?;
                    self.at += after.len_utf8();
                    text.extend(['\\', after]);
                }
                '\\' => text.extend(self.escape(is_bytes)?),
                next => text.push(next),
            }
            if is_bytes {
                let byte = |next: char| u8::try_from(u32::from(next)).map_err(|_| "bytes with a character beyond them");
                for next in text.drain(..) {
                    bytes.push(byte(next)?);
                }
            }
        }
        Ok(if is_bytes { Value::Bytes(bytes) } else { Value::Text(text) })
    }

    /// What a backslash and what follows it stand for.
    fn escape(&mut self, is_bytes: bool) -> Read<Vec<char>> {
        let next = self.peek().ok_or("a string does not end")?;
        self.at += next.len_utf8();
        let plain = match next {
            '\n' => return Ok(Vec::new()),
            '\\' | '\'' | '"' => next,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'v' => '\x0b',
            'x' => self.code(2)?,
            'u' if !is_bytes => self.code(4)?,
            'U' if !is_bytes => self.code(8)?,
            '0'..='7' => {
                let digits = self.rest().bytes().take(2).take_while(|next| (b'0'..=b'7').contains(next)).count();
                let written = &self.text[self.at - 1..self.at + digits];
                let code = u32::from_str_radix(written, 8).map_err(|_| "an escape that is none")?;
                self.at += digits;
                char::from_u32(code).ok_or("an escape that is none")?
            }
            'N' if !is_bytes => return Err("an escape by name, which is not read"),
            other => return Ok(vec!['\\', other]),
        };
        Ok(vec![plain])
    }

    fn code(&mut self, digits: usize) -> Read<char> {
        let written = self.rest().get(..digits).filter(|text| text.bytes().all(|next| next.is_ascii_hexdigit()));
        let code = written.and_then(|text| u32::from_str_radix(text, 16).ok()).ok_or("an escape that is none")?;
        self.at += digits;
        char::from_u32(code).ok_or("an escape that is no character")
    }
}
