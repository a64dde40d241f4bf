//! The real programs against the local cloud.
