//! Walks an archive and builds the file system from it, whiteouts turned into what overlayfs understands.

use std::io::Read;

use super::device::Device;
use super::error::{LayerError, LayerFault};
use super::inode::{
    BLOCK_DEVICE, CHAR_DEVICE, DIRECTORY, FIFO, FILE, KIND, SYMLINK, Times, Wanted, disk_time,
};
use super::tree::Tree;
use crate::archive::{Header, Kind, Piece, Reader};

/// Returns the device and the image's number of blocks.
pub(super) fn convert<D: Device>(tar: impl Read, device: D) -> Result<(D, u64), LayerError> {
    let mut reader = Reader::new(tar);
    let mut tree = Tree::new(device).map_err(LayerError::whole)?;
    let mut buffer = vec![0; BUFFER];
    let mut last = Vec::new();
    loop {
        let header = match reader.next_entry() {
            Ok(Some(header)) => header,
            Ok(None) => break,
            Err(fault) if last.is_empty() => return Err(LayerError::whole(fault.into())),
            Err(fault) => return Err(LayerError::at(&last, fault.into())),
        };
        last.clone_from(&header.name);
        add(&mut tree, &mut reader, header, &mut buffer)
            .map_err(|fault| LayerError::at(&last, fault))?;
    }
    tree.finish().map_err(LayerError::whole)
}

fn add<D: Device, R: Read>(
    tree: &mut Tree<D>,
    reader: &mut Reader<R>,
    header: Header,
    buffer: &mut [u8],
) -> Result<(), LayerFault> {
    tree.make_parents(&header.name)?;
    let (directory, file) = split(&header.name);
    if file == OPAQUE {
        return tree.make_opaque(directory);
    }
    if let Some(removed) = file.strip_prefix(WHITEOUT) {
        let path = [directory, b"/", removed].concat();
        return tree.create(&path, Wanted { mode: CHAR_DEVICE, ..Wanted::default() });
    }
    if header.kind == Kind::HardLink {
        return tree.link(&header.link, &header.name);
    }
    let name = header.name.clone();
    tree.create(&name, wanted(header))?;
    loop {
        match reader.next_piece(buffer)? {
            Piece::Data(length) => tree.write(buffer.get(..length).unwrap_or_default())?,
            Piece::Hole(length) => tree.write_zeros(length)?,
            Piece::End => return Ok(()),
        }
    }
}

fn wanted(header: Header) -> Wanted {
    let kind = match header.kind {
        Kind::Directory => DIRECTORY,
        Kind::Symlink => SYMLINK,
        Kind::CharDevice => CHAR_DEVICE,
        Kind::BlockDevice => BLOCK_DEVICE,
        Kind::Fifo => FIFO,
        // The reference takes everything else for a file, a global header too.
        Kind::File | Kind::HardLink | Kind::GlobalHeader | Kind::Other(_) => FILE,
    };
    let [mode_0, mode_1, ..] = header.mode.to_le_bytes();
    let mtime = disk_time(header.mtime);
    Wanted {
        mode: u16::from_le_bytes([mode_0, mode_1]) & !KIND | kind,
        uid: low_half(header.uid),
        gid: low_half(header.gid),
        size: header.size,
        link: header.link,
        times: Times {
            atime: disk_time(header.atime),
            ctime: disk_time(header.ctime),
            mtime,
            crtime: mtime,
        },
        major: low_half(header.major),
        minor: low_half(header.minor),
        xattrs: header.xattrs,
    }
}

/// The part up to and with the last slash, and the rest.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    path.split_at_checked(start).unwrap_or((path, b""))
}

/// The low 32 bits, as the reference takes them.
fn low_half(number: i64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const BUFFER: usize = 256 * 1024;
