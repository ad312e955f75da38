//! How the price of an option converged, task by task, as a picture (SVG): the estimate, two standard errors around it, and the closed
//! form.

use std::fmt::Write;

use crate::money::summed;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 450.0;
const MARGIN: f64 = 60.0;

/// The picture.
#[allow(clippy::cast_precision_loss)] // thousands
pub(super) fn convergence(parts: &[&[u8]], known: f64) -> String {
    let running: Vec<(f64, f64)> = (1..=parts.len())
        .filter_map(|count| summed(parts[..count].iter().copied()))
        .map(|all| (all.price(), 2.0 * all.standard_error()))
        .collect();
    let far = running.iter().map(|(price, around)| (price - known).abs() + around);
    let far = far.fold(known.abs() * 1e-6, f64::max);
    let x = |place: usize| MARGIN + (WIDTH - 2.0 * MARGIN) * (place + 1) as f64 / running.len().max(1) as f64;
    let y = |price: f64| HEIGHT / 2.0 - (price - known) / far * (HEIGHT / 2.0 - MARGIN);
    let line = |points: &mut dyn Iterator<Item = (usize, f64)>| {
        let mut text = String::new();
        for (place, price) in points {
            write!(text, "{:.1},{:.1} ", x(place), y(price)).expect("writing to a String cannot fail");
        }
        text
    };
    let mut above = running
        .iter()
        .enumerate()
        .map(|(place, (price, around))| (place, price + around));
    let mut below = running
        .iter()
        .enumerate()
        .rev()
        .map(|(place, (price, around))| (place, price - around));
    let band = line(&mut above) + &line(&mut below);
    let curve = line(&mut running.iter().enumerate().map(|(place, (price, _))| (place, *price)));
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="14">
<title>How the price converged</title>
<rect width="100%" height="100%" fill="white"/>
<polygon points="{band}" fill="#56b4e9" fill-opacity="0.3"/>
<line x1="{MARGIN}" x2="{right}" y1="{middle}" y2="{middle}" stroke="#d55e00" stroke-dasharray="6 4"/>
<polyline points="{curve}" fill="none" stroke="#0072b2" stroke-width="2"/>
<line x1="{MARGIN}" x2="{MARGIN}" y1="{MARGIN}" y2="{bottom}" stroke="black"/>
<text x="{MARGIN}" y="30">The price after each task, and two standard errors around it</text>
<text x="{right}" y="{over}" text-anchor="end" fill="#d55e00">Black and Scholes: {known:.4} $</text>
<text x="8" y="{MARGIN}">{high:.4}</text>
<text x="8" y="{bottom}">{low:.4}</text>
<text x="{right}" y="{under}" text-anchor="end">{count} tasks</text>
</svg>
"##,
        right = WIDTH - MARGIN,
        middle = HEIGHT / 2.0,
        bottom = HEIGHT - MARGIN,
        over = HEIGHT / 2.0 - 8.0,
        under = HEIGHT - MARGIN / 2.0,
        high = known + far,
        low = known - far,
        count = parts.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Estimate;

    #[test]
    fn the_picture_has_a_point_for_each_task() {
        let part = |sum: f64| {
            Estimate {
                paths: 100,
                sum,
                squares: sum * sum / 90.0,
            }
            .to_bytes()
        };
        let parts = [part(1_000.0), part(1_100.0), part(980.0)];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let svg = convergence(&parts, 10.2);
        let curve = svg
            .split("<polyline points=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!(curve.split_whitespace().count(), 3);
        assert!(svg.contains("10.2000") && !svg.contains("NaN") && svg.ends_with("</svg>\n"));
        assert!(!convergence(&[], 1.0).contains("NaN"));
    }
}
