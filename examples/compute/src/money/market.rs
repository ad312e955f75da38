//! The market as its prices tell: the last close of each stock, and how returns of days vary together. From the daily file that comes
//! with the ticker.

use std::collections::BTreeMap;

/// Five stocks, 2000 to 2013: examples/ticker/data/README.md says where from.
const STOCKS: &str = include_str!("../../../ticker/data/stocks.csv");
/// Trading days of a year.
pub(crate) const DAYS_A_YEAR: f64 = 252.0;
/// The newest days that are looked at.
const DAYS: usize = 252;

/// Closes of each symbol, by date.
#[derive(Debug)]
pub(crate) struct Market {
    closes: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Market {
    /// What the file says.
    pub(crate) fn of_the_file() -> Self {
        let mut closes: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for line in STOCKS.lines().skip(1) {
            let mut fields = line.split(',');
            let row = (
                fields.next(),
                fields.next(),
                fields.nth(3).and_then(|close| close.parse().ok()),
            );
            if let (Some(date), Some(symbol), Some(close)) = row {
                closes
                    .entry(symbol.to_owned())
                    .or_default()
                    .insert(date.to_owned(), close);
            }
        }
        Self { closes }
    }

    pub(crate) fn symbols(&self) -> Vec<String> {
        self.closes.keys().cloned().collect()
    }

    /// The last close.
    pub(crate) fn last(&self, symbol: &str) -> Option<f64> {
        self.closes.get(symbol)?.values().next_back().copied()
    }

    /// Logarithms of the newest days' returns.
    fn returns(&self, symbol: &str) -> Option<Vec<f64>> {
        let closes: Vec<f64> = self.closes.get(symbol)?.values().copied().collect();
        let newest = &closes[closes.len().saturating_sub(DAYS + 1)..];
        Some(newest.windows(2).map(|two| libm::log(two[1] / two[0])).collect())
    }

    /// Of a year.
    pub(crate) fn volatility(&self, symbol: &str) -> Option<f64> {
        let returns = self.returns(symbol)?;
        Some((covariance(&returns, &returns) * DAYS_A_YEAR).sqrt())
    }

    /// Covariances of all symbols' returns of a day, row by row.
    pub(crate) fn covariances(&self) -> Vec<f64> {
        let all: Vec<Vec<f64>> = self.closes.keys().filter_map(|symbol| self.returns(symbol)).collect();
        all.iter()
            .flat_map(|one| all.iter().map(|other| covariance(one, other)))
            .collect()
    }
}

/// Of two rows of the same days.
#[allow(clippy::cast_precision_loss)] // hundreds
fn covariance(one: &[f64], other: &[f64]) -> f64 {
    let days = one.len().min(other.len()) as f64;
    let mean = |row: &[f64]| row.iter().sum::<f64>() / days;
    let (mean_one, mean_other) = (mean(one), mean(other));
    let products = one.iter().zip(other).map(|(a, b)| (a - mean_one) * (b - mean_other));
    products.sum::<f64>() / (days - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_tells_prices_and_volatilities() {
        let market = Market::of_the_file();
        assert_eq!(market.symbols(), ["AAPL", "FB", "GOOG", "IBM", "MSFT"]);
        for symbol in market.symbols() {
            let volatility = market.volatility(&symbol).unwrap();
            assert!((0.1..1.0).contains(&volatility), "{symbol}: {volatility}");
            assert!(market.last(&symbol).unwrap() > 10.0);
        }
        assert_eq!(market.covariances().len(), 25);
        assert_eq!(market.volatility("NONE"), None);
    }
}
