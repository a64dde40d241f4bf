//! What a TPM answers.

use std::collections::BTreeMap;

use tpm::{Authorized, Command, Reader, code, read_registers};

pub(crate) fn answer(data: &[u8]) {
    let asked = || Command::new("fuzz", code::PCR_READ, &[], Authorized::No);
    for command in [asked(), asked().making()] {
        let Ok(answer) = command.answer(data) else { continue };
        assert!(answer.parameters.len() < data.len(), "no more than was given");
        let mut values = BTreeMap::new();
        let given = read_registers(&answer.parameters, 0xff_ffff, &mut values).unwrap_or(0);
        assert!(values.len() <= 24 && (given == 0 || !values.is_empty()));
        let mut reader = Reader::new(&answer.parameters, "fuzz");
        while reader.sized().is_ok_and(|bytes| !bytes.is_empty()) {}
    }
}
