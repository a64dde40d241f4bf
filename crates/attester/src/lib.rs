//! Collects evidence from the machine we run on.
