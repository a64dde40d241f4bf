//! The calls we make to Azure: identity, MAA, Key Vault, ARM, Blob, THIM.
