//! Functions of the host that cells can call.

use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a function looks from inside.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// A Python identifier.
    pub name: String,
    /// Its parameters and result as in Python: `(city: str, days: int = 3) -> dict`.
    pub signature: String,
    /// The docstring.
    #[serde(default)]
    pub doc: String,
}

/// What the person who watches says to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// Make it.
    Allow,
    /// Refuse it; the text is what the cell gets as an error.
    Deny(String),
}

/// A call of a tool that a cell made, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments as the cell sent them: JSON.
    pub arguments: String,
    /// JSON, or the message of the exception.
    pub result: Result<String, String>,
}

impl Call {
    /// Size of all of it.
    pub(crate) fn bytes(&self) -> usize {
        let (Ok(result) | Err(result)) = &self.result;
        self.name.len() + self.arguments.len() + result.len()
    }
}

/// Functions of the host. Calls come from untrusted code: arguments are any JSON, at any rate.
pub trait Toolbox: std::fmt::Debug + Send + Sync {
    /// What there is.
    fn tools(&self) -> Vec<Tool>;

    /// Asked before each call; may take its time, because the clock of the cell runs on.
    fn approve(&self, _name: &str, _arguments: &Value) -> Approval {
        Approval::Allow
    }

    /// Make the call. Runs on a thread of its own.
    ///
    /// # Errors
    /// The text becomes the message of a `RuntimeError` in the cell.
    fn call(&self, name: &str, arguments: Value) -> Result<Value, String>;
}

/// Calls that one cell may make.
pub(crate) const CALLS_MAX: usize = 1000;
/// Calls of one cell that may run at the same time, each on a thread of the host.
pub(crate) const CALLS_AT_ONCE_MAX: usize = 16;
/// Size of the arguments of a call, and of its result, in bytes of JSON.
pub(crate) const JSON_BYTES_MAX: usize = 8 << 20;

/// Make one call of a tool that there is: `arguments` as they came from inside. `is_over` tells whether the cell has
/// ended: nothing is asked or done then.
pub(crate) fn call(toolbox: &dyn Toolbox, name: &str, arguments: &str, is_over: &AtomicBool) -> Result<String, String> {
    let goes_on = || if is_over.load(Ordering::Relaxed) { Err("the cell has ended".to_string()) } else { Ok(()) };
    let arguments: Value = serde_json::from_str(arguments).map_err(|error| format!("the arguments: {error}"))?;
    if !arguments.is_object() {
        return Err("the arguments are not an object".to_string());
    }
    goes_on()?;
    if let Approval::Deny(reason) = toolbox.approve(name, &arguments) {
        return Err(format!("the call of `{name}` was not approved: {reason}"));
    }
    goes_on()?;
    let result = toolbox.call(name, arguments)?.to_string();
    if result.len() > JSON_BYTES_MAX {
        return Err(format!("the result of `{name}` is larger than {JSON_BYTES_MAX} bytes"));
    }
    Ok(result)
}
