//! From what strangers wrote to HTML, and numbers in words.

use crate::preview::{escaped, harmless};

/// A text for the page: nothing in it is markup, and no character commands whoever shows it.
pub fn shown(text: &str) -> String {
    escaped(&harmless(text))
}

/// A text for the page of at most `characters` characters.
pub fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", shown(&text[..end])),
        None => shown(text),
    }
}

/// A whole number in groups of three digits.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A measured number with four significant digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    if size >= 1e4 {
        let whole = count(size.round() as u64);
        return if value < 0.0 { format!("−{whole}") } else { whole };
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A part as per cent.
pub fn percent(part: f64) -> String {
    format!("{:.1}%", 100.0 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        let texts = [0.0, 1.5, 2.8820785, 0.00150, 0.0002, 529.13, 12_345.6, 3.2e9, -0.5].map(number);
        assert_eq!(texts, ["0", "1.5", "2.882", "0.0015", "2.00e-4", "529.1", "12,346", "3.20e9", "-0.5"]);
        assert_eq!([0, 999, 1000, 201_007, 1_234_567].map(count), ["0", "999", "1,000", "201,007", "1,234,567"]);
        assert_eq!(percent(0.125), "12.5%");
    }

    #[test]
    fn nothing_of_a_text_becomes_markup_or_commands() {
        assert_eq!(
            shown("</pre><b x='\"'>&\u{1b}[2J\u{202e}\u{61c}\u{200b}\u{9b}\u{e0041}\n"),
            "&lt;/pre&gt;&lt;b x=&#39;&quot;&#39;&gt;&amp;␛[2J&lt;U+202E&gt;&lt;U+061C&gt;\
             &lt;U+200B&gt;&lt;U+009B&gt;&lt;U+E0041&gt;\n"
        );
        assert_eq!(shortened("a<b", 2), "a&lt;…");
        assert_eq!(shortened("äö", 2), "äö");
    }
}
