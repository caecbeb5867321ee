//! The category tree as it is now.

use super::TreePair;
use std::collections::HashMap;

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: Option<i32>,
    sensitive: bool,
}

/// Categories by number, each with its parent.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: HashMap<i32, Node>,
}

/// Longer chains than this are taken for a loop and cut.
const MAX_DEPTH: usize = 64;

impl Tree {
    pub fn insert(&mut self, category: i32, parent: Option<i32>, sensitive: bool) {
        self.nodes.insert(category, Node { parent, sensitive });
    }

    pub fn ids(&self) -> impl Iterator<Item = i32> {
        self.nodes.keys().copied()
    }

    /// From the department (a child of the root) down to the category.
    pub fn path(&self, category: i32) -> Vec<i32> {
        let up = std::iter::successors(Some(category), |c| self.nodes.get(c).and_then(|n| n.parent));
        let mut path: Vec<i32> = up.take(MAX_DEPTH).collect();
        path.reverse();
        path
    }

    /// A category within a sensitive one is sensitive too, and so is one that nobody knows.
    pub fn is_sensitive(&self, path: &[i32]) -> bool {
        path.iter().any(|c| self.nodes.get(c).is_none_or(|n| n.sensitive))
    }

    /// How two categories lie.
    pub fn pair(&self, a: i32, b: i32) -> TreePair {
        let (down_a, down_b) = (self.path(a), self.path(b));
        let sensitive = self.is_sensitive(&down_a) || self.is_sensitive(&down_b);
        TreePair::between(&down_a, &down_b, sensitive).0
    }
}

#[cfg(test)]
mod tests {
    use super::super::Breadth;
    use super::*;

    fn tree(nodes: &[(i32, Option<i32>, bool)]) -> Tree {
        let mut tree = Tree::default();
        nodes.iter().for_each(|(id, parent, sensitive)| tree.insert(*id, *parent, *sensitive));
        tree
    }

    #[test]
    fn a_loop_in_the_tree_ends() {
        assert_eq!(tree(&[(1, Some(2), false), (2, Some(1), false)]).path(1).len(), MAX_DEPTH);
    }

    #[test]
    fn what_lies_within_a_sensitive_category_passes_no_gate() {
        let tree = tree(&[(5, None, true), (6, Some(5), false), (8, Some(5), false)]);
        assert!(tree.is_sensitive(&tree.path(6)) && !tree.pair(6, 8).passes(Breadth::Supermarket));
    }

    #[test]
    fn a_category_that_is_not_there_passes_no_gate() {
        assert!(!tree(&[(1, None, false)]).pair(1, 2).passes(Breadth::Supermarket));
    }

    #[test]
    fn a_moved_category_leaves_its_department() {
        let before = tree(&[(1, None, false), (2, Some(1), false), (3, Some(1), false), (4, None, false)]);
        let mut after = before.clone();
        after.insert(3, Some(4), false);
        let passes = |t: &Tree| t.pair(2, 3).passes(Breadth::General);
        assert!(passes(&before) && !passes(&after));
    }
}
