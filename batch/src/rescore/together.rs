//! How often two categories were bought by the same contact: exact counts of every pair that passes the sender's gate.
//!
//! A table of counters, one row a category, whose columns begin where the gate does. If every thread can have the whole
//! table, each counts some of the contacts and the tables are summed; if not, the rows are cut into blocks, and each thread
//! counts all contacts for a block of its own. Each block is used up before the next is made.

use super::baskets::{Baskets, Part};
use super::catalogue::Catalogue;
use pg_consent_policy::similarity::Breadth;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all threads' counters at a time. Two threads hold the triangle of 8,000 categories within it.
pub const LIMIT: usize = 256 << 20;

/// Which counters there are.
pub struct Layout {
    /// The first column of each row; the last is the one before the row itself.
    from: Vec<u32>,
    /// Where each row begins, and the end of the last.
    starts: Vec<usize>,
}

impl Layout {
    pub fn new(catalogue: &Catalogue, breadth: Breadth) -> Layout {
        Layout::of((0..catalogue.len() as u32).map(|row| catalogue.gate(row, breadth)).collect())
    }

    fn of(from: Vec<u32>) -> Layout {
        let mut starts = vec![0];
        let mut end = 0;
        for (row, first) in from.iter().enumerate() {
            end += row - *first as usize;
            starts.push(end);
        }
        Layout { from, starts }
    }

    fn rows(&self) -> u32 {
        self.from.len() as u32
    }

    fn cells(&self, rows: &Range<u32>) -> usize {
        self.starts[rows.end as usize] - self.starts[rows.start as usize]
    }

    /// Rows in blocks of at most `cells` counters, but at least one row each.
    fn blocks(&self, cells: usize) -> Vec<Range<u32>> {
        let mut blocks: Vec<Range<u32>> = Vec::new();
        for row in 0..self.rows() {
            match blocks.last_mut() {
                Some(last) if self.cells(&(last.start..row + 1)) <= cells => last.end = row + 1,
                _ => blocks.push(row..row + 1),
            }
        }
        blocks
    }
}

/// The counters of some rows.
pub struct Block<'a> {
    layout: &'a Layout,
    pub rows: Range<u32>,
    counts: Vec<u32>,
}

impl<'a> Block<'a> {
    fn new(layout: &'a Layout, rows: Range<u32>) -> Block<'a> {
        let counts = vec![0; layout.cells(&rows)];
        Block { layout, rows, counts }
    }

    /// (column, contacts who bought from both) of one row.
    pub fn row(&self, row: u32) -> impl Iterator<Item = (u32, u32)> {
        let base = self.layout.starts[self.rows.start as usize];
        let (start, end) =
            (self.layout.starts[row as usize] - base, self.layout.starts[row as usize + 1] - base);
        (self.layout.from[row as usize]..).zip(self.counts[start..end].iter().copied())
    }

    fn count(&mut self, part: &Part, contacts: Range<usize>) {
        let base = self.layout.starts[self.rows.start as usize];
        for i in contacts {
            let basket = part.basket(i);
            for (k, &row) in basket.iter().enumerate() {
                if row < self.rows.start {
                    continue;
                }
                if row >= self.rows.end {
                    break;
                }
                let (start, from) = (self.layout.starts[row as usize] - base, self.layout.from[row as usize]);
                // From the nearest down: what lies below the gate is all at the end.
                for &column in basket[..k].iter().rev() {
                    if column < from {
                        break;
                    }
                    self.counts[start + (column - from) as usize] += 1;
                }
            }
        }
    }
}

/// How many contacts bought from each category.
pub fn alone(baskets: &Baskets, categories: usize) -> Vec<u32> {
    let mut counts = vec![0; categories];
    for part in &baskets.parts {
        for i in 0..part.len() {
            part.basket(i).iter().for_each(|c| counts[*c as usize] += 1);
        }
    }
    counts
}

/// Counts all pairs within `limit` bytes of counters, and hands them to `take`, block by block, in order.
pub fn count<'a>(baskets: &Baskets, layout: &'a Layout, limit: usize, mut take: impl FnMut(Block<'a>)) {
    let threads = rayon::current_num_threads().max(1);
    let all = 0..layout.rows();
    let most = limit / size_of::<u32>() / threads;
    if layout.cells(&all) <= most {
        take(count_whole(baskets, layout, threads));
        return;
    }
    let blocks = layout.blocks(most);
    for some in blocks.chunks(threads) {
        let counted: Vec<Block<'_>> =
            some.par_iter().map(|rows| count_block(baskets, layout, rows)).collect();
        counted.into_iter().for_each(&mut take);
    }
}

fn count_whole<'a>(baskets: &Baskets, layout: &'a Layout, threads: usize) -> Block<'a> {
    let (chunks, next) = (baskets.chunks(), AtomicUsize::new(0));
    let share = |_| {
        let mut block = Block::new(layout, 0..layout.rows());
        while let Some((part, contacts)) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            block.count(part, contacts.clone());
        }
        block
    };
    let summed = (0..threads).into_par_iter().map(share).reduce_with(|mut a, b| {
        a.counts.iter_mut().zip(&b.counts).for_each(|(x, y)| *x += y);
        a
    });
    summed.unwrap_or_else(|| Block::new(layout, 0..layout.rows()))
}

fn count_block<'a>(baskets: &Baskets, layout: &'a Layout, rows: &Range<u32>) -> Block<'a> {
    let mut block = Block::new(layout, rows.clone());
    for part in &baskets.parts {
        block.count(part, 0..part.len());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Baskets of up to seven of `n` categories, by a small generator of its own: always the same.
    fn baskets(n: u32, contacts: usize) -> Vec<Vec<u32>> {
        let mut seed = 12345u64;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as u32 % below
        };
        let one = |_| {
            let mut basket: Vec<u32> = (0..random(8)).map(|_| random(n)).collect();
            basket.sort_unstable();
            basket.dedup();
            basket
        };
        (0..contacts).map(one).collect()
    }

    fn naive(baskets: &[Vec<u32>], from: &[u32]) -> BTreeMap<(u32, u32), u32> {
        let mut counts = BTreeMap::new();
        for basket in baskets {
            for &row in basket {
                for &column in basket.iter().filter(|c| **c < row && **c >= from[row as usize]) {
                    *counts.entry((row, column)).or_default() += 1;
                }
            }
        }
        counts
    }

    #[test]
    fn blocked_and_whole_counts_equal_counting_by_hand() {
        const N: u32 = 40;
        let raw = baskets(N, 10_000);
        let gates: [fn(u32) -> u32; 3] = [|_| 0, |row| row / 7 * 7, |row| row];
        for gate in gates {
            let from: Vec<u32> = (0..N).map(gate).collect();
            let (expected, layout) = (naive(&raw, &from), Layout::of(from));
            let whole = layout.cells(&(0..N)) * 4;
            for (parts, limit) in
                [(1, usize::MAX), (3, usize::MAX), (2, whole), (2, whole / 3), (3, 64), (1, 0)]
            {
                let mut counted = BTreeMap::new();
                let mut after = 0;
                count(&Baskets::of(&raw, parts), &layout, limit, |block| {
                    assert_eq!(block.rows.start, after, "in order, and none twice");
                    after = block.rows.end;
                    for row in block.rows.clone() {
                        counted
                            .extend(block.row(row).filter(|c| c.1 > 0).map(|(column, n)| ((row, column), n)));
                    }
                });
                assert_eq!(after, N);
                assert_eq!(counted, expected, "{parts} parts, {limit} bytes");
            }
        }
    }

    #[test]
    fn each_contact_counts_once_a_category() {
        assert_eq!(alone(&Baskets::of(&[vec![0, 2], vec![2], vec![]], 2), 3), [1, 0, 2]);
    }

    #[test]
    fn no_block_is_larger_than_allowed_but_for_single_rows() {
        let layout = Layout::of(vec![0; 100]);
        let blocks = layout.blocks(70);
        assert!(blocks.iter().all(|b| layout.cells(b) <= 70 || b.len() == 1));
        assert_eq!((blocks[0].start, blocks.last().map(|b| b.end)), (0, Some(100)));
        assert!(blocks.windows(2).all(|w| w[0].end == w[1].start));
    }
}
