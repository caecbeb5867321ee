//! Which categories are similar: the pairs of the version in use, as `consent_data.similar_pair` has them.

use super::Config;
use crate::error::Error;
use crate::pg;
use pg_consent_policy::fact::{CategoryId, SenderId};
use pg_consent_policy::similarity::Neighbours;
use std::rc::Rc;

/// All similar categories of one sender; a category's position is its place among `ids`.
pub struct SimilarPairs {
    ids: Vec<CategoryId>,
    pub neighbours: Neighbours,
}

impl SimilarPairs {
    pub fn position(&self, category: CategoryId) -> Option<u32> {
        self.ids.binary_search(&category).ok().map(|at| at as u32)
    }

    pub fn id(&self, position: u32) -> CategoryId {
        self.ids[position as usize]
    }
}

impl Config {
    /// What a purchase must be of to count as similar to `category`: itself, the scored pairs above the sender's
    /// threshold, and what overrides add or take away.
    pub(super) fn similar(&self, sender: u32, category: CategoryId) -> Result<Rc<Vec<CategoryId>>, Error> {
        if let Some(known) = self.similar.borrow().get(&(sender, category)) {
            return Ok(Rc::clone(known));
        }
        let relation = pg::relation(c"setting").ok_or(Error::NotSetUp)?;
        let mut ids = vec![category];
        let query = format!(
            "SELECT p.other, bool_or(p.by_override) FROM consent_data.similar_pair p \
              WHERE p.sender_id = {sender} AND p.category_id = {category} GROUP BY p.other"
        );
        pg::as_owner_now(relation, || {
            pg::rows(&query, |r| {
                let passes = |id: &i32| r.get(2) == Some(true) || self.passes(sender, category as i32, *id);
                ids.extend(r.get::<i32>(1).filter(passes).map(|id| id as u32));
            })
        })?;
        let ids = Rc::new(ids);
        self.similar.borrow_mut().insert((sender, category), Rc::clone(&ids));
        Ok(ids)
    }

    /// Each category's neighbours, for lists of what a contact is likely to expect.
    pub fn similar_pairs(&self, sender: SenderId) -> Result<Rc<SimilarPairs>, Error> {
        if let Some(known) = self.similar_pairs.borrow().get(&sender) {
            return Ok(Rc::clone(known));
        }
        let relation = pg::relation(c"setting").ok_or(Error::NotSetUp)?;
        let mut pairs = Vec::new();
        let query = format!(
            "SELECT p.category_id, p.other, p.score, p.by_override FROM consent_data.similar_pair p \
              WHERE p.sender_id = {sender} AND p.category_id < p.other"
        );
        pg::as_owner_now(relation, || {
            pg::rows(&query, |r| {
                let (Some(a), Some(b), Some(score)) = (r.get::<i32>(1), r.get::<i32>(2), r.get::<f64>(3))
                else {
                    return;
                };
                if r.get(4) == Some(true) || self.passes(sender, a, b) {
                    pairs.push((a as u32, b as u32, score));
                }
            })
        })?;
        let mut ids: Vec<CategoryId> = pairs.iter().flat_map(|(a, b, _)| [*a, *b]).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut similar = SimilarPairs { ids, neighbours: Neighbours::of(0, &[]) };
        for (a, b, _) in &mut pairs {
            for category in [a, b] {
                *category = similar.position(*category).unwrap_or_default();
            }
        }
        similar.neighbours = Neighbours::of(similar.ids.len(), &pairs);
        let similar = Rc::new(similar);
        self.similar_pairs.borrow_mut().insert(sender, Rc::clone(&similar));
        Ok(similar)
    }

    /// Whether a scored pair counts. It was scored in the tree of that night: what has become stricter since holds at once.
    fn passes(&self, sender: SenderId, a: i32, b: i32) -> bool {
        self.breadths.get(&sender).is_some_and(|breadth| self.tree.pair(a, b).passes(*breadth))
    }
}
