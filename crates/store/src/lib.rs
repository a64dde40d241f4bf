//! The encrypted, hash-chained commit log over object storage.
