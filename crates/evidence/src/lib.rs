//! What the silicon says: SNP reports, AMD's certificate chain and UVM endorsements, parsed and verified.
