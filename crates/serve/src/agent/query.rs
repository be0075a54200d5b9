//! What stands behind the `?` of a request, taken apart name by name; and who sent the request.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::agent::Caller;
use crate::{ApiError, AppState};

/// Names and values that nobody has taken yet.
pub(crate) struct Query(Vec<(String, String)>);

impl FromRequestParts<AppState> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Query, ApiError> {
        let read = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        read.map(|query| Query(query.0)).map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

impl Query {
    /// # Errors
    /// When it stands there twice.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values = self.0.extract_if(.., |(given, _)| given == name);
        let (first, second) = (values.next(), values.next());
        match second {
            None => Ok(first.map(|(_, value)| value)),
            Some(_) => Err(ApiError::invalid(name, format!("`{name}` stands twice"))),
        }
    }

    /// # Errors
    /// When it is not a whole number.
    pub fn integer(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| wrong(name, &text, "a whole number"))
    }

    /// # Errors
    /// When it is neither `true` nor `false`.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool, ApiError> {
        match self.text(name)?.as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(wrong(name, other, "`true` or `false`")),
        }
    }

    /// One of a few words.
    ///
    /// # Errors
    /// When it is another.
    pub fn choice<'a>(&mut self, name: &str, choices: &[&'a str]) -> Result<Option<&'a str>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let found = choices.iter().find(|choice| **choice == text).copied();
        found.map(Some).ok_or_else(|| wrong(name, &text, &format!("one of {}", choices.join(", "))))
    }

    /// # Errors
    /// When something is left that nobody knows.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let shown = crate::fields::shown(&serde_json::Value::from(name.as_str()));
                Err(ApiError::bad_request(format!("unknown query parameter {shown}")))
            }
        }
    }
}

/// What stands in the path of a request.
pub(crate) struct At<T>(pub T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<AppState> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<At<T>, ApiError> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(found)| At(found)).map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

fn wrong(name: &str, value: &str, wanted: &str) -> ApiError {
    let shown = crate::fields::shown(&serde_json::Value::from(value));
    ApiError::invalid(name, format!("`{name}` is {shown}; it must be {wanted}"))
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Caller, ApiError> {
        // The guard puts it there for every request that it lets in.
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| ApiError::internal("nobody knows who sent this request"))
    }
}
