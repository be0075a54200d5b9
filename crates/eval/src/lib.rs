//! codeact-eval
