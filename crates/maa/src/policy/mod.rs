//! The language of MAA policies: text to [`Policy`] and back.
//!
//! The grammar is that of Microsoft's public documentation ("Azure Attestation claim rule
//! grammar", "policy version 1.0", "1.1", "1.2" and "claim rule functions"):
//!
//! ```text
//! policy     = "version" "=" major "." minor ";" [configuration] authorization [issuance]
//! section    = name "{" rule* "}" ";"
//! rule       = [condition ("&&" condition)*] "=>" action ";"
//! condition  = [identifier ":" | "!"] "[" test ("," test)* "]"
//! test       = ("type" | "value" | "valueType" | "issuer") operator expression
//! expression = integer | "true" | "false" | string | identifier "." property | function "(" … ")"
//! action     = ("permit" | "deny") "(" ")"
//!            | ("add" | "issue" | "issueproperty") "(" ("claim" "=" identifier
//!                 | "type" "=" expression "," "value" "=" expression) ")"
//! ```
//!
//! `configurationrules` came with 1.1; `!` and functions came with 1.2. What a version does not
//! have is refused for that version.
//! Three liberties that published samples take are accepted and printed in the usual way: one `=`
//! in a condition, a capital letter in the name of a section, and a first argument of `issue`
//! without its name. `issue` in `authorizationrules`, of which the table of actions knows nothing,
//! is in a published sample too ("Examples of an attestation policy for TPM endpoint") and accepted.
//! Two more are refused as the service does ("Troubleshooting guide", 2.5): a missing semicolon, and
//! typographic quotation marks.
//!
//! Printing gives the canonical text: parsing it gives the same policy, and printing that the same
//! bytes. Comments and white space are no part of a policy, so the canonical text has no comments;
//! since they count for the hash, whoever wants to keep a policy's hash keeps its text.
//!
//! Refused as not supported, since no public text says what the service does: a negated condition
//! with an identifier, an identifier used before its condition, negative and hexadecimal numbers,
//! escapes in strings before 1.2, arguments other than `claim`, `type` and `value`.
//!
//! Nothing here decides anything: see [`crate::evaluate`].
//! Texts above [`MAX_TEXT`] bytes and calls nested deeper than [`MAX_DEPTH`] are refused.

mod ast;
mod error;
mod grammar;
mod hash;
mod lexer;
mod print;
#[cfg(test)]
pub(crate) mod strategies;
#[cfg(test)]
mod tests;

pub use ast::{
    Action, Condition, Expression, Function, Ident, Line, Operator, Policy, Property, Rule,
    Section, Sense, Subject, Test, Text, Unescapable, Version,
};
pub use error::{ParseError, ParseErrorKind};
pub use grammar::parse;
pub use hash::{NotAPolicyHash, PolicyHash, policy_hash};

/// The longest policy text that is read, in bytes. The service's own limit is not public.
pub const MAX_TEXT: usize = 256 * 1024;

/// How deep function calls may nest.
pub const MAX_DEPTH: u8 = 16;
