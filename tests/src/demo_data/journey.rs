//! The real part: the Complete Journey's purchases, products and campaigns, moved in time.

use super::parquet_file::ParquetFile;
use super::tree::{Branch, Tree, branch};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

pub const DAY: i64 = 86_400;

/// The purchases are of 2017. This many days later, 2017-12-31 is 2026-10-31.
pub const SHIFT_DAYS: i64 = 3_226;

/// A basket. Times are seconds since 1970-01-01 UTC, moved by [`SHIFT_DAYS`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    pub customer: i64,
    pub at: i64,
    pub id: i64,
    /// The department of its first line, where that product has one.
    pub department: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub order: i64,
    pub product: i64,
    pub quantity: i64,
    pub hundredths: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub id: i64,
    pub name: String,
    pub category: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    pub id: i32,
    pub name: String,
    /// The category of most of the products it gave coupons for; none where it went through the whole shop.
    pub category: Option<i32>,
    /// Midnight of its first day.
    pub starts: i64,
}

#[derive(Debug, Default)]
pub struct Journey {
    pub tree: Tree,
    pub products: Vec<Product>,
    /// By customer, then time.
    pub orders: Vec<Order>,
    pub lines: Vec<Line>,
    /// By id.
    pub campaigns: Vec<Campaign>,
    /// Customer and campaign, sorted.
    pub sends: Vec<(i64, i32)>,
}

impl Journey {
    pub fn read(folder: &Path) -> Result<Self> {
        let (branches, mut products) = read_products(folder).context("reading the products")?;
        let tree = Tree::new(branches.values());
        for product in &mut products {
            product.category = branches.get(&product.id).and_then(|branch| tree.id(branch));
        }
        let lines = read_lines(folder).context("reading the transactions")?;
        let orders = read_orders(folder, &lines, |product| {
            branches.get(&product).and_then(|branch| tree.department(branch))
        })
        .context("reading the baskets")?;

        // Seventeen products were bought and are not in the catalogue. An order line without its product would
        // not pass the foreign key, and such gaps are what a CRM has.
        let mut known: HashSet<i64> = branches.keys().copied().collect();
        for line in &lines {
            if known.insert(line.product) {
                let name = format!("product {} (not in the catalogue)", line.product);
                products.push(Product { id: line.product, name, category: None });
            }
        }
        products.sort_by_key(|product| product.id);

        let campaigns = read_campaigns(folder, &tree, &branches).context("reading the campaigns")?;
        let sends = read_sends(folder).context("reading who was sent a campaign")?;
        for &(_, campaign) in &sends {
            ensure!(
                campaigns.iter().any(|known| known.id == campaign),
                "campaign {campaign} has no description"
            );
        }
        Ok(Journey { tree, products, orders, lines, campaigns, sends })
    }

    /// Each customer's orders, oldest first, with the campaigns sent to them.
    pub fn by_customer(&self) -> impl Iterator<Item = (i64, &[Order], &[(i64, i32)])> {
        self.orders.chunk_by(|a, b| a.customer == b.customer).filter_map(|orders| {
            let customer = orders.first()?.customer;
            let from = self.sends.partition_point(|send| send.0 < customer);
            let to = self.sends.partition_point(|send| send.0 <= customer);
            Some((customer, orders, &self.sends[from..to]))
        })
    }
}

fn read_products(folder: &Path) -> Result<(HashMap<i64, Branch>, Vec<Product>)> {
    let file = ParquetFile::open(folder, "products.parquet")?;
    let mut departments = file.texts("department")?.into_iter();
    let mut categories = file.texts("product_category")?.into_iter();
    let mut kinds = file.texts("product_type")?.into_iter();
    let mut sizes = file.texts("package_size")?.into_iter();
    let mut branches = HashMap::new();
    let mut products = Vec::new();
    for id in file.integers("product_id")? {
        let next = |column: &mut std::vec::IntoIter<Option<String>>| column.next().flatten();
        let branch = branch(next(&mut departments), next(&mut categories), next(&mut kinds));
        let mut name = branch.last().cloned().unwrap_or_else(|| format!("product {id}"));
        if let Some(size) = next(&mut sizes) {
            name = format!("{name} {size}");
        }
        products.push(Product { id, name, category: None });
        branches.insert(id, branch);
    }
    Ok((branches, products))
}

fn read_lines(folder: &Path) -> Result<Vec<Line>> {
    let file = ParquetFile::open(folder, "transactions.parquet")?;
    let orders = file.integers("basket_id")?;
    let products = file.integers("product_id")?;
    let quantities = file.integers("quantity")?;
    let amounts = file.hundredths("sales_value")?;
    let goods = products.into_iter().zip(quantities).zip(amounts);
    let line = |(order, ((product, quantity), hundredths))| Line { order, product, quantity, hundredths };
    Ok(orders.into_iter().zip(goods).map(line).collect())
}

fn read_orders(folder: &Path, lines: &[Line], department: impl Fn(i64) -> Option<i32>) -> Result<Vec<Order>> {
    let file = ParquetFile::open(folder, "transactions.parquet")?;
    let customers = file.integers("household_id")?;
    let times = file.seconds("transaction_timestamp")?;
    let mut seen = HashSet::new();
    let mut orders = Vec::new();
    let mut last = None;
    for ((line, customer), at) in lines.iter().zip(customers).zip(times) {
        // A basket's lines mostly follow each other: this spares nine look-ups in ten.
        if last.replace(line.order) != Some(line.order) && seen.insert(line.order) {
            let at = at + SHIFT_DAYS * DAY;
            orders.push(Order { customer, at, id: line.order, department: department(line.product) });
        }
    }
    orders.sort();
    Ok(orders)
}

fn read_campaigns(folder: &Path, tree: &Tree, branches: &HashMap<i64, Branch>) -> Result<Vec<Campaign>> {
    let coupons = ParquetFile::open(folder, "coupons.parquet")?;
    let couponed = coupons.integers("campaign_id")?.into_iter().zip(coupons.integers("product_id")?);
    let mut counts: BTreeMap<i64, BTreeMap<i32, u32>> = BTreeMap::new();
    for (campaign, product) in couponed {
        let category = branches.get(&product).and_then(|branch| tree.id(branch.get(..2)?));
        if let Some(category) = category {
            *counts.entry(campaign).or_default().entry(category).or_default() += 1;
        }
    }

    let file = ParquetFile::open(folder, "campaign_descriptions.parquet")?;
    let kinds = file.texts("campaign_type")?.into_iter().zip(file.seconds("start_date")?);
    let mut campaigns = Vec::new();
    for (id, (kind, starts)) in file.integers("campaign_id")?.into_iter().zip(kinds) {
        let Some(kind) = kind else { bail!("campaign {id} has no type") };
        // Type A gives each household coupons for what it buys, out of tens of thousands of products.
        let category = if kind == "Type A" { None } else { counts.get(&id).and_then(most_frequent) };
        let starts = starts + SHIFT_DAYS * DAY;
        let name = format!("{kind}, no. {id}");
        campaigns.push(Campaign { id: i32::try_from(id)?, name, category, starts });
    }
    campaigns.sort_by_key(|campaign| campaign.id);
    Ok(campaigns)
}

/// The lowest id decides a tie.
fn most_frequent(counts: &BTreeMap<i32, u32>) -> Option<i32> {
    counts.iter().max_by_key(|&(&id, &count)| (count, -id)).map(|(&id, _)| id)
}

fn read_sends(folder: &Path) -> Result<Vec<(i64, i32)>> {
    let file = ParquetFile::open(folder, "campaigns.parquet")?;
    let campaigns = file.integers("campaign_id")?;
    let mut sends = Vec::with_capacity(campaigns.len());
    for (customer, campaign) in file.integers("household_id")?.into_iter().zip(campaigns) {
        sends.push((customer, i32::try_from(campaign)?));
    }
    sends.sort_unstable();
    Ok(sends)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chrono::{Days, NaiveDate};

    #[test]
    fn the_last_day_of_2017_becomes_the_last_of_october_2026() {
        let last = NaiveDate::from_ymd_opt(2017, 12, 31).unwrap() + Days::new(SHIFT_DAYS.unsigned_abs());
        assert_eq!(last, NaiveDate::from_ymd_opt(2026, 10, 31).unwrap());
    }

    #[test]
    fn a_tie_goes_to_the_lowest_category() {
        assert_eq!(most_frequent(&BTreeMap::from([(4, 2), (7, 5), (9, 5)])), Some(7));
        assert_eq!(most_frequent(&BTreeMap::new()), None);
    }

    #[test]
    fn customers_get_their_own_orders_and_sends() {
        let order = |customer, id| Order { customer, at: id, id, department: None };
        let journey = Journey {
            orders: vec![order(1, 10), order(1, 11), order(5, 12)],
            sends: vec![(1, 3), (2, 3), (5, 3), (5, 4)],
            ..Journey::default()
        };
        let split: Vec<_> =
            journey.by_customer().map(|(id, orders, sends)| (id, orders.len(), sends.len())).collect();
        assert_eq!(split, [(1, 2, 1), (5, 1, 2)]);
    }
}
