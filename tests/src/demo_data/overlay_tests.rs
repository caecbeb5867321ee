//! Shares, determinism and the cohorts, on invented purchases: no files, no database.

#![allow(clippy::unwrap_used)]

use super::*;

const CUSTOMERS: i64 = 4_000;

/// Twelve monthly orders for everybody, the last in October 2026; each third one was sent two campaigns.
fn journey() -> Journey {
    let order = |customer: i64, month: i64| Order {
        customer,
        at: END - (12 - month) * 30 * DAY - customer % 25 * DAY - 3_600,
        id: customer * 100 + month,
        department: Some(7),
    };
    let campaign = |id: i32, days: i64| Campaign {
        id,
        name: format!("Type B, no. {id}"),
        category: None,
        starts: END - days * DAY,
    };
    Journey {
        orders: (1..=CUSTOMERS)
            .flat_map(|customer| (1..=12).map(move |month| order(customer, month)))
            .collect(),
        campaigns: vec![campaign(1, 200), campaign(2, 100)],
        sends: (1..=CUSTOMERS).filter(|id| id % 3 == 0).flat_map(|id| [(id, 1), (id, 2)]).collect(),
        ..Journey::default()
    }
}

fn overlay(seed: u64) -> Overlay {
    Overlay::new(&journey(), seed).unwrap()
}

fn share<T>(all: &[T], part: impl Fn(&T) -> bool) -> f64 {
    all.iter().filter(|&row| part(row)).count() as f64 * 100.0 / all.len() as f64
}

/// In percent; the tolerance is more than three standard deviations of every share tested at these numbers.
#[track_caller]
fn near(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance, "{found:.2} % and not {wanted} %");
}

#[test]
fn same_seed_same_rows() {
    assert_eq!(overlay(42), overlay(42));
    assert_ne!(overlay(42).customers, overlay(43).customers);
}

#[test]
fn a_customer_is_the_same_whoever_else_is_there() {
    let whole = overlay(42);
    let mut alone = journey();
    alone.orders.retain(|order| order.customer == 99);
    alone.sends.retain(|send| send.0 == 99);
    let alone = Overlay::new(&alone, 42).unwrap();
    assert_eq!(alone.customers, [whole.customers[98].clone()]);
    assert!(alone.orders.iter().eq(whole.orders.iter().filter(|order| order.customer == 99)));
}

#[test]
fn customers_have_the_stated_shares() {
    let customers = overlay(1).customers;
    for (country, wanted) in
        [(Some("GB"), 45.0), (Some("FR"), 40.0), (Some("BE"), 8.0), (Some("DE"), 4.0), (None, 3.0)]
    {
        near(share(&customers, |customer| customer.country == country), wanted, 2.5);
    }
    near(share(&customers, |customer| customer.company), 6.0, 1.5);
    near(share(&customers, |customer| customer.email.is_none()), 2.0, 1.0);
    near(share(&customers, |customer| customer.form.offered(END) == Some(true)), 85.0, 2.0);
    near(share(&customers, |customer| customer.form.offered(END).is_none()), 7.0, 1.5);
}

#[test]
fn answers_have_the_stated_shares() {
    let all = overlay(1);
    let everyone = all.customers.len() as f64;
    for (answer, wanted) in [("yes", 35.0), ("no", 10.0), ("unanswered", 10.0)] {
        let answered = all.signups.iter().filter(|signup| signup.answer == answer).count() as f64;
        near(answered * 100.0 / everyone, wanted, 2.5);
    }
    let yes: Vec<_> = all.signups.iter().filter(|signup| signup.answer == "yes").collect();
    near(share(&yes, |signup| signup.pre_ticked), 10.0, 3.0);
    assert!(all.signups.iter().all(|signup| !signup.pre_ticked || signup.answer == "yes"));
    near(all.unsubscribes.len() as f64 * 100.0 / everyone, 8.0, 1.5);
    near(share(&all.unsubscribes, |unsubscribe| unsubscribe.department.is_some()), 25.0, 8.0);
    near(all.clicks.len() as f64 * 100.0 / all.sends.len() as f64, 15.0, 2.5);
    near(share(&all.clicks, |click| click.machine), 3.0, 3.0);
}

#[test]
fn a_box_is_ticked_only_where_there_was_one() {
    let all = overlay(1);
    assert!(all.orders.iter().all(|order| !order.ticked || order.offered == Some(true)));
    let refusers: BTreeSet<i64> =
        all.orders.iter().filter(|order| order.ticked).map(|order| order.customer).collect();
    let offered: BTreeSet<i64> =
        all.orders.iter().filter(|order| order.offered == Some(true)).map(|order| order.customer).collect();
    near(refusers.len() as f64 * 100.0 / offered.len() as f64, 5.0, 1.3);
}

/// The last thing each customer did, by customer.
fn last_actions(all: &Overlay) -> HashMap<i64, i64> {
    let orders = all.orders.iter().map(|order| (order.customer, order.at));
    let clicks = all.clicks.iter().filter(|click| !click.machine).map(|click| (click.customer, click.at));
    let signups = all.signups.iter().map(|signup| (signup.customer, signup.at));
    let unsubscribes = all.unsubscribes.iter().map(|unsubscribe| (unsubscribe.customer, unsubscribe.at));
    let mut last = HashMap::new();
    for (customer, at) in orders.chain(clicks).chain(signups).chain(unsubscribes) {
        last.entry(customer).and_modify(|known: &mut i64| *known = at.max(*known)).or_insert(at);
    }
    last
}

#[test]
fn some_french_customers_have_expired_and_some_are_about_to() {
    let all = overlay(1);
    let last = last_actions(&all);
    // Three years before 2026-11-01, the day after the last purchase, and before 2026-12-31.
    let (expired, expiring) = (END - 1_096 * DAY, END - 1_036 * DAY);
    let (mut french, mut gone, mut soon) = (0.0, 0.0, 0.0);
    for customer in &all.customers {
        let last = last[&customer.id];
        if customer.country != Some("FR") {
            assert!(last > expiring, "only French customers lie further back");
            continue;
        }
        french += 1.0;
        if last < expired {
            gone += 1.0;
        } else if last < expiring {
            // Still not expired on the last day of November.
            assert!(last > expired + 30 * DAY);
            soon += 1.0;
        }
    }
    near(gone * 100.0 / french, 12.0, 2.5);
    near(soon * 100.0 / french, 4.0, 1.5);
}

#[test]
fn sends_and_clicks_follow_their_campaign() {
    let all = overlay(1);
    let starts: HashMap<i32, i64> =
        all.campaigns.iter().map(|campaign| (campaign.id, campaign.starts)).collect();
    assert_eq!(starts.len(), all.campaigns.len(), "an id twice");
    for send in &all.sends {
        assert!((0..DAY).contains(&(send.at - starts[&send.campaign])));
    }
    let sends: HashMap<_, _> =
        all.sends.iter().map(|send| ((send.campaign, send.customer), send.at)).collect();
    for click in &all.clicks {
        assert!(click.at > sends[&(click.campaign, click.customer)]);
    }
}

#[test]
fn nobody_does_anything_before_being_a_customer() {
    let all = overlay(1);
    let created: HashMap<i64, i64> =
        all.customers.iter().map(|customer| (customer.id, customer.created_at)).collect();
    for (customer, at) in last_actions(&all) {
        assert!(at > created[&customer]);
    }
    assert!(all.orders.iter().all(|order| order.at > created[&order.customer]));
    assert!(all.sends.iter().all(|send| send.at > created[&send.customer]));
}
