//! Scripted plans instead of a model: conversations whose every observation comes from running the code.

use codeact_agent::{Agent, AgentOptions, Profile, ScriptedModel, TurnEnd};
use codeact_chat::{Conversation, Role};
use codeact_sandbox::Policy;

use crate::run::prepared_session;
use crate::task::Plan;
use crate::{EvalError, in_order, is_right};

/// Runs every plan through the loop with the wording of `profile`, in sessions under `policy`, and returns the conversations in the order of the
/// plans. `on_done` is called after each, from any thread.
///
/// # Errors
/// When Python does not start, or plans are wrong: a turn is left over or reads otherwise in the transcript, the
/// script runs out, or its solution is not the plan's answer. All wrong plans are named.
pub fn play(
    plans: &[Plan],
    profile: &Profile,
    policy: &Policy,
    threads: usize,
    on_done: &(dyn Fn() + Sync),
) -> Result<Vec<Conversation>, EvalError> {
    let results = in_order(plans, threads, |_, plan| {
        let result = conversation(plan, profile, policy);
        on_done();
        Some(result)
    });
    let mut conversations = Vec::with_capacity(plans.len());
    let mut faults = Vec::new();
    for (result, plan) in results.into_iter().flatten().zip(plans) {
        match result {
            Ok(conversation) => conversations.push(conversation),
            Err(fault) => faults.push(format!("`{}`: {fault}", plan.task.id)),
        }
    }
    match faults.is_empty() {
        true => Ok(conversations),
        false => Err(EvalError::Plans { plans: plans.len(), faults }),
    }
}

fn conversation(plan: &Plan, profile: &Profile, policy: &Policy) -> Result<Conversation, String> {
    let session = prepared_session(&plan.task, policy).map_err(with_causes)?;
    let model = ScriptedModel::new(plan.turns.iter().cloned());
    let mut options = AgentOptions::new(profile.clone());
    // A script may be longer than what a model is allowed: it says itself when it ends.
    for most in [&mut options.limits.steps_max, &mut options.limits.executions_max] {
        *most = plan.turns.len().max(*most);
    }
    let mut agent = Agent::new(Box::new(model), Box::new(session), options);
    let turn = agent.run_turn(&plan.task.prompt, &mut |_| {}).map_err(with_causes)?;
    let said: Vec<&str> = turn
        .messages
        .iter()
        .filter(|message| message.role == Role::Assistant)
        .map(|message| message.content.as_str())
        .collect();
    if said.len() != plan.turns.len() {
        return Err(format!("the turn ended after {} of {} scripted turns", said.len(), plan.turns.len()));
    }
    if let Some(index) = (0..said.len()).find(|&index| said[index] != plan.turns[index]) {
        return Err(format!("turn {index} became {:?} in the transcript", said[index]));
    }
    let answer = plan.task.grader.answer().unwrap_or_default();
    match (turn.end, &turn.answer) {
        (TurnEnd::Solution, Some(solution)) if is_right(solution, answer) => {
            Ok(Conversation { id: plan.task.id.clone(), messages: turn.messages })
        }
        (TurnEnd::Solution, Some(solution)) => Err(format!("the solution is `{solution}`, the answer `{answer}`")),
        _ => Err("the script ends without a solution".to_owned()),
    }
}

fn with_causes(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grader;
    use crate::task::Task;

    fn plan(id: &str, turns: &[&str], answer: &str) -> Plan {
        let task = Task::new(id, "f", "p", Grader::Answer { answer: answer.into() });
        Plan { task, turns: turns.iter().map(|turn| (*turn).to_owned()).collect() }
    }

    fn run(plans: &[Plan]) -> Result<Vec<Conversation>, EvalError> {
        play(plans, &Profile::quickstart(), &Policy::default(), 2, &|| {})
    }

    #[test]
    fn observations_come_from_running_the_code() {
        let code = "I add.\n<execute>\nprint(20 + 22)\n</execute>";
        let plans: Vec<Plan> =
            (0..5).map(|index| plan(&format!("p{index}"), &[code, "It is <solution>42</solution>"], "42")).collect();
        let conversations = run(&plans).unwrap();
        for (index, conversation) in conversations.iter().enumerate() {
            assert_eq!(conversation.id, format!("p{index}"));
            let contents: Vec<&str> = conversation.messages[1..].iter().map(|m| m.content.as_str()).collect();
            assert_eq!(contents, ["p", code, "Observation:\n42", "It is <solution>42</solution>"]);
        }
    }

    #[test]
    fn every_wrong_plan_is_named_with_its_fault() {
        let plans = [
            plan("early", &["<solution>1</solution>", "<solution>1</solution>"], "1"),
            plan("short", &["<execute>\n1\n</execute>"], "1"),
            plan("wrong", &["<solution>2</solution>"], "1"),
            plan("plain", &["1"], "1"),
            plan("trailing", &["<solution>1</solution> and more"], "1"),
            plan("good", &["<solution>1</solution>"], "1"),
        ];
        let error = run(&plans).unwrap_err();
        let EvalError::Plans { plans: 6, faults } = &error else { panic!("{error}") };
        let expected = [
            ("early", "after 1 of 2"),
            ("short", "asked for one more"),
            ("wrong", "solution is `2`, the answer `1`"),
            ("plain", "without a solution"),
            ("trailing", "turn 0 became"),
        ];
        assert_eq!(faults.len(), expected.len());
        for (fault, (id, what)) in faults.iter().zip(expected) {
            assert!(fault.starts_with(&format!("`{id}`")) && fault.contains(what), "{fault}");
        }
    }
}
