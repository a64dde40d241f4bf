//! Every chore as a subcommand.

fn main() {}
