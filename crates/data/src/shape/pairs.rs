//! Rows of questions and answers without roles.

use codeact_chat::{Conversation, Message, Role};
use serde_json::{Map, Value};

use super::{Ignored, Row, ignore, kind, list, optional_text, text};
use crate::error::Rejection;

fn row(system: Option<String>, turns: Vec<String>) -> Row {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let turns = roles.zip(turns).map(|(role, content)| super::message(role, content));
    let messages: Vec<Message> = system.map(Message::system).into_iter().chain(turns).collect();
    let may_learn = vec![true; messages.len()];
    Row { conversation: Conversation { id: String::new(), messages }, may_learn }
}

/// Stanford Alpaca: an instruction, often with an input, and maybe what was said before.
pub(super) fn alpaca(fields: &mut Map<String, Value>) -> Result<Row, Rejection> {
    let system = optional_text(fields, "system")?;
    let mut turns = Vec::new();
    if fields.contains_key("history") {
        for (index, pair) in list(fields, "history")?.into_iter().enumerate() {
            let pair: Option<[String; 2]> = serde_json::from_value(pair).ok();
            let what = || format!("`history`: item {index} is no pair of texts");
            turns.extend(pair.ok_or_else(|| Rejection::Shape { what: what() })?);
        }
    }
    let instruction = text(fields, "instruction")?;
    turns.push(match optional_text(fields, "input")? {
        Some(input) => format!("{instruction}\n\n{input}"),
        None => instruction,
    });
    turns.push(text(fields, "output")?);
    Ok(row(system, turns))
}

/// Open-Orca/OpenOrca.
pub(super) fn open_orca(fields: &mut Map<String, Value>) -> Result<Row, Rejection> {
    let system = optional_text(fields, "system_prompt")?;
    Ok(row(system, vec![text(fields, "question")?, text(fields, "response")?]))
}

/// LDJnr/Capybara.
pub(super) fn capybara(fields: &mut Map<String, Value>, ignored: &mut Ignored) -> Result<Row, Rejection> {
    let mut turns = Vec::new();
    for (index, pair) in list(fields, "conversation")?.into_iter().enumerate() {
        let Value::Object(mut pair) = pair else {
            let what = format!("`conversation`: item {index} is {}, expected an object", kind(&pair));
            return Err(Rejection::Shape { what });
        };
        turns.extend([text(&mut pair, "input")?, text(&mut pair, "output")?]);
        pair.into_iter().filter(|(_, value)| !value.is_null()).for_each(|(key, _)| {
            ignore(ignored, format!("conversation.{key}"));
        });
    }
    Ok(row(None, turns))
}

/// stingning/ultrachat: the user's text and the answer in turn.
pub(super) fn ultra_chat(fields: &mut Map<String, Value>) -> Result<Row, Rejection> {
    let turns = list(fields, "data")?.into_iter().enumerate().map(|(index, turn)| match turn {
        Value::String(text) => Ok(text),
        other => Err(Rejection::Shape { what: format!("`data`: item {index} is {}, expected text", kind(&other)) }),
    });
    Ok(row(None, turns.collect::<Result<_, _>>()?))
}
