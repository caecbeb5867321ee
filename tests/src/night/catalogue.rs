//! The tree of product categories and what people buy from it: departments > groups > types, popular ones and rare
//! ones, and tastes that keep to a few groups.

use crate::demo_data::dice::Dice;

pub const DEPARTMENTS: i32 = 32;
const GROUPS: i32 = 300;
/// The categories things are sold in.
pub const TYPES: i32 = 2_000;
/// The stream of chance that makes the catalogue; contacts have those from 1 on.
const STREAM: i64 = 0;

#[derive(Debug, Clone)]
pub struct Category {
    pub id: i32,
    pub parent: Option<i32>,
    pub name: String,
    pub sensitive: bool,
}

/// Types are numbered through group by group and groups department by department, so that a group or a department is
/// a range of types.
#[derive(Debug)]
pub struct Catalogue {
    /// The first type of each group, and the number of types.
    groups: Vec<usize>,
    /// The first type of each department, and the number of types.
    departments: Vec<usize>,
    group_of: Vec<usize>,
    department_of: Vec<usize>,
    /// Summed popularity of all types before each, and of all.
    summed: Vec<f64>,
}

/// A number from 0 up to, not including, 1.
pub fn chance(dice: &mut Dice) -> f64 {
    const BITS: i64 = 1 << 53;
    dice.between(0, BITS) as f64 / BITS as f64
}

impl Catalogue {
    pub fn new(seed: u64) -> Catalogue {
        let mut dice = Dice::new(seed, STREAM);
        let group_department = spread(GROUPS, DEPARTMENTS, &mut dice);
        let group_of = spread(TYPES, GROUPS, &mut dice);
        let department_of: Vec<usize> = group_of.iter().map(|g| group_department[*g]).collect();
        // Zipf's law over a random order of the types.
        let mut order: Vec<(i64, usize)> =
            (0..TYPES as usize).map(|t| (dice.between(0, 1 << 40), t)).collect();
        order.sort_unstable();
        let mut popularity = vec![0.0; TYPES as usize];
        for (rank, (_, t)) in order.iter().enumerate() {
            popularity[*t] = 1.0 / (rank as f64 + 10.0).powf(0.9);
        }
        let mut summed = vec![0.0];
        let mut sum = 0.0;
        for p in popularity {
            sum += p;
            summed.push(sum);
        }
        Catalogue {
            groups: firsts(&group_of),
            departments: firsts(&department_of),
            group_of,
            department_of,
            summed,
        }
    }

    /// One of the types from `from` up to, not including, `to`, by popularity.
    fn draw(&self, from: usize, to: usize, dice: &mut Dice) -> usize {
        let target = self.summed[from] + chance(dice) * (self.summed[to] - self.summed[from]);
        let found = self.summed[from..=to].partition_point(|s| *s <= target);
        (from + found).saturating_sub(1).clamp(from, to - 1)
    }

    pub fn anything(&self, dice: &mut Dice) -> usize {
        self.draw(0, TYPES as usize, dice)
    }

    pub fn of_group(&self, type_: usize, dice: &mut Dice) -> usize {
        let group = self.group_of[type_];
        self.draw(self.groups[group], self.groups[group + 1], dice)
    }

    pub fn of_department(&self, type_: usize, dice: &mut Dice) -> usize {
        let department = self.department_of[type_];
        self.draw(self.departments[department], self.departments[department + 1], dice)
    }

    /// The category id of a type.
    pub fn id(type_: usize) -> i32 {
        1 + DEPARTMENTS + GROUPS + type_ as i32
    }

    /// Parents before children.
    pub fn categories(&self) -> Vec<Category> {
        let mut all: Vec<Category> = (0..DEPARTMENTS)
            .map(|d| Category { id: 1 + d, parent: None, name: format!("department {d}"), sensitive: false })
            .collect();
        for g in 0..GROUPS {
            let parent = 1 + self.department_of[self.groups[g as usize]] as i32;
            let (id, name) = (1 + DEPARTMENTS + g, format!("group {g}"));
            all.push(Category { id, parent: Some(parent), name, sensitive: false });
        }
        for t in 0..TYPES {
            let parent = Some(1 + DEPARTMENTS + self.group_of[t as usize] as i32);
            let id = Catalogue::id(t as usize);
            all.push(Category { id, parent, name: format!("type {t}"), sensitive: t % 250 == 7 });
        }
        all
    }
}

/// `n` things in `parts` parts, none empty, some larger than others; the part of each thing, in order.
fn spread(n: i32, parts: i32, dice: &mut Dice) -> Vec<usize> {
    let mut part: Vec<usize> = (0..parts as usize).collect();
    for _ in parts..n {
        // The square makes the first parts larger.
        part.push((chance(dice).powi(2) * f64::from(parts)) as usize);
    }
    part.sort_unstable();
    part
}

/// Where each part begins, and the number of things.
fn firsts(part: &[usize]) -> Vec<usize> {
    let mut first: Vec<usize> = (0..part.len()).filter(|i| *i == 0 || part[*i] != part[*i - 1]).collect();
    first.push(part.len());
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_keep_to_their_group_and_department() {
        let catalogue = Catalogue::new(7);
        let mut dice = Dice::new(7, 1);
        for _ in 0..2_000 {
            let any = catalogue.anything(&mut dice);
            let near = catalogue.of_group(any, &mut dice);
            let far = catalogue.of_department(any, &mut dice);
            assert_eq!(catalogue.group_of[near], catalogue.group_of[any]);
            assert_eq!(catalogue.department_of[far], catalogue.department_of[any]);
        }
    }

    #[test]
    fn the_tree_is_the_same_for_the_same_seed_and_parents_come_first() {
        let names =
            |seed| Catalogue::new(seed).categories().iter().map(|c| (c.id, c.parent)).collect::<Vec<_>>();
        assert_eq!(names(7), names(7));
        assert_ne!(names(7), names(8));
        let all = names(7);
        assert_eq!(all.len(), (DEPARTMENTS + GROUPS + TYPES) as usize);
        assert!(all.iter().zip(1..).all(|((id, parent), n)| *id == n && parent.is_none_or(|p| p < *id)));
    }
}
