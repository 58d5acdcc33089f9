//! What a million packets per second costs: the publication's table, and ours with a price of yours.

use super::list::{CostEntry, List, OwnCost};
use super::metric;
use super::workshop::All;
use format::paper::{Cost, Kind};
use std::fmt;
use std::str::FromStr;

/// What a server costs, and how many of its cores are to translate: `server=30000USD/40`.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    name: String,
    amount: f64,
    currency: String,
    cores: u32,
}

/// A text that is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no price; expected NAME=AMOUNT/CORES, the price of a server and the cores that \
     translate on it, such as server=30000USD/40"
)]
pub struct NotAPrice(String);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}{}/{}", self.name, self.amount, self.currency, self.cores)
    }
}

impl FromStr for Price {
    type Err = NotAPrice;

    fn from_str(text: &str) -> Result<Price, NotAPrice> {
        let wrong = || NotAPrice(text.to_owned());
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (money, cores) = rest.rsplit_once('/').ok_or_else(wrong)?;
        let end = money.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(money.len());
        let (amount, currency) = money.split_at(end);
        let amount: f64 = amount.parse().map_err(|_| wrong())?;
        let cores: u32 = cores.trim().parse().map_err(|_| wrong())?;
        let currency = currency.trim();
        let word = currency.chars().all(|c| c.is_alphabetic() || "$€£¥".contains(c));
        if name.trim().is_empty() || !(amount > 0.0 && amount.is_finite()) || cores == 0 || !word {
            return Err(wrong());
        }
        let (name, currency) = (name.trim().to_owned(), currency.to_owned());
        Ok(Price { name, amount, currency, cores })
    }
}

/// The table: theirs, then ours, a row for each price.
pub(super) fn table(list: &List, prices: &[Price], all: &All) -> Vec<Cost> {
    let theirs = list.cost.iter().map(theirs);
    let ours = list.own_cost.iter().flat_map(|own| ours(own, prices, all));
    theirs.chain(ours).collect()
}

fn theirs(entry: &CostEntry) -> Cost {
    Cost {
        name: entry.name.clone(),
        mpps: Some(entry.mpps),
        gbps: entry.gbps,
        price: entry.price,
        currency: entry.currency.clone(),
        price_per_mpps: entry.price.map(|price| price / entry.mpps),
        redundancy: entry.redundancy.clone(),
        kind: None,
        note: entry.note.clone(),
    }
}

fn ours(own: &OwnCost, prices: &[Price], all: &All) -> Vec<Cost> {
    let made = all.get(&own.run).filter(|made| made.run.valid != Some(false));
    let core = made.ok_or_else(|| format!("run {} was not made or is invalid", own.run));
    let core = core.and_then(|made| metric::of(made, &own.metric));
    let row = |name: String, cores: u32| {
        let (mpps, note) = match &core {
            Ok(core) => (Some(core.value * f64::from(cores)), own.note.clone()),
            Err(why) => (None, why.clone()),
        };
        Cost {
            name,
            mpps,
            gbps: None,
            price: None,
            currency: String::new(),
            price_per_mpps: None,
            redundancy: own.redundancy.clone(),
            kind: Some(if cores == 1 { Kind::Measured } else { Kind::Extrapolated }),
            note,
        }
    };
    if prices.is_empty() {
        let alone = row("one core of this host".to_owned(), 1);
        let note = format!("{}; no price was given (--price server=30000USD/40)", alone.note);
        return vec![Cost { note, ..alone }];
    }
    let priced = prices.iter().map(|price| {
        let cost = row(format!("{}, {} cores", price.name, price.cores), price.cores);
        Cost {
            price: Some(price.amount),
            currency: price.currency.clone(),
            price_per_mpps: cost.mpps.filter(|&mpps| mpps > 0.0).map(|mpps| price.amount / mpps),
            ..cost
        }
    });
    priced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_of_a_server_and_its_cores() {
        let price = |amount, currency: &str, cores| {
            let (name, currency) = ("box".to_owned(), currency.to_owned());
            Ok(Price { name, amount, currency, cores })
        };
        assert_eq!("box=30000USD/40".parse(), price(30_000.0, "USD", 40));
        assert_eq!("box=1200.5 €/8".parse(), price(1_200.5, "€", 8));
        assert_eq!(price(1_200.5, "€", 8).map(|it| it.to_string()), Ok("box=1200.5€/8".to_owned()));
        assert_eq!("box=900/2".parse(), price(900.0, "", 2));
        for wrong in ["", "30000USD/40", "box=30000USD", "box=0/4", "box=-1/4", "box=1/0", "=1/2"] {
            assert!(wrong.parse::<Price>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_a_run_there_is_a_row_that_says_so() {
        let own = OwnCost {
            run: "core".to_owned(),
            metric: "throughput.mpps_per_core.value".to_owned(),
            redundancy: "N+1".to_owned(),
            note: "linear".to_owned(),
        };
        let price: Price = "box=30000USD/40".parse().expect("a price");
        for prices in [&[][..], &[price]] {
            let rows = ours(&own, prices, &All::new());
            let [row] = &rows[..] else { panic!("one row") };
            assert_eq!((row.mpps, row.price_per_mpps), (None, None));
            assert!(row.note.contains("run core was not made"), "{}", row.note);
        }
    }
}
