//! The manifest language: parsed with every fault and its place, canonical form, appraisal.
