//! Small cells: a figure about fewer than ten people may point at one of them, so it is not shown.
//!
//! Leaving a cell out is not enough: whoever knows the total subtracts. So what is not shown is pooled, and where the
//! pool is itself too small the smallest shown cell joins it. Every total on the page is a sum of what is shown.

/// From how many people on a figure is shown.
pub const LEAST: u64 = 10;

/// Keeps the cells of at least [`LEAST`] people, in their order; the others are pooled. The pool counts 0, or at least
/// [`LEAST`] unless all cells together are fewer.
pub fn publish<T>(cells: Vec<(T, u64)>) -> (Vec<(T, u64)>, u64) {
    let (mut shown, small): (Vec<_>, Vec<_>) =
        cells.into_iter().filter(|(_, n)| *n > 0).partition(|(_, n)| *n >= LEAST);
    let mut pooled: u64 = small.iter().map(|(_, n)| n).sum();
    if (1..LEAST).contains(&pooled)
        && let Some(smallest) = shown.iter().enumerate().min_by_key(|(_, (_, n))| *n).map(|(i, _)| i)
    {
        pooled += shown.remove(smallest).1;
    }
    (shown, pooled)
}

/// A pool that is still too small says nothing but that there is somebody.
pub fn shown(pooled: u64) -> Option<u64> {
    (pooled >= LEAST).then_some(pooled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_subtract_a_small_cell_from_the_total() {
        let (shown, pooled) = publish(vec![("a", 500), ("b", 12), ("c", 4), ("d", 0)]);
        assert_eq!((shown, pooled), (vec![("a", 500)], 16));
    }

    #[test]
    fn small_cells_together_are_shown_as_one() {
        assert_eq!(publish(vec![("a", 9), ("b", 9), ("c", 10)]), (vec![("c", 10)], 18));
    }

    #[test]
    fn a_handful_of_people_stay_unseen() {
        let (cells, pooled) = publish(vec![("a", 3), ("b", 4)]);
        assert!(cells.is_empty() && shown(pooled).is_none());
        assert_eq!(publish::<&str>(Vec::new()), (Vec::new(), 0));
    }
}
