//! The store beside other people's stores: see `benches/peers.rs`.
