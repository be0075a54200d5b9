//! codeact-serve
