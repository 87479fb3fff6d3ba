//! The tiles of a log (c2sp.org/tlog-tiles): files of hashes and of entries, from which monitors
//! read the whole log and make any proof. They are made while entries pass by.

use super::merkle::{TreeHash, TreeHead};
use crate::kernel::log::TILE_LEAVES;

/// One file of the tree: its path below the log's, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileFile {
    /// The path, of ASCII letters, digits, points and slashes.
    pub path: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The tiles that are not full yet, of each level, and the entries of the last ones.
#[derive(Clone, Debug, Default)]
pub struct Tiles {
    entries: Vec<u8>,
    levels: Vec<Level>,
}

#[derive(Clone, Debug, Default)]
struct Level {
    /// The number of full tiles.
    full: u64,
    /// The hashes since then, fewer than a tile.
    hashes: Vec<TreeHash>,
}

impl Tiles {
    /// The next entry, of less than 2^16 bytes; every file that it fills.
    #[must_use]
    pub fn push(&mut self, entry: &[u8]) -> Vec<TileFile> {
        let len = u16::try_from(entry.len()).expect("a header has at most 512 bytes");
        self.entries.extend_from_slice(&len.to_be_bytes());
        self.entries.extend_from_slice(entry);
        let mut files = Vec::new();
        let mut hash = TreeHash::leaf(entry);
        for number in 0.. {
            if self.levels.len() == number {
                self.levels.push(Level::default());
            }
            let level = &mut self.levels[number];
            level.hashes.push(hash);
            if level.hashes.len() < TILE_LEAVES {
                break;
            }
            let hashes = std::mem::take(&mut level.hashes);
            let tile = level.full;
            level.full += 1;
            files.push(TileFile { path: path(&number.to_string(), tile, 0), bytes: flat(&hashes) });
            if number == 0 {
                let bytes = std::mem::take(&mut self.entries);
                files.push(TileFile { path: path("entries", tile, 0), bytes });
            }
            let mut head = TreeHead::default();
            hashes.into_iter().for_each(|hash| head.push(hash, |_, _| ()));
            hash = head.root();
        }
        files
    }

    /// The files of the tiles that are not full: those that a checkpoint of this length needs.
    #[must_use]
    pub fn partial(&self) -> Vec<TileFile> {
        let mut files = Vec::new();
        for (number, level) in self.levels.iter().enumerate() {
            let width = level.hashes.len();
            if width == 0 {
                continue;
            }
            let path_of = |kind: &str| path(kind, level.full, width);
            let bytes = flat(&level.hashes);
            files.push(TileFile { path: path_of(&number.to_string()), bytes });
            if number == 0 {
                let bytes = self.entries.clone();
                files.push(TileFile { path: path_of("entries"), bytes });
            }
        }
        files
    }
}

fn flat(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The path of a tile. Its number stands in groups of three digits, all but the last behind an x; a
/// width of 0 is a full tile.
fn path(kind: &str, number: u64, width: usize) -> String {
    let mut groups = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        groups = format!("x{:03}/{groups}", rest % 1000);
        rest /= 1000;
    }
    match width {
        0 => format!("tile/{kind}/{groups}"),
        _ => format!("tile/{kind}/{groups}.p/{width}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(path("0", 1_234_067, 0), "tile/0/x001/x234/067");
        assert_eq!(path("entries", 0, 112), "tile/entries/000.p/112");
        assert_eq!(path("1", 999, 1), "tile/1/999.p/1");
        assert_eq!(path("2", 1000, 0), "tile/2/x001/000");
    }

    /// The example of c2sp.org/tlog-tiles: 70,000 entries.
    #[test]
    fn the_example_of_the_specification() {
        let mut tiles = Tiles::default();
        let mut head = TreeHead::default();
        let mut full = [0; 3];
        for index in 0..70_000u32 {
            let entry = index.to_be_bytes();
            head.push(TreeHash::leaf(&entry), |_, _| ());
            for file in tiles.push(&entry) {
                let kind = file.path.split('/').nth(1).unwrap();
                let (at, size) = match kind {
                    "entries" => (2, 256 * 6),
                    level => (level.parse().unwrap(), 256 * 32),
                };
                assert_eq!(file.bytes.len(), size, "{}", file.path);
                full[at] += 1;
            }
        }
        assert_eq!(full, [273, 1, 273]);
        let partial: Vec<_> = tiles.partial().into_iter().map(|file| file.path).collect();
        let expected =
            ["tile/0/273.p/112", "tile/entries/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"];
        assert_eq!(partial, expected);
        // What is not full yet leads to the root.
        let mut peaks = Vec::new();
        for level in tiles.levels.iter().rev() {
            let mut part = TreeHead::default();
            level.hashes.iter().for_each(|hash| part.push(*hash, |_, _| ()));
            peaks.extend_from_slice(part.peaks());
        }
        assert_eq!((head.length(), head.peaks()), (70_000, &peaks[..]));
    }
}
