//! Our verification of evidence beside other people's; everything is in `tests/`.
