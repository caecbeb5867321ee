//! The category tree.

use anyhow::Result;
use postgres::Client;
use std::collections::HashMap;

struct Node {
    name: String,
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
            client.query("SELECT category_id, parent_id, sensitive, name FROM consent_data.category", &[])?;
        let node = |r: &postgres::Row| Node { parent: r.get(1), sensitive: r.get(2), name: r.get(3) };
        let nodes = rows.iter().map(|r| (r.get(0), node(r))).collect();
        Ok(Tree { nodes })
    }

    pub fn ids(&self) -> impl Iterator<Item = i32> {
        self.nodes.keys().copied()
    }

    /// For people; a category that is gone shows its number.
    pub fn name(&self, category: i32) -> String {
        self.nodes.get(&category).map_or_else(|| category.to_string(), |n| n.name.clone())
    }

    /// The category and all above it, the department (a child of the root) last.
    pub fn path(&self, category: i32) -> Vec<i32> {
        let up = std::iter::successors(Some(category), |c| self.nodes.get(c).and_then(|n| n.parent));
        up.take(MAX_DEPTH).collect()
    }

    /// A category within a sensitive one is sensitive too.
    pub fn is_sensitive(&self, path: &[i32]) -> bool {
        path.iter().any(|c| self.nodes.get(c).is_some_and(|n| n.sensitive))
    }
}

#[cfg(test)]
impl Tree {
    /// Of (category, parent, sensitive); each is named after its number.
    pub fn of(nodes: &[(i32, Option<i32>, bool)]) -> Tree {
        let node = |&(id, parent, sensitive)| (id, Node { name: format!("c{id}"), parent, sensitive });
        Tree { nodes: nodes.iter().map(node).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_in_the_tree_ends() {
        assert_eq!(Tree::of(&[(1, Some(2), false), (2, Some(1), false)]).path(1).len(), MAX_DEPTH);
    }

    #[test]
    fn what_lies_within_a_sensitive_category_is_sensitive() {
        let tree = Tree::of(&[(5, None, true), (6, Some(5), false), (7, None, false)]);
        assert!(tree.is_sensitive(&tree.path(6)) && !tree.is_sensitive(&tree.path(7)));
    }
}
