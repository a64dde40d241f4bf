//! The secret server.

fn main() {}
