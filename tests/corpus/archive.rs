//! A target's corpus is one archive, a gzipped tar: `fuzz/corpus.py` packs and unpacks it.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

/// Headers and contents come in blocks of so many bytes.
const BLOCK: usize = 512;

/// Each file's name and bytes, in the archive's order.
pub(super) fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let path = folder.join(format!("{target}.tar.gz"));
    let packed = fs::File::open(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut tar = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut tar).unwrap();
    let (mut files, mut rest) = (Vec::new(), tar.as_slice());
    // The end is a header of zeros.
    while rest[0] != 0 {
        let (header, after) = rest.split_at(BLOCK);
        let text = |from: usize, to: usize| {
            let field = header[from..to].split(|byte| *byte == 0).next().unwrap();
            str::from_utf8(field).unwrap().trim()
        };
        let (name, size) = (text(0, 100), usize::from_str_radix(text(124, 136), 8).unwrap());
        assert!(header[156] == b'0', "{path:?}: {name} is no plain file");
        files.push((name.to_owned(), after[..size].to_vec()));
        rest = &after[size.next_multiple_of(BLOCK)..];
    }
    files
}
