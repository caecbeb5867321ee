//! What a contact is likely to expect, for ranking and for people; whether a message may go, the gate says.

use crate::config;
use crate::error::Result;
use pg_consent_policy::similarity::{HEAVY, Ranking, distinct, purchases};
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

/// The categories most similar to those bought and not bought yet, at most so many of each sender, the best first.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // The macro wants the columns spelt out.
fn _similar_to(
    state: Option<&[u8]>,
    most: Option<i32>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(sender_id, i32),
            name!(rank, i32),
            name!(category_id, i32),
            name!(score, f32),
            name!(rests_on, i32),
        ),
    >,
> {
    let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let (mut bought, mut rows) = (Vec::new(), Vec::new());
    purchases(state.unwrap_or_default(), Some, &mut bought);
    distinct(&mut bought, HEAVY);
    let config = config::current()?;
    for of_sender in bought.chunk_by(|a, b| a.sender == b.sender) {
        let sender = of_sender[0].sender;
        let similar = config.similar_pairs(sender)?;
        // A category that is similar to none is in no list, bought or not.
        let positions: Vec<u32> = of_sender.iter().filter_map(|b| similar.position(b.position)).collect();
        for (found, rank) in Ranking::new(&similar.neighbours, most).of(&positions).iter().zip(1..) {
            let id = |position| similar.id(position) as i32;
            rows.push((sender as i32, rank, id(found.category), found.score as f32, id(found.rests_on)));
        }
    }
    Ok(TableIterator::new(rows))
}
