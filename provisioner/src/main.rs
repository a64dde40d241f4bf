//! Makes Azure match the manifest.

fn main() {}
