//! codeact-engine
