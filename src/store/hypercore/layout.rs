//! Which file holds what, and the entries of the files that hypercore does not write.
//!
//! ```text
//! FORMAT                               what this is, and whose
//! ACKNOWLEDGED                         the number of the last commit that was acknowledged
//! journal-N                            see `journal`
//! logs/AUTHOR/core-C-G/                records C * 32,768 and on: a core, made for the G-th time
//! logs/AUTHOR/core-C-G.index           where each of its blocks ends, and its check
//! logs/AUTHOR/heads, tiles, nodes      entries of one size, each with a check
//! logs/AUTHOR/erased                   what is left of records whose bodies were erased
//! groups/XX/GROUP                      the places of a group, as they came
//! cache/NAME                           values that can be computed again
//! ```

use super::cores::CoreId;
use crate::kernel::identity::AuthorId;
use crate::kernel::log::{HEAD_BYTES, NodeId, TILE_HEIGHT, TILE_LEAVES};

/// The bytes of a check.
pub(super) const CHECK: usize = 8;
/// An entry of an index of blocks: the end of the block in the core's data, and its check.
pub(super) const BLOCK: usize = 8 + CHECK;
/// An entry of the heads.
pub(super) const HEAD: usize = HEAD_BYTES + CHECK;
/// An entry of the tiles.
pub(super) const TILE: usize = TILE_LEAVES * 32 + CHECK;
/// An entry of the nodes.
pub(super) const NODE: usize = 32 + CHECK;
/// An entry of a group: the place, the number of the commit, the check of both.
pub(super) const PLACE: usize = 48 + 8 + CHECK;

pub(super) const FORMAT: &str = "FORMAT";

pub(super) fn log(author: &AuthorId) -> String {
    format!("logs/{}", hex::encode(author.0))
}

pub(super) fn core(id: CoreId) -> String {
    format!("{}/core-{:05}-{}", log(&id.author), id.number, id.generation)
}

pub(super) fn core_data(id: CoreId) -> String {
    core(id) + "/data"
}

pub(super) fn core_index(id: CoreId) -> String {
    core(id) + ".index"
}

pub(super) fn heads(author: &AuthorId) -> String {
    log(author) + "/heads"
}

pub(super) fn tiles(author: &AuthorId) -> String {
    log(author) + "/tiles"
}

pub(super) fn nodes(author: &AuthorId) -> String {
    log(author) + "/nodes"
}

pub(super) fn erased(author: &AuthorId) -> String {
    log(author) + "/erased"
}

pub(super) fn group(group: &[u8; 32]) -> String {
    format!("groups/{:02x}/{}", group[0], hex::encode(group))
}

pub(super) fn cache(name: &str) -> String {
    format!("cache/{}", blake3::hash(name.as_bytes()).to_hex())
}

/// The offset of a node of the height of tiles or above among the nodes, which stand in order.
pub(super) fn node_at(node: NodeId) -> u64 {
    let above = NodeId { height: node.height - TILE_HEIGHT, offset: node.offset };
    above.flat_index() * NODE as u64
}

/// The check of an entry of some file: bytes that were moved within it do not pass.
pub(super) fn check(path: &str, place: u64, bytes: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(path.as_bytes()).update(&place.to_le_bytes()).update(bytes);
    let mut check = [0; CHECK];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
    check
}

/// The bytes with their check behind them.
pub(super) fn sealed(path: &str, place: u64, bytes: &[u8]) -> Vec<u8> {
    [bytes, &check(path, place, bytes)].concat()
}

/// The bytes before a check that holds.
pub(super) fn unsealed<'a>(path: &str, place: u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (content, found) = bytes.split_last_chunk::<CHECK>()?;
    (check(path, place, content) == *found).then_some(content)
}
