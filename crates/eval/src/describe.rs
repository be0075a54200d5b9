//! What protects this machine from the code that models write, in one line.

use codeact_sandbox::{LayerState, Protection};

/// The layers that hold, and those that do not.
pub fn sandbox_line(protection: &Protection) -> String {
    let names = |holds: bool| -> Vec<String> {
        let states = protection.layers.iter().filter(|state| state.holds == holds);
        states.map(layer_name).collect()
    };
    let (holding, missing) = (names(true), names(false));
    let mut line = format!("sandbox: {}", holding.join(", "));
    if !missing.is_empty() {
        line.push_str(&format!("; NOT protected: {}", missing.join(", ")));
    }
    line
}

fn layer_name(state: &LayerState) -> String {
    let name = serde_json::to_value(state.layer).expect("a layer is a name");
    name.as_str().unwrap_or_default().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use codeact_sandbox::Layer;

    use super::*;

    #[test]
    fn what_does_not_hold_is_said() {
        let state = |layer, holds| LayerState { layer, holds, detail: String::new() };
        let layers = vec![state(Layer::Network, true), state(Layer::ParentDeath, false)];
        let line = sandbox_line(&Protection { layers, gaps: Vec::new() });
        assert_eq!(line, "sandbox: network; NOT protected: parent death");
    }
}
