//! Makes Azure match the manifest.
