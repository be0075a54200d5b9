//! Characters that make a text of others look like another one: they command a terminal, turn around what stands beside
//! them, or are not seen.
//!
//! Whoever shows such a text asks here. Two lists have to be equal to these by themselves: that of the page
//! (`crates/serve/ui/src/terminal.ts`, compared by a test), and that of file names in the sandbox, which uses no other
//! crate of the workspace.

/// Whether `character` disguises a text of many lines. Line ends and tabs do not, nor do the joiners U+200C and U+200D,
/// which belong to words of many languages and to emoji.
///
/// Source: Unicode Standard Annex #9, the explicit directional formatting characters; from Default_Ignorable_Code_Point
/// and the interlinear annotations, those that have no use in such texts.
pub fn disguises_text(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    is_format || (character.is_control() && !matches!(character, '\n' | '\t'))
}

/// Whether `character` disguises a name, which has one line: whatever disguises a text, every line end, and all that is
/// not seen as a character of its own, but for the variation selector that emoji end in.
pub fn disguises_name(character: char) -> bool {
    let is_unseen = matches!(
        character,
        '\n' | '\t'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200c}'
            | '\u{200d}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0e}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0080}'..='\u{e0fff}'
    );
    is_unseen || disguises_text(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that turn the direction of a text.
    const TURNING: &str = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
        \u{2066}\u{2067}\u{2068}\u{2069}";

    #[test]
    fn what_commands_turns_or_hides_is_a_disguise_in_any_text() {
        let hidden = "\u{180e}\u{200b}\u{2060}\u{2064}\u{206f}\u{feff}\u{fff9}\u{e0001}\u{e0041}\u{e007f}";
        for character in ["\0\u{1b}\r\u{7f}\u{85}\u{9b}", TURNING, hidden].concat().chars() {
            assert!(disguises_text(character) && disguises_name(character), "{character:?}");
        }
    }

    #[test]
    fn lines_and_joined_letters_are_of_a_text_and_not_of_a_name() {
        for character in "\n\t\u{ad}\u{34f}\u{115f}\u{1160}\u{200c}\u{200d}\u{2028}\u{2029}\u{3164}\u{ffa0}".chars() {
            assert!(!disguises_text(character) && disguises_name(character), "{character:?}");
        }
    }

    #[test]
    fn letters_of_any_script_are_no_disguise() {
        let texts = ["a Z 0 ~ ä é", "日本語 한국어", "שלום مرحبا", "नमस्ते ไทย", "👍🏽 ❤\u{fe0f} \u{a0} \u{2009} \u{2010}"];
        for character in texts.concat().chars() {
            assert!(!disguises_text(character) && !disguises_name(character), "{character:?}");
        }
    }
}
