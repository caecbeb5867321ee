//! The rows into a Dolibarr schema.

use super::*;
use crate::crm::load::{Value, copy};
use anyhow::Result;
use postgres::Client;

/// Into a Dolibarr schema that has no rows yet.
pub fn load(all: &Dolibarr, client: &mut Client) -> Result<()> {
    for (n, code) in COUNTRIES.iter().enumerate() {
        client
            .execute("INSERT INTO llx_c_country (rowid, code) VALUES ($1, $2)", &[&(n as i32 + 1), code])?;
    }
    for (n, (label, parent)) in CATEGORIES.iter().enumerate() {
        let parent = if n == *parent { 0 } else { *parent as i32 + 1 };
        client.execute(
            "INSERT INTO llx_categorie (label, fk_parent, type) VALUES ($1, $2, 0)",
            &[label, &parent],
        )?;
    }
    client.batch_execute(
        "INSERT INTO llx_categorie (label, type) VALUES ('Clients', 2); INSERT INTO llx_mailing (statut) VALUES (3)",
    )?;
    for product in 1..=PRODUCTS as i32 {
        client.execute("INSERT INTO llx_product (ref) VALUES ($1)", &[&product.to_string()])?;
        for category in categories_of(product) {
            client.execute(
                "INSERT INTO llx_categorie_product VALUES ($1, $2)",
                &[&(category as i32 + 1), &product],
            )?;
        }
    }
    macro_rules! rows {
        ($table:literal, $columns:literal, $rows:expr, |$n:ident, $row:ident| $($value:expr),+) => {{
            let numbers: Vec<i32> = (1..=$rows.len() as i32).collect();
            copy(client, $table, $columns, $rows.iter().zip(&numbers).map(|($row, $n)| vec![$($value.text()),+]))?;
        }};
    }
    rows!(
        "llx_societe",
        "rowid, nom, status, fk_pays, fk_typent, tva_intra, email, phone",
        all.third_parties,
        |n, t| n,
        t.name,
        i32::from(t.open),
        t.country,
        t.kind,
        t.vat,
        t.email,
        t.phone
    );
    rows!(
        "llx_socpeople",
        "rowid, fk_soc, fk_pays, email, no_email, statut",
        all.people,
        |n, p| n,
        p.third_party,
        p.country,
        p.email,
        i32::from(p.no_email),
        i32::from(p.active)
    );
    rows!(
        "llx_facture",
        "rowid, ref, fk_soc, type, datef, datec, fk_statut, fk_facture_source",
        all.invoices,
        |n, f| n,
        n,
        f.third_party,
        f.kind,
        f.day,
        f.created,
        f.status,
        f.source
    );
    let lines: Vec<(i32, &Line)> =
        all.invoices.iter().zip(1..).flat_map(|(f, id)| f.lines.iter().map(move |l| (id, l))).collect();
    copy(
        client,
        "llx_facturedet",
        "fk_facture, fk_product, qty, total_ttc, special_code",
        lines.iter().map(|(invoice, l)| {
            vec![invoice.text(), l.product.text(), l.quantity.text(), l.total.text(), l.special.text()]
        }),
    )?;
    rows!(
        "llx_mailing_unsubscribe",
        "rowid, email, unsubscribegroup, date_creat, tms",
        all.unsubscriptions,
        |n, u| n,
        u.email,
        u.group,
        u.at,
        u.at
    );
    rows!(
        "llx_mailing_cibles",
        "rowid, fk_mailing, fk_contact, email, statut, date_envoi",
        all.recipients,
        |n, r| n,
        r.mailing,
        0,
        r.email,
        r.status,
        r.sent
    );
    for table in
        ["llx_societe", "llx_socpeople", "llx_facture", "llx_mailing_unsubscribe", "llx_mailing_cibles"]
    {
        client.batch_execute(&format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'rowid'), (SELECT max(rowid) FROM {table}))"
        ))?;
    }
    // The schema at hand leaves out the indexes that every Dolibarr has.
    client.batch_execute(
        "CREATE INDEX idx_facture_fk_soc ON llx_facture (fk_soc);
         CREATE INDEX idx_facturedet_fk_facture ON llx_facturedet (fk_facture);
         CREATE INDEX idx_socpeople_fk_soc ON llx_socpeople (fk_soc);
         ANALYZE",
    )?;
    Ok(())
}
