//! Jinja chat templates, run the way transformers runs them.
//!
//! Same whitespace settings (`trim_blocks`, `lstrip_blocks`), `raise_exception`, Python's string methods. There is
//! no `strftime_now`: a prompt that depends on today's date would make training data change overnight; templates
//! fall back to a fixed date where it is missing.

mod guard;
mod meter;

use minijinja::machinery::{CodeGenerator, eval, make_string_output, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};

use crate::contained::contained;
use crate::conversation::Message;
use crate::error::FormatError;

/// ChatML without a default system message, for base models.
pub(crate) const CHATML: &str = "{% for message in messages %}\
    {{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// As Llama-2-chat writes turns: the system message stands inside the first turn of the user, and every pair of turns is
/// a sequence of its own.
pub(crate) const LLAMA2: &str = "{% if messages[0]['role'] == 'system' %}{% set offset = 1 %}\
    {% else %}{% set offset = 0 %}{% endif %}{% for message in messages[offset:] %}\
    {% if message['role'] == 'user' %}{{ bos_token + '[INST] ' }}\
    {% if loop.first and offset == 1 %}{{ '<<SYS>>\\n' + messages[0]['content'].strip() + '\\n<</SYS>>\\n\\n' }}{% endif %}\
    {{ message['content'].strip() + ' [/INST]' }}\
    {% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}";

/// As Mistral-7B-Instruct writes turns: one sequence, no system turn, so that its message opens the first turn of the
/// user.
pub(crate) const MISTRAL: &str = "{% if messages[0]['role'] == 'system' %}{% set offset = 1 %}\
    {% else %}{% set offset = 0 %}{% endif %}{{ bos_token }}{% for message in messages[offset:] %}\
    {% if message['role'] == 'user' %}{{ '[INST] ' }}\
    {% if loop.first and offset == 1 %}{{ messages[0]['content'] + '\\n\\n' }}{% endif %}\
    {{ message['content'] + ' [/INST]' }}\
    {% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}";

/// Instructions a template may run for one conversation. A long one (1,000 messages) takes about 30,000; a template
/// that loops forever ends here.
const FUEL_MAX: u64 = 20_000_000;

/// Longest template; real ones reach some ten thousand bytes.
const SOURCE_BYTES_MAX: usize = 1 << 20;

const NAME: &str = "chat_template";

/// A checked chat template with the tokens it may name.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    syntax: SyntaxConfig,
    source: String,
}

impl ChatTemplate {
    /// Parses `source`; `tokens` are variables such as `bos_token`.
    pub(crate) fn new(source: &str, tokens: &[(&'static str, String)]) -> Result<ChatTemplate, FormatError> {
        if source.len() > SOURCE_BYTES_MAX {
            let what = format!("it has {} bytes, at most {SOURCE_BYTES_MAX} are read", source.len());
            return Err(FormatError::Template { what });
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let syntax = syntax.map_err(|error| failure(&error))?;
        environment.set_fuel(Some(FUEL_MAX));
        meter::install(&mut environment);
        environment.add_function("raise_exception", raise_exception);
        for (name, token) in tokens {
            environment.add_global(*name, token.clone());
        }
        // transformers passes both, as None; templates test for them.
        environment.add_global("tools", Value::from(()));
        environment.add_global("documents", Value::from(()));
        guard::check_depth(source, &syntax).map_err(|error| failure(&error))?;
        let checked = contained("reading it", || {
            let parsed = parse(source, NAME, syntax.clone()).and_then(|parsed| guard::guard(&parsed).map(drop));
            parsed.map_err(|error| describe(&error))
        });
        checked.map_err(|what| FormatError::Template { what })?;
        Ok(ChatTemplate { environment, syntax, source: source.to_owned() })
    }

    /// The template as it was given.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation.
    pub(crate) fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, FormatError> {
        meter::start(messages.len(), messages.iter().map(|message| message.content.len()).sum());
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| {
                let fields = [("role", message.role.name()), ("content", message.content.as_str())];
                Value::from_pairs(fields)
            })
            .collect();
        let context = minijinja::context! { messages, add_generation_prompt };
        let text = contained("running it", || self.run(context).map_err(|error| describe(&error)));
        text.map_err(|what| FormatError::Template { what })
    }

    /// Compiles and runs. What is compiled borrows from the source, so it is not kept; it takes less time than running.
    fn run(&self, context: Value) -> Result<String, Error> {
        let parsed = guard::guard(&parse(&self.source, NAME, self.syntax.clone())?)?;
        let mut generator = CodeGenerator::new(NAME, &self.source);
        generator.compile_stmt(&parsed);
        let (instructions, blocks) = generator.finish();
        let mut text = String::new();
        let mut output = make_string_output(&mut text);
        eval(&self.environment, &instructions, context, &blocks, &mut output, AutoEscape::None)?;
        drop(output);
        Ok(text)
    }
}

fn raise_exception(what: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, what))
}

fn failure(error: &Error) -> FormatError {
    FormatError::Template { what: describe(error) }
}

fn describe(error: &Error) -> String {
    match (error.kind(), error.detail(), error.line()) {
        (ErrorKind::OutOfFuel, _, _) => {
            format!("stopped after {FUEL_MAX} instructions; it may loop forever")
        }
        (_, Some(detail), Some(line)) => format!("line {line}: {detail}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, FormatError> {
        let tokens = [("bos_token", "<s>".to_owned())];
        let messages = [Message::user(" hi "), Message::assistant("yes")];
        ChatTemplate::new(source, &tokens)?.render(&messages, true)
    }

    fn what(source: &str) -> String {
        render(source).expect_err("this template is broken").to_string()
    }

    #[test]
    fn python_methods_slices_and_block_whitespace_work_as_in_transformers() {
        let source = "{{ bos_token }}\n{% for m in messages[:1] %}\n    {% if m.role == 'user' %}\n\
                      [{{ m['content'].strip() }}]{{ m.get('name', '-') }}\n    {% endif %}\n{% endfor %}";
        assert_eq!(render(source).unwrap(), "<s>\n[hi]-\n");
    }

    #[test]
    fn a_refusal_of_the_template_arrives_with_its_own_words() {
        assert_eq!(what("{{ raise_exception('Only tools!') }}"), "chat template: line 1: Only tools!");
    }

    #[test]
    fn a_template_without_end_is_stopped() {
        let source = "{% for a in range(9999) %}{% for b in range(9999) %}{% set c = 1 %}{% endfor %}{% endfor %}";
        assert!(what(source).contains("may loop forever"), "{}", what(source));
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        assert!(what("{% for m in messages %}\n{{ m. }}").contains("line 2"));
    }

    #[test]
    fn tools_are_none_and_dates_are_not_defined() {
        let source = "{{ tools is none }} {{ strftime_now is defined }}";
        assert_eq!(render(source).unwrap().to_lowercase(), "true false");
    }
}
