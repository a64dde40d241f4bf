//! The frame of commands and answers.
//!
//! Wire layout: TCG, "Trusted Platform Module Library, Part 1: Architecture", section 18 (command and response structure),
//! family 2.0, revision 1.59, big-endian: tag, size, code, handles, the area of authorizations with its size, parameters.

use crate::error::TpmError;

/// A command to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    name: &'static str,
    code: u32,
    handles: Vec<u32>,
    authorized: Authorized,
    parameters: Vec<u8>,
    answers_with_handle: bool,
    oversized: Option<&'static str>,
}

/// Whether a command carries an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorized {
    /// None.
    No,
    /// The empty password, for the first handle.
    ByEmptyPassword,
}

/// What a TPM answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The handle of what was made.
    pub handle: Option<u32>,
    /// The parameters.
    pub parameters: Vec<u8>,
}

/// Reads an answer's parameters from the front.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

/// TPM_CC, as part 2 of the specification lists them (section 6.5.2).
pub mod code {
    #![expect(missing_docs, reason = "the names of the specification")]
    pub const NV_DEFINE_SPACE: u32 = 0x12a;
    pub const CREATE_PRIMARY: u32 = 0x131;
    pub const EVICT_CONTROL: u32 = 0x120;
    pub const NV_WRITE: u32 = 0x137;
    pub const STARTUP: u32 = 0x144;
    pub const NV_READ: u32 = 0x14e;
    pub const QUOTE: u32 = 0x158;
    pub const NV_READ_PUBLIC: u32 = 0x169;
    pub const PCR_READ: u32 = 0x17e;
    pub const PCR_EXTEND: u32 = 0x182;
    pub const FLUSH_CONTEXT: u32 = 0x165;
}

impl Command {
    /// A command with these handles; `name` is for messages.
    #[must_use]
    pub fn new(name: &'static str, code: u32, handles: &[u32], authorized: Authorized) -> Self {
        Self {
            name,
            code,
            handles: handles.to_vec(),
            authorized,
            parameters: Vec::new(),
            answers_with_handle: false,
            oversized: None,
        }
    }

    /// The answer begins with the handle of what was made.
    #[must_use]
    pub const fn making(mut self) -> Self {
        self.answers_with_handle = true;
        self
    }

    /// Adds a byte.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.parameters.push(value);
        self
    }

    /// Adds a number of 16 bits.
    #[must_use]
    pub fn u16(mut self, value: u16) -> Self {
        self.parameters.extend(value.to_be_bytes());
        self
    }

    /// Adds a number of 32 bits.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.parameters.extend(value.to_be_bytes());
        self
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.parameters.extend_from_slice(bytes);
        self
    }

    /// Adds a TPM2B: the length in 16 bits, and the bytes.
    #[must_use]
    pub fn sized(mut self, bytes: &[u8]) -> Self {
        match u16::try_from(bytes.len()) {
            Ok(length) => self.u16(length).bytes(bytes),
            Err(_) => {
                self.oversized = Some("a structure");
                self
            }
        }
    }

    /// The bytes to be sent.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, TpmError> {
        if let Some(what) = self.oversized {
            return Err(TpmError::Command(what));
        }
        let (tag, authorizations): (u16, &[u8]) = match self.authorized {
            Authorized::No => (NO_SESSIONS, &[]),
            // TPM_RS_PW, an empty nonce, no attributes, an empty password: 9 bytes, and their number.
            Authorized::ByEmptyPassword => (SESSIONS, &[0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]),
        };
        let handles = self.handles.iter().copied().flat_map(u32::to_be_bytes);
        let body: Vec<u8> =
            handles.chain(authorizations.iter().copied()).chain(self.parameters.clone()).collect();
        let size = body.len().checked_add(HEADER).filter(|size| *size <= LARGEST);
        let size = size.and_then(|size| u32::try_from(size).ok());
        let size = size.ok_or(TpmError::Command("the content"))?;
        let mut out = tag.to_be_bytes().to_vec();
        out.extend(size.to_be_bytes());
        out.extend(self.code.to_be_bytes());
        out.extend(body);
        Ok(out)
    }

    /// Takes an answer apart; a refusal of the TPM is an error.
    ///
    /// # Errors
    /// A refusal, or bytes that are no answer.
    pub fn answer(&self, bytes: &[u8]) -> Result<Answer, TpmError> {
        let mut reader = Reader::new(bytes, "header");
        let (tag, size, code) = (reader.u16()?, reader.u32()?, reader.u32()?);
        if usize::try_from(size).ok() != Some(bytes.len()) {
            return Err(TpmError::Answer("size"));
        }
        if code != 0 {
            return Err(TpmError::Refused { command: self.name, code });
        }
        let handle = self.answers_with_handle.then(|| reader.u32()).transpose()?;
        let parameters = match tag {
            NO_SESSIONS => reader.rest,
            SESSIONS => {
                let length = reader.u32()?;
                // What follows the parameters acknowledges the password, which has nothing to say.
                reader.slice(usize::try_from(length).unwrap_or(usize::MAX))?
            }
            _ => return Err(TpmError::Answer("tag")),
        };
        Ok(Answer { handle, parameters: parameters.to_vec() })
    }
}

impl<'a> Reader<'a> {
    /// Reads these bytes; `what` is for messages.
    #[must_use]
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// A byte.
    ///
    /// # Errors
    /// There is none.
    pub fn u8(&mut self) -> Result<u8, TpmError> {
        self.array().map(u8::from_be_bytes)
    }

    /// A number of 16 bits.
    ///
    /// # Errors
    /// There are too few bytes.
    pub fn u16(&mut self) -> Result<u16, TpmError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    /// There are too few bytes.
    pub fn u32(&mut self) -> Result<u32, TpmError> {
        self.array().map(u32::from_be_bytes)
    }

    /// As many bytes.
    ///
    /// # Errors
    /// There are too few.
    pub fn slice(&mut self, length: usize) -> Result<&'a [u8], TpmError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(TpmError::Answer(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    /// A TPM2B.
    ///
    /// # Errors
    /// There are too few bytes.
    pub fn sized(&mut self) -> Result<&'a [u8], TpmError> {
        let length = self.u16()?;
        self.slice(length.into())
    }

    /// All that is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TpmError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(TpmError::Answer(self.what))?;
        self.rest = rest;
        Ok(*head)
    }
}

/// TPM_ST_NO_SESSIONS.
const NO_SESSIONS: u16 = 0x8001;
/// TPM_ST_SESSIONS.
const SESSIONS: u16 = 0x8002;
/// Tag, size and code.
const HEADER: usize = 10;
/// What the TPMs of PCs take and give: 4096 bytes.
pub(crate) const LARGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("test", 0x158, &[0x8100_0003], Authorized::ByEmptyPassword)
    }

    #[test]
    fn frames_a_command() {
        let bytes = command().sized(b"nonce").u16(NO_SESSIONS).u8(7).to_bytes().unwrap();
        let expected = [
            &[0x80, 2, 0, 0, 0, 37, 0, 0, 1, 0x58, 0x81, 0, 0, 3][..],
            &[0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0],
            &[0, 5, b'n', b'o', b'n', b'c', b'e', 0x80, 1, 7],
        ]
        .concat();
        assert_eq!(bytes, expected);
        let bare = Command::new("test", 0x144, &[], Authorized::No).u16(0).to_bytes().unwrap();
        assert_eq!(bare, [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0]);
        for large in [command().bytes(&[0; LARGEST]), command().sized(&[0; 0x1_0000])] {
            assert!(matches!(large.to_bytes(), Err(TpmError::Command(_))));
        }
    }

    #[test]
    fn takes_answers_apart() {
        let answer = |bytes: &[u8]| command().answer(bytes);
        let plain = answer(&[0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 1, 2]).unwrap();
        assert_eq!(plain, Answer { handle: None, parameters: vec![1, 2] });
        let authorized = [0x80, 2, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0, 1, 0, 0];
        assert_eq!(answer(&authorized).unwrap().parameters, [7]);
        let made = [0x80, 2, 0, 0, 0, 18, 0, 0, 0, 0, 0x80, 0, 0, 5, 0, 0, 0, 0];
        assert_eq!(command().making().answer(&made).unwrap().handle, Some(0x8000_0005));
        let refused = answer(&[0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x8b]).unwrap_err();
        assert!(refused.is_absence(), "{refused}");
    }

    #[test]
    fn refuses_answers_of_any_other_shape() {
        let good = [0x80, 2, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0, 1, 0, 0];
        for length in 0..good.len() {
            assert!(command().answer(&good[..length]).is_err(), "{length}");
        }
        for (at, value) in [(0, 0x81), (1, 3), (5, 21), (13, 200), (10, 0xff)] {
            let mut bad = good;
            bad[at] = value;
            assert!(matches!(command().answer(&bad), Err(TpmError::Answer(_))), "{at}");
        }
    }
}
