//! The synthetic part: what customers answered, clicked and refused, laid over their real purchases, and the moves
//! in time that give retention something to do.

use super::dice::Dice;
use super::journey::{Campaign, DAY, Journey, Order};
use super::people::{Customer, customer};
use anyhow::{Context, Result};
use std::collections::{BTreeSet, HashMap};

/// The end of 2026-10-31 in UTC. The shops are in America: the last evening's baskets are four hours later.
const END: i64 = 20_758 * DAY;

/// Days by which some French customers' rows lie further back: the law there ends marketing three years (1,096
/// days) after the last contact. Cohort 0 stays; 1 to 5 have expired at the end of October 2026; 6 expires in
/// December 2026, given that its customers were last active in [`SOON_WINDOW`].
const COHORTS: [i64; 7] = [0, 1_100, 1_190, 1_280, 1_370, 1_460, 1_036];
const EXPIRED: [u8; 5] = [1, 2, 3, 4, 5];
const EXPIRING: u8 = 6;
const SOON_WINDOW: i64 = 28 * DAY;

const REASONS: [&str; 5] = [
    "too many messages",
    "not interested any more",
    "I never signed up",
    "you write about things I do not buy",
    "I get these twice",
];

/// Customers with the year's events, each moved by its customer's cohort.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    pub customers: Vec<Customer>,
    /// One for each of [`Journey::orders`], in the same order.
    pub orders: Vec<ShopOrder>,
    pub campaigns: Vec<Campaign>,
    pub sends: Vec<Send>,
    pub clicks: Vec<Click>,
    pub signups: Vec<Signup>,
    pub unsubscribes: Vec<Unsubscribe>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopOrder {
    pub id: i64,
    pub customer: i64,
    pub at: i64,
    pub cancelled: bool,
    pub offered: Option<bool>,
    pub ticked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    pub campaign: i32,
    pub customer: i64,
    pub at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    pub campaign: i32,
    pub customer: i64,
    pub at: i64,
    pub machine: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signup {
    pub customer: i64,
    pub at: i64,
    pub form: &'static str,
    pub answer: &'static str,
    pub pre_ticked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    pub customer: i64,
    pub at: i64,
    pub channel: &'static str,
    pub department: Option<i32>,
    pub reason: Option<&'static str>,
}

impl Overlay {
    pub fn new(journey: &Journey, seed: u64) -> Result<Self> {
        let starts: HashMap<i32, i64> =
            journey.campaigns.iter().map(|campaign| (campaign.id, campaign.starts)).collect();
        let mut all = Overlay::default();
        let mut editions = BTreeSet::new();
        for (id, orders, sent) in journey.by_customer() {
            let mut year = Year::new(id, orders, sent, &starts, seed)?;
            let cohort = year.cohort();
            year.move_back(cohort);
            editions.extend(year.sends.iter().map(|send| (cohort, send.campaign % EDITION)));
            all.customers.push(year.customer);
            all.orders.append(&mut year.orders);
            all.sends.append(&mut year.sends);
            all.clicks.append(&mut year.clicks);
            all.signups.extend(year.signup);
            all.unsubscribes.extend(year.unsubscribe);
        }
        editions.extend(journey.campaigns.iter().map(|campaign| (0, campaign.id)));
        all.campaigns = campaigns(journey, &editions);
        Ok(all)
    }
}

/// A customer who lies further back got an earlier edition of the campaign: cohort × this + the campaign's id.
const EDITION: i32 = 1_000;

fn campaigns(journey: &Journey, editions: &BTreeSet<(u8, i32)>) -> Vec<Campaign> {
    let edition = |&(cohort, id): &(u8, i32)| {
        let base = journey.campaigns.iter().find(|campaign| campaign.id == id)?;
        let mut campaign = base.clone();
        if cohort > 0 {
            campaign.id += i32::from(cohort) * EDITION;
            campaign.starts -= moved(cohort);
            campaign.name = format!("{}, earlier edition {cohort}", base.name);
        }
        Some(campaign)
    };
    editions.iter().filter_map(edition).collect()
}

fn moved(cohort: u8) -> i64 {
    COHORTS[usize::from(cohort)] * DAY
}

/// One customer's year as the CRM recorded it.
struct Year {
    customer: Customer,
    orders: Vec<ShopOrder>,
    sends: Vec<Send>,
    clicks: Vec<Click>,
    signup: Option<Signup>,
    unsubscribe: Option<Unsubscribe>,
    dice: Dice,
}

impl Year {
    fn new(
        id: i64,
        orders: &[Order],
        sent: &[(i64, i32)],
        starts: &HashMap<i32, i64>,
        seed: u64,
    ) -> Result<Self> {
        let mut dice = Dice::new(seed, id);
        let mut sends = Vec::with_capacity(sent.len());
        for (_, campaign) in sent {
            let start = starts.get(campaign).with_context(|| format!("campaign {campaign} has no start"))?;
            let at = start + 8 * 3_600 + dice.between(0, 7_200);
            sends.push(Send { campaign: *campaign, customer: id, at });
        }
        let clicks = sends.iter().filter_map(|send| click(send, &mut dice)).collect();
        let first = orders.iter().map(|order| order.at).chain(sends.iter().map(|send| send.at)).min();
        let customer =
            customer(id, first.with_context(|| format!("customer {id} has no orders"))?, &mut dice);
        let signup = signup(&customer, orders, &mut dice);
        let unsubscribe = unsubscribe(id, orders, &sends, &mut dice);
        let orders = shop_orders(&customer, orders, &mut dice);
        Ok(Year { customer, orders, sends, clicks, signup, unsubscribe, dice })
    }

    /// The last thing the customer did themselves; a machine's click is not theirs.
    fn last_action(&self) -> Option<i64> {
        let clicks = self.clicks.iter().filter(|click| !click.machine).map(|click| click.at);
        let answers = self.signup.iter().map(|signup| signup.at);
        let refusals = self.unsubscribe.iter().map(|unsubscribe| unsubscribe.at);
        self.orders.iter().map(|order| order.at).chain(clicks).chain(answers).chain(refusals).max()
    }

    fn cohort(&mut self) -> u8 {
        let late = self.last_action().is_some_and(|last| last > END - SOON_WINDOW);
        let lot = self.dice.share(&[(Some(true), 12), (Some(false), 4), (None, 84)]);
        match (self.customer.country, lot) {
            (Some("FR"), Some(true)) => self.dice.pick(&EXPIRED).copied().unwrap_or(0),
            (Some("FR"), Some(false)) if late => EXPIRING,
            _ => 0,
        }
    }

    fn move_back(&mut self, cohort: u8) {
        let (by, edition) = (moved(cohort), i32::from(cohort) * EDITION);
        self.customer.created_at -= by;
        for order in &mut self.orders {
            order.at -= by;
        }
        for send in &mut self.sends {
            send.at -= by;
            send.campaign += edition;
        }
        for click in &mut self.clicks {
            click.at -= by;
            click.campaign += edition;
        }
        if let Some(signup) = &mut self.signup {
            signup.at -= by;
        }
        if let Some(unsubscribe) = &mut self.unsubscribe {
            unsubscribe.at -= by;
        }
    }
}

/// 15 % of the sends; 3 % of the clicks come from a mail scanner, within seconds.
fn click(send: &Send, dice: &mut Dice) -> Option<Click> {
    if !dice.percent(15) {
        return None;
    }
    let machine = dice.percent(3);
    let after = if machine { dice.between(2, 20) } else { dice.between(300, 3 * DAY) };
    Some(Click { campaign: send.campaign, customer: send.customer, at: send.at + after, machine })
}

/// 55 % of the customers met the question: 35 % said yes, a tenth of them by a box ticked for them.
fn signup(customer: &Customer, orders: &[Order], dice: &mut Dice) -> Option<Signup> {
    let answer = dice.share(&[(Some("yes"), 35), (Some("no"), 10), (Some("unanswered"), 10), (None, 45)])?;
    let (form, at) = match dice.pick(orders) {
        Some(order) if dice.percent(40) => {
            (dice.share(&[("checkout", 60), ("newsletter", 40)]), order.at + 60)
        }
        _ => ("account", customer.created_at + 120),
    };
    let pre_ticked = answer == "yes" && dice.percent(10);
    Some(Signup { customer: customer.id, at, form, answer, pre_ticked })
}

/// 8 % of the customers, most of them after a message; a quarter leaves one department only.
fn unsubscribe(customer: i64, orders: &[Order], sends: &[Send], dice: &mut Dice) -> Option<Unsubscribe> {
    if !dice.percent(8) {
        return None;
    }
    let after_send = dice.pick(sends).map(|send| send.at + dice.between(60, 3 * DAY));
    let order = dice.pick(orders)?;
    let at = after_send.unwrap_or(order.at + dice.between(0, 3_600));
    let channel = dice.share(&[("email", 80), ("sms", 12), ("phone", 8)]);
    let department = if dice.percent(25) { order.department } else { None };
    let reason = if dice.percent(60) { dice.pick(&REASONS).copied() } else { None };
    Some(Unsubscribe { customer, at, channel, department, reason })
}

/// One customer in twenty ticks the box: at one of the orders that had it, and at about half of the later ones.
fn shop_orders(customer: &Customer, orders: &[Order], dice: &mut Dice) -> Vec<ShopOrder> {
    let shop_order = |order: &Order| ShopOrder {
        id: order.id,
        customer: customer.id,
        at: order.at,
        cancelled: false,
        offered: customer.form.offered(order.at),
        ticked: false,
    };
    let mut orders: Vec<ShopOrder> = orders.iter().map(shop_order).collect();
    let refuses = dice.percent(5);
    let boxes: Vec<i64> =
        orders.iter().filter(|order| order.offered == Some(true)).map(|order| order.id).collect();
    let first_refusal = dice.pick(&boxes).copied();
    let mut refused = false;
    for order in &mut orders {
        order.cancelled = dice.percent(1);
        let again = dice.percent(50);
        if refuses && order.offered == Some(true) {
            let first = first_refusal == Some(order.id);
            order.ticked = first || (refused && again);
            refused |= first;
        }
    }
    orders
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
