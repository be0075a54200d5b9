//! The tree of full pages.
