//! Invented names, e-mail addresses and telephone numbers. None can reach anybody: the addresses are at domains
//! reserved by RFC 2606, the numbers in the ranges the national regulators keep for fiction.

use super::dice::Dice;

const ENGLISH: Names = Names {
    given: &["alice", "ben", "chloe", "daniel", "emma", "george", "hannah", "jack", "lily", "oliver"],
    family: &["baker", "carter", "davies", "evans", "hughes", "jones", "morgan", "smith", "taylor", "wood"],
};
const FRENCH: Names = Names {
    given: &["adele", "bruno", "camille", "denis", "elodie", "hugo", "ines", "julien", "manon", "pierre"],
    family: &[
        "bernard", "dubois", "durand", "fournier", "girard", "lambert", "martin", "moreau", "petit", "roux",
    ],
};
const DUTCH: Names = Names {
    given: &["anke", "bram", "dirk", "els", "griet", "joris", "lotte", "pieter", "sofie", "wout"],
    family: &[
        "claes",
        "declercq",
        "jacobs",
        "janssens",
        "maes",
        "peeters",
        "smet",
        "vermeulen",
        "willems",
        "wouters",
    ],
};
const GERMAN: Names = Names {
    given: &["anna", "felix", "greta", "jonas", "karl", "lena", "lukas", "marie", "paul", "sophie"],
    family: &[
        "becker", "fischer", "hoffmann", "klein", "krause", "meyer", "neumann", "schmidt", "weber", "wolf",
    ],
};

struct Names {
    given: &'static [&'static str],
    family: &'static [&'static str],
}

impl Names {
    fn of(language: &str) -> &'static Names {
        match language {
            "fr" => &FRENCH,
            "nl" => &DUTCH,
            "de" => &GERMAN,
            _ => &ENGLISH,
        }
    }
}

/// The customer's number keeps addresses apart. Half of the companies have a mailbox of nobody in particular, which
/// some countries' rules treat apart from a named one.
pub fn email(customer: i64, language: &str, company: bool, dice: &mut Dice) -> String {
    let names = Names::of(language);
    let given = dice.pick(names.given).copied().unwrap_or("customer");
    let family = dice.pick(names.family).copied().unwrap_or("name");
    let domain = dice.share(&[("example.com", 50), ("example.org", 30), ("example.net", 20)]);
    let generic = dice.share(&[("info", 30), ("contact", 20), ("", 50)]);
    match (company, generic) {
        (false, _) => format!("{given}.{family}.{customer}@{domain}"),
        (true, "") => format!("{given}.{family}@company-{customer}.{domain}"),
        (true, mailbox) => format!("{mailbox}@company-{customer}.{domain}"),
    }
}

/// Unique for customers below 5,000 (Great Britain, Germany) and 10,000 (France). None for Belgium, where no range
/// for fiction is known to us, and none without a country.
///
/// Sources: Ofcom, Telephone numbers for use in TV and radio drama programmes; ARCEP, decision 2018-0881;
/// Bundesnetzagentur, Rufnummern für Medienproduktionen.
pub fn phone(customer: i64, country: Option<&str>) -> Option<String> {
    let (block, last) = ((customer / 1_000) % 5, customer % 1_000);
    match country? {
        "GB" => {
            let area = ["7700 900", "113 496 0", "114 496 0", "115 496 0", "116 496 0"];
            Some(format!("+44 {}{last:03}", area[usize::try_from(block).ok()?]))
        }
        "FR" => Some(format!("+33 6 39 98 {:02} {:02}", customer / 100 % 100, customer % 100)),
        "DE" => {
            let area = ["30 23125", "40 66969", "69 90009", "221 4710", "89 99998"];
            Some(format!("+49 {} {last:03}", area[usize::try_from(block).ok()?]))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_customers_share_an_address_or_a_number() {
        let mut emails = BTreeSet::new();
        let mut phones = BTreeSet::new();
        for customer in 0..2_500 {
            let mut dice = Dice::new(3, customer);
            assert!(emails.insert(email(customer, "fr", customer % 2 == 0, &mut dice)));
            for country in ["GB", "FR", "DE"] {
                assert!(phones.insert(phone(customer, Some(country)).unwrap()));
            }
        }
    }

    #[test]
    fn addresses_cannot_reach_anybody() {
        for customer in 0..500 {
            let email = email(customer, "en", customer % 2 == 0, &mut Dice::new(3, customer));
            assert!(
                ["example.com", "example.org", "example.net"].iter().any(|domain| email.ends_with(domain))
            );
        }
        assert_eq!(phone(1_234, Some("GB")).unwrap(), "+44 113 496 0234");
        assert_eq!(phone(1_234, Some("FR")).unwrap(), "+33 6 39 98 12 34");
        assert_eq!(phone(1_234, Some("BE")), None);
        assert_eq!(phone(1_234, None), None);
    }
}
