//! The category tree.

use anyhow::Result;
use pg_consent_policy::similarity::TreePair;
use postgres::Client;
use std::collections::HashMap;

struct Node {
    parent: Option<i32>,
    sensitive: bool,
}

pub struct Tree {
    nodes: HashMap<i32, Node>,
}

/// Longer chains than this are taken for a loop and cut.
const MAX_DEPTH: usize = 64;

impl Tree {
    pub fn read(client: &mut Client) -> Result<Tree> {
        let rows =
            client.query("SELECT category_id, parent_id, sensitive FROM consent_data.category", &[])?;
        let nodes = rows.iter().map(|r| (r.get(0), Node { parent: r.get(1), sensitive: r.get(2) })).collect();
        Ok(Tree { nodes })
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The category and all above it, the department (a child of the root) last.
    pub fn path(&self, category: i32) -> Vec<i32> {
        let up = std::iter::successors(Some(category), |c| self.nodes.get(c).and_then(|n| n.parent));
        up.take(MAX_DEPTH).collect()
    }

    pub fn department(&self, category: i32) -> i32 {
        self.path(category).last().copied().unwrap_or(category)
    }

    /// How two categories lie in the tree, and their deepest common ancestor.
    pub fn pair(&self, a: i32, b: i32) -> (TreePair, Option<i32>) {
        let (up_a, up_b) = (self.path(a), self.path(b));
        let common = up_a.iter().rev().zip(up_b.iter().rev()).take_while(|(x, y)| x == y).count();
        let ancestor = common.checked_sub(1).and_then(|depth| up_a.iter().rev().nth(depth).copied());
        let sensitive = |c: &i32| self.nodes.get(c).is_some_and(|n| n.sensitive);
        let pair = TreePair {
            depth_a: up_a.len() as u32,
            depth_b: up_b.len() as u32,
            common: common as u32,
            // A category within a sensitive one is sensitive too.
            sensitive: up_a.iter().chain(&up_b).any(sensitive),
        };
        (pair, ancestor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let node = |parent, sensitive| Node { parent, sensitive };
        Tree {
            nodes: HashMap::from([
                (1, node(None, false)),
                (2, node(Some(1), false)),
                (3, node(Some(1), false)),
                (4, node(Some(2), false)),
                (5, node(None, true)),
                (6, node(Some(5), false)),
            ]),
        }
    }

    #[test]
    fn cousins_meet_at_their_department() {
        let (pair, ancestor) = tree().pair(4, 3);
        assert_eq!((pair.depth_a, pair.depth_b, pair.common, pair.sensitive), (3, 2, 1, false));
        assert_eq!(ancestor, Some(1));
        assert_eq!(tree().department(4), 1);
    }

    #[test]
    fn what_lies_within_a_sensitive_category_is_sensitive() {
        let (pair, ancestor) = tree().pair(4, 6);
        assert!(pair.sensitive && pair.common == 0 && ancestor.is_none());
    }

    #[test]
    fn a_loop_in_the_tree_ends() {
        let nodes = HashMap::from([
            (1, Node { parent: Some(2), sensitive: false }),
            (2, Node { parent: Some(1), sensitive: false }),
        ]);
        assert_eq!(Tree { nodes }.path(1).len(), MAX_DEPTH);
    }
}
