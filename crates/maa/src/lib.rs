//! The MAA policy language, MAA tokens, and the release policies of Key Vault.
