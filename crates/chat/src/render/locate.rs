//! Where the content of each message stands in the rendered text.

use std::collections::HashSet;
use std::ops::Range;

use crate::conversation::Message;
use crate::error::FormatError;
use crate::template::ChatTemplate;

/// A rendered conversation.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// Bytes of the text that hold the content of each message, in order.
    pub(crate) contents: Vec<Range<usize>>,
}

/// Renders the messages and finds their contents, which a template may trim but not change otherwise.
///
/// # Errors
/// When the template refuses the messages, or drops, repeats, reorders or rewrites a content.
pub(crate) fn locate(
    template: &ChatTemplate,
    messages: &[Message],
    add_generation_prompt: bool,
) -> Result<Rendered, FormatError> {
    let text = template.render(messages, add_generation_prompt)?;
    let markers = markers(template, messages, &text)?;
    let marked: Vec<Message> =
        messages.iter().zip(&markers).map(|(message, marker)| Message::new(message.role, marker)).collect();
    let marked_text = template.render(&marked, add_generation_prompt)?;
    let between = around_markers(messages, &markers, &marked_text)?;

    let mut contents: Vec<Range<usize>> = Vec::with_capacity(messages.len());
    let mut at = 0;
    for (index, message) in messages.iter().enumerate() {
        let what = "the text around or within it depends on what it says";
        let changed = || rewrites(messages, index, what);
        if !text[at..].starts_with(between[index]) {
            return Err(changed());
        }
        at += between[index].len();
        let is_last = index + 1 == messages.len();
        let fits = |content: &&str| match text[at..].strip_prefix(*content) {
            Some(after) if is_last => after == between[index + 1],
            Some(after) => after.starts_with(between[index + 1]),
            None => false,
        };
        let written = message.content.as_str();
        let variants = [written, written.trim(), written.trim_end(), written.trim_start()];
        let content = variants.into_iter().find(fits).ok_or_else(changed)?;
        contents.push(at..at + content.len());
        at += content.len();
    }
    Ok(Rendered { text, contents })
}

/// The text before, between and after the placeholders, one more than there are messages.
fn around_markers<'text>(
    messages: &[Message],
    markers: &[String],
    marked_text: &'text str,
) -> Result<Vec<&'text str>, FormatError> {
    let mut around = Vec::with_capacity(messages.len() + 1);
    let mut rest = marked_text;
    for (index, marker) in markers.iter().enumerate() {
        match marked_text.matches(marker.as_str()).count() {
            0 => return Err(rewrites(messages, index, "it leaves it out")),
            1 => {}
            _ => return Err(rewrites(messages, index, "it writes it more than once")),
        }
        let Some((before, after)) = rest.split_once(marker.as_str()) else {
            let what = "it moves it before an earlier message";
            return Err(rewrites(messages, index, what));
        };
        around.push(before);
        rest = after;
    }
    around.push(rest);
    Ok(around)
}

fn rewrites(messages: &[Message], index: usize, what: &'static str) -> FormatError {
    FormatError::RewritesContent { index, role: messages[index].role, what }
}

/// One placeholder for each message, of private-use characters, none of which stands in any text involved.
fn markers(template: &ChatTemplate, messages: &[Message], text: &str) -> Result<Vec<String>, FormatError> {
    let private_use = '\u{F0000}'..='\u{FFFFD}';
    let texts = messages.iter().map(|message| message.content.as_str()).chain([text, template.source()]);
    let used: HashSet<char> = texts.flat_map(str::chars).filter(|letter| private_use.contains(letter)).collect();
    let Some(fence) = private_use.into_iter().find(|letter| !used.contains(letter)) else {
        let what = "it and the messages hold all 65,534 private-use characters of plane 15".to_owned();
        return Err(FormatError::Template { what });
    };
    Ok((0..messages.len()).map(|index| format!("{fence}{index}{fence}")).collect())
}
