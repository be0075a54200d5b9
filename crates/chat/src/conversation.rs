//! What a conversation is: messages of three roles in a fixed order.

use serde::{Deserialize, Serialize};

/// Who wrote a message. What a program printed ("observation") is a user message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions before the first user message.
    System,
    /// The person, or the observation after executed code.
    User,
    /// The model; the only role that is learned.
    Assistant,
}

impl Role {
    /// The role as data files and chat templates spell it.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }

    /// The inverse of [`Role::name`].
    pub fn from_name(name: &str) -> Option<Role> {
        [Role::System, Role::User, Role::Assistant].into_iter().find(|role| role.name() == name)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// The text, as written: no control tokens, never trimmed.
    pub content: String,
}

impl Message {
    /// A message of any role.
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        let content = content.into();
        Message { role, content }
    }

    /// A system message.
    pub fn system(content: impl Into<String>) -> Message {
        Message::new(Role::System, content)
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Message {
        Message::new(Role::User, content)
    }

    /// An assistant message.
    pub fn assistant(content: impl Into<String>) -> Message {
        Message::new(Role::Assistant, content)
    }
}

/// One training conversation, a line of a data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conversation {
    /// Names the row in reports; need not be unique.
    pub id: String,
    /// The turns in order; see [`Conversation::validate`] for what is allowed.
    #[serde(rename = "conversations")]
    pub messages: Vec<Message>,
}

/// Why a list of messages is not a conversation. Indices count messages from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversationError {
    /// There are no messages.
    #[error("the conversation has no messages")]
    Empty,
    /// A system message that is not the first one.
    #[error("message {index} has role `system`; only message 0 may")]
    SystemNotFirst {
        /// Position of the message.
        index: usize,
    },
    /// The first message after the optional system message is not the user's.
    #[error("message {index} has role `assistant`; the first turn must be the user's")]
    AssistantFirst {
        /// Position of the message.
        index: usize,
    },
    /// Two messages of the same role in a row.
    #[error("message {index} repeats role `{role}`; user and assistant must alternate")]
    RoleRepeats {
        /// Position of the second of the two.
        index: usize,
        /// The repeated role.
        role: Role,
    },
    /// Nothing to learn from.
    #[error("the conversation has no assistant message, so there is nothing to learn from")]
    NoAssistant,
}

impl Conversation {
    /// Checks the order of roles: an optional system message, then user and assistant in turn, starting with
    /// the user, with at least one assistant message.
    ///
    /// # Errors
    /// The first rule that is broken, with the index of the message.
    pub fn validate(messages: &[Message]) -> Result<(), ConversationError> {
        if messages.is_empty() {
            return Err(ConversationError::Empty);
        }
        let first_turn = usize::from(messages[0].role == Role::System);
        for (index, message) in messages.iter().enumerate().skip(first_turn) {
            let role = message.role;
            if role == Role::System {
                return Err(ConversationError::SystemNotFirst { index });
            }
            if index == first_turn && role == Role::Assistant {
                return Err(ConversationError::AssistantFirst { index });
            }
            if index > first_turn && messages[index - 1].role == role {
                return Err(ConversationError::RoleRepeats { index, role });
            }
        }
        if !messages.iter().any(|message| message.role == Role::Assistant) {
            return Err(ConversationError::NoAssistant);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(roles: &str) -> Result<(), ConversationError> {
        let role = |letter| match letter {
            's' => Role::System,
            'u' => Role::User,
            _ => Role::Assistant,
        };
        let messages: Vec<_> = roles.chars().map(|letter| Message::new(role(letter), "x")).collect();
        Conversation::validate(&messages)
    }

    #[test]
    fn alternating_roles_with_and_without_system_are_valid() {
        for roles in ["ua", "sua", "uaua", "suaua", "uau"] {
            assert_eq!(validate(roles), Ok(()), "{roles}");
        }
    }

    #[test]
    fn every_wrong_order_has_its_own_error() {
        use ConversationError::*;
        assert_eq!(validate(""), Err(Empty));
        assert_eq!(validate("usa"), Err(SystemNotFirst { index: 1 }));
        assert_eq!(validate("ssua"), Err(SystemNotFirst { index: 1 }));
        assert_eq!(validate("au"), Err(AssistantFirst { index: 0 }));
        assert_eq!(validate("sau"), Err(AssistantFirst { index: 1 }));
        assert_eq!(validate("uua"), Err(RoleRepeats { index: 1, role: Role::User }));
        assert_eq!(validate("uaa"), Err(RoleRepeats { index: 2, role: Role::Assistant }));
        assert_eq!(validate("su"), Err(NoAssistant));
        assert_eq!(validate("s"), Err(NoAssistant));
    }
}
