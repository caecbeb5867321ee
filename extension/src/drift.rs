//! In what a stored state differs from what all facts give.

use pg_consent_policy::state;
use pgrx::prelude::*;

/// The kinds of difference between what is stored of a contact and what a fold gives; see
/// [`pg_consent_policy::state::differences`]. `stored` NULL is `no state`, `fresh` NULL is `no facts`.
#[pg_extern(sql = false)]
fn _differences(stored: Option<&[u8]>, fresh: Option<&[u8]>) -> Vec<String> {
    match (stored, fresh) {
        (None, None) => Vec::new(),
        (None, _) => vec!["no state".to_owned()],
        (_, None) => vec!["no facts".to_owned()],
        (Some(stored), Some(fresh)) => state::differences(stored, fresh).into_iter().collect(),
    }
}
