//! Writes the seeds that are made by code: `cargo run -p vouchsafe-fuzz --example seeds`.
//! The others are texts, and were put into `fuzz/corpus/` as they are.

use std::fs;
use std::path::Path;

use forged_root::{Chip, Product, ReportFields, Tcb};

mod store_seeds;

fn main() -> std::io::Result<()> {
    for (product, name) in
        [(Product::Milan, "milan"), (Product::Genoa, "genoa"), (Product::Turin, "turin")]
    {
        let tcb = Tcb { fmc: Some(1), bootloader: 4, tee: 0, snp: 24, microcode: 219 };
        let report = Chip::new(product, name, tcb).sign(&ReportFields::new(product, tcb));
        seed("snp_report", name, &report)?;
    }
    store_seeds::write()
}

fn seed(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
