//! The rows into an Odoo schema.

use super::*;
use crate::crm::load::{Value, copy};
use anyhow::Result;
use postgres::Client;

/// Into an Odoo schema that has no rows yet.
pub fn load(odoo: &Odoo, client: &mut Client) -> Result<()> {
    client.batch_execute("INSERT INTO res_company (name) VALUES ('Shop Ltd')")?;
    for code in COUNTRIES {
        client.execute(
            "INSERT INTO res_country (name, code) VALUES (jsonb_build_object('en_US', $1::text), $1)",
            &[code],
        )?;
    }
    for (n, (name, parent)) in CATEGORIES.iter().enumerate() {
        let parent = (n > 0).then_some(*parent as i32 + 1);
        client.execute("INSERT INTO product_category (name, parent_id) VALUES ($1, $2)", &[name, &parent])?;
    }
    client.batch_execute(&format!(
        "INSERT INTO product_template (name, categ_id) SELECT '{{}}', 1 + n % {categories} FROM generate_series(1, {PRODUCTS}) n;
         INSERT INTO product_product (product_tmpl_id) SELECT id FROM product_template ORDER BY id;
         INSERT INTO mailing_list (name) VALUES ('a'), ('b'), ('c');
         INSERT INTO mailing_mailing (mailing_type, state) VALUES ('mail', 'done');
         INSERT INTO privacy_activity (name, controller_id) VALUES ('{{}}', 1), ('{{}}', 1)",
        categories = CATEGORIES.len()
    ))?;
    macro_rules! rows {
        ($table:literal, $columns:literal, $rows:expr, |$n:ident, $row:ident| $($value:expr),+) => {{
            let numbers: Vec<i32> = (1..=$rows.len() as i32).collect();
            copy(client, $table, $columns, $rows.iter().zip(&numbers).map(|($row, $n)| vec![$($value.text()),+]))?;
        }};
    }
    rows!(
        "res_partner",
        "id, name, active, is_company, parent_id, commercial_partner_id, type, country_id, street, email, email_normalized, mobile, phone_sanitized, create_date, write_date",
        odoo.partners,
        |n, p| n,
        p.name,
        p.active,
        p.is_company,
        p.parent,
        p.commercial,
        p.r#type,
        p.country,
        p.street,
        p.email,
        p.normalized,
        p.mobile,
        p.sanitized,
        p.created,
        p.written
    );
    rows!(
        "mailing_contact",
        "id, email, email_normalized, country_id, create_date",
        odoo.members,
        |n, m| n,
        m.email,
        m.normalized,
        m.country,
        m.created
    );
    rows!(
        "sale_order",
        "id, name, company_id, partner_id, partner_invoice_id, partner_shipping_id, website_id, state, date_order, amount_total",
        odoo.orders,
        |n, o| n,
        n,
        1,
        o.partner,
        o.partner,
        o.partner,
        o.website,
        o.state,
        o.at,
        o.total
    );
    let lines: Vec<(i32, &Line)> =
        odoo.orders.iter().zip(1..).flat_map(|(o, id)| o.lines.iter().map(move |l| (id, l))).collect();
    copy(
        client,
        "sale_order_line",
        "order_id, product_id, display_type, name, product_uom_qty, price_total, is_downpayment",
        lines.iter().map(|(order, l)| {
            vec![
                order.text(),
                l.product.text(),
                l.display.text(),
                "line".text(),
                l.quantity.text(),
                l.price.text(),
                l.downpayment.text(),
            ]
        }),
    )?;
    rows!(
        "mail_blacklist",
        "id, email, active, create_date, write_date",
        odoo.blacklist,
        |n, b| n,
        b.address,
        b.active,
        b.created,
        b.written
    );
    rows!(
        "phone_blacklist",
        "id, number, active, create_date, write_date",
        odoo.phones,
        |n, b| n,
        b.address,
        b.active,
        b.created,
        b.written
    );
    rows!(
        "mailing_subscription",
        "id, contact_id, list_id, opt_out, opt_out_datetime, create_date",
        odoo.subscriptions,
        |n, s| n,
        s.member,
        s.list,
        s.opt_out,
        s.opt_out_at,
        s.created
    );
    rows!(
        "mailing_trace",
        "id, trace_type, model, res_id, mass_mailing_id, sent_datetime, open_datetime, reply_datetime, links_click_datetime, trace_status",
        odoo.traces,
        |n, t| n,
        "mail",
        t.model,
        t.id,
        1,
        t.sent,
        t.opened,
        t.replied,
        t.clicked,
        t.status
    );
    rows!(
        "mail_unsubscription",
        "id, date, email, action, mass_mailing_id",
        odoo.unsubscriptions,
        |n, u| n,
        u.at,
        u.email,
        u.action,
        1
    );
    rows!(
        "privacy_consent",
        "id, partner_id, activity_id, accepted, last_metadata, state, active, create_date, write_date",
        odoo.answers,
        |n, a| n,
        a.partner,
        a.activity,
        a.accepted,
        a.metadata,
        a.state,
        a.active,
        a.created,
        a.written
    );
    for table in [
        "res_partner",
        "mailing_contact",
        "sale_order",
        "mail_blacklist",
        "phone_blacklist",
        "mailing_subscription",
        "mailing_trace",
        "mail_unsubscription",
        "privacy_consent",
    ] {
        client.batch_execute(&format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table})); ANALYZE {table}"))?;
    }
    client.batch_execute("ANALYZE")?;
    Ok(())
}
