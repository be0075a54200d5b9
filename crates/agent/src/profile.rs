//! The wording that a model was trained with: system prompt, task, observation.
//!
//! A model acts best in the words it has seen, so the loop, the training data and the evaluation take them from here.

use crate::Limits;
use codeact_chat::action::ActionFormat;
use codeact_sandbox::Tool;
use std::ops::Range;

/// One wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    name: &'static str,
}

const QUICKSTART: &str = "quickstart";
const CODEACTINSTRUCT: &str = "codeactinstruct";
const CHAT: &str = "chat";
/// Actions that run in one turn of the original chat.
const CHAT_EXECUTIONS_MAX: usize = 3;

impl Profile {
    /// The names that [`Profile::named`] knows.
    pub const NAMES: [&'static str; 3] = [CODEACTINSTRUCT, QUICKSTART, CHAT];

    /// The profile of this name, if there is one.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::NAMES.into_iter().find(|known| *known == name).map(|name| Profile { name })
    }

    /// Short wording of the project's own small data set.
    pub fn quickstart() -> Profile {
        Profile { name: QUICKSTART }
    }

    /// The wording of CodeActInstruct: chances are counted down. For models trained on it, and for all that say
    /// nothing else.
    pub fn codeactinstruct() -> Profile {
        Profile { name: CODEACTINSTRUCT }
    }

    /// The style of the chat that came with CodeAct: a conversation with code in between, in which nothing is counted
    /// down and answers need no tag.
    pub fn chat() -> Profile {
        Profile { name: CHAT }
    }

    /// Its name, as in `codeact.json`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The system message of a conversation, without tools.
    ///
    /// That of CodeActInstruct is the one of its rows, word for word (`{"role": "system"}`, MIT licence).
    pub fn system_prompt(&self, limits: &Limits, format: ActionFormat) -> String {
        match (format, self.name) {
            (ActionFormat::Code, QUICKSTART) => "Solve tasks by running Python.".to_string(),
            (ActionFormat::Code, CHAT) => CHAT_PROMPT.to_string(),
            (ActionFormat::Code, _) => format!("{CODEACTINSTRUCT_PROMPT}{}", chances(limits)),
            (_, CODEACTINSTRUCT) => format!("{}\n\n{}", calls_prompt(format), chances(limits)),
            _ => calls_prompt(format),
        }
    }

    /// The part of the system message that describes functions; empty if there are none.
    pub fn tools_prompt(&self, tools: &[Tool], format: ActionFormat) -> String {
        if tools.is_empty() {
            return String::new();
        }
        let head = match (format, self.name) {
            (ActionFormat::Code, QUICKSTART) => "Functions that you can call:",
            // The head of such lists in the rows of CodeActInstruct.
            (ActionFormat::Code, _) => "Tool function available (already imported in <execute> environment):",
            _ => "Tools:",
        };
        let described = (1..).zip(tools).map(|(number, tool)| {
            let doc = tool.doc.trim();
            let gap = if doc.is_empty() { "" } else { "\n" };
            format!("\n[{number}] {}{}{gap}{doc}", tool.name, tool.signature)
        });
        std::iter::once(head.to_string()).chain(described).collect()
    }

    /// The user message that states a task.
    pub fn task(&self, text: &str) -> String {
        match self.name {
            CODEACTINSTRUCT => format!("Task:\n{text}"),
            _ => text.to_string(),
        }
    }

    /// The user message after code has run.
    ///
    /// `steps_left` and `solutions_left` are what remains after this step.
    pub fn observation(&self, text: &str, steps_left: usize, solutions_left: usize) -> String {
        let head = self.observation_head();
        if self.name != CODEACTINSTRUCT {
            return format!("{head}{text}");
        }
        let last = if steps_left <= 1 { "\nYou should take the last step to propose a solution." } else { "" };
        format!(
            "{head}{text}{COUNTDOWN}{steps_left} steps left and {solutions_left} chances to propose solution \
             left.{last}"
        )
    }

    /// What stands before the output in a message of [`Profile::observation`].
    pub(crate) fn observation_head(&self) -> &'static str {
        if self.name == CHAT { "Execution Output:\n" } else { "Observation:\n" }
    }

    /// Where the output stands in a user message, if it is an observation.
    pub(crate) fn output_of(&self, message: &str) -> Option<Range<usize>> {
        let start = self.observation_head().len();
        message.strip_prefix(self.observation_head())?;
        let end = if self.name == CODEACTINSTRUCT { message.rfind(COUNTDOWN) } else { None };
        Some(start..end.filter(|end| *end >= start).unwrap_or(message.len()))
    }

    /// Actions of a turn that run, unless its limits say otherwise.
    pub(crate) fn executions_max(&self) -> usize {
        if self.name == CHAT { CHAT_EXECUTIONS_MAX } else { Limits::default().executions_max }
    }

    /// What stands as the assistant's last message where a turn ends because it ran as much as it may.
    pub(crate) fn farewell(&self, executions: usize) -> Option<String> {
        (self.name == CHAT).then(|| {
            format!(
                "I have run code {executions} times, which is as often as I may for one message. Tell me how to go on, or \
                 ask me something else."
            )
        })
    }
}

const COUNTDOWN: &str = "\nYou have ";

const CODEACTINSTRUCT_PROMPT: &str = "You are a helpful assistant assigned with the task of problem-solving. To achieve \
    this, you will be using an interactive coding environment equipped with a variety of tool functions to assist you \
    throughout the process.\n\nAt each turn, you should first provide your step-by-step thinking for solving the task. \
    After that, you have two options:\n\n1) Interact with a Python programming environment and receive the \
    corresponding output. Your code should be enclosed using \"<execute>\" tag, for example: <execute> \
    print(\"Hello World!\") </execute>.\n2) Directly provide a solution that adheres to the required format for the \
    given task. Your solution should be enclosed using \"<solution>\" tag, for example: The answer is <solution> A \
    </solution>.\n\n";

/// Our own words for what the original chat asks of its model.
const CHAT_PROMPT: &str = "This is a conversation between a person and an assistant that is helpful, thorough and \
    polite.\nThe assistant can run Python in an interactive environment like a Jupyter notebook, and then sees the \
    output. Code to run stands in an \"<execute>\" tag, for example: <execute> print(\"Hello World!\") </execute>.\nThe \
    assistant takes small steps, with little code in each <execute> block. It imports packages and defines variables \
    before it uses them, and installs what is missing with <execute> !pip install [package] </execute>.\nOnce the \
    output holds the answer, the assistant gives it without another <execute>. It runs code itself rather than showing \
    code for the person to run.\nIt answers briefly, and says what it is thinking.";

fn chances(limits: &Limits) -> String {
    format!(
        "You have {} chances to interact with the environment or propose a solution. You can only propose a solution {} \
         times.",
        limits.steps_max, limits.solutions_max
    )
}

/// The system message for actions that are calls of tools instead of Python.
fn calls_prompt(format: ActionFormat) -> String {
    let how = match format {
        ActionFormat::Json => {
            "a JSON object with the name of the tool and its arguments by name, for example:\nAction: {\"tool\": \
             \"search\", \"args\": {\"query\": \"fjords\", \"count\": 3}}"
        }
        ActionFormat::Code | ActionFormat::Text => {
            "the name of the tool and its arguments in their order, with commas between them, on one line, for \
             example:\nAction: search, \"fjords\", 3"
        }
    };
    format!(
        "You are a helpful assistant that solves tasks with tools.\n\nAt each turn, first think step by step. Then do one \
         of two things:\n\n1) Call one tool, and receive its result. Write \"Action:\" on a new line, and after it {how}\n\
         2) Give the solution in a \"<solution>\" tag, for example: The answer is <solution> A </solution>."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quickstart_observations_hold_nothing_else() {
        assert_eq!(Profile::quickstart().observation("42", 1, 1), "Observation:\n42");
        assert_eq!(Profile::quickstart().task("Add."), "Add.");
    }

    #[test]
    fn codeactinstruct_counts_down() {
        let profile = Profile::codeactinstruct();
        let text = profile.observation("224", 4, 2);
        assert_eq!(text, "Observation:\n224\nYou have 4 steps left and 2 chances to propose solution left.");
        assert!(profile.observation("", 1, 2).ends_with("left.\nYou should take the last step to propose a solution."));
        let prompt = profile.system_prompt(&Limits { steps_max: 7, ..Limits::default() }, ActionFormat::Code);
        assert!(prompt.contains("You have 7 chances") && prompt.ends_with("propose a solution 2 times."));
    }
}
