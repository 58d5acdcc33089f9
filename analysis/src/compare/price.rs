//! What a host costs, as the user says it: `1.20/h`, `0.9EUR/h`, `870 EUR/month`.

use std::str::FromStr;
use thiserror::Error;

/// Hours of a month: 365 days in 12 parts.
const HOURS_PER_MONTH: f64 = 730.0;

/// Money per hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Amount per hour, above zero.
    pub per_hour: f64,
    /// The currency as written; empty where none was.
    pub currency: String,
}

/// A text that is no price.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no price; expected an amount above 0 per h, day or month, such as 1.20/h or 0.9EUR/h"
)]
pub struct NotAPrice(String);

impl FromStr for Price {
    type Err = NotAPrice;

    fn from_str(text: &str) -> Result<Price, NotAPrice> {
        let wrong = || NotAPrice(text.to_owned());
        let (amount, time) = text.rsplit_once('/').ok_or_else(wrong)?;
        let hours = match time.trim() {
            "h" => 1.0,
            "day" => 24.0,
            "month" => HOURS_PER_MONTH,
            _ => return Err(wrong()),
        };
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let end = amount.trim_start().find(|c| !digits(c)).unwrap_or(amount.trim_start().len());
        let (number, currency) = amount.trim_start().split_at(end);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let currency = currency.trim();
        let word = currency.chars().all(|c| c.is_alphabetic() || "$€£¥".contains(c));
        if !(number > 0.0 && number.is_finite() && word) {
            return Err(wrong());
        }
        Ok(Price { per_hour: number / hours, currency: currency.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_time_and_may_have_a_currency() {
        let price = |per_hour, currency: &str| Ok(Price { per_hour, currency: currency.into() });
        assert_eq!("1.20/h".parse(), price(1.2, ""));
        assert_eq!("48 EUR/day".parse(), price(2.0, "EUR"));
        assert_eq!("730$/month".parse(), price(1.0, "$"));
        for wrong in ["", "1.2", "/h", "0/h", "-1/h", "1.2.3/h", "1/fortnight", "1e3/h", "EUR/h"] {
            assert!(wrong.parse::<Price>().is_err(), "{wrong}");
        }
    }
}
