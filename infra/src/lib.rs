//! What a manifest means in Azure, purely.
