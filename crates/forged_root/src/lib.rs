//! AMD, UVM and TLS roots and signers of our own, publicly known and worthless.
