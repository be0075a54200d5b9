//! What is a literal.
