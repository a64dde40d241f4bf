//! The secret server.
