//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use codeact_agent::{ActionFormat, Profile};
use codeact_eval::{SandboxArgs, ServingArgs, profile_parser};

/// Talk to a model that thinks, runs Python, sees the output, and answers.
///
/// Ctrl-C interrupts the turn. At the prompt, Ctrl-C twice or Ctrl-D leaves, and /help lists what else can be said.
/// Where the input is not a terminal, every line is a task of the same conversation.
#[derive(Parser)]
#[command(name = "codeact-chat", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Model: a folder, a GGUF file, or a name on the hub
    #[arg(long, value_name = "DIR", required_unless_present = "endpoint")]
    pub model: Option<String>,
    /// PEFT adapter on top of the model
    #[arg(long, value_name = "DIR", conflicts_with = "endpoint")]
    pub adapter: Option<PathBuf>,
    /// A model elsewhere in place of --model: the base of an OpenAI-compatible API, such as http://127.0.0.1:8000/v1. Its
    /// key, if it needs one, comes from CODEACT_ENDPOINT_KEY
    #[arg(long, value_name = "URL", conflicts_with = "model")]
    pub endpoint: Option<String>,
    /// Which of its models; without it, the first
    #[arg(long, value_name = "NAME", requires = "endpoint", conflicts_with = "model")]
    pub endpoint_model: Option<String>,
    /// Run one task and exit: 0 with an answer, 1 without
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// Print one JSON event per line
    #[arg(long)]
    pub json: bool,
    /// Whether code waits until you have seen it
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub approve: Approve,
    /// 0 takes the most likely token every time
    #[arg(long, default_value_t = 0.0, value_name = "NUMBER")]
    pub temperature: f64,
    /// The same seed gives the same conversation
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    pub seed: u64,
    /// Folder in which the code runs and may write; without it a private one
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Wording of the prompts; without it, what the codeact.json of the model says
    #[arg(long, value_name = "NAME", value_parser = profile_parser())]
    pub profile: Option<Profile>,
    /// How the model writes its actions; without it, what the codeact.json of the model says
    #[arg(long, value_name = "NAME", value_parser = format_parser())]
    pub action_format: Option<ActionFormat>,
    /// System prompt in place of the profile's
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Settings file, as the server's: tools of the MCP servers in its [mcp.NAME] tables can be called
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Functions kept earlier that are defined from the start: their names, or `all`
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub skills: Vec<String>,
    /// Folder in which functions are kept [default: ~/.local/state/codeact/skills]
    #[arg(long, value_name = "DIR")]
    pub skills_dir: Option<PathBuf>,
    /// Folder for figures
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub figures: PathBuf,
    #[command(flatten)]
    pub serving: ServingArgs,
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    #[cfg(feature = "jupyter")]
    #[command(flatten)]
    pub jupyter: codeact_serve::JupyterArgs,
}

/// Whether code waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Approve {
    /// It does, for a yes, a no, or another code
    Ask,
    /// It runs at once
    #[default]
    Auto,
}

#[derive(clap::Subcommand)]
pub enum Command {
    /// Try out whether the sandbox holds on this machine: 0 if it does, 1 if not. Needs no model
    Doctor {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        sandbox: Box<SandboxArgs>,
    },
}

fn format_parser() -> impl TypedValueParser<Value = ActionFormat> {
    let names = PossibleValuesParser::new(ActionFormat::NAMES);
    names.map(|name| ActionFormat::named(&name).expect("only names that are known pass the parser"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_model_is_here_or_elsewhere() {
        let read = |line: &str| Args::try_parse_from(["codeact-chat"].into_iter().chain(line.split_whitespace()));
        assert!(read("--model x --action-format json --approve ask").is_ok());
        assert!(read("--endpoint http://x/v1 --endpoint-model m --skills a,b").is_ok());
        for refused in ["", "--model x --endpoint y", "--model x --endpoint-model m", "--endpoint y --adapter z"] {
            assert!(read(refused).is_err(), "{refused}");
        }
        assert!(read("doctor").is_ok());
    }
}
