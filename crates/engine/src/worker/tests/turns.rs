//! What single situations lead to.

use super::*;
