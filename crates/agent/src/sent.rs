//! What was sent to a model before, token by token.
//!
//! A reply's text has more than one way into tokens, and the model did not always take the one that a tokenizer takes. A
//! later prompt that spells the reply anew would differ from what the engine has computed, from there on. So the prompt
//! is sent with the tokens that the model gave, as long as they say what the message says.

/// The last prompt, and what the model answered.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The prompt as the chat format spells it.
    spelled: Vec<u32>,
    /// The prompt as it was sent.
    sent: Vec<u32>,
    reply: Vec<u32>,
}

impl Sent {
    /// What to send for `spelled`: where it goes on after the last prompt with the reply that came, then in the tokens of
    /// that prompt and that reply.
    ///
    /// * `is_end`: whether a token ends a turn. * `text`: what tokens say.
    pub fn continued(
        &mut self,
        spelled: Vec<u32>,
        is_end: impl Fn(u32) -> bool,
        text: impl Fn(&[u32]) -> String,
    ) -> Vec<u32> {
        let reply = std::mem::take(&mut self.reply);
        let behind = spelled.strip_prefix(&self.spelled[..]).filter(|_| !self.spelled.is_empty());
        let sent = behind.and_then(|behind| {
            let end = behind.iter().position(|&id| is_end(id))?;
            let (own, rest) = behind.split_at(end);
            let is_same = own == reply || text(own) == text(&reply);
            is_same.then(|| [&self.sent, &reply[..], rest].concat())
        });
        let sent = sent.unwrap_or_else(|| spelled.clone());
        (self.spelled, self.sent) = (spelled, sent.clone());
        sent
    }

    /// The model gave this token of the reply to the last prompt.
    pub fn given(&mut self, id: u32) {
        self.reply.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 0;

    /// Letters, `ab` as one token, and the end of a turn.
    fn text(ids: &[u32]) -> String {
        ids.iter().map(|id| ["|", "a", "b", "ab", "c"][*id as usize]).collect()
    }

    fn continued(sent: &mut Sent, spelled: &[u32]) -> Vec<u32> {
        sent.continued(spelled.to_vec(), |id| id == END, text)
    }

    #[test]
    fn a_reply_stays_in_the_tokens_it_came_in() {
        let mut sent = Sent::default();
        assert_eq!(continued(&mut sent, &[4, END]), [4, END]);
        [1, 2, 4].into_iter().for_each(|id| sent.given(id));
        // The format spells `abc` with one token for `ab`.
        assert_eq!(continued(&mut sent, &[4, END, 3, 4, END, 4]), [4, END, 1, 2, 4, END, 4]);
        [1, 2].into_iter().for_each(|id| sent.given(id));
        // And so on: what was kept before is kept.
        let spelled = [4, END, 3, 4, END, 4, 3, END, 1];
        assert_eq!(continued(&mut sent, &spelled), [4, END, 1, 2, 4, END, 4, 1, 2, END, 1]);
    }

    #[test]
    fn what_says_something_else_is_spelled_anew() {
        // Another text, a changed beginning, a reply that the conversation left out, a turn without an end.
        for spelled in [&[4, END, 3, END][..], &[1, END, 3, 4, END], &[4, END, END], &[4, END, 3, 4], &[4]] {
            let mut sent = Sent::default();
            continued(&mut sent, &[4, END]);
            [1, 2, 4].into_iter().for_each(|id| sent.given(id));
            assert_eq!(continued(&mut sent, spelled), spelled);
            // A reply counts once.
            assert_eq!(continued(&mut sent, &[spelled, &[3, 4, END]].concat()), [spelled, &[3, 4, END]].concat());
        }
    }
}
