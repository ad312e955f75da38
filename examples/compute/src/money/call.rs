//! The price of a European call: by Monte Carlo, a task's part at a time, and by Black and Scholes.

use super::{PATHS_A_LOOK, normal, random};
use crate::job::Call;

/// Bytes of a task's result: paths, sum, sum of squares.
const RESULT_BYTES: usize = 24;

/// What tasks found: discounted payoffs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) paths: u64,
    pub(crate) sum: f64,
    pub(crate) squares: f64,
}

impl Estimate {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.paths, self.sum.to_bits(), self.squares.to_bits()]
            .into_iter()
            .flat_map(u64::to_be_bytes)
            .collect()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RESULT_BYTES] = bytes.try_into().ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let [paths, sum, squares] = [0, 1, 2].map(|place| u64::from_be_bytes(words[place]));
        let (sum, squares) = (f64::from_bits(sum), f64::from_bits(squares));
        let sane = (1..=crate::job::PATHS_MAX).contains(&paths) && sum.is_finite() && squares.is_finite();
        sane.then_some(Self { paths, sum, squares })
    }

    pub(crate) fn price(&self) -> f64 {
        self.sum / self.count()
    }

    /// Of the price.
    pub(crate) fn standard_error(&self) -> f64 {
        let mean = self.price();
        let variance = (self.squares / self.count() - mean * mean).max(0.0);
        (variance / self.count()).sqrt()
    }

    #[allow(clippy::cast_precision_loss)] // far below 2^53
    fn count(&self) -> f64 {
        self.paths as f64
    }
}

/// All tasks' parts, in the order of the tasks: sums of floating-point numbers depend on it.
pub(crate) fn summed<'a>(results: impl IntoIterator<Item = &'a [u8]>) -> Option<Estimate> {
    let mut all = Estimate::default();
    for result in results {
        let part = Estimate::from_bytes(result)?;
        all.paths += part.paths;
        all.sum += part.sum;
        all.squares += part.squares;
    }
    Some(all)
}

/// One task's part. Nothing, if it is not wanted any more.
pub(crate) fn simulate_call(call: &Call, task: u32, is_wanted: &dyn Fn() -> bool) -> Option<Estimate> {
    let drift = (call.rate - 0.5 * call.volatility * call.volatility) * call.years;
    let spread = call.volatility * libm::sqrt(call.years);
    let discount = libm::exp(-call.rate * call.years);
    let mut part = Estimate::default();
    let mut pair = 0;
    while part.paths < call.paths {
        if pair % PATHS_A_LOOK == 0 && !is_wanted() {
            return None;
        }
        for deviate in random::normals(call.seed, task, pair, 0) {
            if part.paths == call.paths {
                break;
            }
            let end = call.spot * libm::exp(drift + spread * deviate);
            let payoff = discount * (end - call.strike).max(0.0);
            part.paths += 1;
            part.sum += payoff;
            part.squares += payoff * payoff;
        }
        pair += 1;
    }
    Some(part)
}

/// The closed form (Black and Scholes, 1973).
pub(crate) fn black_scholes(call: &Call) -> f64 {
    let spread = call.volatility * call.years.sqrt();
    let above = ((call.spot / call.strike).ln() + (call.rate + 0.5 * call.volatility.powi(2)) * call.years) / spread;
    call.spot * normal(above) - call.strike * (-call.rate * call.years).exp() * normal(above - spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Market;

    fn call() -> Call {
        Call {
            spot: 42.0,
            strike: 40.0,
            rate: 0.1,
            volatility: 0.2,
            years: 0.5,
            paths: 1_001,
            seed: 1,
        }
    }

    /// The worked example of Hull's textbook: 4.76.
    #[test]
    fn black_scholes_gives_the_textbooks_price() {
        assert!((black_scholes(&call()) - 4.76).abs() < 0.005);
    }

    #[test]
    fn a_hundred_prices_are_within_three_standard_errors() {
        let market = Market::of_the_file();
        let (mut far, mut worst) = (0, 0.0_f64);
        for number in 0..100 {
            let symbol = market.symbols()[number % 5].clone();
            let (spot, volatility) = (market.last(&symbol).unwrap(), market.volatility(&symbol).unwrap());
            let call = Call {
                spot,
                strike: spot * (0.8 + 0.02 * (number / 5) as f64),
                rate: 0.01 * (number % 7) as f64,
                volatility,
                years: 0.1 + 0.05 * (number % 20) as f64,
                paths: 20_000,
                seed: 11,
            };
            let found = simulate_call(&call, number as u32, &|| true).unwrap();
            let off = (found.price() - black_scholes(&call)).abs() / found.standard_error();
            worst = worst.max(off);
            far += usize::from(off > 2.0);
        }
        eprintln!("100 calls: {far} beyond two standard errors, the farthest at {worst:.2}");
        assert!(worst < 3.0, "{worst}");
        assert!((1..=12).contains(&far), "about one of twenty is beyond two: {far}");
    }

    #[test]
    fn results_are_the_same_bytes_everywhere() {
        let part = simulate_call(&call(), 5, &|| true).unwrap();
        assert_eq!(part.paths, 1_001);
        assert_eq!(Estimate::from_bytes(&part.to_bytes()), Some(part));
        assert_eq!(simulate_call(&call(), 5, &|| false), None);
        for bytes in [&[][..], &[0; 24], &[0xff; 24], &[1; 25]] {
            assert_eq!(Estimate::from_bytes(bytes), None);
        }
        let text = crate::job::to_hex(&part.to_bytes());
        eprintln!("{text}");
    }
}
