//! What our programs say to each other: documents, bindings, sealing, and the verification of a server's evidence.
