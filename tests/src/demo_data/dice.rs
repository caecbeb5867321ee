//! Seeded chance. Every customer has a stream of numbers of their own, so a customer's rows depend on the seed and
//! on the customer alone, never on the order of the files or on other customers.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// ChaCha and not the standard generator: that one may change with a release of the crate.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64, customer: i64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(customer.unsigned_abs());
        Dice(rng)
    }

    pub fn percent(&mut self, share: u32) -> bool {
        self.0.random_range(0..100) < share
    }

    /// From `low` up to, not including, `high`; `low` where there is nothing between.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        if high > low { self.0.random_range(low..high) } else { low }
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.0.random_range(0..all.len())) }
    }

    /// One of several values, each with its share in percent; the last one takes what is left.
    pub fn share<T: Copy, const N: usize>(&mut self, shares: &[(T, u32); N]) -> T {
        const { assert!(N > 0) };
        let mut roll = self.0.random_range(0..100);
        for &(value, share) in shares {
            if roll < share {
                return value;
            }
            roll -= share;
        }
        shares[N - 1].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_the_seed_and_the_customer_alone() {
        let draws = |seed, customer| {
            let mut dice = Dice::new(seed, customer);
            [dice.between(0, 1 << 40), dice.between(0, 1 << 40)]
        };
        assert_eq!(draws(1, 7), draws(1, 7));
        assert_ne!(draws(1, 7), draws(2, 7));
        assert_ne!(draws(1, 7), draws(1, 8));
    }

    #[test]
    fn an_empty_range_or_list_gives_no_panic() {
        let mut dice = Dice::new(1, 1);
        assert_eq!(dice.between(5, 5), 5);
        assert_eq!(dice.pick::<i32>(&[]), None);
    }
}
