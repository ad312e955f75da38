//! Value at risk: the loss of one day that a portfolio exceeds on one day of a hundred. By Monte Carlo, as counts of losses in
//! classes, and in closed form.

use super::{PATHS_A_LOOK, random};
use crate::job::Portfolio;

/// Classes of losses, from −8 to 8 standard deviations.
const CLASSES: usize = 512;
const DEVIATIONS: f64 = 8.0;
/// The standard normal's 99th percentile.
const PERCENTILE_99: f64 = 2.326_347_874_040_841;

/// The standard deviation of a day's loss.
fn deviation(portfolio: &Portfolio) -> f64 {
    let count = portfolio.holdings.len();
    let mut variance = 0.0;
    for (row, one) in portfolio.holdings.iter().enumerate() {
        for (column, other) in portfolio.holdings.iter().enumerate() {
            variance += one * other * portfolio.covariances[row * count + column];
        }
    }
    libm::sqrt(variance.max(0.0))
}

/// The closed form: a sum of normal losses is normal.
pub(crate) fn normal_risk(portfolio: &Portfolio) -> f64 {
    PERCENTILE_99 * deviation(portfolio)
}

/// The lower triangle whose product with itself gives the covariances (Cholesky). What is no matrix of covariances gives zeros.
fn triangle(portfolio: &Portfolio) -> Vec<f64> {
    let count = portfolio.holdings.len();
    let mut lower = vec![0.0; count * count];
    for row in 0..count {
        for column in 0..=row {
            let mut rest = portfolio.covariances[row * count + column];
            for k in 0..column {
                rest -= lower[row * count + k] * lower[column * count + k];
            }
            let diagonal = lower[column * count + column];
            lower[row * count + column] = match row == column {
                true => libm::sqrt(rest.max(0.0)),
                false if diagonal > 0.0 => rest / diagonal,
                false => 0.0,
            };
        }
    }
    lower
}

/// One task's losses, counted by class. Nothing, if they are not wanted any more.
pub(crate) fn simulate_losses(portfolio: &Portfolio, task: u32, is_wanted: &dyn Fn() -> bool) -> Option<Vec<u8>> {
    let (count, lower, unit) = (portfolio.holdings.len(), triangle(portfolio), deviation(portfolio));
    let mut classes = [0_u32; CLASSES];
    let mut deviates = vec![0.0; count];
    for path in 0..portfolio.paths {
        if path % PATHS_A_LOOK == 0 && !is_wanted() {
            return None;
        }
        for (part, two) in (0..).zip(deviates.chunks_mut(2)) {
            two.copy_from_slice(&random::normals(portfolio.seed, task, path, part)[..two.len()]);
        }
        let mut loss = 0.0;
        for row in 0..count {
            let mut change = 0.0;
            for column in 0..=row {
                change += lower[row * count + column] * deviates[column];
            }
            loss -= portfolio.holdings[row] * change;
        }
        let class = if unit > 0.0 {
            (loss / unit + DEVIATIONS) * (CLASSES as f64 / (2.0 * DEVIATIONS))
        } else {
            0.0
        };
        // Beyond the last class is the last class.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let class = (class.max(0.0) as usize).min(CLASSES - 1);
        classes[class] += 1;
    }
    Some(classes.into_iter().flat_map(u32::to_be_bytes).collect())
}

/// The 99th percentile of all tasks' losses, and what its error is about.
#[allow(clippy::cast_precision_loss)] // far below 2^53
pub(crate) fn quantile<'a>(portfolio: &Portfolio, results: impl IntoIterator<Item = &'a [u8]>) -> Option<(f64, f64)> {
    let mut classes = [0_u64; CLASSES];
    for result in results {
        let (counts, rest) = result.as_chunks::<4>();
        if counts.len() != CLASSES || !rest.is_empty() {
            return None;
        }
        for (class, count) in classes.iter_mut().zip(counts) {
            *class += u64::from(u32::from_be_bytes(*count));
        }
    }
    let all = classes.iter().sum::<u64>() as f64;
    let width = 2.0 * DEVIATIONS / CLASSES as f64;
    let mut below = 0.0;
    for (class, count) in classes.iter().enumerate() {
        let count = *count as f64;
        if count > 0.0 && below + count >= 0.99 * all {
            let within = (0.99 * all - below) / count;
            let deviations = (class as f64 + within) * width - DEVIATIONS;
            // Of a sample's percentile: its density there, by the class's own count.
            let density = count / all / width;
            let error = (0.99 * 0.01 / all).sqrt() / density;
            let unit = deviation(portfolio);
            return Some((deviations * unit, error * unit));
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Market;

    #[test]
    fn the_simulated_risk_is_the_closed_forms() {
        let portfolio = Portfolio {
            holdings: vec![1_000.0, 2_000.0, -500.0, 3_000.0, 1_500.0],
            covariances: Market::of_the_file().covariances(),
            paths: 50_000,
            seed: 3,
        };
        let results: Vec<_> = (0..4)
            .map(|task| simulate_losses(&portfolio, task, &|| true).unwrap())
            .collect();
        let (found, error) = quantile(&portfolio, results.iter().map(Vec::as_slice)).unwrap();
        let known = normal_risk(&portfolio);
        eprintln!("value at risk {found:.2} ± {error:.2}, in closed form {known:.2}");
        // A class's width more: it interpolates.
        assert!((found - known).abs() < 3.0 * error + 0.01 * known);
        assert_eq!(quantile(&portfolio, [&[0_u8; 7][..]]), None);
    }
}
