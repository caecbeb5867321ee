//! All categories in an order in which each department lies together.

use crate::tree::Tree;
use pg_consent_policy::similarity::{Breadth, TreePair};

/// Above this a category's number is searched for instead of looked up: 64 MiB of positions.
const LOOKED_UP: usize = 1 << 24;
const NONE: u32 = u32::MAX;

/// A category's position is its place in order of department and number; all arithmetic is on positions.
#[derive(Hash)]
pub struct Catalogue {
    ids: Vec<i32>,
    /// From the department down.
    paths: Vec<Vec<i32>>,
    sensitive: Vec<bool>,
    /// The first position of the same department.
    department_from: Vec<u32>,
    /// By category number; empty where the numbers are too large.
    positions: Vec<u32>,
    sorted: Vec<(i32, u32)>,
}

impl Catalogue {
    pub fn new(tree: &Tree) -> Catalogue {
        let mut rows: Vec<(i32, i32, Vec<i32>)> = tree
            .ids()
            .map(|id| {
                let path = tree.path(id);
                (path.first().copied().unwrap_or(id), id, path)
            })
            .collect();
        rows.sort_unstable();
        let mut department_from: Vec<u32> = Vec::with_capacity(rows.len());
        for i in 0..rows.len() {
            let same = i > 0 && rows[i].0 == rows[i - 1].0;
            department_from.push(if same { department_from[i - 1] } else { i as u32 });
        }
        let sensitive = rows.iter().map(|(_, _, path)| tree.is_sensitive(path)).collect();
        let ids: Vec<i32> = rows.iter().map(|r| r.1).collect();
        let mut sorted: Vec<(i32, u32)> = ids.iter().zip(0..).map(|(id, at)| (*id, at)).collect();
        sorted.sort_unstable();
        let largest = sorted.last().map_or(0, |(id, _)| usize::try_from(*id).unwrap_or(LOOKED_UP));
        let mut positions = Vec::new();
        if largest < LOOKED_UP {
            positions = vec![NONE; largest + 1];
            for (id, at) in &sorted {
                if let Ok(id) = usize::try_from(*id) {
                    positions[id] = *at;
                }
            }
        }
        let paths = rows.into_iter().map(|r| r.2).collect();
        Catalogue { ids, paths, sensitive, department_from, positions, sorted }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn id(&self, position: u32) -> i32 {
        self.ids[position as usize]
    }

    pub fn position(&self, id: i32) -> Option<u32> {
        if self.positions.is_empty() {
            let at = self.sorted.binary_search_by_key(&id, |s| s.0).ok()?;
            return Some(self.sorted[at].1);
        }
        let id = usize::try_from(id).ok()?;
        self.positions.get(id).copied().filter(|at| *at != NONE)
    }

    /// The first position of the category's department.
    pub fn department(&self, position: u32) -> u32 {
        self.department_from[position as usize]
    }

    /// The first position that a category of this position may count as similar to, for a sender of this breadth.
    pub fn gate(&self, position: u32, breadth: Breadth) -> u32 {
        match breadth {
            Breadth::Specialist => position,
            Breadth::General => self.department(position),
            Breadth::Supermarket => 0,
        }
    }

    /// How two categories lie in the tree, and their deepest common ancestor.
    pub fn pair(&self, a: u32, b: u32) -> (TreePair, Option<i32>) {
        let (a, b) = (a as usize, b as usize);
        TreePair::between(&self.paths[a], &self.paths[b], self.sensitive[a] || self.sensitive[b])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn departments_lie_together_whatever_the_numbers() {
        let tree = Tree::of(&[
            (1, None, false),
            (2, None, false),
            (3, Some(1), false),
            (4, Some(2), false),
            (5, Some(3), false),
            (6, Some(4), true),
        ]);
        let catalogue = Catalogue::new(&tree);
        let at = |id| catalogue.position(id).unwrap_or(NONE);
        assert_eq!([1, 3, 5, 2, 4, 6].map(at), [0, 1, 2, 3, 4, 5]);
        assert_eq!((catalogue.position(7), catalogue.position(-1)), (None, None));
        assert_eq!([1, 3, 5, 2, 4, 6].map(|id| catalogue.department(at(id))), [0, 0, 0, 3, 3, 3]);
        assert_eq!(catalogue.gate(at(6), Breadth::General), 3);
        assert_eq!(catalogue.gate(at(6), Breadth::Supermarket), 0);
        assert_eq!(catalogue.gate(at(6), Breadth::Specialist), at(6));
        let (cousins, ancestor) = catalogue.pair(at(5), at(1));
        assert_eq!((cousins.depth_a, cousins.depth_b, cousins.common, cousins.sensitive), (3, 1, 1, false));
        assert_eq!(ancestor, Some(1));
        let (strangers, ancestor) = catalogue.pair(at(5), at(6));
        assert!(strangers.sensitive && strangers.common == 0 && ancestor.is_none());
    }

    #[test]
    fn numbers_too_large_for_a_table_are_found_too() {
        let tree = Tree::of(&[(i32::MAX, None, false), (3, None, false)]);
        let catalogue = Catalogue::new(&tree);
        assert_eq!([i32::MAX, 3, 4].map(|id| catalogue.position(id)), [Some(1), Some(0), None]);
    }
}
