//! Resolve a model name as the trainer does and print its folder.
//!
//! `cargo run --release -p codeact-model --example resolve_model -- HuggingFaceTB/SmolLM2-135M-Instruct`
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("usage: resolve_model NAME");
        return ExitCode::from(2);
    };
    match codeact_model::source::resolve(&name, &|line| eprintln!("{line}")) {
        Ok(folder) => {
            println!("{}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
