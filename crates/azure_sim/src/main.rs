//! The local cloud: the Azure services we use, on loopback, over a forged AMD root.

fn main() {}
