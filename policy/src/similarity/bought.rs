//! What a contact bought, as similarity counts it.

use crate::fact::{CategoryId, SenderId};
use crate::state::{Atom, RestrictionKind, StateView};
use crate::time::Instant;

/// Categories of one contact that count, if nobody says otherwise: whoever bought more is a reseller or a test account.
pub const HEAVY: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bought {
    pub sender: SenderId,
    /// Of the category, as whoever reads the purchases counts them.
    pub position: u32,
    pub at: Instant,
}

/// Takes the purchases out of a state, unsorted, of the categories that have a position. Whoever asked to be erased is counted
/// nowhere and ranked for nothing.
pub fn purchases(state: &[u8], position: impl Fn(CategoryId) -> Option<u32>, into: &mut Vec<Bought>) {
    into.clear();
    // What can't be read counts for nothing, and a state that ends in the middle for what could be read: this is
    // statistics, not a decision.
    let Ok(view) = StateView::new(state) else { return };
    let erased = |atom: &Atom| matches!(atom, Atom::Restriction(r) if r.kind == RestrictionKind::Erasure && r.other_contact == 0);
    // One that has no room in its row is whole in the side table.
    if view.overflow || view.restrictions().flatten().any(|atom| erased(&atom)) {
        return;
    }
    for r in view.relations().flatten() {
        if r.kind.is_purchase()
            && let Some(position) = position(r.category)
        {
            into.push(Bought { sender: r.sender, position, at: r.at });
        }
    }
}

/// Each category once, with its latest purchase; of more than `heavy` the latest. Ascending by sender and category.
pub fn distinct(bought: &mut Vec<Bought>, heavy: usize) {
    bought.sort_unstable_by(|x, y| (x.sender, x.position, y.at).cmp(&(y.sender, y.position, x.at)));
    bought.dedup_by(|later, kept| (later.sender, later.position) == (kept.sender, kept.position));
    if bought.len() <= heavy {
        return;
    }
    let mut kept = Vec::with_capacity(bought.len());
    for of_sender in bought.chunk_by_mut(|x, y| x.sender == y.sender) {
        of_sender.sort_unstable_by(|x, y| y.at.cmp(&x.at).then(x.position.cmp(&y.position)));
        let most = heavy.min(of_sender.len());
        let latest = &mut of_sender[..most];
        latest.sort_unstable_by_key(|b| b.position);
        kept.extend_from_slice(latest);
    }
    *bought = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bought(sender: u32, position: u32, at: i64) -> Bought {
        Bought { sender, position, at: Instant(at) }
    }

    #[test]
    fn a_category_counts_once_however_often_it_was_bought() {
        let mut all = vec![bought(1, 7, 5), bought(2, 7, 1), bought(1, 3, 2), bought(1, 7, 9)];
        distinct(&mut all, 200);
        assert_eq!(all, [bought(1, 3, 2), bought(1, 7, 9), bought(2, 7, 1)]);
    }

    #[test]
    fn of_a_heavy_buyer_the_latest_count_for_each_sender_apart() {
        let mut all: Vec<_> = (0..9).map(|i| bought(1, i, i64::from(i))).collect();
        all.push(bought(2, 4, 0));
        distinct(&mut all, 3);
        assert_eq!(
            all.iter().map(|b| (b.sender, b.position)).collect::<Vec<_>>(),
            [(1, 6), (1, 7), (1, 8), (2, 4)]
        );
    }
}
