//! Exact decimals: numbers kept as the text they came in. Not an arithmetic type: it offers order, an exact difference,
//! and a rough float for drawing only.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Longest text of a number: far beyond any price, and a bound for what a stranger's file can make us carry.
const TEXT_BYTES_MAX: usize = 48;
/// Most digits of the coefficient, so that it always fits an `i128`.
const DIGITS_MAX: usize = 30;
/// Largest exponent, up or down.
const EXPONENT_MAX: i32 = 30;

/// A finite decimal number, exactly as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    text: String,
    /// The value is `units` / 10^`scale`.
    units: i128,
    scale: u32,
}

/// Why a text is not a [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalError {
    /// Not digits with at most one point, a sign and an exponent: `NaN`, `inf` and `1,5` are among these.
    NotANumber,
    /// More digits, or a larger exponent, than can be kept exact.
    TooLong,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a number",
            Self::TooLong => "longer than 30 digits",
        })
    }
}

impl std::error::Error for DecimalError {}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        if text.len() > TEXT_BYTES_MAX {
            let numeric = text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
            return Err(if numeric {
                DecimalError::TooLong
            } else {
                DecimalError::NotANumber
            });
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first() {
            Some(b'-') => (true, &mantissa[1..]),
            Some(b'+') => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(DecimalError::NotANumber);
        }
        if whole.len() + fraction.len() > DIGITS_MAX {
            return Err(DecimalError::TooLong);
        }
        let mut units: i128 = whole
            .bytes()
            .chain(fraction.bytes())
            .fold(0, |sum, b| sum * 10 + i128::from(b - b'0'));
        if negative {
            units = -units;
        }
        let scale = i32::try_from(fraction.len()).map_err(|_| DecimalError::TooLong)? - exponent;
        let (units, scale) = match u32::try_from(scale) {
            Ok(scale) => (units, scale),
            Err(_) => (shifted(units, scale.unsigned_abs()).ok_or(DecimalError::TooLong)?, 0),
        };
        Ok(Self {
            text: text.to_owned(),
            units,
            scale,
        })
    }
}

impl Decimal {
    /// The text the number came in.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The nearest float: for drawing, never for what is shown as a number.
    pub(crate) fn approximate(&self) -> f64 {
        self.text.parse().unwrap_or(0.0)
    }

    /// The order of two values, whatever their spelling: `1.50` equals `1.5`.
    pub(crate) fn value_cmp(&self, other: &Self) -> Ordering {
        match aligned(self, other) {
            Some((left, right, _)) => left.cmp(&right),
            None => self.approximate().total_cmp(&other.approximate()),
        }
    }

    /// How far this value is from `earlier`.
    pub(crate) fn change_since(&self, earlier: &Self) -> Change {
        let base = earlier.approximate().abs();
        let percent = (base > 0.0).then(|| (self.approximate() - earlier.approximate()) / base * 100.0);
        let amount = aligned(self, earlier)
            .and_then(|(left, right, scale)| Some(fixed_point(left.checked_sub(right)?, scale)))
            .unwrap_or_default();
        Change {
            direction: self.value_cmp(earlier),
            amount,
            percent,
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The difference of two decimals, ready to show.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// `Greater` is up.
    pub(crate) direction: Ordering,
    /// The exact difference with its sign; empty if the two numbers lie too far apart to subtract exactly.
    pub(crate) amount: String,
    /// The difference relative to the earlier value; none if that was 0.
    pub(crate) percent: Option<f64>,
}

impl Change {
    /// Up, down or unchanged in one character that needs no colour.
    pub(crate) fn arrow(&self) -> char {
        match self.direction {
            Ordering::Greater => '▲',
            Ordering::Less => '▼',
            Ordering::Equal => '=',
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.arrow(), self.amount)?;
        match self.percent {
            Some(percent) => write!(f, " ({percent:+.2} %)"),
            None => Ok(()),
        }
    }
}

fn parse_exponent(text: &str) -> Result<i32, DecimalError> {
    let exponent: i32 = text.parse().map_err(|_| DecimalError::NotANumber)?;
    if exponent.abs() > EXPONENT_MAX {
        Err(DecimalError::TooLong)
    } else {
        Ok(exponent)
    }
}

/// `units` × 10^`places`, unless it overflows.
fn shifted(units: i128, places: u32) -> Option<i128> {
    if units == 0 {
        Some(0)
    } else {
        units.checked_mul(10_i128.checked_pow(places)?)
    }
}

/// Both values in units of the finer one's scale.
fn aligned(left: &Decimal, right: &Decimal) -> Option<(i128, i128, u32)> {
    let scale = left.scale.max(right.scale);
    Some((
        shifted(left.units, scale - left.scale)?,
        shifted(right.units, scale - right.scale)?,
        scale,
    ))
}

/// `units` / 10^`scale` with its sign, written out.
fn fixed_point(units: i128, scale: u32) -> String {
    let places = scale as usize;
    let sign = if units < 0 { '-' } else { '+' };
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn text_is_kept_to_the_letter() {
        for text in [
            "118.50",
            "0.00017",
            "-3.2",
            "+4",
            ".5",
            "7.",
            "1e-7",
            "61685.99",
            "0",
            "123456789012345678901234567890",
        ] {
            assert_eq!(decimal(text).as_str(), text);
        }
    }

    #[test]
    fn what_is_not_a_finite_decimal_is_refused() {
        let garbage = [
            "", "-", ".", "abc", "NaN", "inf", "-inf", "1,5", "1.2.3", "0x10", "1e", "e5", "1e5.5", " 1", "--1", "1_0",
            "１",
        ];
        for text in garbage {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::NotANumber), "{text:?}");
        }
        assert_eq!("x".repeat(200).parse::<Decimal>(), Err(DecimalError::NotANumber));
        for text in [
            "1234567890123456789012345678901",
            "1e31",
            "1234567890e30",
            "1e-31",
            &"9".repeat(200),
        ] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::TooLong), "{text:?}");
        }
    }

    #[test]
    fn values_compare_by_value() {
        assert_eq!(decimal("1.50").value_cmp(&decimal("1.5")), Ordering::Equal);
        assert_eq!(decimal("-2").value_cmp(&decimal("1")), Ordering::Less);
        assert_eq!(decimal("1e3").value_cmp(&decimal("999.999")), Ordering::Greater);
        assert_eq!(decimal("61686").value_cmp(&decimal("61685.99")), Ordering::Greater);
    }

    #[test]
    fn differences_are_exact() {
        let amount = |now: &str, then: &str| decimal(now).change_since(&decimal(then)).amount;
        assert_eq!(amount("130.31", "118.56"), "+11.75");
        assert_eq!(amount("0.3", "0.1"), "+0.2");
        assert_eq!(amount("61685.99", "61686"), "-0.01");
        assert_eq!(amount("100", "100.00"), "+0.00");
        assert_eq!(amount("-1.5", "2"), "-3.5");
    }

    #[test]
    fn a_change_is_told_by_text_and_arrow() {
        assert_eq!(
            decimal("130.31").change_since(&decimal("118.56")).to_string(),
            "▲ +11.75 (+9.91 %)"
        );
        assert_eq!(
            decimal("99").change_since(&decimal("100")).to_string(),
            "▼ -1 (-1.00 %)"
        );
        assert_eq!(decimal("5").change_since(&decimal("5")).to_string(), "= +0 (+0.00 %)");
        assert_eq!(decimal("5").change_since(&decimal("0")).to_string(), "▲ +5");
    }
}
