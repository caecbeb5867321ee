//! Schema `crm`: created, filled, then given its keys.

use super::Loaded;
use super::copy::{Row, copy};
use super::journey::Journey;
use super::overlay::Overlay;
use anyhow::{Context, Result};
use postgres::Transaction;

pub fn fill(transaction: &mut Transaction<'_>, journey: &Journey, overlay: &Overlay) -> Result<Loaded> {
    transaction.batch_execute(include_str!("crm_tables.sql")).context("creating schema crm")?;
    let categories = fill_catalogue(transaction, journey)?;
    let (orders, order_lines) = fill_orders(transaction, journey, overlay)?;
    let (campaign_sends, clicks) = fill_campaigns(transaction, overlay)?;
    fill_answers(transaction, overlay)?;
    // A foreign key checked in one go costs seconds, checked row by row minutes.
    transaction.batch_execute(include_str!("crm_keys.sql")).context("adding the keys of schema crm")?;
    Ok(Loaded {
        customers: overlay.customers.len() as u64,
        products: journey.products.len() as u64,
        categories,
        orders,
        order_lines,
        campaign_sends,
        clicks,
        opt_ins: overlay.signups.iter().filter(|signup| signup.answer == "yes").count() as u64,
        refusals: overlay.orders.iter().filter(|order| order.ticked).count() as u64,
        opt_outs: overlay.unsubscribes.len() as u64,
    })
}

fn fill_catalogue(transaction: &mut Transaction<'_>, journey: &Journey) -> Result<u64> {
    let all: Vec<_> = journey.tree.categories().collect();
    let categories =
        copy(transaction, "crm.category (id, parent_id, name, level)", &all, |row, category| {
            row.integer(category.id).optional(category.parent, Row::integer).text(&category.name);
            row.integer(category.level);
        })?;
    copy(transaction, "crm.product (id, name, category_id)", &journey.products, |row, product| {
        row.integer(product.id).text(&product.name).optional(product.category, Row::integer);
    })?;
    Ok(categories)
}

fn fill_orders(
    transaction: &mut Transaction<'_>,
    journey: &Journey,
    overlay: &Overlay,
) -> Result<(u64, u64)> {
    let target = "crm.customer (id, email, phone, country, language, kind, created_at)";
    copy(transaction, target, &overlay.customers, |row, customer| {
        row.integer(customer.id);
        row.optional(customer.email.as_deref(), Row::text).optional(customer.phone.as_deref(), Row::text);
        row.optional(customer.country, Row::text).text(customer.language);
        row.text(if customer.company { "company" } else { "person" }).time(customer.created_at);
    })?;
    let target = "crm.\"order\" (id, customer_id, ordered_at, status, opt_out_offered, opt_out_ticked)";
    let orders = copy(transaction, target, &overlay.orders, |row, order| {
        row.integer(order.id).integer(order.customer).time(order.at);
        row.text(if order.cancelled { "cancelled" } else { "done" });
        row.optional(order.offered, Row::boolean).boolean(order.ticked);
    })?;
    let target = "crm.order_line (order_id, product_id, quantity, amount)";
    let lines = copy(transaction, target, &journey.lines, |row, line| {
        row.integer(line.order).integer(line.product).integer(line.quantity).hundredths(line.hundredths);
    })?;
    Ok((orders, lines))
}

fn fill_campaigns(transaction: &mut Transaction<'_>, overlay: &Overlay) -> Result<(u64, u64)> {
    let target = "crm.campaign (id, name, category_id, started_on)";
    copy(transaction, target, &overlay.campaigns, |row, campaign| {
        row.integer(campaign.id).text(&campaign.name).optional(campaign.category, Row::integer);
        row.time(campaign.starts);
    })?;
    let target = "crm.campaign_send (campaign_id, customer_id, sent_at)";
    let sends = copy(transaction, target, &overlay.sends, |row, send| {
        row.integer(send.campaign).integer(send.customer).time(send.at);
    })?;
    let target = "crm.campaign_click (campaign_id, customer_id, clicked_at, machine)";
    let clicks = copy(transaction, target, &overlay.clicks, |row, click| {
        row.integer(click.campaign).integer(click.customer).time(click.at).boolean(click.machine);
    })?;
    Ok((sends, clicks))
}

fn fill_answers(transaction: &mut Transaction<'_>, overlay: &Overlay) -> Result<()> {
    // The columns `id` count by themselves, in the order of the rows.
    let target = "crm.signup (customer_id, at, form, answer, pre_ticked)";
    copy(transaction, target, &overlay.signups, |row, signup| {
        row.integer(signup.customer).time(signup.at).text(signup.form).text(signup.answer);
        row.boolean(signup.pre_ticked);
    })?;
    let target = "crm.unsubscribe (customer_id, at, channel, category_id, reason)";
    copy(transaction, target, &overlay.unsubscribes, |row, unsubscribe| {
        row.integer(unsubscribe.customer).time(unsubscribe.at).text(unsubscribe.channel);
        row.optional(unsubscribe.department, Row::integer).optional(unsubscribe.reason, Row::text);
    })?;
    Ok(())
}
