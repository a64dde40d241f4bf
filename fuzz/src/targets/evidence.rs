//! What silicon and its vendors send.

use evidence::Report;

pub(crate) fn snp_report(data: &[u8]) {
    drop(Report::parse(data));
}
