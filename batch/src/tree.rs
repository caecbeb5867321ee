//! The category tree with its names.

use anyhow::Result;
use pg_consent_policy::similarity;
use postgres::Client;
use std::collections::HashMap;
use std::ops::Deref;

#[derive(Default)]
pub struct Tree {
    tree: similarity::Tree,
    names: HashMap<i32, String>,
}

impl Tree {
    pub fn read(client: &mut Client) -> Result<Tree> {
        let rows =
            client.query("SELECT category_id, parent_id, sensitive, name FROM consent_data.category", &[])?;
        let mut tree = Tree::default();
        for row in &rows {
            tree.tree.insert(row.get(0), row.get(1), row.get(2));
            tree.names.insert(row.get(0), row.get(3));
        }
        Ok(tree)
    }

    /// For people; a category that is gone shows its number.
    pub fn name(&self, category: i32) -> String {
        self.names.get(&category).cloned().unwrap_or_else(|| category.to_string())
    }
}

impl Deref for Tree {
    type Target = similarity::Tree;

    fn deref(&self) -> &similarity::Tree {
        &self.tree
    }
}

#[cfg(test)]
impl Tree {
    /// Of (category, parent, sensitive); each is named after its number.
    pub fn of(nodes: &[(i32, Option<i32>, bool)]) -> Tree {
        let mut tree = Tree::default();
        for (id, parent, sensitive) in nodes {
            tree.tree.insert(*id, *parent, *sensitive);
            tree.names.insert(*id, format!("c{id}"));
        }
        tree
    }
}
