//! Financial modelling: what the options on a stock cost, and what a portfolio may lose in a day. Simulated in tasks, and known in
//! closed form, so that the one checks the other.

mod call;
mod market;
mod random;
mod risk;

pub(crate) use call::{Estimate, black_scholes, simulate_call, summed};
pub(crate) use market::Market;
pub(crate) use risk::{normal_risk, quantile, simulate_losses};

/// Between two looks at whether somebody still wants the result.
const PATHS_A_LOOK: u64 = 8_192;

/// The distribution function of the standard normal.
pub(crate) fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}
