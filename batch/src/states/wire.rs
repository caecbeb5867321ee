//! The rows of a binary COPY, taken apart where they lie.
//!
//! Format: PostgreSQL's manual, COPY, "Binary Format". The server sends a row a message, but nothing promises that, so
//! a row may also begin in one piece and end in another.

use anyhow::{Result, bail, ensure};
use std::io::BufRead;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the header's extension.
const HEADER: usize = SIGNATURE.len() + 8;

/// The columns of a row; `None` is NULL.
pub type Row<'a, const N: usize> = [Option<&'a [u8]>; N];

/// What the bytes at hand begin with.
enum Next<'a, const N: usize> {
    /// A row, and the bytes after it.
    Row(Row<'a, N>, &'a [u8]),
    Incomplete,
    Trailer(&'a [u8]),
}

/// Takes rows of `N` columns out of a stream of pieces. Only what a piece leaves unfinished is copied.
#[derive(Default)]
pub struct Rows<const N: usize> {
    left_over: Vec<u8>,
    header_seen: bool,
    ended: bool,
}

impl<const N: usize> Rows<N> {
    /// Hands every row that is complete by now to `each`.
    pub fn push(&mut self, piece: &[u8], each: &mut impl FnMut(Row<'_, N>) -> Result<()>) -> Result<()> {
        if self.left_over.is_empty() {
            let rest = self.take(piece, each)?;
            self.left_over.extend_from_slice(rest);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.left_over);
        bytes.extend_from_slice(piece);
        let rest = self.take(&bytes, each)?.len();
        bytes.drain(..bytes.len() - rest);
        self.left_over = bytes;
        Ok(())
    }

    /// A COPY that breaks off has no trailer.
    pub fn finish(self) -> Result<()> {
        ensure!(self.ended && self.left_over.is_empty(), "the server's COPY data ends in the middle");
        Ok(())
    }

    fn take<'a>(
        &mut self,
        mut bytes: &'a [u8],
        each: &mut impl FnMut(Row<'_, N>) -> Result<()>,
    ) -> Result<&'a [u8]> {
        if !self.header_seen {
            match header(bytes)? {
                Some(rest) => bytes = rest,
                None => return Ok(bytes),
            }
            self.header_seen = true;
        }
        while !self.ended {
            match next(bytes)? {
                Next::Row(row, rest) => {
                    each(row)?;
                    bytes = rest;
                }
                Next::Incomplete => return Ok(bytes),
                Next::Trailer(rest) => {
                    self.ended = true;
                    bytes = rest;
                }
            }
        }
        ensure!(bytes.is_empty(), "COPY data goes on after its trailer");
        Ok(bytes)
    }
}

/// Reads a whole COPY, and hands every row to `each`.
pub fn read<const N: usize>(
    mut source: impl BufRead,
    mut each: impl FnMut(Row<'_, N>) -> Result<()>,
) -> Result<()> {
    let mut rows = Rows::<N>::default();
    loop {
        let piece = source.fill_buf()?;
        let n = piece.len();
        if n == 0 {
            return rows.finish();
        }
        rows.push(piece, &mut each)?;
        source.consume(n);
    }
}

/// What follows the header, if it is there as a whole.
fn header(bytes: &[u8]) -> Result<Option<&[u8]>> {
    let Some((head, rest)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
    ensure!(head.starts_with(SIGNATURE), "no binary COPY data");
    let (flags, extension) = head[SIGNATURE.len()..].split_at(4);
    // Bits 16 and up change the format.
    ensure!(number(flags) & !0xffff == 0, "binary COPY data of an unknown kind");
    Ok(rest.split_at_checked(number(extension) as usize).map(|(_, rest)| rest))
}

fn next<const N: usize>(bytes: &[u8]) -> Result<Next<'_, N>> {
    let Some((columns, mut rest)) = bytes.split_at_checked(2) else { return Ok(Next::Incomplete) };
    match i16::from_be_bytes([columns[0], columns[1]]) {
        -1 => return Ok(Next::Trailer(rest)),
        n if usize::try_from(n) == Ok(N) => {}
        n => bail!("a row of {n} columns in place of {N}"),
    }
    let mut row = [None; N];
    for column in &mut row {
        let Some((length, after)) = rest.split_at_checked(4) else { return Ok(Next::Incomplete) };
        rest = after;
        let length = number(length) as i32;
        if length == -1 {
            continue;
        }
        let Ok(length) = usize::try_from(length) else { bail!("a column of {length} bytes") };
        let Some((value, after)) = rest.split_at_checked(length) else { return Ok(Next::Incomplete) };
        *column = Some(value);
        rest = after;
    }
    Ok(Next::Row(row, rest))
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Two rows: (`ab`, NULL) and (empty, `xyz`).
    fn stream() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0; 8]);
        bytes.extend([0, 2, 0, 0, 0, 2, b'a', b'b', 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0, 2, 0, 0, 0, 0, 0, 0, 0, 3, b'x', b'y', b'z']);
        bytes.extend([0xff, 0xff]);
        bytes
    }

    type Owned = Vec<[Option<Vec<u8>>; 2]>;

    fn rows_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Owned> {
        let (mut rows, mut seen) = (Rows::<2>::default(), Owned::new());
        for piece in pieces {
            rows.push(piece, &mut |row| {
                seen.push(row.map(|c| c.map(<[u8]>::to_vec)));
                Ok(())
            })?;
        }
        rows.finish()?;
        Ok(seen)
    }

    #[test]
    fn rows_are_the_same_however_the_stream_is_cut() {
        let bytes = stream();
        let expected: Owned = vec![[Some(b"ab".to_vec()), None], [Some(Vec::new()), Some(b"xyz".to_vec())]];
        for size in 1..=bytes.len() {
            assert_eq!(rows_of(bytes.chunks(size)).unwrap(), expected, "pieces of {size}");
        }
        assert_eq!(read_all(&bytes).unwrap(), 2);
    }

    fn read_all(bytes: &[u8]) -> Result<usize> {
        let mut n = 0;
        read::<2>(bytes, |_| {
            n += 1;
            Ok(())
        })?;
        Ok(n)
    }

    #[test]
    fn data_that_breaks_off_is_no_end() {
        let bytes = stream();
        for end in 0..bytes.len() {
            assert!(rows_of([&bytes[..end]].into_iter()).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn other_columns_other_formats_and_more_after_the_end_are_refused() {
        assert!(read::<3>(&stream()[..], |_| Ok(())).is_err());
        let mut text = stream();
        text[0] = b'1';
        assert!(read_all(&text).is_err());
        let mut with_oids = stream();
        with_oids[SIGNATURE.len() + 1] = 1;
        assert!(read_all(&with_oids).is_err());
        let mut more = stream();
        more.push(0);
        assert!(read_all(&more).is_err());
        let mut negative = stream();
        negative[HEADER + 2..HEADER + 6].copy_from_slice(&(-2i32).to_be_bytes());
        assert!(read_all(&negative).is_err());
    }

    #[test]
    fn an_extended_header_is_skipped() {
        let mut bytes = stream();
        bytes[HEADER - 1] = 3;
        bytes.splice(HEADER..HEADER, [9, 9, 9]);
        assert_eq!(read_all(&bytes).unwrap(), 2);
        for size in 1..bytes.len() {
            assert_eq!(rows_of(bytes.chunks(size)).unwrap().len(), 2);
        }
    }
}
