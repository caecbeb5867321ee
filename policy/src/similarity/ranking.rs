//! The categories most similar to what somebody bought and not bought yet, the best first, and the purchase each rests on.
//!
//! For ranking and for people; whether a message may go, the decision says. Categories are positions from 0 on.

/// To each category those similar to it, the most similar first.
pub struct Neighbours {
    starts: Vec<usize>,
    list: Vec<(f64, u32)>,
}

impl Neighbours {
    /// Of pairs of positions below `categories`, each with its score; a pair may come twice, and the higher score counts.
    pub fn of(categories: usize, pairs: &[(u32, u32, f64)]) -> Neighbours {
        let mut by_category: Vec<(u32, f64, u32)> =
            pairs.iter().flat_map(|&(a, b, score)| [(a, score, b), (b, score, a)]).collect();
        by_category.sort_unstable_by(|x, y| x.0.cmp(&y.0).then(y.1.total_cmp(&x.1)).then(x.2.cmp(&y.2)));
        let mut starts = vec![0; categories + 1];
        by_category.iter().for_each(|x| starts[x.0 as usize + 1] += 1);
        for i in 0..categories {
            starts[i + 1] += starts[i];
        }
        Neighbours { starts, list: by_category.into_iter().map(|x| (x.1, x.2)).collect() }
    }

    pub fn of_category(&self, category: u32) -> &[(f64, u32)] {
        &self.list[self.starts[category as usize]..self.starts[category as usize + 1]]
    }

    /// Categories with any, and how many.
    pub fn degrees(&self) -> impl Iterator<Item = (u32, usize)> {
        (0..).zip(self.starts.windows(2)).map(|(c, w)| (c, w[1] - w[0])).filter(|(_, n)| *n > 0)
    }
}

/// One entry of a contact's list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similar {
    pub category: u32,
    pub score: f64,
    /// The purchase that makes it similar.
    pub rests_on: u32,
}

/// Makes lists one after the other, in memory of its own.
pub struct Ranking<'a> {
    neighbours: &'a Neighbours,
    most: usize,
    /// The round in which a category was last bought or listed.
    done: Vec<u32>,
    round: u32,
    heads: Vec<(u32, &'a [(f64, u32)])>,
    found: Vec<Similar>,
}

impl<'a> Ranking<'a> {
    /// At most `most` categories a contact.
    pub fn new(neighbours: &'a Neighbours, most: usize) -> Ranking<'a> {
        let done = vec![0; neighbours.starts.len()];
        Ranking { neighbours, most, done, round: 0, heads: Vec::new(), found: Vec::new() }
    }

    /// The best of all neighbours of `bought`: a merge of their sorted lists that stops when there are enough.
    pub fn of(&mut self, bought: &[u32]) -> &[Similar] {
        self.round = self.round.checked_add(1).unwrap_or_else(|| {
            self.done.fill(0);
            1
        });
        self.found.clear();
        self.heads.clear();
        for &category in bought {
            self.done[category as usize] = self.round;
            self.heads.push((category, self.neighbours.of_category(category)));
        }
        while self.found.len() < self.most {
            let mut best: Option<(usize, f64, u32)> = None;
            for (i, (_, list)) in self.heads.iter_mut().enumerate() {
                while let Some((_, category)) = list.first()
                    && self.done[*category as usize] == self.round
                {
                    *list = &list[1..];
                }
                if let Some(&(score, category)) = list.first()
                    && best.is_none_or(|(_, s, c)| score > s || score == s && category < c)
                {
                    best = Some((i, score, category));
                }
            }
            let Some((i, score, category)) = best else { break };
            self.done[category as usize] = self.round;
            self.found.push(Similar { category, score, rests_on: self.heads[i].0 });
        }
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similar(category: u32, score: f64, rests_on: u32) -> Similar {
        Similar { category, score, rests_on }
    }

    #[test]
    fn the_best_come_first_each_once_and_nothing_bought() {
        let neighbours = Neighbours::of(
            8,
            &[(0, 2, 0.6), (1, 2, 0.8), (0, 3, 0.7), (0, 1, 0.9), (1, 4, 0.7), (5, 6, 0.9), (1, 7, 0.5)],
        );
        let mut ranking = Ranking::new(&neighbours, 10);
        let whole = [similar(2, 0.8, 1), similar(3, 0.7, 0), similar(4, 0.7, 1), similar(7, 0.5, 1)];
        assert_eq!(ranking.of(&[0, 1]), whole);
        assert_eq!(ranking.of(&[6]), [similar(5, 0.9, 6)]);
        assert_eq!(ranking.of(&[]), []);
        assert_eq!(Ranking::new(&neighbours, 2).of(&[0, 1]), &whole[..2]);
    }

    #[test]
    fn the_merge_finds_what_sorting_everything_finds() {
        let mut pairs = Vec::new();
        for a in 0..40u32 {
            for b in a + 1..40 {
                let score = f64::from((a * 7 + b * 13) % 20) / 20.0;
                if score > 0.3 {
                    pairs.push((a, b, score));
                }
            }
        }
        let neighbours = Neighbours::of(40, &pairs);
        let mut ranking = Ranking::new(&neighbours, 9);
        for first in 0..30u32 {
            let bought = [first, first + 3, first + 9];
            let mut all: Vec<Similar> = bought
                .iter()
                .flat_map(|on| neighbours.of_category(*on).iter().map(|(score, c)| similar(*c, *score, *on)))
                .filter(|s| !bought.contains(&s.category))
                .collect();
            all.sort_by(|x, y| {
                y.score
                    .total_cmp(&x.score)
                    .then(x.category.cmp(&y.category))
                    .then(x.rests_on.cmp(&y.rests_on))
            });
            let mut seen = Vec::new();
            all.retain(|s| {
                !seen.contains(&s.category) && {
                    seen.push(s.category);
                    true
                }
            });
            all.truncate(9);
            assert_eq!(ranking.of(&bought), all);
        }
    }
}
