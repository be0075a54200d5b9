//! Graders and what they say.
