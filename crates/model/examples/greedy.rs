//! Continue prompts with the most likely tokens as the model is served, for `tests/gguf_check.py`.
//!
//! usage: greedy MODEL IDS.json COUNT
//!
//! MODEL is a folder or a GGUF file, IDS.json a list of lists of token ids. Prints the list of the COUNT token ids that
//! follow each.

use codeact_model::serving::{ServedModel, ServingOptions, Step, Wanted};
use codeact_model::source::ModelFiles;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, ids, count] = &args[..] else {
        return Err("usage: greedy MODEL IDS.json COUNT".into());
    };
    let files = ModelFiles::find(model, &|line| eprintln!("{line}"))?;
    let mut model = ServedModel::load(&files, &ServingOptions::default())?;
    let prompts: Vec<Vec<u32>> = serde_json::from_str(&std::fs::read_to_string(ids)?)?;
    let count = count.parse()?;
    let found = prompts.iter().map(|prompt| continued(&mut model, prompt, count)).collect::<Result<Vec<_>>>()?;
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

fn continued(model: &mut ServedModel, prompt: &[u32], count: usize) -> Result<Vec<u32>> {
    let pages: Vec<u32> = (0..(prompt.len() + count).div_ceil(model.page_tokens()) as u32).collect();
    let (mut found, mut new, mut first) = (Vec::new(), prompt.to_vec(), 0);
    while found.len() < count {
        let wanted = Wanted::Logits { from: new.len() - 1 };
        let step = Step { token_ids: &new, first, pages: &pages, adapter: None, wanted };
        let mut best = 0;
        model.forward(&[step], &mut |_, _, logits| {
            let choices = logits.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1));
            best = choices.map_or(0, |(id, _)| id as u32);
        })?;
        first += new.len();
        new = vec![best];
        found.push(best);
    }
    Ok(found)
}
