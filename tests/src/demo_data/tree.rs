//! The tree of product categories: department > category > type.

use std::collections::BTreeMap;

/// Names from the department down; one to three of them.
pub type Branch = Vec<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    pub id: i32,
    pub parent: Option<i32>,
    pub name: String,
    /// 1 department, 2 category, 3 type.
    pub level: i32,
}

/// Categories by their branch. Ids follow the sorted branches, so that they don't depend on the file's order, and
/// a parent's id is below its children's.
#[derive(Debug, Default)]
pub struct Tree {
    ids: BTreeMap<Branch, i32>,
}

impl Tree {
    pub fn new<'a>(branches: impl Iterator<Item = &'a Branch>) -> Self {
        let mut ids = BTreeMap::new();
        for branch in branches {
            for depth in 1..=branch.len() {
                if !ids.contains_key(&branch[..depth]) {
                    ids.insert(branch[..depth].to_vec(), 0);
                }
            }
        }
        for (id, place) in (1..).zip(ids.values_mut()) {
            *place = id;
        }
        Tree { ids }
    }

    pub fn id(&self, branch: &[String]) -> Option<i32> {
        self.ids.get(branch).copied()
    }

    /// The department a branch hangs on.
    pub fn department(&self, branch: &[String]) -> Option<i32> {
        self.id(branch.get(..1)?)
    }

    /// Parents before children.
    pub fn categories(&self) -> impl Iterator<Item = Category> {
        self.ids.iter().filter_map(|(branch, &id)| {
            let (name, above) = branch.split_last()?;
            let level = i32::try_from(branch.len()).ok()?;
            Some(Category { id, parent: self.id(above), name: name.clone(), level })
        })
    }
}

/// A product's branch, down to the first name that is missing: what hangs below a gap has no parent.
pub fn branch(department: Option<String>, category: Option<String>, kind: Option<String>) -> Branch {
    [department, category, kind].into_iter().map_while(|name| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Branch {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn ids_do_not_depend_on_the_order_of_the_products() {
        let branches = [named(&["MEAT", "BEEF", "MINCE"]), named(&["DELI"]), named(&["MEAT", "PORK"])];
        let forwards: Vec<_> = Tree::new(branches.iter()).categories().collect();
        let backwards: Vec<_> = Tree::new(branches.iter().rev()).categories().collect();
        assert_eq!(forwards, backwards);
        assert_eq!(forwards.len(), 5);
        assert!(forwards.iter().all(|category| category.parent.is_none_or(|parent| parent < category.id)));
    }

    #[test]
    fn the_same_name_under_two_parents_is_two_categories() {
        let branches = [named(&["MEAT", "FROZEN"]), named(&["GROCERY", "FROZEN"])];
        let tree = Tree::new(branches.iter());
        assert_ne!(tree.id(&branches[0]), tree.id(&branches[1]));
        assert_eq!(tree.department(&branches[0]), tree.id(&named(&["MEAT"])));
    }

    #[test]
    fn a_type_without_its_category_hangs_on_nothing() {
        assert_eq!(branch(Some("DELI".into()), None, Some("HAM".into())), named(&["DELI"]));
        assert_eq!(branch(None, None, None), named(&[]));
    }
}
