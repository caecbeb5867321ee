//! Who the customers are: invented countries, languages, addresses, and the order form each of them got.

use super::dice::Dice;
use super::journey::{DAY, SHIFT_DAYS};
use super::names;

/// 2017-06-01 and the shift: the day the second version of the shop's order form, with a box to refuse
/// advertising, reached the customers who order by it.
const SECOND_FORM: i64 = (17_318 + SHIFT_DAYS) * DAY;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub id: i64,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub country: Option<&'static str>,
    pub language: &'static str,
    pub company: bool,
    pub created_at: i64,
    /// Lets a test tell them apart; the CRM holds no such column.
    pub form: OrderForm,
}

/// What the customer's order forms offered; a CRM usually has some of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderForm {
    /// A box to refuse advertising at every order.
    WithBox,
    /// Never a box, as for orders by telephone.
    WithoutBox,
    /// The box came with the second version of the form.
    Changed,
    /// Nobody recorded what the form was like.
    Unknown,
}

impl OrderForm {
    pub fn offered(self, at: i64) -> Option<bool> {
        match self {
            OrderForm::WithBox => Some(true),
            OrderForm::WithoutBox => Some(false),
            OrderForm::Changed => Some(at >= SECOND_FORM),
            OrderForm::Unknown => None,
        }
    }
}

/// `first` is the first thing the CRM knows of the customer: an order or a campaign sent.
pub fn customer(id: i64, first: i64, dice: &mut Dice) -> Customer {
    let country =
        dice.share(&[(Some("GB"), 45), (Some("FR"), 40), (Some("BE"), 8), (Some("DE"), 4), (None, 3)]);
    let dutch = dice.percent(60);
    let language = match country {
        Some("FR") => "fr",
        Some("BE") if dutch => "nl",
        Some("BE") => "fr",
        Some("DE") => "de",
        _ => "en",
    };
    let company = dice.percent(6);
    let email = names::email(id, language, company, dice);
    let phone = names::phone(id, country);
    // Some leave no address, as in any CRM.
    let (email, phone) = (Some(email).filter(|_| dice.percent(98)), phone.filter(|_| dice.percent(80)));
    let ago = if dice.percent(60) { dice.between(DAY, 730 * DAY) } else { 300 };
    let form = dice.share(&[
        (OrderForm::WithBox, 80),
        (OrderForm::WithoutBox, 8),
        (OrderForm::Changed, 5),
        (OrderForm::Unknown, 7),
    ]);
    Customer { id, email, phone, country, language, company, created_at: first - ago, form }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn the_second_form_came_on_the_shifted_first_of_june() {
        let instant = DateTime::from_timestamp(SECOND_FORM, 0).unwrap();
        assert_eq!(instant.to_rfc3339(), "2026-04-01T00:00:00+00:00");
        assert_eq!(OrderForm::Changed.offered(SECOND_FORM - 1), Some(false));
        assert_eq!(OrderForm::Changed.offered(SECOND_FORM), Some(true));
    }
}
